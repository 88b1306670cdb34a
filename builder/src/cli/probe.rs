//! `sealift probe`: the health check of a service, inside its container.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use sealift_deployment::host::probe;

/// Check a port of the container that this runs in
#[derive(Args, Debug)]
pub(super) struct Probe {
    #[command(subcommand)]
    kind: Kind,
    /// Seconds that the check may take
    #[arg(long, global = true, default_value_t = 5)]
    timeout: u64,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Send an HTTP request
    Http {
        port: u16,
        path: String,
        #[arg(long)]
        status: Option<u16>,
    },
    /// Open a connection
    Tcp { port: u16 },
}

impl Probe {
    pub(super) fn run(&self) -> Result<()> {
        let limit = Duration::from_secs(self.timeout);
        match &self.kind {
            Kind::Http { port, path, status } => probe::http(*port, path, *status, limit),
            Kind::Tcp { port } => probe::tcp(*port, limit),
        }
    }
}
