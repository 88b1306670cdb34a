//! Ingredients: what an image is made of becomes a [`Tree`](crate::tree::Tree), one module for each ecosystem.

pub mod wheel;
