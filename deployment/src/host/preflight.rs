//! The checks of a host: before anything is changed on it, and whenever the operator wants to know.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, Result};

use super::ports::Wanted;
use super::{Deployment, Engine, load, ports, space, system};
use crate::finding::Findings;
use crate::machine::Machine;
use crate::profile::names;
use crate::site;

/// What checks look with.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The machine.
    pub machine: &'a Machine,
    /// The time, in seconds since 1970.
    pub now: i64,
}

impl Deployment {
    /// Looks whether the host can run it. `chosen` are published ports that are not as the site has them. Nothing is
    /// changed.
    ///
    /// # Errors
    /// When the engine fails; what is found to be wrong is none.
    pub fn check_host(&self, host: Host<'_>, chosen: &BTreeMap<String, u16>) -> Result<Findings> {
        let Host { engine, machine, now } = host;
        let facts = engine.facts()?;
        let mut findings = Findings::default();
        system::engine(engine, &mut findings);
        system::architecture(&self.manifest.platform, facts, &mut findings);
        system::clock(now, self.manifest.epoch, &mut findings);
        // What cannot be read is told when the site is brought up to date, with all else that is wrong in it.
        let site = self.folder.join("site");
        let certificates = site::certificates(&site, &self.profile.model, now).unwrap_or_default();
        for early in certificates.into_iter().filter(|certificate| certificate.not_yet_valid) {
            let message = format!("site/{}: {}", early.path, early.invalid.unwrap_or_default());
            findings.error(
                "clock",
                message,
                "set the clock; if it is right, have the certificate made anew: remove it",
            );
        }
        system::kernel(engine, facts, self.highest_user(), machine, &mut findings);
        let missing = load::missing(self, engine)?;
        space::check(&space::need(&missing, facts, machine), facts, &mut findings);
        let running = self.states(engine)?.into_iter().filter(|status| status.state == super::State::Running);
        let ours: BTreeSet<u16> = running.flat_map(|status| status.ports).collect();
        ports::check(&self.published(chosen)?, &ours, facts, machine, &mut findings);
        self.check_volumes(engine, facts, &mut findings)?;
        Ok(findings)
    }

    /// The published ports, by name: as `chosen`, else as `.env` says, else as the site was made, else the profile's.
    fn published(&self, chosen: &BTreeMap<String, u16>) -> Result<Vec<Wanted>> {
        let model = &self.profile.model;
        let variables = self.variables()?;
        let known = site::ports(&self.folder.join("site"), model, chosen)?;
        let services = model.services.values();
        let names: BTreeSet<&str> =
            services.flat_map(|service| service.publish.keys()).map(|name| name.get_ref().as_str()).collect();
        let mut wanted = Vec::new();
        for name in names {
            let Some(port) = model.site.ports.get(name) else { continue };
            let own = |variable: String| variables.get(&variable).filter(|value| !value.is_empty());
            let address = own(names::address_variable(name)).unwrap_or(&port.address);
            let address: IpAddr = address
                .trim_matches(['[', ']'])
                .parse()
                .with_context(|| format!("the address of the port {name}: `{address}`"))?;
            let edited = own(names::port_variable(name)).filter(|_| !chosen.contains_key(name));
            let number = match edited {
                Some(text) => text.parse().with_context(|| format!("the port {name} in .env: `{text}`"))?,
                None => known.get(name).copied().unwrap_or(port.default),
            };
            wanted.push(Wanted { name: name.to_owned(), address, number });
        }
        Ok(wanted)
    }

    /// The highest user or group number that the images and key files have.
    fn highest_user(&self) -> u32 {
        let users = self.profile.model.images.values().flat_map(|image| &image.users);
        let numbers = users.flat_map(|user| [user.uid, user.gid]);
        numbers.chain(site::groups(&self.profile.model).into_iter().map(|file| file.group)).max().unwrap_or(0)
    }

    /// Lines that say where its published ports are reached, of a site for `host`: a URL for those called `https` and
    /// `http`, and who else can reach them.
    ///
    /// # Errors
    /// When `.env` cannot be read.
    pub fn addresses(&self, host: &site::PublicHost) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for Wanted { name, address, number } in self.published(&BTreeMap::new())? {
            let shown = if address.is_loopback() { address.to_string() } else { host.in_url() };
            let url = match (name.as_str(), number) {
                ("https", 443) => format!("https://{shown}/"),
                ("http", 80) => format!("http://{shown}/"),
                ("https" | "http", _) => format!("{name}://{shown}:{number}/"),
                _ => format!("{shown}:{number}"),
            };
            let only = if address.is_loopback() { ", from this host only" } else { "" };
            lines.push(format!("{name}: {url}{only}"));
        }
        // What people open comes first.
        lines.sort_by_key(|line| !line.starts_with("https"));
        Ok(lines)
    }
}
