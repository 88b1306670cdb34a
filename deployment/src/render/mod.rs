//! What a host needs besides images: arguments for containers and `compose.yaml`, or programs and units for systemd; and
//! the operator's README. Pure functions of the profile and the [`container::HostLayout`].

pub mod compose;
pub mod container;
pub mod readme;
pub mod systemd;

#[cfg(test)]
use crate::profile::model::Model;

/// The profile of `sample.toml`.
#[cfg(test)]
pub(crate) fn sample() -> Model {
    toml::from_str(include_str!("sample.toml")).unwrap()
}
