//! Helpers of the end-to-end tests.

pub mod archive;
pub mod compare;
pub mod lab;
pub mod mirror;
pub mod packed;
pub mod program;
pub mod real;
pub mod signing;
//! Helpers of the end-to-end tests: the real program, and real engines that neither see nor disturb the machine's own.
//!
//! The tests themselves are in `tests/`. Those that need root and an engine are `#[ignore]`d, so that a plain
//! `cargo test` passes anywhere; `tests/run` at the top of the repository runs them too.

pub mod bundle;
pub mod command;
pub mod docker;

pub mod podman;
pub mod sandbox;
pub mod secrets;
