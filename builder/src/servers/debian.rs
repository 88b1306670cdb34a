//! Debian mirrors: the signed index of a suite, and where packages are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use anyhow::{Context as _, Result};
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::profile::model::MAIN_ARCHIVE;
use sealift_layers::decompress;
use sealift_layers::digest::Digest;

use super::{Servers, file_name};
use crate::debian::contents::{self, Wanted};
use crate::debian::date;
use crate::debian::openpgp::Keyring;
use crate::debian::release::{IndexFile, Policy, Release};
use crate::fetch::{Download, Page, Urls};
use crate::lock::{self, Package};
use crate::mirrors::access::Address;
use crate::mirrors::{self, ArchiveName, Mirror};

/// Where Debian and its derivatives install the archive keyring. A profile can name another file.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// Largest `InRelease` file that is accepted, in bytes.
const RELEASE_LIMIT: u64 = 16 << 20;
/// Largest list of mirrors that is accepted, in bytes.
const LIST_LIMIT: u64 = 1 << 20;
/// Largest compressed package index that is accepted, in bytes.
const INDEX_LIMIT: u64 = 128 << 20;
/// Largest compressed index of the files of packages that is fetched, in bytes.
const CONTENTS_LIMIT: u64 = 64 << 20;

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
    /// The archive's root.
    base: Address,
    /// The archive's mirrors, which may have the same files.
    mirrors: Arc<[Mirror]>,
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
    /// Size of the decompressed file in bytes.
    pub size: u64,
    /// The part of the content that is needed, decompressed.
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

/// The path of a file of a suite's index below the archive's root.
fn index_path(suite: &str, file: &str) -> String {
    match suite.strip_suffix('/') {
        None => format!("dists/{suite}/{file}"),
        Some(flat) => match flat.trim_start_matches("./").trim_end_matches('.') {
            "" => file.to_owned(),
            folder => format!("{folder}/{file}"),
        },
    }
}

/// The suites of Debian, with those beside each.
const SUITES: [&str; 9] =
    ["bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable", "experimental"];
const BESIDE: [&str; 4] = ["", "-security", "-updates", "-backports"];

/// The suite of Debian that `suite` may be a misspelling of.
fn similar_suite(suite: &str) -> Option<String> {
    let all = SUITES.iter().flat_map(|suite| BESIDE.map(|beside| format!("{suite}{beside}")));
    let near = all.map(|known| (strsim::osa_distance(&known, suite), known));
    near.filter(|(distance, _)| (1..=suite.len() / 3).contains(distance)).min().map(|(_, known)| known)
}

