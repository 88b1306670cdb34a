//! The servers that this machine is set up to use, and what is asked of them: signed indexes for a lock, artifacts for a
//! build.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use url::Url;

use crate::cargo::Cargo;
use crate::debian::openpgp::Keyring;
use crate::debian::release::{Demand, Release};
use crate::fetch::{Client, Download, Urls};
use crate::lock::{Package, Wheel};
use crate::mirrors::{self, Mirror};
use crate::python::resolve::Uv;
use crate::python::{index, simple};

/// What the user said about servers.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// `--debian-mirror`.
    pub debian_mirror: Option<String>,
    /// `--python-index`.
    pub python_index: Option<String>,
    /// `--offline`.
    pub offline: bool,
}

/// The servers. What is not needed is not looked up: a build whose artifacts are all there asks nobody anything.
pub struct Upstream<'m> {
    machine: &'m Machine,
    choices: Choices,
    client: Client,
    debian: OnceLock<Vec<Mirror>>,
    python: OnceLock<Result<index::Index, String>>,
}

/// A verified `InRelease` file.
pub struct SignedRelease {
    /// The archive's root.
    pub base: String,
    /// What it says.
    pub release: Release,
    /// Its text.
    pub bytes: Vec<u8>,
}

/// Machines whose archive keyring is elsewhere can name one in the profile.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

const INDEX_LIMIT: u64 = 256 << 20;
const RELEASE_LIMIT: u64 = 16 << 20;
const PAGE_LIMIT: u64 = 64 << 20;

impl<'m> Upstream<'m> {
    /// The servers of `machine`, with the user's own choices before them.
    ///
    /// # Errors
    /// When the machine's certificates or proxies make no sense.
    pub fn new(machine: &'m Machine, choices: Choices) -> Result<Self> {
        let client = Client::new(machine, choices.offline)?;
        Ok(Self { machine, choices, client, debian: OnceLock::new(), python: OnceLock::new() })
    }

    /// The client that it fetches with.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The machine's cargo, which knows by itself where crates come from.
    ///
    /// # Errors
    /// When the machine has no Rust.
    pub fn cargo(&self) -> Result<Cargo> {
        Cargo::new(self.machine, self.choices.offline)
    }

    /// Fetches and verifies the `InRelease` file of a suite, from the first mirror that has the suite.
    ///
    /// `keyring` is a file; without it the machine's Debian archive keyring. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When no mirror has the suite, or the file is not signed by a key of the keyring, expired, or of another suite.
    pub fn release(&self, suite: &str, keyring: Option<&Path>, now: u64, allow_expired: bool) -> Result<SignedRelease> {
        let keyring = self.keyring(keyring)?;
        let mirrors = self.debian()?;
        for mirror in mirrors {
            let url = format!("{}/dists/{suite}/InRelease", mirror.base.trim_end_matches('/'));
            if let Some(page) = self.client.find(&url, "*/*", RELEASE_LIMIT)? {
                let demand = Demand { suite, keyring: &keyring, now, allow_expired };
                let release = Release::parse(&page.bytes, &demand).with_context(|| url.clone())?;
                return Ok(SignedRelease { base: mirror.base.clone(), release, bytes: page.bytes });
            }
        }
        let asked: Vec<String> = mirrors.iter().map(|mirror| format!("{} ({})", mirror.base, mirror.origin)).collect();
        Err(Failure::network(format!("no Debian mirror has the suite {suite}; asked:\n  {}", asked.join("\n  ")))
            .hint("check the suite's name in the profile, or name a mirror with --debian-mirror")
            .into())
    }

