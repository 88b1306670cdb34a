//! `sealift site`

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::Profile;
use sealift_deployment::site::{self, KnownSites, SiteRequest};

use super::Context;
use super::common;
use sealift_deployment::bundle;

/// Create and renew the certificates and secrets of an installation
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

/// Create the certificates, secrets and env files of an installation
///
/// Creates a private certificate authority, a key and certificate for each TLS service, random
/// secrets, and the env files and configuration that contain them. Another run changes nothing that
/// is still valid: secrets are kept, certificates are issued again when they are about to expire or
/// lack a name, and files that you edited are kept. `custom-ca.key` is never part of a bundle.
///
/// If the profile needs values or certificates of yours, the first run creates `settings.toml`, lists
/// all missing values, and exits with 2, as does every run that finds missing or wrong values.
/// `settings.toml` is created once and then edited only by you.
///
/// Create the site before the build and pass it to `sealift build --site`, or create it on the host
/// in the unpacked bundle, where `--profile` is not needed.
///
/// Examples:
///   sealift site new ./site --profile standalone --host server.example.com
///   sealift site new site --host 192.0.2.10 --port https=8443 --port http=8080
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
struct New {
    /// Folder of the site; created if it does not exist
    directory: PathBuf,
    /// Name of a profile, or path of its folder [default: that of the bundle unpacked here]
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Public name or address of the installation, which clients connect to
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Port number on the host for a published port of the profile; can be repeated
    #[arg(long = "port", value_name = "NAME=NUMBER", value_parser = port)]
    ports: Vec<(String, u16)>,
    /// File with the private key of the site's authority, to keep it elsewhere; created if it does not exist
    #[arg(long, value_name = "FILE")]
    authority_key: Option<PathBuf>,
    /// Issue certificates that you would have to provide with the site's own authority, for trials
    #[arg(long)]
    self_signed: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Renew the certificates of an installation before they expire
///
/// By default, certificates with less than a fifth of their lifetime left are issued again for the
/// same key. Secrets and the authority, which clients trust, are kept. The key of the authority,
/// `custom-ca.key`, is needed. Certificates that you provided are not changed.
///
/// `--authority` issues the authority's certificate again, for the same key: it is valid for a new
/// term, and for the names and addresses of this site only, whatever the old one allowed. The
/// certificates that it signed stay valid. Give the new one to everyone who trusts the old one, and
/// let them remove that.
///
/// In an unpacked bundle, run `./sealift up` afterwards: it restarts services with a new certificate.
///
/// Examples:
///   ./sealift site renew
///   ./sealift site renew --days-left 90 && ./sealift up
///   ./sealift site renew --authority --authority-key /media/safe/custom-ca.key
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
struct Renew {
    /// Folder of the site
    #[arg(default_value = "site")]
    directory: PathBuf,
    /// Name of a profile, or path of its folder [default: that of the bundle unpacked here]
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Renew certificates that expire within this number of days
    #[arg(long, value_name = "DAYS", conflicts_with = "force")]
    days_left: Option<u32>,
    /// Renew all certificates
    #[arg(long)]
    force: bool,
    /// Also issue the authority's certificate again, for the same key
    #[arg(long)]
    authority: bool,
    /// File with the private key of the authority, where it is not kept in the site
    #[arg(long, value_name = "FILE")]
    authority_key: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn port(text: &str) -> Result<(String, u16), String> {
    let (name, number) = text.split_once('=').ok_or("write NAME=NUMBER, such as https=8443")?;
    let number = number.parse().map_err(|_| format!("`{number}` is not a port number from 1 to 65535"))?;
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
        let machine = Machine::here();
        let ui = common::ui(&machine, context);
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
            project: None,
            engine: None,
            days_left: None,
            leave_groups: false,
            self_signed: self.self_signed,
            authority_key: self.authority_key.as_deref(),
            renew_authority: false,
            known: &KnownSites::of(&machine),
            accept: false,
            now: sealift_deployment::clock::now().cast_signed(),
        })?;
        report.warnings.0.iter().for_each(|warning| ui.finding(warning));
        if self.json { context.out.json(&report) } else { Ok(write!(context.out, "{report}")?) }
    }
}

impl Renew {
    fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let ui = common::ui(&machine, context);
        let profile = match &self.profile {
            Some(name) => Profile::find(name)?,
            None => unpacked_profile(&self.directory)?,
        };
        if !self.directory.join("site.toml").is_file() {
            return Err(Failure::usage(format!("{} is not a site", self.directory.display()))
                .hint("create one with `sealift site new` or `sealift up`")
                .into());
        }
        let renewal = site::renew(&SiteRequest {
            directory: &self.directory,
            model: &profile.model,
            sources: &profile.sources,
            host: None,
            ports: BTreeMap::new(),
            project: None,
            engine: None,
            days_left: if self.force { Some(u32::MAX) } else { self.days_left },
            // Keys are kept, and so are their groups.
            leave_groups: true,
            self_signed: false,
            authority_key: self.authority_key.as_deref(),
            renew_authority: self.authority,
            known: &KnownSites::of(&machine),
            accept: false,
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
        .hint("name a profile, such as --profile standalone, or run this in the folder of an unpacked bundle")
        .into())
}
