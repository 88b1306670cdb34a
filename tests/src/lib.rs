//! Helpers of the tests that run the real program: with servers and archives of their own, and with real engines that
//! neither see nor disturb the machine's own.
//!
//! The tests themselves are in `tests/`. Those that need root and an engine are `#[ignore]`d, so that a plain
//! `cargo test` passes anywhere; `tests/run` at the top of the repository runs them too.

#![allow(clippy::disallowed_methods, reason = "tests may read the environment")]

pub mod archive;
pub mod blocks;
pub mod bundle;
pub mod command;
pub mod compare;
pub mod docker;
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
