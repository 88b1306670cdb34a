//! Profiles: what is deployed, read from `profile.toml` and checked.

mod check;
pub mod diagnostic;
mod extend;
pub mod load;
pub mod model;
mod suggest;
mod syntax;

pub use extend::Sources;
pub use load::{Profile, Search};
