//! Profiles: what is deployed, read from `profile.toml` and checked.

mod check;
pub mod diagnostic;
pub mod load;
pub mod model;
mod suggest;
mod syntax;

pub use load::{Profile, Search};
