//! What images are made of: each ingredient turns its source into a `Tree`.

pub mod accounts;
pub mod certs;
pub mod deb;
