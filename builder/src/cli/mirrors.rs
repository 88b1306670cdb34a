//! `sealift mirrors`

use std::io::Write as _;

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::one_line;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::model::MAIN_ARCHIVE;
use serde::Serialize;

use super::Context;
use super::common::ServerOptions;
use crate::mirrors::access::Address;
use crate::mirrors::{ArchiveName, Mirror};
use crate::python::index::{self, Indexes, Role};
use crate::servers::Servers;

/// Show which mirrors and indexes are used, and how they are reached
///
/// Lists the Debian mirrors, the Python indexes, and the folders and servers for archives, each in
/// the order in which they are asked. Under each stands which option, variable or file names it, and
/// where its user name and password, its proxy and the certificates for it come from. User names and
/// passwords are not printed, and no server is contacted.
///
/// Examples:
///   sealift mirrors
///   sealift mirrors --debian-mirror https://mirror.example/debian
///   sealift mirrors --json | jq -r '.debian[].url'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Mirrors {
    #[command(flatten)]
    servers: ServerOptions,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Output {
    debian: Vec<Server>,
    python: Vec<Server>,
    archives: Vec<Server>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Server {
    url: String,
    /// The name that uv's configuration has for an index.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `mirror`, `list`, `folder`; of an index, `default`, `extra`, `links`, `explicit`.
    kind: &'static str,
    /// The option, variable or file that names it.
    from: String,
    /// Where user name and password come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    /// What deviates from the machine's trust store.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<String>,
}

impl Mirrors {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let servers = self.servers.open(&machine, true)?;
        let (debian, python, archives) = (debian(&servers), python(&servers), archives(&servers));
        if !self.json {
            let mut text = format!("Debian mirrors\n{}\nPython indexes\n{}", section(&debian), section(&python));
            if servers.python_indexes().is_ok_and(Indexes::lacks_default) {
                text.push_str("  the default one is not known: ");
                text.push_str(index::NAME_ONE);
                text.push('\n');
            }
            if !matches!(&archives, Ok(none) if none.is_empty()) {
                text.push_str(&format!("\nArchives\n{}", section(&archives)));
            }
            return Ok(context.out.write_all(text.as_bytes())?);
        }
        context.out.json(&Output { debian: debian?, python: python?, archives: archives? })
    }
}

fn debian(servers: &Servers<'_>) -> Result<Vec<Server>> {
    let mirrors = servers.archive_mirrors(ArchiveName { name: MAIN_ARCHIVE, suite: "" })?;
    let kind = |is_list| if is_list { "list" } else { "mirror" };
    mirrors.iter().map(|mirror| Server::new(&mirror.address, kind(mirror.is_list), &mirror.origin, None)).collect()
}

fn archives(servers: &Servers<'_>) -> Result<Vec<Server>> {
    let kind = |mirror: &Mirror| if mirror.address.file().is_some() { "folder" } else { "mirror" };
    servers.archives()?.iter().map(|mirror| Server::new(&mirror.address, kind(mirror), &mirror.origin, None)).collect()
}

fn python(servers: &Servers<'_>) -> Result<Vec<Server>> {
    let of = |role| match role {
        Role::Default => "default",
        Role::Extra => "extra",
        Role::Links => "links",
        Role::Explicit => "explicit",
    };
    let indexes = servers.python_indexes()?.list().iter();
    indexes.map(|index| Server::new(&index.address, of(index.role), &index.source, index.name.as_deref())).collect()
}

impl Server {
    fn new(address: &Address, kind: &'static str, from: &str, name: Option<&str>) -> Result<Self> {
        let route = address.route()?;
        Ok(Self {
            url: address.to_string(),
            name: name.map(str::to_owned),
            kind,
            from: from.to_owned(),
            certificates: route.tls.notes(),
            credentials: route.credentials.map(|credentials| credentials.to_string()),
            proxy: route.proxy.map(|proxy| proxy.to_string()),
        })
    }

    fn lines(&self) -> String {
        let name = self.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let kind = if self.kind == "mirror" { String::new() } else { format!("  ({}{name})", self.kind) };
        let mut text = format!("  {}{kind}\n      from {}\n", self.url, self.from);
        let proxy = self.proxy.as_ref().map(|proxy| format!("through {proxy}"));
        for line in self.credentials.iter().chain(&proxy).chain(&self.certificates) {
            text.push_str(&format!("      {line}\n"));
        }
        text
    }
}

fn section(servers: &Result<Vec<Server>>) -> String {
    match servers {
        Ok(servers) => servers.iter().map(Server::lines).collect(),
        Err(error) => format!("  none: {}\n", one_line(error.as_ref())),
    }
}
