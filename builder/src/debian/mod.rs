//! Debian archives, from the bytes of their indexes to an explained list of packages. Pure: nothing is fetched here and
//! no clock is read.
//!
//! `InRelease` --[`release`]--> what `Packages` must be --[`index`]--> packages by name --[`resolve`]--> the chosen ones.

pub mod index;
pub mod relation;
pub mod resolve;
mod stanza;
pub mod version;
