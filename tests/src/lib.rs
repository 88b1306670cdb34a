//! Helpers of the end-to-end tests.

pub mod archive;
pub mod compare;
pub mod lab;
pub mod mirror;
pub mod packed;
pub mod program;
pub mod real;
pub mod signing;
