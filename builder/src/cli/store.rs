//! `sealift store`

use std::io::Write;

use anyhow::Result;
use clap::{Args, Subcommand};
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::ui;

use super::Context;
use super::common::{self, StoreOption};
use crate::store::Store;

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
            Action::Check { store, repair } => check(&store.open_existing(&machine)?, *repair, &machine, context),
            Action::Size { store } => {
                write!(context.out, "{}", store.open_existing(&machine)?.size()?)?;
                Ok(())
            }
            Action::Clean { store } => {
                let usage = store.open_existing(&machine)?.clean()?;
                writeln!(
                    context.out,
                    "removed {}, {}",
                    ui::count(usage.count as usize, "file"),
                    ui::bytes(usage.bytes)
                )?;
                Ok(())
            }
        }
    }
}

fn check(store: &Store, repair: bool, machine: &Machine, context: &mut Context) -> Result<()> {
    let ui = common::ui(machine, context);
    let phase = ui.phase("Checking", store.size()?.total().bytes);
    let report = store.check(repair, &phase)?;
    let count = ui::count(report.checked.count as usize, "file");
    phase.finish(&format!("{count}, {}", ui::bytes(report.checked.bytes)));
    for damaged in &report.damaged {
        writeln!(context.out, "{damaged}")?;
    }
    if report.damaged.is_empty() {
        writeln!(context.out, "{}: no errors", store.root().display())?;
        return Ok(());
    }
    context.out.finish()?;
    let damaged = ui::count(report.damaged.len(), "damaged file");
    if repair {
        context.note(format!("removed {damaged}; the next build fetches or builds what it needs again"));
        return Ok(());
    }
    Err(Failure::verification(format!("{damaged} in the store"))
        .hint("remove damaged files with `sealift store check --repair`")
        .into())
}
