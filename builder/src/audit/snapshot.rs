//! Files that the user brings: advisories in OSV's format, Debian's security tracker, OpenVEX documents. They are read within
//! limits, and the report has their digests.

use std::fs::File;
use std::io::{Read, Seek as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result};
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::ui::Phase;
use sealift_layers::digest::{Digest, Hasher};
use sealift_layers::escape;
use sealift_layers::limits::{Exceeded, Limits, MEMBERS};
use sealift_layers::zip::{self, Links};
use serde::Serialize;

/// Largest document of a snapshot, in bytes: an advisory, or a document of OpenVEX.
pub(super) const DOCUMENT: u64 = 8 << 20;
/// Largest file of Debian's security tracker, in bytes. It has 70 MB.
const TRACKER: u64 = 160 << 20;

/// A file or folder, and the digest that it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The path.
    pub path: PathBuf,
    /// The digest, if the user has given one.
    pub digest: Option<Digest>,
}

impl FromStr for Pinned {
    type Err = String;

    /// Takes `PATH` and `PATH@sha256:HEX`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((path, hex)) = text.rsplit_once("@sha256:") else {
            return Ok(Self { path: text.into(), digest: None });
        };
        let digest = hex.parse().map_err(|_| "the digest behind `@sha256:` has 64 lower-case hex digits")?;
        Ok(Self { path: path.into(), digest: Some(digest) })
    }
}

/// A file or folder that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Used {
    /// `osv`, `debian-tracker` or `openvex`.
    pub format: &'static str,
    /// Its path, as the user gave it.
    pub path: String,
    /// SHA-256 of the file; of a folder, that of what `sha256sum` prints for its files `*.json`, sorted by path.
    pub digest: Digest,
    /// Number of its advisories, of the source packages in a tracker, or of the statements in a document of OpenVEX.
    pub entries: usize,
}

impl Pinned {
    /// Compares the digest.
    fn check(&self, found: Digest) -> Result<()> {
        match self.digest {
            Some(pinned) if pinned != found => {
                let message = format!("{} has the digest {found}, and not {pinned}", self.path.display());
                let hint =
                    "it is another snapshot than the one that was pinned: fetch that one, or name the new digest";
                Err(Failure::verification(message).hint(hint).into())
            }
            _ => Ok(()),
        }
    }

    fn used(&self, format: &'static str, digest: Digest, entries: usize) -> Used {
        Used { format, path: self.path.display().to_string(), digest, entries }
    }

    /// Reads a tracker's file, or a document of OpenVEX, as a whole.
    ///
    /// # Errors
    /// It cannot be read, is too large, or has another digest than the pinned one.
    pub(super) fn file(&self, format: &'static str) -> Result<(Vec<u8>, Used)> {
        let (what, limit) = match format {
            "openvex" => ("a document of OpenVEX", DOCUMENT),
            _ => ("a file of Debian's security tracker", TRACKER),
        };
        let bytes = within(open(&self.path)?, what, limit).with_context(|| self.path.display().to_string())?;
        let digest = Digest::of(&bytes);
        self.check(digest)?;
        Ok((bytes, self.used(format, digest, 0)))
    }

    /// Passes each advisory of a folder, a zip archive or a single file to `each`, with its name in the folder or archive.
    ///
    /// # Errors
    /// It cannot be read, exceeds a limit, has another digest than the pinned one; and those of `each`.
    pub(super) fn advisories(
        &self,
        phase: &Phase<'_>,
        mut each: impl FnMut(&str, &[u8]) -> Result<()>,
    ) -> Result<Used> {
        let mut count = 0;
        // An error of the content is told once the digest is known to be the right one.
        let mut result = Ok(());
        let mut take = |name: &str, bytes: Result<Vec<u8>>| {
            count += 1;
            if result.is_ok() {
                let path = self.path.display();
                let context = || if name.is_empty() { path.to_string() } else { format!("{path}: {name}") };
                result = bytes.and_then(|bytes| each(name, &bytes)).with_context(context);
            }
            phase.inc(1);
        };
        let digest = if self.path.is_dir() { folder(&self.path, &mut take)? } else { self.archive(&mut take)? };
        self.check(digest)?;
        result?;
        if count == 0 {
            let message = format!("{} has no advisories", self.path.display());
            return Err(Failure::usage(message).hint("it has no files whose names end in `.json`").into());
        }
        Ok(self.used("osv", digest, count))
    }

    /// The members of a zip archive, or a single file. Returns the digest of the file.
    fn archive(&self, take: &mut impl FnMut(&str, Result<Vec<u8>>)) -> Result<Digest> {
        let mut file = open(&self.path)?;
        let digest = Digest::of_reader(&mut file)?.digest;
        file.rewind()?;
        let mut magic = [0; 2];
        let is_zip = file.read(&mut magic)? == 2 && magic == *b"PK";
        file.rewind()?;
        if !is_zip {
            take("", within(file, "an advisory", DOCUMENT));
            return Ok(digest);
        }
        self.check(digest)?;
        let members = zip::members(file, Limits::default(), Links::Refused);
        let members = members.map_err(|error| Failure::failed(format!("{}: {error}", self.path.display())))?;
        for (name, member) in members.files.iter().filter(|(name, _)| name.ends_with(".json")) {
            take(name, unpacked(member));
        }
        Ok(digest)
    }
}

