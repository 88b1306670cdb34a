//! The release side of Sealift, and the command line of the program `sealift`.
//!
//! A build runs through these modules in this order: [`resolve`] makes a [`lock`], [`plan`] decides what to build,
//! [`fetch`] puts artifacts into the [`store`], [`assemble`] makes layers and images, [`bundle`] writes the file.

pub mod assemble;
pub mod audit;
pub mod build;
pub mod bundle;
pub mod cargo;
pub mod cli;
pub mod debian;
mod elf;
pub mod fetch;
pub mod init;
pub mod inputs;
pub mod lock;
pub mod mirrors;
pub mod nix;
mod parallel;
pub mod plan;
pub mod python;
pub mod rebuild;
pub mod recipe;
pub mod resolve;
pub mod servers;
pub mod signing;
pub mod store;
mod tls;
