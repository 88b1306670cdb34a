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
use crate::mirrors::access::Address;
use crate::mirrors::{self, Mirror};

/// Where Debian and its derivatives install the archive keyring. A profile can name another file.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// Largest `InRelease` file that is accepted, in bytes.
const RELEASE_LIMIT: u64 = 16 << 20;
/// Largest list of mirrors that is accepted, in bytes.
const LIST_LIMIT: u64 = 1 << 20;
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
    /// The archive's root.
    pub base: Address,
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
    /// Fetches and verifies the `InRelease` file of a suite, from the first mirror that has it and delivers a valid one.
    ///
    /// # Errors
    /// No mirror has the suite; or the file is not signed by a key of the keyring, has expired or is of another suite.
    pub fn release(&self, request: &ReleaseRequest<'_>) -> Result<SignedRelease> {
        let ReleaseRequest { suite, now, allow_expired, .. } = *request;
        let keyring = self.keyring(request.keyring)?;
        let mirrors = self.debian_mirrors()?;
        let path = format!("dists/{suite}/InRelease");
        let addresses: Vec<Address> = mirrors.iter().map(|mirror| mirror.address.below(&path)).collect();
        let name = format!("the InRelease file of {suite}");
        let found = self.client.find_in(&addresses, "*/*", RELEASE_LIMIT, &name, |asked, page| {
            let policy = Policy { suite, keyring: &keyring, now, allow_expired };
            let release = Release::parse(&page.bytes, &policy).with_context(|| format!("cannot verify {asked}"))?;
            let mirror = mirrors.iter().zip(&addresses).find(|(_, address)| *address == asked);
            let base = mirror.map_or_else(|| asked.clone(), |(mirror, _)| mirror.address.clone());
            Ok(SignedRelease { base, suite: suite.to_owned(), release, bytes: page.bytes })
        })?;
        if let Some(found) = found {
            return Ok(found);
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
        // From the mirror of the release first; the others may have the same file.
        let mut bases = vec![&signed.base];
        bases.extend(self.debian_mirrors()?.iter().map(|mirror| &mirror.address).filter(|base| **base != signed.base));
        let by_name = index.path.clone();
        let by_hash = signed.release.acquire_by_hash.then(|| index.file.by_hash(&index.path));
        // Some object stores do not have the files by digest.
        let paths: Vec<String> = by_hash.into_iter().chain([by_name]).collect();
        let below = |base: &Address| {
            paths.iter().map(|path| base.below(&format!("dists/{}/{path}", signed.suite))).collect::<Vec<_>>()
        };
        let addresses: Vec<Address> = bases.into_iter().flat_map(below).collect();
        let found = self.client.find_in(&addresses, "*/*", INDEX_LIMIT, &index.path, |asked, page| {
            signed.release.unpack(&index.path, &page.bytes).with_context(|| format!("cannot verify {asked}"))
        })?;
        let text = found.ok_or_else(|| {
            let message = format!("{}: not found (404)", addresses[addresses.len().min(paths.len()) - 1]);
            Failure::network(message).hint("the mirror is incomplete: name another one")
        })?;
        Ok(PackageIndex { path: index.path, sha256: index.file.sha256, text })
    }

    /// The download of a package: the same path below each mirror.
    ///
    /// # Errors
    /// The machine names no Debian mirror.
    pub fn package<'a>(&self, package: &Package) -> Result<Download<'a>> {
        let mirrors = self.debian_mirrors()?;
        let urls = mirrors.iter().map(|mirror| mirror.address.below(&quoted(&package.path))).collect();
        Ok(Download {
            name: file_name(&package.path).to_owned(),
            urls: Urls::Known(urls),
            size: package.size,
            digest: package.sha256,
        })
    }

    /// The Debian mirrors, in the order in which they are tried.
    ///
    /// # Errors
    /// The machine names none, or a list of mirrors cannot be fetched.
    pub fn debian_mirrors(&self) -> Result<&[Mirror]> {
        if self.debian.get().is_none() {
            let found = mirrors::debian(&self.options.debian_mirrors, self.machine)?;
            let _ = self.debian.set(self.expanded(found)?);
        }
        Ok(self.debian.get().expect("set above"))
    }

    /// The mirrors, with those of lists that servers have in place of the lists.
    fn expanded(&self, mirrors: Vec<Mirror>) -> Result<Vec<Mirror>> {
        let mut all = Vec::new();
        for mirror in mirrors {
            if !mirror.is_list || self.client.is_offline() {
                all.push(mirror);
                continue;
            }
            let list = self.client.get(&mirror.address, "*/*", LIST_LIMIT)?;
            let listed = mirrors::listed(&String::from_utf8_lossy(&list.bytes)).into_iter();
            let origin = format!("the list {} in {}", mirror.address, mirror.origin);
            all.extend(listed.map(|url| Mirror {
                address: mirror.address.at(url),
                origin: origin.clone(),
                is_list: false,
            }));
        }
        Ok(all)
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