fn unpacked(member: &zip::Member) -> Result<Vec<u8>> {
    let bytes = within(member.content.reader(), "an advisory", DOCUMENT)?;
    let mut crc = flate2::Crc::new();
    crc.update(&bytes);
    if crc.sum() != member.crc {
        return Err(Failure::verification("it is damaged: its CRC-32 is another one").into());
    }
    Ok(bytes)
}

/// The files below a folder whose names end in `.json`, in the order of their paths. Returns the digest of the folder.
fn folder(root: &Path, take: &mut impl FnMut(&str, Result<Vec<u8>>)) -> Result<Digest> {
    let (mut open_folders, mut paths) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = open_folders.pop() {
        for path in files::sorted_dir(&folder)? {
            let kind = fs_err::symlink_metadata(&path)?.file_type();
            if kind.is_dir() {
                open_folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|ending| ending == "json") {
                let name = path.strip_prefix(root).ok().and_then(Path::to_str).map(str::to_owned);
                let name = name.filter(|name| !name.contains(|c: char| c == '\\' || c.is_control()));
                let odd = || {
                    let path = path.display().to_string();
                    Failure::failed(format!(
                        "the name of {} has a backslash or control characters",
                        escape::line(&path)
                    ))
                };
                paths.push(name.ok_or_else(odd)?);
            }
            if (open_folders.len() + paths.len()) as u64 > MEMBERS {
                let exceeded = Exceeded::Count(MEMBERS, "advisories");
                return Err(Failure::failed(format!("{}: {exceeded}", root.display())).into());
            }
        }
    }
    paths.sort_unstable();
    let mut hasher = Hasher::default();
    for path in paths {
        let bytes = open(&root.join(&path))
            .and_then(|file| within(file, "an advisory", DOCUMENT))
            .with_context(|| format!("{}: {path}", root.display()))?;
        std::io::Write::write_all(&mut hasher, format!("{}  {path}\n", Digest::of(&bytes).hex()).as_bytes())?;
        take(&path, Ok(bytes));
    }
    Ok(hasher.finish())
}

fn open(path: &Path) -> Result<File> {
    let file = files::open(path).map_err(|error| {
        Failure::usage(error.to_string()).hint("docs/audit.md tells where snapshots come from").because(error)
    })?;
    Ok(file.into_parts().0)
}

/// Everything that `reader` yields, which may not be more than `limit` bytes.
fn within(reader: impl Read, what: &'static str, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Exceeded::Size { what, limit }.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use sealift_deployment::ui::Ui;

    use super::*;

    fn read(pinned: &Pinned) -> Result<(Used, Vec<String>)> {
        let ui = Ui::plain(std::io::sink());
        let mut names = Vec::new();
        let used = pinned.advisories(&ui.phase("Checking", 0), |name, bytes| {
            names.push(format!("{name} {}", bytes.len()));
            anyhow::ensure!(bytes != b"bad", "bad");
            Ok(())
        })?;
        Ok((used, names))
    }

    #[test]
    fn a_pin_follows_the_path() {
        let digest = Digest::of(b"x");
        let pinned: Pinned = format!("a@b/c.zip@{digest}").parse().unwrap();
        assert_eq!((pinned.path.to_str(), pinned.digest), (Some("a@b/c.zip"), Some(digest)));
        assert_eq!("a@b".parse::<Pinned>().unwrap().digest, None);
        assert!("a@sha256:12".parse::<Pinned>().is_err());
    }

    /// The digest of a folder is what a user computes with other tools.
    #[test]
    fn the_digest_of_a_folder_is_that_of_sha256sum() {
        let place = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(place.path().join("a/b")).unwrap();
        for (name, text) in [("a/b/2.json", "two"), ("a/1.json", "one"), ("a.json", "three"), ("a/other.txt", "-")] {
            fs_err::write(place.path().join(name), text).unwrap();
        }
        let (used, names) = read(&Pinned { path: place.path().into(), digest: None }).unwrap();
        assert_eq!(names, ["a.json 5", "a/1.json 3", "a/b/2.json 3"]);
        let script =
            "find . -type f -name '*.json' -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum";
        let output = Command::new("sh").args(["-c", script]).current_dir(place.path()).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}  -\n", used.digest.hex()));
        assert!(read(&Pinned { path: place.path().into(), digest: Some(used.digest) }).is_ok());
    }

    #[test]
    fn another_digest_is_told_before_an_error_of_the_content() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("1.json");
        fs_err::write(&path, "bad").unwrap();
        for path in [path, place.path().to_owned()] {
            let error = read(&Pinned { path: path.clone(), digest: Some(Digest::of(b"")) }).unwrap_err();
            assert!(error.to_string().contains(" has the digest sha256:"), "{error:#}");
            let error = read(&Pinned { path, digest: None }).unwrap_err();
            assert!(format!("{error:#}").ends_with(": bad"), "{error:#}");
        }
    }

    #[test]
    fn what_is_too_large_or_no_advisory_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("1.json");
        let error = |path: &Path| format!("{:#}", read(&Pinned { path: path.into(), digest: None }).unwrap_err());
        assert!(error(place.path()).ends_with("has no advisories"));
        assert!(error(&path).contains("1.json"));
        assert!(error(Path::new("/dev/zero")).contains("/dev/zero"));
        fs_err::File::create(&path).unwrap().set_len(DOCUMENT + 1).unwrap();
        for path in [&*path, place.path()] {
            assert!(error(path).ends_with("an advisory is larger than 8 MiB"), "{}", error(path));
        }
        fs_err::write(&path, "PK").unwrap();
        assert!(error(&path).contains("zip archive"), "{}", error(&path));
    }
}