    /// Fetches and verifies the package index of a component; gives its text, its path and its digest.
    ///
    /// # Errors
    /// When the suite has no such component, or the file is not what the release says.
    pub fn packages(
        &self,
        signed: &SignedRelease,
        suite: &str,
        component: &str,
        architecture: &str,
    ) -> Result<(String, String, sealift_layers::digest::Digest)> {
        let (path, file) = signed.release.packages(component, architecture)?;
        let folder = format!("{}/dists/{suite}", signed.base.trim_end_matches('/'));
        let mut page = None;
        if signed.release.acquire_by_hash {
            page = self.client.find(&format!("{folder}/{}", file.by_hash(&path)), "*/*", INDEX_LIMIT)?;
        }
        let page = match page {
            Some(page) => page,
            None => self.client.get(&format!("{folder}/{path}"), "*/*", INDEX_LIMIT)?,
        };
        let text = signed.release.unpack(&path, &page.bytes).with_context(|| page.final_url)?;
        Ok((text, path, file.sha256))
    }

    /// Where a package may be had.
    ///
    /// # Errors
    /// When the machine names no Debian mirror.
    pub fn package<'a>(&self, package: &Package) -> Result<Download<'a>> {
        let urls = self
            .debian()?
            .iter()
            .map(|mirror| format!("{}/{}", mirror.base.trim_end_matches('/'), package.path))
            .collect();
        Ok(Download {
            name: file_name(&package.path),
            urls: Urls::Known(urls),
            size: package.size,
            digest: package.sha256,
        })
    }

    /// Where a wheel may be had: looked up on the index when it is fetched.
    #[must_use]
    pub fn wheel<'a>(&'a self, wheel: &'a Wheel) -> Download<'a> {
        let urls = Urls::Lazy(Box::new(move || {
            let index = self.python()?;
            let url = simple::page_url(index.url.as_str(), &wheel.name);
            let Some(page) = self.client.find(&url, simple::ACCEPT, PAGE_LIMIT)? else { return Ok(Vec::new()) };
            let base: Url = page.final_url.parse().with_context(|| format!("the address of {url}"))?;
            let content_type = &page.content_type;
            let found = simple::find(&page.bytes, content_type, &base, wheel.file_name(), &wheel.sha256)?;
            Ok(found.into_iter().map(String::from).collect())
        }));
        Download { name: wheel.file_name().to_owned(), urls, size: wheel.size, digest: wheel.sha256 }
    }

    /// The resolver of Python requirements.
    #[must_use]
    pub fn uv(&self) -> Uv {
        Uv::new(self.machine.var("SEALIFT_UV").map(Into::into))
    }

    /// The Python index.
    ///
    /// # Errors
    /// When the machine names none.
    pub fn python(&self) -> Result<&index::Index> {
        let found = self.python.get_or_init(|| {
            index::find(self.choices.python_index.as_deref(), self.machine, || self.uv().default_index())
                .map_err(|error| format!("{error:#}"))
        });
        // Looked up by several threads at once: the error is told to each of them.
        found.as_ref().map_err(|message| Failure::usage(message.clone()).hint(PYTHON_HINT).into())
    }

    fn debian(&self) -> Result<&Vec<Mirror>> {
        if self.debian.get().is_none() {
            let found = mirrors::debian(self.choices.debian_mirror.as_deref(), self.machine)?;
            let _ = self.debian.set(found);
        }
        Ok(self.debian.get().expect("just set"))
    }

    fn keyring(&self, named: Option<&Path>) -> Result<Keyring> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => {
                KEYRINGS.iter().map(|path| self.machine.path(path)).find(|path| path.exists()).ok_or_else(|| {
                    Failure::usage(format!("this machine has no Debian archive keyring ({})", KEYRINGS[0]))
                        .hint("install the package debian-archive-keyring, or name a file with `keyring` in [debian]")
                })?
            }
        };
        Keyring::parse(&path.display().to_string(), &fs_err::read(&path)?)
    }
}

fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

const PYTHON_HINT: &str = "name one with --python-index URL, in PIP_INDEX_URL, or in pip's or uv's configuration; or install uv, or name it in SEALIFT_UV: its default is then used";
