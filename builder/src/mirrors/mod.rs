//! The Debian mirrors that this machine is configured to use. There is no built-in one.

mod apt;
mod config;

use std::fmt;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;

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

/// The Debian mirrors to try, in this order; never empty. The first of these that is set is the only mirror: `option`
/// (`--debian-mirror`), `SEALIFT_DEBIAN_MIRROR`, `debian-mirror` in the user's `config.toml`. Otherwise the mirrors are
/// those in apt's sources, the most likely to be Debian's main archive first; the caller uses the first one that has
/// `dists/SUITE/InRelease`.
///
/// # Errors
/// A usage failure if there is none, or a named one is not an http or https URL.
pub fn debian(option: Option<&str>, machine: &Machine) -> Result<Vec<Mirror>> {
    let config = Config::read(machine)?;
    let named = [
        (option, "--debian-mirror".to_owned()),
        (machine.var("SEALIFT_DEBIAN_MIRROR"), "SEALIFT_DEBIAN_MIRROR".to_owned()),
        (config.debian_mirror.as_deref(), config.path.clone()),
    ];
    if let Some((url, origin)) = named.into_iter().find_map(|(url, origin)| Some((url?, origin))) {
        let base = base(url).ok_or_else(|| {
            let failure = Failure::usage(format!("`{url}` (from {origin}) is not an http or https URL"));
            failure.hint("use the URL of the archive's root, such as https://mirror.example/debian")
        })?;
        return Ok(vec![Mirror { base, origin }]);
    }
    let mirrors = apt::mirrors(machine);
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

    fn first(option: Option<&str>, machine: &Machine) -> String {
        debian(option, machine).unwrap()[0].base.clone()
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
        assert_eq!(debian(Some("https://option.example"), &machine).unwrap().len(), 1);
    }

    #[test]
    fn without_a_mirror_the_hint_names_the_settings() {
        let machine = Machine::of(Path::new("/nowhere"), &[]);
        let error = debian(None, &machine).unwrap_err();
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
            let error = debian(Some(url), &machine).unwrap_err();
            assert_eq!(Failure::within(&error).unwrap().kind, sealift_deployment::failure::Kind::Usage, "{url}");
        }
    }
}
