//! `sealift`: assembles reproducible OCI images and air-gapped deployment bundles.

use std::process::ExitCode;

use clap::Parser;
use sealift::cli::{Cli, report};

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.choose_color();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::failure(&error),
    }
}
