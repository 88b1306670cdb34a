//! What images are made of: each ingredient turns its source into a `Tree`.

pub mod accounts;
pub mod certs;
pub mod deb;
//! Ingredients: what an image is made of becomes a [`Tree`](crate::tree::Tree), one module for each ecosystem.

pub mod wheel;
