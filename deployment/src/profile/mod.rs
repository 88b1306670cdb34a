//! Profiles: what is deployed, read from `profile.toml` and checked.

mod calendar;
mod check;
pub(crate) mod document;
mod extend;
mod load;
mod mistakes;
pub mod model;
pub mod names;
mod readable;
mod search;
pub mod setting;
mod sources;
pub(crate) mod suggest;
mod syntax;
pub(crate) mod template;
mod trees;
mod words;

pub use load::Profile;
pub use search::Search;
pub use sources::Sources;
pub use trees::{Placed, PlacedFile, PlacedFolder};
pub use words::is_name;
pub(crate) use words::is_number_label;

/// The profile of `sample.toml`.
#[cfg(test)]
pub(crate) fn sample() -> model::Model {
    toml::from_str(include_str!("sample.toml")).unwrap()
}
