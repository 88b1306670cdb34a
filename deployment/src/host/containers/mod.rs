//! Deployments that podman or Docker runs.

mod boot;
mod config_hash;
mod context;
mod engine;
mod held;
mod information;
mod key_groups;
mod kind;
mod listening;
mod load;
mod network;
mod output;
mod ownership;
mod place;
mod pods;
mod preflight;
mod replicas;
mod runtime;
mod scheduled;
mod space;
mod start;
mod status;
mod stop;
mod system;
mod volume_users;
mod volumes;
mod waiting;
mod watch;
mod written;

pub(super) use context::Containers;
