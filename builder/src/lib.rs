//! The program `sealift`: profiles, locks, fetching, the store, plans, builds, bundles and sites.

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
