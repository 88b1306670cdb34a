//! `InRelease`: the signed list of an archive's indexes ("DebianRepository/Format" in Debian's wiki).

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, Result};
use sealift_deployment::failure::Failure;
use sealift_layers::digest::Digest;

use super::date;
use super::index::is_path;
use super::openpgp::{self, CLOCK_TOLERANCE, Keyring};
use super::stanza::Stanzas;

/// Seconds per day.
const DAY: u64 = 24 * 60 * 60;

/// A verified `InRelease` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Fingerprint of the primary key that signed it, in upper-case hex.
    pub signed_by: String,
    /// When it was made, in seconds since 1970.
    pub date: u64,
    /// When it ceases to be current, in seconds since 1970, if ever.
    pub valid_until: Option<u64>,
    /// Such as `testing`; empty where it is not told.
    pub suite: String,
    /// Such as `forky`; empty where it is not told.
    pub codename: String,
    /// Its components, such as `main`.
    pub components: Vec<String>,
    /// Whether files can be had by their digest, too.
    pub acquire_by_hash: bool,
    /// The files that it vouches for, by their path below `dists/SUITE/`.
    pub files: BTreeMap<String, File>,
}

/// A file that a Release file vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Digest,
}

/// What is asked of an `InRelease` file.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The folder below `dists/` that it comes from: must be its suite or codename.
    pub suite: &'a str,
    /// Whose signature counts.
    pub keyring: &'a Keyring,
    /// The time, in seconds since 1970.
    pub now: u64,
    /// Accept it past its `Valid-Until`.
    pub allow_expired: bool,
}

impl Release {
    /// Verifies and reads an `InRelease` file.
    ///
    /// # Errors
    /// When it is not signed by a key that counts, is malformed, is that of another suite, has expired or is dated more
    /// than a day from now.
    pub fn parse(bytes: &[u8], demand: &Demand) -> Result<Self> {
        let signed = openpgp::verify("InRelease", bytes, demand.keyring, demand.now)?;
        let release = Self::read(&signed.text, signed.signed_by)
            .with_context(|| format!("Release file of suite {}", demand.suite))?;
        release.check(demand)?;
        Ok(release)
    }

