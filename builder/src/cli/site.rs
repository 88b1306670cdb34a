//! `sealift site`

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::Profile;
use sealift_deployment::site::{self, SiteRequest};

use super::Context;
use super::common;
use sealift_deployment::bundle;

/// Make and look after the certificates and secrets of one installation
#[derive(Args, Debug)]
pub(super) struct SiteCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    New(New),
    Renew(Renew),
}

/// Make the certificates, secrets and env files of one installation
///
/// Makes a private certificate authority, a key and certificate for each TLS service, random secrets,
/// and the env files and configuration that hold them. Running it again changes nothing that is still
/// valid: secrets stay, certificates are made anew when they are about to expire or a name is missing,
/// files that you edited are kept. `custom-ca.key` stays here: no bundle has it.
///
/// Where the profile needs values or certificates of yours, the first run writes `settings.toml`, says
/// all that is still to be filled in, and exits with 2; so does any run that finds some of it missing
/// or wrong. `settings.toml` is yours: it is never written again.
///
/// Make it before the build and give it to `sealift build --site`, or make it on the host in the
/// unpacked bundle, where `--profile` may be left out.
///
/// Examples:
///   sealift site new ./site --profile standalone --host parsec.example.com
///   sealift site new site --host 192.0.2.10 --port https=8443 --port http=8080
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
struct New {
    /// The site's folder: made if it is not there
    directory: PathBuf,
    /// Name of a profile, or path of its folder [default: that of the bundle unpacked here]
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Public name or address of the installation: what clients connect to
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// A published port: its name in the profile and the host's port number; may be repeated
    #[arg(long = "port", value_name = "NAME=NUMBER", value_parser = port)]
    ports: Vec<(String, u16)>,
    /// Let the site's own authority make certificates that you would have to bring: for trials
    #[arg(long)]
    self_signed: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// Renew the certificates of an installation before they end
///
/// Those with less than a fifth of their life left, unless you say otherwise, get a new certificate for
/// the same key. Secrets stay, and so does the authority: what clients trust. Its key, `custom-ca.key`,
/// has to be in its place for that. Certificates that you brought yourself are not touched.
///
/// In an unpacked bundle, `./sealift up` then makes the services anew that have a new certificate.
///
/// Examples:
///   ./sealift site renew
///   ./sealift site renew --days-left 90 && ./sealift up
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
struct Renew {
    /// The site's folder
    #[arg(default_value = "site")]
    directory: PathBuf,
    /// Name of a profile, or path of its folder [default: that of the bundle unpacked here]
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Renew those that end within so many days
    #[arg(long, value_name = "DAYS", conflicts_with = "force")]
    days_left: Option<u32>,
    /// Renew all of them
    #[arg(long)]
    force: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn port(text: &str) -> Result<(String, u16), String> {
    let (name, number) = text.split_once('=').ok_or("write NAME=NUMBER, such as https=8443")?;
    let number = number.parse().map_err(|_| format!("`{number}` is no port: a number from 1 to 65535"))?;
    if number == 0 { Err("port 0 cannot be published".to_owned()) } else { Ok((name.to_owned(), number)) }
}

impl SiteCommand {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        match &self.action {
            Action::New(new) => new.run(context),
            Action::Renew(renew) => renew.run(context),
        }
    }
}

impl New {
    fn run(&self, context: &mut Context) -> Result<()> {
        let ui = common::ui(&Machine::here(), context);
        let profile = match &self.profile {
            Some(name) => Profile::find(name)?,
            None => unpacked_profile(&self.directory)?,
        };
        let report = site::create(&SiteRequest {
            directory: &self.directory,
            model: &profile.model,
            sources: &profile.sources,
            host: self.host.as_deref(),
            ports: self.ports.iter().cloned().collect::<BTreeMap<_, _>>(),
            days_left: None,
            leave_groups: false,
            self_signed: self.self_signed,
            now: sealift_deployment::clock::now().cast_signed(),
        })?;
        report.warnings.0.iter().for_each(|warning| ui.finding(warning));
        if self.json { context.out.json(&report) } else { Ok(write!(context.out, "{report}")?) }
    }
}

impl Renew {
    fn run(&self, context: &mut Context) -> Result<()> {
        let ui = common::ui(&Machine::here(), context);
        let profile = match &self.profile {
            Some(name) => Profile::find(name)?,
            None => unpacked_profile(&self.directory)?,
        };
        if !self.directory.join("site.toml").is_file() {
            return Err(Failure::usage(format!("{} is no site", self.directory.display()))
                .hint("`sealift site new` or `sealift up` makes one")
                .into());
        }
        let renewal = site::renew(&SiteRequest {
            directory: &self.directory,
            model: &profile.model,
            sources: &profile.sources,
            host: None,
            ports: BTreeMap::new(),
            days_left: if self.force { Some(u32::MAX) } else { self.days_left },
            // Keys stay as they are, and with them their groups.
            leave_groups: true,
            self_signed: false,
            now: sealift_deployment::clock::now().cast_signed(),
        })?;
        renewal.warnings.0.iter().for_each(|warning| ui.finding(warning));
        if self.json { context.out.json(&renewal) } else { Ok(write!(context.out, "{renewal}")?) }
    }
}

/// The profile of the bundle that `site` is in, or that is unpacked in the current directory.
fn unpacked_profile(site: &Path) -> Result<Profile> {
    let site = std::path::absolute(site)?;
    let here = std::path::absolute(".")?;
    for folder in [site.parent().unwrap_or(&here), &here] {
        if folder.join(bundle::MANIFEST).exists() {
            return Profile::load(&folder.join("profile"));
        }
    }
    Err(Failure::usage("no profile is named, and there is no unpacked bundle here")
        .hint("name one: --profile standalone, or run it in the folder of an unpacked bundle")
        .into())
}
