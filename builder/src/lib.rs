//! The program `sealift`: profiles, locks, fetching, the store, plans, builds, bundles and sites.

pub mod failure;
pub mod lock;
pub mod profile;
pub mod python;
