//! `sealift store`

use std::io::Write;

use anyhow::Result;
use clap::{Args, Subcommand};
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::ui;

use super::Context;
use super::common::{self, StoreOption};

/// Check, measure or empty the store of fetched artifacts and finished layers
///
/// The store is a cache: it can be removed at any time. Builds verify artifacts when they fetch them;
/// `check` verifies everything again.
///
/// Examples:
///   sealift store check
///   sealift store check --repair
///   sealift store size
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct StoreCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Read every file in the store and compare it with its digest
    Check {
        #[command(flatten)]
        store: StoreOption,
        /// Remove damaged files; the next build fetches or builds them again
        #[arg(long)]
        repair: bool,
    },
    /// Print the number and size of the files in the store
    Size {
        #[command(flatten)]
        store: StoreOption,
    },
    /// Remove all files from the store
    Clean {
        #[command(flatten)]
        store: StoreOption,
    },
}

impl StoreCommand {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        match &self.action {
            Action::Check { store, repair } => {
                let ui = common::ui(&machine, context);
                let store = store.open(&machine)?;
                let total = store.size()?.total().bytes;
                let phase = ui.phase("Checking", total);
                let report = store.check(*repair, &phase)?;
                phase.finish(&format!("{} files, {}", report.checked.count, ui::bytes(report.checked.bytes)));
                for wrong in &report.wrong {
                    writeln!(context.out, "{wrong}")?;
                }
                if report.wrong.is_empty() {
                    writeln!(context.out, "{}: no errors", store.root().display())?;
                    return Ok(());
                }
                context.out.finish()?;
                let count = report.wrong.len();
                if *repair {
                    context.note(format!("removed {count} damaged files; the next build fetches or builds them again"));
                    return Ok(());
                }
                let message = if count == 1 {
                    "1 file in the store is damaged".to_owned()
                } else {
                    format!("{count} files in the store are damaged")
                };
                Err(Failure::verification(message).hint("remove them with `sealift store check --repair`").into())
            }
            Action::Size { store } => {
                let store = store.open(&machine)?;
                write!(context.out, "{}", store.size()?)?;
                Ok(())
            }
            Action::Clean { store } => {
                let store = store.open(&machine)?;
                let usage = store.clean()?;
                writeln!(context.out, "removed {} files, {}", usage.count, ui::bytes(usage.bytes))?;
                Ok(())
            }
        }
    }
}
