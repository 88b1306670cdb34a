//! Debian mirrors: the signed index of a suite, and where packages are.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use anyhow::{Context as _, Result};
use sealift_deployment::failure::{Failure, Kind};
use sealift_deployment::profile::model::MAIN_ARCHIVE;
use sealift_layers::digest::Digest;

use super::{Servers, file_name};
use crate::debian::date;
use crate::debian::openpgp::Keyring;
use crate::debian::release::{IndexFile, Policy, Release};
use crate::fetch::{Download, Urls};
use crate::lock::{self, Package};
use crate::mirrors::{self, ArchiveName, Mirror};

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
    /// The archive, and its suite: a folder below `dists/`, or that of a flat repository.
    pub archive: ArchiveName<'a>,
    /// File with the keys that may sign it; without one, the machine's Debian archive keyring.
    pub keyring: Option<&'a Path>,
    /// The time in seconds since 1970: decides whether signatures and the file are valid.
    pub now: u64,
    /// Accept a file past its `Valid-Until`.
    pub allow_expired: bool,
}

/// A verified `InRelease` file, or a `Release` file with its signature.
pub struct SignedRelease {
    /// URL of the folder with the file.
    pub folder: String,
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

/// How long after the date of a Release file a snapshot of it is taken at the latest, in seconds.
const SNAPSHOT_DELAY: u64 = 6 * 60 * 60;

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

/// The folder of a suite's index in the archive at `base`.
fn folder(base: &str, suite: &str) -> String {
    match suite.strip_suffix('/') {
        None => format!("{base}/dists/{suite}"),
        Some(flat) => match flat.trim_start_matches("./").trim_end_matches('.') {
            "" => base.to_owned(),
            inner => format!("{base}/{inner}"),
        },
    }
}

impl Servers<'_> {
    /// Fetches and verifies the `InRelease` file of a suite, from the first mirror that has the suite.
    ///
    /// # Errors
    /// No mirror has the suite; or the file is not signed by a key of the keyring, has expired or is of another suite.
    pub fn release(&self, request: &ReleaseRequest<'_>) -> Result<SignedRelease> {
        let ArchiveName { name, suite } = request.archive;
        let keyring = self.keyring(request.keyring)?;
        let mirrors = self.archive_mirrors(request.archive)?;
        let policy = Policy { suite, keyring: &keyring, now: request.now, allow_expired: request.allow_expired };
        let mut rejected = None;
        for mirror in &*mirrors {
            match self.release_in(&folder(&mirror.base, suite), &policy) {
                Ok(Some(signed)) => return Ok(signed),
                Ok(None) => {}
                // Several archives may have suites of this name, such as `stable`: another one is not the one that is meant.
                Err(error) if name != MAIN_ARCHIVE && Kind::of(&error) == Kind::Verification => {
                    rejected.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = rejected {
            return Err(error);
        }
        let tried: Vec<String> = mirrors.iter().map(ToString::to_string).collect();
        let hint = match name {
            MAIN_ARCHIVE => "check the suite's name in the profile, or name a mirror with --debian-mirror".to_owned(),
            name => format!("check the suite's name in the profile, or name a mirror with --debian-mirror {name}=URL"),
        };
        Err(Failure::network(format!("no Debian mirror has the suite {suite}; tried:\n  {}", tried.join("\n  ")))
            .hint(hint)
            .into())
    }

    /// The Release file in `folder`; `None` if there is none.
    fn release_in(&self, folder: &str, policy: &Policy<'_>) -> Result<Option<SignedRelease>> {
        let url = format!("{folder}/InRelease");
        let (bytes, release) = match self.client.find(&url, "*/*", RELEASE_LIMIT)? {
            Some(page) => {
                let release = Release::parse(&page.bytes, policy).with_context(|| format!("cannot verify {url}"))?;
                (page.bytes, release)
            }
            None => {
                let url = format!("{folder}/Release");
                let Some(page) = self.client.find(&url, "*/*", RELEASE_LIMIT)? else { return Ok(None) };
                let signature_url = format!("{url}.gpg");
                let signature = self.client.find(&signature_url, "*/*", RELEASE_LIMIT)?.ok_or_else(|| {
                    Failure::verification(format!("{url} is not signed: there is no {signature_url}"))
                        .hint("use a mirror with a signed archive, or sign it: with `reprepro`, `SignWith` does")
                })?;
                let release = Release::parse_detached(&page.bytes, &signature.bytes, policy)
                    .with_context(|| format!("cannot verify {url}"))?;
                (page.bytes, release)
            }
        };
        Ok(Some(SignedRelease { folder: folder.to_owned(), suite: policy.suite.to_owned(), release, bytes }))
    }

    /// Fetches, verifies and decompresses the package indexes of a component; without one, that of a flat repository.
    ///
    /// # Errors
    /// The suite has no such component, or a file differs from what the release lists.
    pub fn package_indexes(
        &self,
        signed: &SignedRelease,
        component: Option<&str>,
        architecture: &str,
    ) -> Result<Vec<PackageIndex>> {
        let indexes = signed.release.package_indexes(component, architecture)?;
        indexes.into_iter().map(|index| self.package_index(signed, index)).collect()
    }

    fn package_index(&self, signed: &SignedRelease, index: IndexFile) -> Result<PackageIndex> {
        let folder = &signed.folder;
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

    /// The download of a package: the same path below each mirror of its archive, then below the snapshots of it. `locked`
    /// is the archive's index in the lock.
    ///
    /// # Errors
    /// The machine names no Debian mirror.
    pub fn package<'a>(&self, package: &Package, locked: &lock::Debian) -> Result<Download<'a>> {
        let name = package.archive.as_deref().unwrap_or(MAIN_ARCHIVE);
        let mirrors = self.archive_mirrors(ArchiveName { name, suite: &locked.suite })?;
        let times = [locked.date.saturating_add(SNAPSHOT_DELAY), locked.date].map(date::compact);
        let mut snapshots = Vec::new();
        for time in times {
            snapshots.extend(mirrors::snapshots(self.machine, name, &time)?);
        }
        let urls = mirrors.iter().chain(&snapshots);
        let urls = urls.map(|mirror| format!("{}/{}", mirror.base, quoted(&package.path))).collect();
        Ok(Download {
            name: file_name(&package.path).to_owned(),
            urls: Urls::Known(urls),
            size: package.size,
            digest: package.sha256,
        })
    }

    /// The mirrors of an archive: with `--at`, its snapshots.
    fn archive_mirrors(&self, archive: ArchiveName<'_>) -> Result<Arc<[Mirror]>> {
        let key = (archive.name.to_owned(), archive.suite.to_owned());
        let mut known = self.debian.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&key) {
            return Ok(Arc::clone(found));
        }
        let found: Arc<[Mirror]> = match self.options.at {
            None => mirrors::debian(&self.options.debian_mirror, self.machine, archive)?,
            Some(at) => {
                let found = mirrors::snapshots(self.machine, archive.name, &date::compact(at))?;
                if found.is_empty() {
                    let message = format!("no archive of past times is configured for {}", archive.name);
                    return Err(Failure::usage(message)
                        .hint("set `debian-snapshots = \"https://HOST/PATH/{time}/\"` in ~/.config/sealift/config.toml")
                        .into());
                }
                found
            }
        }
        .into();
        known.insert(key, Arc::clone(&found));
        Ok(found)
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
        Keyring::parse(&path.display().to_string(), &fs_err::read(&path)?)
    }
}
