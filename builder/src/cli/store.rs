//! `sealift store`

use std::io::Write;

use anyhow::Result;
use clap::{Args, Subcommand};
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::ui;

use super::Context;
use super::common::{self, StoreOption};

/// Look after the store: fetched artifacts and finished layers
///
/// The store can be removed at any time: it only saves work. Builds verify what they fetch when it
/// comes in; `check` verifies all of it again.
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
    /// Read everything again and compare it with its digest
    Check {
        #[command(flatten)]
        store: StoreOption,
        /// Remove what is wrong: the next build makes or fetches it again
        #[arg(long)]
        repair: bool,
    },
    /// Show how much is in it
    Size {
        #[command(flatten)]
        store: StoreOption,
    },
    /// Remove everything from it
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
                    writeln!(context.out, "{}: all sound", store.root().display())?;
                    return Ok(());
                }
                context.out.finish()?;
                let count = report.wrong.len();
                if *repair {
                    context.note(format!("removed {count}: the next build makes or fetches them again"));
                    return Ok(());
                }
                let message = if count == 1 {
                    "1 thing in the store is not what it must be".to_owned()
                } else {
                    format!("{count} things in the store are not what they must be")
                };
                Err(Failure::verification(message).hint("sealift store check --repair removes them").into())
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
