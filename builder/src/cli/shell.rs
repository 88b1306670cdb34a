//! Commands for packagers: shell completions and man pages.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Context};

/// Print a completion script for a shell
///
/// Examples:
///   sealift completions bash > /etc/bash_completion.d/sealift
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Completions {
    /// Shell to complete in
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, context: &mut Context) -> anyhow::Result<()> {
        // Into memory first: the generator panics when a write fails.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "sealift", &mut script);
        Ok(context.out.write_all(&script)?)
    }
}

/// Write the man pages, one per command, into a folder
///
/// Examples:
///   sealift man /usr/share/man/man1
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Man {
    /// Folder for the man pages; created if it does not exist
    directory: PathBuf,
}

impl Man {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        fs_err::create_dir_all(&self.directory)?;
        Ok(clap_mangen::generate_to(Cli::command(), &self.directory)?)
    }
}
