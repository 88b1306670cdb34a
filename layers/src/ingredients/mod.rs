//! What images are made of: each ingredient turns its source into a [`Tree`](crate::tree::Tree).

pub mod accounts;
pub mod certs;
pub mod deb;
pub mod ldcache;
pub mod nix_store;
pub mod wheel;
