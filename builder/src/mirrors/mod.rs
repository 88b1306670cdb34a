//! The Debian mirrors that this machine is configured to use. There is no built-in one.

mod apt;
mod config;

use std::fmt;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::model::MAIN_ARCHIVE;

pub use config::Config;

/// A Debian mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The URL of the archive's root, without a slash at the end; `dists/` and `pool/` are below it.
    pub base: String,
    /// Where it is configured, for messages: `--debian-mirror`, a variable, or the path of a file.
    pub origin: String,
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (from {})", self.base, self.origin)
    }
}

/// An archive of a profile, whose mirrors are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchiveName<'a> {
    /// Its name in the profile.
    pub name: &'a str,
    /// Its suite.
    pub suite: &'a str,
}

/// The mirrors of an archive to try, in this order; never empty.
///
/// Mirrors are named by `options` (`--debian-mirror`), else `SEALIFT_DEBIAN_MIRROR`, else `debian-mirror` in the user's
/// `config.toml`: each a URL, or `NAME=URL` for the archive of that name. Those that are named for the archive are its only
/// ones; for the profile's main archive, so are those without a name. Otherwise the mirrors are those without a name, then
/// those in apt's sources, the most likely ones for the suite first; the caller uses the first one that has
/// `dists/SUITE/InRelease`.
///
/// # Errors
/// A usage failure if there is none, or a named one is not an http or https URL.
pub fn debian(options: &[String], machine: &Machine, archive: ArchiveName<'_>) -> Result<Vec<Mirror>> {
    let config = Config::read(machine)?;
    let variable = machine.var("SEALIFT_DEBIAN_MIRROR").unwrap_or_default();
    let named: [(Vec<&str>, &str); 3] = [
        (options.iter().map(String::as_str).collect(), "--debian-mirror"),
        (variable.split_whitespace().collect(), "SEALIFT_DEBIAN_MIRROR"),
        (config.debian_mirror.iter().map(String::as_str).collect(), &config.path),
    ];
    let of = |wanted: Option<&str>| -> Result<Vec<Mirror>> {
        let of_one = |(texts, origin): &(Vec<&str>, &str)| -> Result<Vec<Mirror>> {
            let texts = texts.iter().map(|text| split_name(text)).filter(|(name, _)| *name == wanted);
            texts.map(|(_, url)| by_hand(url, origin)).collect()
        };
        let lists: Vec<Vec<Mirror>> = named.iter().map(of_one).collect::<Result<_>>()?;
        Ok(lists.into_iter().find(|list| !list.is_empty()).unwrap_or_default())
    };
    let (own, general) = (of(Some(archive.name))?, of(None)?);
    if !own.is_empty() {
        return Ok(own);
    }
    if archive.name == MAIN_ARCHIVE && !general.is_empty() {
        return Ok(general);
    }
    let mut mirrors = general;
    for mirror in apt::mirrors(machine, archive.suite) {
        if !mirrors.iter().any(|known| known.base == mirror.base) {
            mirrors.push(mirror);
        }
    }
    if mirrors.is_empty() {
        return Err(Failure::usage("no Debian mirror is configured: apt's sources on this machine have no http or https URL")
            .hint(format!(
                "name one with --debian-mirror URL, in the variable SEALIFT_DEBIAN_MIRROR, or as `debian-mirror = \"URL\"` in {}",
                config.path
            ))
            .into());
    }
    Ok(mirrors)
}

/// The archives of past times: URLs in which `{time}` stands for a time, such as `20260101T000000Z`. They are those that
/// `debian-snapshots` in the user's `config.toml` names for the archive, or else without a name.
///
/// # Errors
/// A usage failure for a URL without `{time}`.
pub fn snapshots(machine: &Machine, archive: &str, time: &str) -> Result<Vec<Mirror>> {
    const PLACE: &str = "{time}";
    let config = Config::read(machine)?;
    let texts: Vec<_> = config.debian_snapshots.iter().map(|text| split_name(text)).collect();
    let has_own = texts.iter().any(|(name, _)| *name == Some(archive));
    let texts = texts.into_iter().filter(|(name, _)| if has_own { *name == Some(archive) } else { name.is_none() });
    let mirrors = texts.map(|(_, text)| {
        if !text.contains(PLACE) {
            let message = format!("`{text}` (debian-snapshots in {}) has no {PLACE}", config.path);
            return Err(Failure::usage(message).hint("such as https://mirror.example/debian/{time}/").into());
        }
        by_hand(&text.replace(PLACE, time), &config.path)
    });
    mirrors.collect()
}

/// Splits `NAME=URL`; a URL alone has no name.
fn split_name(text: &str) -> (Option<&str>, &str) {
    let name = text.split_once('=').filter(|(name, _)| !name.contains(['/', ':', '?']));
    name.map_or((None, text), |(name, url)| (Some(name), url))
}

fn by_hand(url: &str, origin: &str) -> Result<Mirror> {
    let base = base(url).ok_or_else(|| {
        let failure = Failure::usage(format!("`{url}` (from {origin}) is not an http or https URL"));
        failure.hint("use the URL of the archive's root, such as https://mirror.example/debian")
    })?;
    Ok(Mirror { base, origin: origin.to_owned() })
}

