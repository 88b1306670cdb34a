//! Debian archives, from the bytes of their indexes to an explained list of packages. Pure: nothing is fetched here and
//! no clock is read.
//!
//! `InRelease` --[`release`]--> what `Packages` must be --[`index`]--> packages by name --[`resolve`]--> the chosen ones.

mod clearsign;
mod date;
pub mod index;
pub mod openpgp;
pub mod relation;
pub mod release;
pub mod resolve;
mod stanza;
pub mod version;
