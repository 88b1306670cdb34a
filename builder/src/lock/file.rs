//! The lock file: canonical TOML beside the profile, which Nix's `builtins.fromTOML` can read.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::profile::Profile;
use sealift_layers::limits::ARTIFACT;

use super::{Lock, Platform, Wheel};

/// The file's name, in the profile's folder.
pub const FILE: &str = "sealift.lock";

/// Part of the file's bytes: bundles contain the lock, so a change of this text changes their digests.
const HEADER: &str = "\
# Made by `sealift lock`: what exactly the images are made of. It names content and never hosts: any mirror that has
# these files will do.
";

impl Lock {
    /// Reads the lock of `profile`; `None` if there is no file.
    ///
    /// # Errors
    /// A usage failure if the file is malformed, or of another format version or profile.
    pub fn read(profile: &Profile) -> Result<Option<Self>> {
        let path = profile.directory.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = files::read_text(&path)?;
        Self::parse(&text, &path, profile.model.name.get_ref(), &profile.argument).map(Some)
    }

    /// Parses the text of the file at `path`, the lock of the profile `name`, which the user calls `argument`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str, path: &Path, name: &str, argument: &str) -> Result<Self> {
        let hint = format!("restore the committed file, or remove it and run sealift lock {argument}");
        let hint = hint.as_str();
        let lock: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            Failure::usage(format!("{}:{line}: {}", path.display(), error.message())).hint(hint)
        })?;
        if !(1..=3).contains(&lock.schema) {
            let message = format!("{}: format version {} is not supported", path.display(), lock.schema);
            return Err(Failure::usage(message)
                .hint("use the version of sealift that wrote it, or remove it and run sealift lock")
                .into());
        }
        if lock.profile != name {
            let message = format!("{} is the lock of `{}`, not of `{name}`", path.display(), lock.profile);
            return Err(Failure::usage(message).hint(hint).into());
        }
        for platform in lock.platforms.values() {
            if let Some(wrong) = wrong(platform) {
                return Err(Failure::usage(format!("{}: {wrong}", path.display())).hint(hint).into());
            }
        }
        Ok(lock)
    }

    /// The content of the file.
    ///
    /// # Errors
    /// The lock cannot be written as TOML, which does not happen.
    pub fn text(&self) -> Result<String> {
        // Older versions of this program read locks that do not need the newer format.
        let schema = self.platforms.values().map(Platform::schema).max().unwrap_or(1);
        let body =
            toml::to_string_pretty(&Self { schema, ..self.clone() }).context("cannot format the lock as TOML")?;
        Ok(format!("{HEADER}\n{body}"))
    }

    /// Writes the file into the profile's folder, atomically.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let text = self.text()?;
        files::write_atomically(&directory.join(FILE), |file| Ok(file.write_all(text.as_bytes())?))
    }
}

/// What a lock that `sealift lock` wrote does not have.
fn wrong(platform: &Platform) -> Option<String> {
    let packages = platform.packages.iter().map(|package| package.name.as_str());
    let wheels = platform.wheels.iter().map(Wheel::file_name);
    let files = platform.archive_files.iter().map(|archive| archive.file.as_str());
    for names in [packages.collect::<Vec<_>>(), wheels.collect(), files.collect()] {
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.into_iter().find(|name| !seen.insert(*name)) {
            return Some(format!("`{twice}` is listed twice"));
        }
    }
    let paths = platform.packages.iter().map(|package| &package.path);
    let archives = platform.packages.iter().filter_map(|package| package.archive.as_ref());
    let files = platform.archive_files.iter().map(|archive| &archive.file);
    for file in paths.chain(archives).chain(platform.wheels.iter().map(|wheel| &wheel.path)).chain(files) {
        // Paths become parts of URLs.
        if file.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Some(format!("`{file}` is not a valid path in an archive"));
        }
    }
    let sizes = platform.packages.iter().map(|package| (&package.name, package.size));
    let sizes = sizes.chain(platform.wheels.iter().map(|wheel| (&wheel.name, wheel.size)));
    let sizes = sizes.chain(platform.crates.iter().map(|found| (&found.name, found.size)));
    let mut sizes = sizes.chain(platform.archive_files.iter().map(|found| (&found.name, found.size)));
    // They are summed up.
    let (name, size) = sizes.find(|(_, size)| *size > ARTIFACT)?;
    Some(format!("`{name}` cannot have {size} bytes"))
}

#[cfg(test)]
mod tests {
    use sealift_deployment::failure::{Failure, Kind};

    use super::*;

    const PROFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deployment/tests/profiles/valid/small");

    /// A profile in a temporary folder.
    fn profile() -> (tempfile::TempDir, Profile) {
        let folder = tempfile::tempdir().unwrap();
        fs_err::copy(Path::new(PROFILE).join("profile.toml"), folder.path().join("profile.toml")).unwrap();
        let profile = Profile::load(folder.path()).unwrap();
        (folder, profile)
    }

    fn empty() -> Lock {
        Lock { schema: 1, profile: "small".into(), platforms: Default::default() }
    }

    #[test]
    fn a_written_lock_is_read_again() {
        let (folder, profile) = profile();
        assert_eq!(Lock::read(&profile).unwrap(), None);
        empty().write(folder.path()).unwrap();
        assert_eq!(Lock::read(&profile).unwrap(), Some(empty()));
    }

    #[test]
    fn the_text_is_stable() {
        insta::assert_snapshot!(empty().text().unwrap(), @r#"
        # Made by `sealift lock`: what exactly the images are made of. It names content and never hosts: any mirror that has
        # these files will do.

        schema = 1
        profile = "small"

        [platforms]
        "#);
    }

    #[test]
    fn other_formats_and_profiles_are_usage_failures_with_a_hint() {
        let (folder, profile) = profile();
        for lock in [
            empty().text().unwrap().replace("schema = 1", "schema = 4"),
            Lock { profile: "other".into(), ..empty() }.text().unwrap(),
        ] {
            fs_err::write(folder.path().join(FILE), lock).unwrap();
            let error = Lock::read(&profile).unwrap_err();
            assert_eq!(Kind::of(&error), Kind::Usage);
            assert!(Failure::hint_in(&error).unwrap().contains("sealift lock"), "{error}");
        }
    }

    /// Three of them do not fit 64 bits together.
    #[test]
    fn impossible_sizes_are_usage_failures() {
        let digest = sealift_layers::digest::Digest::of(b"");
        let of = |size: u64| {
            let text = format!(
                "schema = 1\nprofile = \"small\"\n[platforms.x]\nepoch = 1\nwanted = \"{digest}\"\nimages = {{}}\n\
                 debian = {{ suite = \"s\", date = 1, release = \"{digest}\", signed-by = \"A\", indexes = {{}} }}\n\
                 [[platforms.x.crate]]\nname = \"c\"\nversion = \"1.0.0\"\nsize = {size}\nsha256 = \"{digest}\"\n"
            );
            Lock::parse(&text, Path::new("sealift.lock"), "small", "small").map_err(|error| error.to_string())
        };
        assert_eq!(of(1 << 40).unwrap().platforms["x"].crates[0].size, 1 << 40);
        assert_eq!(of(i64::MAX as u64).unwrap_err(), "sealift.lock: `c` cannot have 9223372036854775807 bytes");
    }
}
