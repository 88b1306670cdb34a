//! Debian mirrors: the signed index of a suite, and where packages are.

use std::path::Path;

use anyhow::{Context as _, Result};
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_layers::digest::Digest;

use super::{Servers, file_name};
use crate::debian::openpgp::Keyring;
use crate::debian::release::{Policy, Release};
use crate::fetch::{Download, Urls};
use crate::lock::Package;
use crate::mirrors::{self, Mirror};

/// Where Debian and its derivatives install the archive keyring. A profile can name another file.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// Largest `InRelease` file that is accepted, in bytes.
const RELEASE_LIMIT: u64 = 16 << 20;
/// Largest compressed package index that is accepted, in bytes.
const INDEX_LIMIT: u64 = 256 << 20;

/// Which `InRelease` file to fetch, and what makes it valid.
#[derive(Clone, Copy, Debug)]
pub struct ReleaseRequest<'a> {
    /// The suite: a folder below `dists/`.
    pub suite: &'a str,
    /// File with the keys that may sign it; without one, the machine's Debian archive keyring.
    pub keyring: Option<&'a Path>,
    /// The time in seconds since 1970: decides whether signatures and the file are valid.
    pub now: u64,
    /// Accept a file past its `Valid-Until`.
    pub allow_expired: bool,
}

/// A verified `InRelease` file.
pub struct SignedRelease {
    /// URL of the archive's root, without a slash at the end.
    pub base: String,
    /// The suite that was asked for.
    pub suite: String,
    /// The parsed content.
    pub release: Release,
    /// The file as fetched.
    pub bytes: Vec<u8>,
}

/// A verified package index of one component.
#[derive(Clone, Debug)]
pub struct PackageIndex {
    /// Path below `dists/SUITE/` of the compressed file (`main/binary-amd64/Packages.xz`).
    pub path: String,
    /// SHA-256 of the compressed file.
    pub sha256: Digest,
    /// The content, decompressed.
    pub text: String,
}

/// A path of an archive as part of a URL. Encodes the same characters as apt, with `+` and `~`, which some object stores
/// would otherwise not find, and those that end a path.
fn quoted(path: &str) -> String {
    let quote = |byte: u8| match byte {
        b'+' | b'~' | b'%' | b'?' | b'#' => format!("%{byte:02x}"),
        byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
        byte => format!("%{byte:02x}"),
    };
    path.bytes().map(quote).collect()
}

impl Servers<'_> {
    /// Fetches and verifies the `InRelease` file of a suite, from the first mirror that has the suite.
    ///
    /// # Errors
    /// No mirror has the suite; or the file is not signed by a key of the keyring, has expired or is of another suite.
    pub fn release(&self, request: &ReleaseRequest<'_>) -> Result<SignedRelease> {
        let ReleaseRequest { suite, now, allow_expired, .. } = *request;
        let keyring = self.keyring(request.keyring)?;
        let mirrors = self.debian_mirrors()?;
        for mirror in mirrors {
            let url = format!("{}/dists/{suite}/InRelease", mirror.base);
            if let Some(page) = self.client.find(&url, "*/*", RELEASE_LIMIT)? {
                let policy = Policy { suite, keyring: &keyring, now, allow_expired };
                let release = Release::parse(&page.bytes, &policy).with_context(|| format!("cannot verify {url}"))?;
                let (base, suite) = (mirror.base.clone(), suite.to_owned());
                return Ok(SignedRelease { base, suite, release, bytes: page.bytes });
            }
        }
        let tried: Vec<String> = mirrors.iter().map(ToString::to_string).collect();
        Err(Failure::network(format!("no Debian mirror has the suite {suite}; tried:\n  {}", tried.join("\n  ")))
            .hint("check the suite's name in the profile, or name a mirror with --debian-mirror")
            .into())
    }

    /// Fetches, verifies and decompresses the package index of a component.
    ///
    /// # Errors
    /// The suite has no such component, or the file differs from what the release lists.
    pub fn package_index(&self, signed: &SignedRelease, component: &str, architecture: &str) -> Result<PackageIndex> {
        let index = signed.release.package_index(component, architecture)?;
        let folder = format!("{}/dists/{}", signed.base, signed.suite);
        let mut page = None;
        if signed.release.acquire_by_hash {
            let url = format!("{folder}/{}", index.file.by_hash(&index.path));
            // Some object stores answer 403 for what they do not have. An error of the server itself recurs below.
            page = self.client.find(&url, "*/*", INDEX_LIMIT).unwrap_or_default();
        }
        let page = match page {
            Some(page) => page,
            None => self.client.get(&format!("{folder}/{}", index.path), "*/*", INDEX_LIMIT)?,
        };
        let text = signed
            .release
            .unpack(&index.path, &page.bytes)
            .with_context(|| format!("cannot verify {}", page.final_url))?;
        Ok(PackageIndex { path: index.path, sha256: index.file.sha256, text })
    }

    /// The download of a package: the same path below each mirror.
    ///
    /// # Errors
    /// The machine names no Debian mirror.
    pub fn package<'a>(&self, package: &Package) -> Result<Download<'a>> {
        let mirrors = self.debian_mirrors()?;
        let urls = mirrors.iter().map(|mirror| format!("{}/{}", mirror.base, quoted(&package.path))).collect();
        Ok(Download {
            name: file_name(&package.path).to_owned(),
            urls: Urls::Known(urls),
            size: package.size,
            digest: package.sha256,
        })
    }

    fn debian_mirrors(&self) -> Result<&[Mirror]> {
        if self.debian.get().is_none() {
            let found = mirrors::debian(self.options.debian_mirror.as_deref(), self.machine)?;
            let _ = self.debian.set(found);
        }
        Ok(self.debian.get().expect("set above"))
    }

    fn keyring(&self, named: Option<&Path>) -> Result<Keyring> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => {
                let installed = KEYRINGS.iter().map(|path| self.machine.path(path)).find(|path| path.exists());
                installed.ok_or_else(|| {
                    Failure::usage(format!("this machine has no Debian archive keyring ({})", KEYRINGS[0]))
                        .hint("install the package debian-archive-keyring, or set `keyring` in [debian] of the profile")
                })?
            }
        };
        Keyring::parse(&path.display().to_string(), &files::read(&path)?)
    }
}
