//! `sealift profiles`

mod show;

use std::io::Write;
use std::path::Path;

use clap::{Args, Subcommand};
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::{Profile, Search};
use serde::Serialize;

use super::Context;

/// List the profiles that can be locked and built, or show one
///
/// Searches the folders in SEALIFT_PROFILES (separated by `:`), then `profiles/` in the current
/// directory and in each of its parents. If a name occurs twice, the first profile is used. Use a path
/// with a `/` in it for a profile elsewhere.
///
/// Examples:
///   sealift profiles
///   sealift profiles show production
///   sealift profiles --json | jq -r '.[].name'
///   SEALIFT_PROFILES=~/profiles sealift profiles
#[derive(Args, Debug)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(super) struct Profiles {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print as a JSON array: name, version, title, directory, images and services of each
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    Show(show::Show),
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    version: &'a str,
    title: &'a str,
    directory: &'a Path,
    images: Vec<&'a str>,
    services: Vec<&'a str>,
}

impl<'a> Row<'a> {
    fn new(profile: &'a Profile) -> Self {
        let model = &profile.model;
        Self {
            name: model.name.get_ref(),
            version: model.version.get_ref(),
            title: &model.title,
            directory: &profile.directory,
            images: model.images.keys().map(|name| name.get_ref().as_str()).collect(),
            services: model.services.keys().map(|name| name.get_ref().as_str()).collect(),
        }
    }
}

impl Profiles {
    pub(super) fn run(&self, context: &mut Context) -> anyhow::Result<()> {
        if let Some(Action::Show(show)) = &self.action {
            return show.run(context);
        }
        let (mut profiles, mut errors) = (Vec::new(), Vec::new());
        for directory in Search::of(&Machine::here())?.all()?.into_values() {
            match Profile::load(&directory) {
                Ok(profile) => profiles.push(profile),
                Err(error) => errors.push(error),
            }
        }
        let rows: Vec<Row> = profiles.iter().map(Row::new).collect();
        if self.json {
            context.out.json(&rows)?;
        } else if rows.is_empty() && errors.is_empty() {
            context.note("there are no profiles here; `sealift profiles --help` lists the folders that are searched");
        } else {
            context.out.write_all(table(&rows).as_bytes())?;
        }
        // Valid profiles are listed in any case; the first invalid one is the error of the command.
        match errors.into_iter().next() {
            Some(error) => context.out.finish().and(Err(error)),
            None => Ok(()),
        }
    }
}

/// One paragraph per profile.
fn table(rows: &[Row]) -> String {
    let paragraphs = rows.iter().map(|row| {
        format!(
            "{} {}\n  {}\n  images:   {}\n  services: {}\n",
            row.name,
            row.version,
            row.title,
            row.images.join(", "),
            row.services.join(", ")
        )
    });
    paragraphs.collect::<Vec<_>>().join("\n")
}
