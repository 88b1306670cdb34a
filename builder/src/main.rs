//! `sealift`: builds reproducible OCI images and deployment bundles for hosts without a network.

use std::process::ExitCode;

use sealift::cli::{Cli, report};

fn main() -> ExitCode {
    let cli = Cli::parse_or_exit();
    cli.choose_color();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::failure(&error),
    }
}