/// An http or https URL without its last slashes; `None` for any other text.
fn base(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let known = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let plausible =
        !rest.starts_with('/') && !rest.is_empty() && !url.contains(|c: char| c.is_whitespace() || c.is_control());
    (known && plausible).then(|| url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn machine(variables: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("home");
        fs_err::create_dir_all(home.join("sealift")).unwrap();
        fs_err::create_dir_all(root.path().join("etc/apt")).unwrap();
        let mut all = vec![("XDG_CONFIG_HOME", home.to_str().unwrap())];
        all.extend(variables);
        let machine = Machine::of(root.path(), &all);
        (root, machine)
    }

    const MAIN: ArchiveName<'static> = ArchiveName { name: MAIN_ARCHIVE, suite: "sid" };

    fn all(options: &[&str], machine: &Machine, archive: ArchiveName<'_>) -> Vec<String> {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        debian(&options, machine, archive).unwrap().into_iter().map(|mirror| mirror.base).collect()
    }

    fn first(option: Option<&str>, machine: &Machine) -> String {
        all(option.as_slice(), machine, MAIN)[0].clone()
    }

    #[test]
    fn each_archive_has_its_mirrors() {
        let (root, machine) = machine(&[]);
        let sources = "deb http://apt.example/debian bookworm main\ndeb http://apt.example/security bookworm-security main\n";
        fs_err::write(root.path().join("etc/apt/sources.list"), sources).unwrap();
        let security = ArchiveName { name: "security", suite: "bookworm-security" };
        let named = ["http://a.example", "security=http://s.example?x=y"];
        assert_eq!(all(&named, &machine, MAIN), ["http://a.example"]);
        assert_eq!(all(&named, &machine, security), ["http://s.example?x=y"]);
        // A mirror without a name may have more than one suite.
        let expected = ["http://a.example", "http://apt.example/security", "http://apt.example/debian"];
        assert_eq!(all(&named[..1], &machine, security), expected);
        // One for another archive says nothing about this one.
        assert_eq!(all(&named[1..], &machine, MAIN), ["http://apt.example/debian", "http://apt.example/security"]);
    }

    #[test]
    fn snapshots_have_a_time() {
        let (root, machine) = machine(&[]);
        let config = root.path().join("home/sealift/config.toml");
        let of = |archive| -> Vec<String> {
            snapshots(&machine, archive, "20260102T030405Z").unwrap().into_iter().map(|mirror| mirror.base).collect()
        };
        assert_eq!(of("debian"), [""; 0]);
        let list = "debian-snapshots = ['http://a.example/debian/{time}/', 'security=http://a.example/security/{time}']\n";
        fs_err::write(&config, list).unwrap();
        assert_eq!(of("debian"), ["http://a.example/debian/20260102T030405Z"]);
        assert_eq!(of("updates"), ["http://a.example/debian/20260102T030405Z"]);
        assert_eq!(of("security"), ["http://a.example/security/20260102T030405Z"]);
        fs_err::write(&config, "debian-snapshots = 'http://a.example/debian'\n").unwrap();
        let error = snapshots(&machine, "debian", "x").unwrap_err().to_string();
        assert!(error.contains("has no {time}"), "{error}");
    }

    #[test]
    fn option_variable_and_file_take_precedence_over_apt() {
        let (root, machine) = machine(&[]);
        fs_err::write(root.path().join("etc/apt/sources.list"), "deb http://apt.example/debian sid main\n").unwrap();
        assert_eq!(first(None, &machine), "http://apt.example/debian");
        fs_err::write(root.path().join("home/sealift/config.toml"), "debian-mirror = 'http://file.example/d/'\n")
            .unwrap();
        assert_eq!(first(None, &machine), "http://file.example/d");
        let home = root.path().join("home");
        let variables = [("XDG_CONFIG_HOME", home.to_str().unwrap()), ("SEALIFT_DEBIAN_MIRROR", "https://env.example")];
        let machine = Machine::of(root.path(), &variables);
        assert_eq!(first(None, &machine), "https://env.example");
        assert_eq!(first(Some("https://option.example//"), &machine), "https://option.example");
        assert_eq!(all(&["https://option.example"], &machine, MAIN).len(), 1);
    }

    #[test]
    fn without_a_mirror_the_hint_names_the_settings() {
        let machine = Machine::of(Path::new("/nowhere"), &[]);
        let error = debian(&[], &machine, MAIN).unwrap_err();
        let failure = Failure::within(&error).unwrap();
        insta::assert_snapshot!(
            format!("{failure}\nhint: {}", failure.hint.as_ref().unwrap()),
            @r#"
        no Debian mirror is configured: apt's sources on this machine have no http or https URL
        hint: name one with --debian-mirror URL, in the variable SEALIFT_DEBIAN_MIRROR, or as `debian-mirror = "URL"` in ~/.config/sealift/config.toml
        "#
        );
    }

    #[test]
    fn other_urls_are_usage_failures() {
        let (_root, machine) = machine(&[]);
        for url in ["mirror.example/debian", "ftp://mirror.example", "file:///srv", "https://", "http://a b"] {
            let error = debian(&[url.to_owned()], &machine, MAIN).unwrap_err();
            assert_eq!(Failure::within(&error).unwrap().kind, sealift_deployment::failure::Kind::Usage, "{url}");
        }
    }
}
