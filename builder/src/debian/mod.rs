//! Debian archives: from the bytes of their indexes to the packages of an image, each with a reason. Pure functions:
//! nothing is fetched here and no clock is read.
//!
//! `InRelease` --[`release`]--> digests of `Packages` files --[`index`]--> packages by name --[`resolve`]--> chosen packages.

pub mod clearsign;
pub mod contents;
pub(crate) mod date;
pub mod index;
pub mod openpgp;
pub mod pin;
pub mod relation;
pub mod release;
pub mod resolve;
pub mod stanza;
pub mod version;
