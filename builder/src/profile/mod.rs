//! Profiles: what is deployed, read from `profile.toml` and checked.

pub mod model;
