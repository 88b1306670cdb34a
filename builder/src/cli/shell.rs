//! Hidden commands: shell completions and man pages for packagers, and what this program runs itself.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use sealift_deployment::host;

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

/// Print what is in a volume as JSON. `up` and `doctor` run it where only containers have the user numbers of its files.
#[derive(Args, Debug)]
pub(super) struct LookIntoVolume {
    /// Folder of the volume
    folder: PathBuf,
    /// Paths below it, in which `*` stands for any characters
    patterns: Vec<String>,
}

impl LookIntoVolume {
    pub(super) fn run(&self, context: &mut Context) -> anyhow::Result<()> {
        context.out.json(&host::look(&self.folder, &self.patterns)?)
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
