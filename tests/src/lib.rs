//! Helpers for tests that run the program: with test servers and archives, and with container engines that are isolated from
//! those of the machine.
//!
//! The tests are in `tests/`. Those that need root and an engine are `#[ignore]`d, so that `cargo test` passes on any
//! machine; the script `tests/run` runs them, too.

#![allow(clippy::disallowed_methods, reason = "tests may read the environment")]

pub mod archive;
pub mod blocks;
pub mod bundle;
pub mod chaos;
pub mod command;
pub mod compare;
pub mod control_group;
pub mod disks;
pub mod docker;
pub mod fuzz;
pub mod hosts;
pub mod lab;
pub mod mirror;
pub mod nix;
pub mod packed;
pub mod podman;
pub mod real;
pub mod sandbox;
pub mod secrets;
pub mod signing;
pub mod systemd;
