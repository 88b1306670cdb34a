//! Helpers of the end-to-end tests.

pub mod archive;
pub mod lab;
pub mod mirror;
pub mod packed;
pub mod program;
pub mod signing;
