//! The operator's side of Sealift: what a deployment is, and how a host runs it.
//!
//! - [`profile`]: what is deployed, read from `profile.toml` and checked.
//! - [`site`]: certificates, secrets and rendered files of one installation.
//! - [`render`]: compose file, containers, systemd units and the operator's README, as pure functions.
//! - [`bundle`]: reading and verifying a bundle, and its bill of materials.
//! - [`signature`]: signatures of bundles, and the keys that a machine trusts.
//! - [`host`]: engines, checks of the host, starting and stopping.
//! - [`process`]: programs of others whose output is collected, within bounds.
//! - [`failure`], [`diagnostic`], [`finding`]: the program's error; errors in a profile or settings file; results of checks.
//!
//! The crate has no network client: it fetches nothing. The crate `sealift` builds bundles.

pub mod bundle;
pub mod clock;
pub mod diagnostic;
pub mod failure;
pub mod files;
pub mod finding;
pub mod host;
pub mod machine;
pub mod process;
pub mod profile;
pub mod render;
pub mod signature;
pub mod site;
pub mod ui;
