//! `InRelease`: the signed list of a suite's index files ("DebianRepository/Format" in Debian's wiki). In older archives, the
//! list is `Release`, and `Release.gpg` its signature.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use anyhow::{Context, Result};
use sealift_deployment::failure::Failure;
use sealift_deployment::profile::model::is_flat;
use sealift_layers::decompress::{self, ENDINGS};
use sealift_layers::digest::{Digest, HashingReader, Measured};
use sealift_layers::limits::{Exceeded, INDEX, INDEX_NEEDED};

use super::date;
use super::index::{is_path, needed};
use super::openpgp::{self, CLOCK_TOLERANCE, Keyring};
use super::stanza::Stanzas;

/// Seconds per day.
const DAY: u64 = 24 * 60 * 60;

/// A verified `InRelease` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Fingerprint of the primary key that signed it, in upper-case hex.
    pub signed_by: String,
    /// `Date`, in seconds since 1970.
    pub date: u64,
    /// `Valid-Until`, in seconds since 1970, if the file has that field.
    pub valid_until: Option<u64>,
    /// `Origin`, such as `Debian`; empty if the field is missing.
    pub origin: String,
    /// `Suite`, such as `testing`; empty if the field is missing.
    pub suite: String,
    /// `Codename`, such as `forky`; empty if the field is missing.
    pub codename: String,
    /// `Components`, such as `main`.
    pub components: Vec<String>,
    /// Packages of architecture `all` are in indexes of their own: `all` is among `Architectures`, and
    /// `No-Support-for-Architecture-all` does not say that the other indexes have them, too.
    pub separate_all: bool,
    /// `NotAutomatic`: its packages are not taken unless they are asked for.
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades`: what is taken from it is upgraded from it.
    pub but_automatic_upgrades: bool,
    /// `Acquire-By-Hash`: the archive also serves index files under their digest.
    pub acquire_by_hash: bool,
    /// The index files that it lists, by path below `dists/SUITE/`.
    pub files: BTreeMap<String, File>,
}

/// Size and digest of an index file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: Digest,
}

/// The package index of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// Path below `dists/SUITE/`: `main/binary-amd64/Packages.xz`.
    pub path: String,
    /// Size and digest of the compressed file.
    pub file: File,
}

/// What makes an `InRelease` file valid.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// The folder below `dists/` that the file comes from. It must be the file's suite or codename.
    pub suite: &'a str,
    /// The keys that may sign it.
    pub keyring: &'a Keyring,
    /// The time, in seconds since 1970.
    pub now: u64,
    /// Accept the file past its `Valid-Until`.
    pub allow_expired: bool,
}

impl Release {
    /// Verifies and parses an `InRelease` file.
    ///
    /// # Errors
    /// It has no valid signature by a key of the keyring, is malformed, is of another suite, has expired, or its date is
    /// more than a day in the future.
    pub fn parse(bytes: &[u8], policy: &Policy) -> Result<Self> {
        let signed = openpgp::verify("InRelease", bytes, policy.keyring, policy.now)?;
        let release = Self::read(&signed.text, signed.signed_by)
            .with_context(|| format!("Release file of suite {}", policy.suite))?;
        release.check(policy)?;
        Ok(release)
    }

    /// As [`Self::parse`], for a `Release` file and its signature `Release.gpg`.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_detached(bytes: &[u8], signature: &[u8], policy: &Policy) -> Result<Self> {
        let signed = openpgp::verify_detached("Release", bytes, signature, policy.keyring, policy.now)?;
        let release = Self::read(&signed.text, signed.signed_by)
            .with_context(|| format!("Release file of suite {}", policy.suite))?;
        release.check(policy)?;
        Ok(release)
    }

    /// Parses a text whose signature was verified before, with the fingerprint of the key that made it.
    ///
    /// # Errors
    /// It is not the list of a suite's index files.
    pub fn read(text: &str, signed_by: String) -> Result<Self> {
        let (mut stanzas, mut list, mut more) = (Stanzas::new(text), Vec::new(), Vec::new());
        stanzas.next(&mut list)?;
        if stanzas.next(&mut more)? {
            return Err(Failure::verification("it has more than one stanza").into());
        }
        let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in list {
            if fields.insert(name, value).is_some() {
                return Err(Failure::verification(format!("the field {name} occurs twice")).into());
            }
        }
        let get = |name: &str| fields.get(name).copied();
        let time = |name: &str| {
            let parsed = get(name).map(|value| {
                date::parse(value)
                    .ok_or_else(|| Failure::verification(format!("the field {name} is not a date: `{value}`")))
            });
            parsed.transpose()
        };
        let words = |name: &str| -> Vec<String> {
            get(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let has = |name: &str, word: &str| words(name).iter().any(|other| other == word);
        Ok(Self {
            signed_by,
            date: time("Date")?.ok_or_else(|| Failure::verification("the field Date is missing"))?,
            valid_until: time("Valid-Until")?,
            origin: get("Origin").unwrap_or_default().to_owned(),
            suite: get("Suite").unwrap_or_default().to_owned(),
            codename: get("Codename").unwrap_or_default().to_owned(),
            components: words("Components"),
            separate_all: has("Architectures", "all") && !has("No-Support-for-Architecture-all", "Packages"),
            not_automatic: get("NotAutomatic") == Some("yes"),
            but_automatic_upgrades: get("ButAutomaticUpgrades") == Some("yes"),
            acquire_by_hash: get("Acquire-By-Hash") == Some("yes"),
            files: files(get("SHA256").ok_or_else(|| Failure::verification("the field SHA256 is missing"))?)?,
        })
    }

    /// Checks suite and dates.
    fn check(&self, policy: &Policy) -> Result<()> {
        let Policy { suite, now, .. } = policy;
        let names = [&self.suite, &self.codename];
        // A flat repository is not in a folder of its suite.
        let is_own = is_flat(suite) || names.contains(&&(*suite).to_owned());
        if !is_own && names.iter().any(|name| !name.is_empty()) {
            return Err(Failure::verification(format!(
                "the Release file in dists/{suite} is of the suite `{}`, codename `{}`",
                self.suite, self.codename
            ))
            .hint("use the archive's own name of the suite in [debian] of the profile, or try another mirror")
            .into());
        }
        if self.date > now.saturating_add(CLOCK_TOLERANCE) {
            return Err(Failure::verification(format!(
                "the Release file of the suite {suite} has a date in the future: {} ({} from now)",
                date::day(self.date),
                days(self.date - now)
            ))
            .hint("correct the clock of this machine")
            .into());
        }
        match self.valid_until {
            Some(end) if end < *now && !policy.allow_expired => Err(Failure::verification(format!(
                "the Release file of the suite {suite} expired on {} ({} ago)",
                date::day(end),
                days(now - end)
            ))
            .hint(
                "try a mirror that is up to date; to accept an expired index, run `sealift lock --allow-expired` or set \
                 `allow-expired = true` in [debian] of the profile",
            )
            .into()),
            _ => Ok(()),
        }
    }

    /// The pin priority that apt gives the packages of this archive by default (apt_preferences(5)).
    #[must_use]
    pub fn default_priority(&self) -> i32 {
        match (self.not_automatic, self.but_automatic_upgrades) {
            (false, _) => 500,
            (true, true) => 100,
            (true, false) => 1,
        }
    }

    /// The package indexes of a component: that of `architecture`, and that of `all` if it is a separate one. Without a
    /// component, the index of a flat repository.
    ///
    /// # Errors
    /// A usage failure if the archive has no such component or architecture.
    pub fn package_indexes(&self, component: Option<&str>, architecture: &str) -> Result<Vec<IndexFile>> {
        let Some(component) = component else { return Ok(vec![self.required_index("Packages")?]) };
        let path = |architecture: &str| format!("{component}/binary-{architecture}/Packages");
        let all = self.separate_all.then(|| self.index(&path("all"))).flatten();
        let own = self.index(&path(architecture));
        if own.is_none() && all.is_none() {
            self.required_index(&path(architecture))?;
        }
        Ok(own.into_iter().chain(all).collect())
    }

    /// The indexes of the files of a component's packages, those of `architecture` first. Older archives have them beside
    /// their components.
    #[must_use]
    pub fn contents_indexes(&self, component: Option<&str>, architecture: &str) -> Vec<IndexFile> {
        let folder = component.map_or(String::new(), |component| format!("{component}/"));
        let find = |architecture| {
            let name = format!("Contents-{architecture}");
            self.index(&format!("{folder}{name}")).or_else(|| self.index(&name))
        };
        [architecture, "all"].into_iter().filter_map(find).collect()
    }

    fn required_index(&self, path: &str) -> Result<IndexFile> {
        let name = if self.codename.is_empty() { &self.suite } else { &self.codename };
        let missing = || {
            let failure = Failure::usage(format!("the suite {name} has no index {path}"));
            match &self.components[..] {
                [] => failure
                    .hint("the Release file lists no components: if the repository is flat, write suite = \"./\""),
                components => failure.hint(format!("components of the suite: {}", components.join(", "))),
            }
        };
        Ok(self.index(path).ok_or_else(missing)?)
    }

    /// The preferred form of the index at `path` among those that are listed.
    fn index(&self, path: &str) -> Option<IndexFile> {
        ENDINGS.iter().find_map(|ending| {
            let path = if ending.is_empty() { path.to_owned() } else { format!("{path}.{ending}") };
            self.files.get(&path).map(|file| IndexFile { path, file: *file })
        })
    }

    /// Verifies a fetched package index, and decompresses what is needed of it ([`needed()`]), by the ending of `path`.
    /// Returns that, and the size of the whole in bytes.
    ///
    /// # Errors
    /// The size or digest of the compressed or the decompressed file differs from the Release file, or it is too large.
    pub fn unpack(&self, path: &str, bytes: &[u8]) -> Result<(String, u64)> {
        let known = |path: &str| {
            let missing = || Failure::verification(format!("the Release file does not list {path}"));
            self.files.get(path).copied().ok_or_else(missing)
        };
        known(path)?.verify(path, bytes)?;
        let file_name = path.rsplit('/').next().unwrap_or(path);
        let ending = file_name.rsplit_once('.').map_or("", |(_, ending)| ending);
        let damaged = |error: std::io::Error| Failure::verification(format!("cannot decompress {path}")).because(error);
        let reader = decompress::by_ending(ending, bytes).map_err(damaged)?;
        let reader = reader.ok_or_else(|| Failure::failed(format!("{path} has an unknown compression")))?;
        let plain_path = path.strip_suffix(ending).unwrap_or(path).trim_end_matches('.');
        let plain = self.files.get(plain_path);
        if let Some(plain) = plain.filter(|plain| plain.size > INDEX) {
            let message = format!("{plain_path} has {} bytes, more than {} MiB", plain.size, INDEX >> 20);
            return Err(Failure::verification(message).hint("name fewer components, or another mirror").into());
        }
        let limit = plain.map_or(INDEX, |plain| plain.size);
        // One byte more than listed is enough to detect a wrong size.
        let mut reader = HashingReader::new(reader.take(limit.saturating_add(1)));
        let text = match needed(BufReader::with_capacity(1 << 17, &mut reader), INDEX_NEEDED) {
            Err(error) if Exceeded::within(&error).is_none() => return Err(damaged(error).into()),
            result => result,
        };
        // One that is too large may be another file than the listed one.
        io::copy(&mut reader, &mut io::sink()).map_err(damaged)?;
        let Measured { digest, size } = reader.finish();
        match plain {
            Some(plain) => plain.verify_measured(plain_path, size, || digest)?,
            None if size > limit => {
                let message = format!("{path} has more than {} MiB when it is decompressed", INDEX >> 20);
                return Err(Failure::verification(message).into());
            }
            None => {}
        }
        let too_large = |error| Failure::verification(format!("{path}: {error}"));
        text.map(|text| (text, size))
            .map_err(|error| too_large(error).hint("name fewer components, or another mirror").into())
    }
}

impl File {
    /// Checks size and digest of `bytes`; `name` is for messages.
    ///
    /// # Errors
    /// A verification failure if one of them differs.
    pub fn verify(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.verify_measured(name, bytes.len() as u64, || Digest::of(bytes))
    }

    fn verify_measured(&self, name: &str, size: u64, digest: impl FnOnce() -> Digest) -> Result<()> {
        if size != self.size {
            return Err(changed(format!("{name} has {size} bytes instead of {}", self.size)).into());
        }
        let digest = digest();
        if digest != self.sha256 {
            return Err(changed(format!("{name} has digest {digest} instead of {}", self.sha256)).into());
        }
        Ok(())
    }

    /// The path of the file at `path` under its digest, in archives with `Acquire-By-Hash`. It stays valid while the
    /// archive is updated.
    #[must_use]
    pub fn by_hash(&self, path: &str) -> String {
        let folder = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        format!("{folder}by-hash/SHA256/{}", self.sha256.hex())
    }
}

fn changed(message: String) -> Failure {
    Failure::verification(message).hint("the mirror may be in the middle of an update: try again in a few minutes")
}

/// Parses lines of digest, size and path. The paths of flat repositories may begin with `./`.
fn files(list: &str) -> Result<BTreeMap<String, File>> {
    let mut files = BTreeMap::new();
    for line in list.lines().filter(|line| !line.trim().is_empty()) {
        let wrong = || Failure::verification(format!("the field SHA256 has a malformed line: `{}`", line.trim()));
        let mut words = line.split_whitespace();
        let (Some(digest), Some(size), Some(path), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong().into());
        };
        let file = File { size: size.parse().map_err(|_| wrong())?, sha256: digest.parse().map_err(|_| wrong())? };
        let path = path.strip_prefix("./").unwrap_or(path);
        if !is_path(path) || files.insert(path.to_owned(), file).is_some_and(|other| other != file) {
            return Err(wrong().into());
        }
    }
    Ok(files)
}

fn days(seconds: u64) -> String {
    match seconds / DAY {
        0 => "less than a day".into(),
        1 => "1 day".into(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests;
