//! Signing bundles: keys in minisign's format, and putting signatures into a bundle.

mod attach;
mod key;
mod provenance;

pub(crate) use attach::{Parts, comment, is_same_unsigned};
pub use attach::{sign, sign_file};
pub use key::{Password, SigningKey, create, vouch};
pub(crate) use provenance::{Facts, LOCK, PROFILE, statement};