    /// Reads signed text.
    fn read(text: &str, signed_by: String) -> Result<Self> {
        let (mut stanzas, mut list, mut more) = (Stanzas::new(text), Vec::new(), Vec::new());
        stanzas.next(&mut list)?;
        if stanzas.next(&mut more)? {
            return Err(Failure::verification("it has more than one stanza").into());
        }
        let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in list {
            if fields.insert(name, value).is_some() {
                return Err(Failure::verification(format!("it has the field {name} twice")).into());
            }
        }
        let get = |name: &str| fields.get(name).copied();
        let time = |name: &str| {
            let parsed = get(name).map(|value| {
                date::parse(value)
                    .ok_or_else(|| Failure::verification(format!("its field {name} is no date in UTC: `{value}`")))
            });
            parsed.transpose()
        };
        let words = |name: &str| get(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        Ok(Self {
            signed_by,
            date: time("Date")?.ok_or_else(|| Failure::verification("it has no field Date"))?,
            valid_until: time("Valid-Until")?,
            suite: get("Suite").unwrap_or_default().to_owned(),
            codename: get("Codename").unwrap_or_default().to_owned(),
            components: words("Components"),
            acquire_by_hash: get("Acquire-By-Hash") == Some("yes"),
            files: files(get("SHA256").ok_or_else(|| Failure::verification("it has no field SHA256"))?)?,
        })
    }

    fn check(&self, demand: &Demand) -> Result<()> {
        let Demand { suite, now, .. } = demand;
        let names = [&self.suite, &self.codename];
        if !names.contains(&&(*suite).to_owned()) && names.iter().any(|name| !name.is_empty()) {
            return Err(Failure::verification(format!(
                "Release file of suite {suite} is that of suite `{}`, codename `{}`",
                self.suite, self.codename
            ))
            .hint("name the suite in the profile's [debian] as the archive does, or see whether the mirror is in order")
            .into());
        }
        if self.date > now.saturating_add(CLOCK_TOLERANCE) {
            return Err(Failure::verification(format!(
                "Release file of suite {suite} is dated {}, which is in the future ({} from now)",
                date::day(self.date),
                days(self.date - now)
            ))
            .hint("set this machine's clock")
            .into());
        }
        match self.valid_until {
            Some(end) if end < *now && !demand.allow_expired => Err(Failure::verification(format!(
                "Release file of suite {suite} expired on {} ({} ago)",
                date::day(end),
                days(now - end)
            ))
            .hint(
                "the mirror lags behind, or is frozen; if that is meant, set `allow-expired = true` in [debian] of the \
                 profile, or run `sealift lock --allow-expired`",
            )
            .into()),
            _ => Ok(()),
        }
    }

    /// Path below `dists/SUITE/` of a component's `Packages.xz`, and what that file must be.
    ///
    /// # Errors
    /// When the archive has no such component or architecture.
    pub fn packages(&self, component: &str, architecture: &str) -> Result<(String, File)> {
        let path = format!("{component}/binary-{architecture}/Packages.xz");
        match self.files.get(&path) {
            Some(file) => Ok((path, *file)),
            None => Err(Failure::usage(format!(
                "the archive's suite {} has no {path}",
                if self.codename.is_empty() { &self.suite } else { &self.codename }
            ))
            .hint(format!("its components are {}", self.components.join(", ")))
            .into()),
        }
    }

    /// Verifies a fetched `Packages.xz` and unpacks it.
    ///
    /// # Errors
    /// When its size or digest, or those of what is in it, are not as the Release file says.
    pub fn unpack(&self, path: &str, bytes: &[u8]) -> Result<String> {
        let known = |path: &str| {
            let missing = || Failure::verification(format!("the Release file does not list {path}"));
            self.files.get(path).copied().ok_or_else(missing)
        };
        known(path)?.verify(path, bytes)?;
        let plain_path = path.strip_suffix(".xz").unwrap_or(path);
        let plain = known(plain_path)?;
        let mut text = Vec::with_capacity(usize::try_from(plain.size).unwrap_or(0).min(1 << 28));
        // One byte more than promised is enough to see that it is not what was promised.
        liblzma::read::XzDecoder::new(bytes)
            .take(plain.size.saturating_add(1))
            .read_to_end(&mut text)
            .map_err(|error| Failure::verification(format!("{path} cannot be unpacked: {error}")))?;
        plain.verify(plain_path, &text)?;
        String::from_utf8(text).map_err(|error| Failure::failed(format!("{plain_path}: {error}")).into())
    }
}

impl File {
    /// Checks that `bytes` are this file; `name` is for messages.
    ///
    /// # Errors
    /// When their size or digest is another one.
    pub fn verify(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let size = bytes.len() as u64;
        if size != self.size {
            return Err(changed(format!("{name} has {size} bytes instead of {}", self.size)).into());
        }
        let digest = Digest::of(bytes);
        if digest != self.sha256 {
            return Err(changed(format!("{name} has digest {digest} instead of {}", self.sha256)).into());
        }
        Ok(())
    }

    /// Where a file at `path` can be had by its digest, whatever stands at `path` meanwhile: for archives with
    /// `Acquire-By-Hash`.
    #[must_use]
    pub fn by_hash(&self, path: &str) -> String {
        let folder = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        format!("{folder}by-hash/SHA256/{}", self.sha256.hex())
    }
}

fn changed(message: String) -> Failure {
    Failure::verification(message).hint("the mirror may be updating itself just now; try again in some minutes")
}

/// Reads lines of digest, size and path.
fn files(list: &str) -> Result<BTreeMap<String, File>> {
    let mut files = BTreeMap::new();
    for line in list.lines().filter(|line| !line.trim().is_empty()) {
        let wrong = || Failure::verification(format!("its field SHA256 has the line `{}`", line.trim()));
        let mut words = line.split_whitespace();
        let (Some(digest), Some(size), Some(path), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong().into());
        };
        let file = File { size: size.parse().map_err(|_| wrong())?, sha256: digest.parse().map_err(|_| wrong())? };
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
