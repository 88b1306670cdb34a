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
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
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

/// The Debian mirrors to try, in this order; never empty. The first of these that is set names all mirrors: `options`
/// (`--debian-mirror`), `SEALIFT_DEBIAN_MIRROR`, `debian-mirror` in the user's `config.toml`. Otherwise the mirrors are
/// those in apt's sources, the most likely to be Debian's main archive first; the caller uses those that have
/// `dists/SUITE/InRelease`.
///
/// # Errors
/// A usage failure if there is none, a named one is not an http, https or file URL, or a proxy variable is malformed.
pub fn debian(options: &[String], machine: &Machine) -> Result<Vec<Mirror>> {
    let config = Config::read(machine)?;
    let variable = machine.var("SEALIFT_DEBIAN_MIRROR").unwrap_or_default();
    let named = [
        (options.to_vec(), "--debian-mirror"),
        (variable.split_whitespace().map(str::to_owned).collect(), "SEALIFT_DEBIAN_MIRROR"),
        (config.debian_mirror.clone(), &config.path),
    ];
    let named = match named.into_iter().find(|(urls, _)| !urls.is_empty()) {
        Some((urls, origin)) => urls.iter().map(|url| by_hand(url, origin)).collect::<Result<_>>()?,
        None => apt::mirrors(machine),
    };
    if named.is_empty() {
        return Err(Failure::usage("no Debian mirror is configured: apt's sources on this machine have no http or https URL")
            .hint(format!(
                "name one with --debian-mirror URL, in the variable SEALIFT_DEBIAN_MIRROR, or as `debian-mirror = \"URL\"` in {}",
                config.path
            ))
            .into());
    }
    let mut access = Access::debian(machine)?;
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

    fn all(options: &[&str], machine: &Machine) -> Vec<String> {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        debian(&options, machine).unwrap().iter().map(|mirror| mirror.address.to_string()).collect()
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
        let error = debian(&[], &machine).unwrap_err();
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
            let error = debian(&[url.to_owned()], &machine).unwrap_err();
            assert_eq!(Failure::within(&error).unwrap().kind, sealift_deployment::failure::Kind::Usage, "{url}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
