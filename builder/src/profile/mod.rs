//! Profiles: what is deployed, read from `profile.toml` and checked.

pub mod check;
pub mod diagnostic;
pub mod load;
pub mod model;
mod suggest;

pub use load::{Profile, Search};
