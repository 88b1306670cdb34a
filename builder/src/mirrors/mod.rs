//! The servers that this machine is set up to use, and how they are reached. There is no built-in one.
//!
//! Which Debian mirrors there are is decided here; [`crate::python::index`] does it for Python indexes. Both use [`access`]:
//! credentials, proxies and certificates. `docs/mirrors.md` lists what is read.

pub mod access;
mod apt;
mod apt_conf;
mod config;
pub(crate) mod credentials;
pub(crate) mod proxy;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::model::MAIN_ARCHIVE;
use url::Url;

use access::{Access, Address};
pub(crate) use apt::listed;
pub use config::Config;

/// A Debian mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The archive's root; `dists/` and `pool/` are below it. For a list, the list.
    pub address: Address,
    /// Where it is configured, for messages: `--debian-mirror`, a variable, or the path of a file.
    pub origin: String,
    /// It is the URL of a list of mirrors (`apt-transport-mirror(1)`).
    pub is_list: bool,
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (from {})", self.address.url().as_str().trim_end_matches('/'), self.origin)
    }
}

/// A mirror as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    url: Url,
    origin: String,
    is_list: bool,
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
/// those in apt's sources, the most likely ones for the suite first; the caller uses those that have
/// `dists/SUITE/InRelease`.
///
/// # Errors
/// A usage failure if there is none, a named one is not an http, https or file URL, or a proxy variable is malformed.
pub fn debian(options: &[String], machine: &Machine, archive: ArchiveName<'_>) -> Result<Vec<Mirror>> {
    let config = Config::read(machine)?;
    let variable = machine.var("SEALIFT_DEBIAN_MIRROR").unwrap_or_default();
    let lists: [(Vec<&str>, &str); 3] = [
        (options.iter().map(String::as_str).collect(), "--debian-mirror"),
        (variable.split_whitespace().collect(), "SEALIFT_DEBIAN_MIRROR"),
        (config.debian_mirror.iter().map(String::as_str).collect(), &config.path),
    ];
    let of = |wanted: Option<&str>| -> Result<Vec<Named>> {
        for (texts, origin) in &lists {
            let texts = texts.iter().map(|text| split_name(text)).filter(|(name, _)| *name == wanted);
            let found: Vec<Named> = texts.map(|(_, url)| by_hand(url, origin)).collect::<Result<_>>()?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    };
    let mut named = of(Some(archive.name))?;
    if named.is_empty() {
        named = of(None)?;
        if named.is_empty() || archive.name != MAIN_ARCHIVE {
            named.extend(apt::mirrors(machine, archive.suite));
        }
    }
    if named.is_empty() {
        return Err(Failure::usage("no Debian mirror is configured: apt's sources on this machine have no http or https URL")
            .hint(format!(
                "name one with --debian-mirror URL, in the variable SEALIFT_DEBIAN_MIRROR, or as `debian-mirror = \"URL\"` in {}",
                config.path
            ))
            .into());
    }
    with_access(named, machine)
}

/// The archives of past times: URLs in which `{time}` stands for a time, such as `20260101T000000Z`. They are those that
/// `debian-snapshots` in the user's `config.toml` names for the archive (`NAME=URL`), or else those without a name.
///
/// # Errors
/// A usage failure for a URL without `{time}`, and those of [`debian`].
pub fn snapshots(machine: &Machine, archive: &str, time: &str) -> Result<Vec<Mirror>> {
    const PLACE: &str = "{time}";
    let config = Config::read(machine)?;
    let texts: Vec<_> = config.debian_snapshots.iter().map(|text| split_name(text)).collect();
    let has_own = texts.iter().any(|(name, _)| *name == Some(archive));
    let texts = texts.into_iter().filter(|(name, _)| if has_own { *name == Some(archive) } else { name.is_none() });
    let named = texts.map(|(_, text)| {
        if !text.contains(PLACE) {
            let message = format!("`{text}` (debian-snapshots in {}) has no {PLACE}", config.path);
            return Err(Failure::usage(message).hint("such as https://mirror.example/debian/{time}/").into());
        }
        by_hand(&text.replace(PLACE, time), &config.path)
    });
    with_access(named.collect::<Result<_>>()?, machine)
}

/// The folders and servers that have archives, in the order in which they are tried; there may be none. They are named by
/// `options` (`--archives`), else `SEALIFT_ARCHIVES`, else `archive-mirror` in the user's `config.toml`: each a folder, or a URL
/// below which the paths of archives are.
///
/// # Errors
/// A usage failure for a text that is neither, and for a malformed proxy variable.
pub fn archives(options: &[String], machine: &Machine) -> Result<Vec<Mirror>> {
    let config = Config::read(machine)?;
    let variable = machine.var("SEALIFT_ARCHIVES").unwrap_or_default();
    let lists: [(Vec<&str>, &str); 3] = [
        (options.iter().map(String::as_str).collect(), "--archives"),
        (variable.split_whitespace().collect(), "SEALIFT_ARCHIVES"),
        (config.archive_mirror.iter().map(String::as_str).collect(), &config.path),
    ];
    let first = lists.into_iter().find(|(texts, _)| !texts.is_empty());
    let Some((texts, origin)) = first else { return Ok(Vec::new()) };
    let named = texts.into_iter().map(|text| match folder(text) {
        Some(url) => Ok(Named { url, origin: origin.to_owned(), is_list: false }),
        None if text.contains("://") => by_hand(text, origin),
        None => {
            let failure = Failure::usage(format!("`{text}` (from {origin}) is neither a folder nor a URL"));
            Err(failure.hint("name a folder that exists, or a URL such as https://mirror.example/files").into())
        }
    });
    reached_by(Access::others(machine)?, named.collect::<Result<_>>()?)
}

/// The URL of a folder that exists.
fn folder(text: &str) -> Option<Url> {
    let path = Path::new(text).canonicalize().ok().filter(|path| path.is_dir())?;
    Url::from_file_path(path).ok()
}

/// Each mirror once, with how it is reached.
fn with_access(named: Vec<Named>, machine: &Machine) -> Result<Vec<Mirror>> {
    reached_by(Access::debian(machine)?, named)
}

fn reached_by(mut access: Access, named: Vec<Named>) -> Result<Vec<Mirror>> {
    let named: Vec<Named> =
        named.into_iter().map(|named| Named { url: access.configured(named.url, &named.origin), ..named }).collect();
    let access = Arc::new(access);
    let mut mirrors: Vec<Mirror> = Vec::new();
    for Named { url, origin, is_list } in named {
        let mirror = Mirror { address: Address::new(url, &access), origin, is_list };
        if !mirrors.iter().any(|known| known.address == mirror.address) {
            mirrors.push(mirror);
        }
    }
    Ok(mirrors)
}

/// Splits `NAME=URL`; a URL alone has no name.
fn split_name(text: &str) -> (Option<&str>, &str) {
    let name = text.split_once('=').filter(|(name, _)| !name.contains(['/', ':', '?']));
    name.map_or((None, text), |(name, url)| (Some(name), url))
}

fn by_hand(text: &str, origin: &str) -> Result<Named> {
    let url = base(text).ok_or_else(|| {
        let shown = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
        let failure = Failure::usage(format!("`{shown}` (from {origin}) is not an http, https or file URL"));
        failure.hint("use the URL of the archive's root, such as https://mirror.example/debian")
    })?;
    Ok(Named { url, origin: origin.to_owned(), is_list: false })
}

/// An http, https or file URL without its last slashes; `None` for any other text.
fn base(text: &str) -> Option<Url> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let mut url: Url = text.parse().ok()?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    match url.scheme() {
        // `http:name` would do, but apt does not take it either.
        "http" | "https" => text.get(url.scheme().len()..)?.starts_with("://").then_some(url),
        "file" => (url.path() != "/").then_some(url),
        _ => None,
    }
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

    fn all(options: &[&str], machine: &Machine) -> Vec<String> {
        all_of(options, machine, MAIN)
    }

    fn all_of(options: &[&str], machine: &Machine, archive: ArchiveName<'_>) -> Vec<String> {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        debian(&options, machine, archive).unwrap().iter().map(|mirror| mirror.address.to_string()).collect()
    }

    #[test]
    fn each_archive_has_its_mirrors() {
        let (root, machine) = machine(&[]);
        let sources =
            "deb http://apt.example/debian bookworm main\ndeb http://apt.example/security bookworm-security main\n";
        fs_err::write(root.path().join("etc/apt/sources.list"), sources).unwrap();
        let security = ArchiveName { name: "security", suite: "bookworm-security" };
        let named = ["http://a.example/debian", "security=http://s.example/a=b"];
        assert_eq!(all(&named, &machine), ["http://a.example/debian"]);
        assert_eq!(all_of(&named, &machine, security), ["http://s.example/a=b"]);
        // A mirror without a name may have more than one suite.
        let expected = ["http://a.example/debian", "http://apt.example/security", "http://apt.example/debian"];
        assert_eq!(all_of(&named[..1], &machine, security), expected);
        // One for another archive says nothing about this one.
        assert_eq!(all(&named[1..], &machine), ["http://apt.example/debian", "http://apt.example/security"]);
    }

    #[test]
    fn snapshots_have_a_time() {
        let (root, machine) = machine(&[]);
        let config = root.path().join("home/sealift/config.toml");
        let of = |archive| -> Vec<String> {
            let found = snapshots(&machine, archive, "20260102T030405Z").unwrap();
            found.iter().map(|mirror| mirror.address.to_string()).collect()
        };
        assert_eq!(of("debian"), [""; 0]);
        let list =
            "debian-snapshots = ['http://a.example/debian/{time}/', 'security=http://a.example/security/{time}']\n";
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
        assert_eq!(all(&[], &machine), ["http://apt.example/debian"]);
        fs_err::write(root.path().join("home/sealift/config.toml"), "debian-mirror = 'http://file.example/d/'\n")
            .unwrap();
        assert_eq!(all(&[], &machine), ["http://file.example/d"]);
        let home = root.path().join("home");
        let variables = [
            ("XDG_CONFIG_HOME", home.to_str().unwrap()),
            ("SEALIFT_DEBIAN_MIRROR", "https://env.example file:/srv/debian"),
        ];
        let machine = Machine::of(root.path(), &variables);
        assert_eq!(all(&[], &machine), ["https://env.example/", "file:///srv/debian"]);
        let options = ["https://u:secret@option.example", "https://two.example/", "https://option.example"];
        assert_eq!(all(&options, &machine), ["https://option.example/", "https://two.example/"]);
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
        for url in ["mirror.example/debian", "ftp://u:secret@mirror.example", "file:///", "https://", "http://a b"] {
            let error = debian(&[url.to_owned()], &machine, MAIN).unwrap_err();
            assert_eq!(Failure::within(&error).unwrap().kind, sealift_deployment::failure::Kind::Usage, "{url}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
