//! The release side of Sealift, and the command line of the program `sealift`.
//!
//! A build runs through these modules in this order: [`resolve`] makes a [`lock`], [`plan`] decides what to build,
//! [`fetch`] puts artifacts into the [`store`], [`assemble`] makes layers and images, [`bundle`] writes the file.

pub mod assemble;
pub mod build;
pub mod bundle;
pub mod cargo;
pub mod cli;
pub mod debian;
pub mod exchange;
pub mod fetch;
pub mod lock;
pub mod mirrors;
pub mod nix;
pub mod plan;
pub mod python;
pub mod resolve;
pub mod servers;
pub mod store;
