//! The program `sealift`: profiles, locks, fetching, the store, plans, builds, bundles and sites.

pub mod assemble;
pub mod build;
pub mod bundle;
pub mod cargo;
pub mod cli;
pub mod clock;
pub mod debian;
pub mod deploy;
pub mod failure;
pub mod fetch;
pub mod files;
pub mod host;
pub mod lock;
pub mod machine;
pub mod mirrors;
pub mod nix;
pub mod plan;
pub mod profile;
pub mod python;
pub mod share;
pub mod site;
pub mod store;
pub mod ui;
pub mod upstream;