impl Servers<'_> {
    /// Fetches and verifies the `InRelease` file of a suite, from the first mirror that has it and delivers a valid one. If
    /// none does, the `Release` file with its signature in `Release.gpg`.
    ///
    /// # Errors
    /// No mirror has the suite; or the file is not signed by a key of the keyring, has expired or is of another suite.
    pub fn release(&self, request: &ReleaseRequest<'_>) -> Result<SignedRelease> {
        let ArchiveName { name, suite } = request.archive;
        let keyring = self.keyring(request.keyring)?;
        let mirrors = self.archive_mirrors(request.archive)?;
        let policy = Policy { suite, keyring: &keyring, now: request.now, allow_expired: request.allow_expired };
        let inline = self.release_file(&mirrors, "InRelease", suite, |asked, page| {
            Release::parse(&page.bytes, &policy).with_context(|| format!("cannot verify {asked}"))
        });
        let failed = match inline {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        let detached = self.release_file(&mirrors, "Release", suite, |asked, page| {
            let signature = self.client.find(&asked.beside("Release.gpg"), "*/*", RELEASE_LIMIT)?;
            let unsigned =
                || Failure::verification(format!("{asked} is not signed: there is neither InRelease nor Release.gpg"));
            let signature = signature.ok_or_else(unsigned)?;
            Release::parse_detached(&page.bytes, &signature.bytes, &policy)
                .with_context(|| format!("cannot verify {asked}"))
        });
        // The error about the usual file is the more helpful one.
        match (failed, detached) {
            (_, Ok(Some(found))) => return Ok(found),
            (Some(error), _) | (None, Err(error)) => return Err(error),
            (None, Ok(None)) => {}
        }
        let tried: Vec<String> = mirrors.iter().map(ToString::to_string).collect();
        let near = similar_suite(suite).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let hint = near
            + &match name {
                MAIN_ARCHIVE => {
                    "check the suite's name in the profile, or name a mirror with --debian-mirror".to_owned()
                }
                name => {
                    format!("check the suite's name in the profile, or name a mirror with --debian-mirror {name}=URL")
                }
            };
        Err(Failure::network(format!("no Debian mirror has the suite {suite}; tried:\n  {}", tried.join("\n  ")))
            .hint(hint)
            .into())
    }

    /// The Release file called `file` of the first mirror that has one that passes `check`.
    fn release_file(
        &self,
        mirrors: &Arc<[Mirror]>,
        file: &str,
        suite: &str,
        check: impl Fn(&Address, &Page) -> Result<Release>,
    ) -> Result<Option<SignedRelease>> {
        let path = index_path(suite, file);
        let addresses: Vec<Address> = mirrors.iter().map(|mirror| mirror.address.below(&path)).collect();
        let name = format!("the {file} file of {suite}");
        self.client.find_in(&addresses, "*/*", RELEASE_LIMIT, &name, |asked, page| {
            let release = check(asked, &page)?;
            let mirror = mirrors.iter().zip(&addresses).find(|(_, address)| *address == asked);
            let base = mirror.map_or_else(|| asked.clone(), |(mirror, _)| mirror.address.clone());
            let (mirrors, suite) = (Arc::clone(mirrors), suite.to_owned());
            Ok(SignedRelease { base, mirrors, suite, release, bytes: page.bytes })
        })
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
        let (text, size) =
            self.index_file(signed, &index, INDEX_LIMIT, |bytes| signed.release.unpack(&index.path, bytes))?;
        Ok(PackageIndex { path: index.path, sha256: index.file.sha256, size, text })
    }

    /// Fetches and verifies the indexes that list the files of a component's packages, and adds the packages that have
    /// the `wanted` files to `found`. Suites without such an index add nothing.
    ///
    /// # Errors
    /// A file differs from what the release lists, or no mirror has it.
    pub fn contents(
        &self,
        signed: &SignedRelease,
        component: Option<&str>,
        architecture: &str,
        wanted: &BTreeSet<&Wanted>,
        found: &mut BTreeMap<Wanted, BTreeSet<String>>,
    ) -> Result<()> {
        for index in signed.release.contents_indexes(component, architecture) {
            if index.file.size > CONTENTS_LIMIT || wanted.iter().all(|wanted| found.contains_key(*wanted)) {
                continue;
            }
            let bytes = self.index_file(signed, &index, CONTENTS_LIMIT, |bytes| {
                index.file.verify(&index.path, bytes).map(|()| bytes.to_vec())
            })?;
            let ending = index.path.rsplit('/').next().and_then(|name| name.split_once('.')).map_or("", |(_, end)| end);
            if let Some(text) = decompress::by_ending(ending, &*bytes)? {
                contents::search(std::io::BufReader::with_capacity(1 << 18, text), wanted, found)?;
            }
        }
        Ok(())
    }

    /// Fetches a file that the release lists: what `check` makes of it.
    fn index_file<T>(
        &self,
        signed: &SignedRelease,
        index: &IndexFile,
        limit: u64,
        check: impl Fn(&[u8]) -> Result<T>,
    ) -> Result<T> {
        // From the mirror of the release first; the others may have the same file.
        let mut bases = vec![&signed.base];
        bases.extend(signed.mirrors.iter().map(|mirror| &mirror.address).filter(|base| **base != signed.base));
        let by_name = index.path.clone();
        let by_hash = signed.release.acquire_by_hash.then(|| index.file.by_hash(&index.path));
        // Some object stores do not have the files by digest.
        let paths: Vec<String> = by_hash.into_iter().chain([by_name]).collect();
        let below = |base: &Address| {
            paths.iter().map(|path| base.below(&quoted(&index_path(&signed.suite, path)))).collect::<Vec<_>>()
        };
        let addresses: Vec<Address> = bases.into_iter().flat_map(below).collect();
        let found = self.client.find_in(&addresses, "*/*", limit, &index.path, |asked, page| {
            check(&page.bytes).with_context(|| format!("cannot verify {asked}"))
        })?;
        found.ok_or_else(|| {
            let message = format!("{}: not found (404)", addresses[addresses.len().min(paths.len()) - 1]);
            Failure::network(message).hint("the mirror is incomplete: name another one").into()
        })
    }

    /// The download of a package: the same path below each mirror of its archive, then below the snapshots of it. `locked`
    /// is the archive's index in the lock.
    ///
    /// # Errors
    /// The machine names no Debian mirror.
    pub fn package<'a>(&self, package: &Package, locked: &lock::Debian) -> Result<Download<'a>> {
        let name = package.archive.as_deref().unwrap_or(MAIN_ARCHIVE);
        let mirrors = self.archive_mirrors(ArchiveName { name, suite: &locked.suite })?;
        let snapshots = self.snapshots(name, locked.date)?;
        let path = quoted(&package.path);
        let urls = mirrors.iter().chain(&*snapshots).map(|mirror| mirror.address.below(&path)).collect();
        Ok(Download {
            name: file_name(&package.path).to_owned(),
            urls: Urls::Known(urls),
            size: package.size,
            digest: package.sha256,
        })
    }

    /// The archives of past times that may have the packages of a Release file of `date`. One that is taken exactly then
    /// may be that of the file before it.
    fn snapshots(&self, archive: &str, date: u64) -> Result<Arc<[Mirror]>> {
        self.known(archive, &date::compact(date), || {
            let mut found = Vec::new();
            for time in [date.saturating_add(SNAPSHOT_DELAY), date] {
                found.extend(mirrors::snapshots(self.machine, archive, &date::compact(time))?);
            }
            Ok(found)
        })
    }

    /// The mirrors of an archive, in the order in which they are tried; with `--at`, its snapshots.
    ///
    /// # Errors
    /// The machine names none, or a list of mirrors cannot be fetched.
    pub fn archive_mirrors(&self, archive: ArchiveName<'_>) -> Result<Arc<[Mirror]>> {
        self.known(archive.name, archive.suite, || {
            let Some(at) = self.options.at else {
                return self.expanded(mirrors::debian(&self.options.debian_mirrors, self.machine, archive)?);
            };
            let found = mirrors::snapshots(self.machine, archive.name, &date::compact(at))?;
            if found.is_empty() {
                let message = format!("no archive of past times is configured for {}", archive.name);
                return Err(Failure::usage(message)
                    .hint("set `debian-snapshots = \"https://HOST/PATH/{time}/\"` in ~/.config/sealift/config.toml")
                    .into());
            }
            Ok(found)
        })
    }

    /// What was found before for an archive and a suite or time, or what `find` finds now.
    fn known(&self, name: &str, of: &str, find: impl FnOnce() -> Result<Vec<Mirror>>) -> Result<Arc<[Mirror]>> {
        let key = (name.to_owned(), of.to_owned());
        let mut known = self.debian.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&key) {
            return Ok(Arc::clone(found));
        }
        let found: Arc<[Mirror]> = find()?.into();
        known.insert(key, Arc::clone(&found));
        Ok(found)
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
            // A server does not say which files of this machine are read.
            let listed = mirrors::listed(&String::from_utf8_lossy(&list.bytes)).into_iter();
            let listed = listed.filter(|url| url.scheme() != "file");
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
