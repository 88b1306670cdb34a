//! What a host needs besides images: arguments for containers and `compose.yaml`, or programs and units for systemd; and
//! the operator's README. Pure functions of the profile and the [`container::HostLayout`].

pub mod boot;
pub mod compose;
pub mod container;
mod markdown;
pub mod network;
pub mod readme;
pub mod systemd;
