//! The ingredients of images. Each module makes a [`Tree`](crate::tree::Tree) from one kind of source.

pub mod accounts;
pub mod archive;
pub mod certs;
pub mod deb;
pub mod ldcache;
pub mod ldconf;
pub mod nix_store;
pub mod scripts;
pub mod wheel;
