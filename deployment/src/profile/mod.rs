//! Profiles: what is deployed, read from `profile.toml` and checked.

mod check;
pub mod diagnostic;
pub(crate) mod document;
mod extend;
pub mod load;
pub mod model;
pub mod names;
pub mod setting;
pub(crate) mod suggest;
mod syntax;
pub(crate) mod template;

pub use extend::Sources;
pub use load::{Profile, Search};
