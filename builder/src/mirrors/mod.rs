//! Which servers the machine is set up to use. The program has none of its own.

mod apt;
mod config;

use std::fmt;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;

pub use config::Config;

/// A server that may have what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Its URL, without a slash at the end; `dists/` and `pool/` are below it.
    pub base: String,
    /// Who named it, for messages: `--debian-mirror`, a file's path.
    pub origin: String,
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (from {})", self.base, self.origin)
    }
}

/// The Debian mirrors to ask, likeliest first; never empty. Whoever names one gets that one only: `option` (of
/// `--debian-mirror`), `SEALIFT_DEBIAN_MIRROR`, `debian-mirror` in the user's `config.toml`. Otherwise they are those of
/// apt: the caller asks each for `dists/SUITE/InRelease` and takes the first that has it.
///
/// # Errors
/// When there is none, or a named one is not an http or https URL.
pub fn debian(option: Option<&str>, machine: &Machine) -> Result<Vec<Mirror>> {
    let config = Config::read(machine)?;
    let named = [
        (option, "--debian-mirror".to_owned()),
        (machine.var("SEALIFT_DEBIAN_MIRROR"), "SEALIFT_DEBIAN_MIRROR".to_owned()),
        (config.debian_mirror.as_deref(), config.place.clone()),
    ];
    if let Some((url, origin)) = named.into_iter().find_map(|(url, origin)| Some((url?, origin))) {
        let base = base(url).ok_or_else(|| {
            let failure = Failure::usage(format!("`{url}` (from {origin}) is not the URL of a Debian mirror"));
            failure.hint("a mirror is named like this: https://mirror.example/debian")
        })?;
        return Ok(vec![Mirror { base, origin }]);
    }
    let mirrors = apt::mirrors(machine);
    if mirrors.is_empty() {
        return Err(Failure::usage("no Debian mirror is known: this machine has no apt sources on a network")
            .hint(format!(
                "name one with --debian-mirror URL, with SEALIFT_DEBIAN_MIRROR, or as `debian-mirror = \"URL\"` in {}",
                config.place
            ))
            .into());
    }
    Ok(mirrors)
}

/// A URL that the program can fetch from, without its last slashes.
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
    fn the_nearest_word_counts() {
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
    fn none_says_how_to_name_one() {
        let machine = Machine::of(Path::new("/nowhere"), &[]);
        let error = debian(None, &machine).unwrap_err();
        let failure = Failure::within(&error).unwrap();
        insta::assert_snapshot!(
            format!("{failure}\nhint: {}", failure.hint.as_ref().unwrap()),
            @r#"
        no Debian mirror is known: this machine has no apt sources on a network
        hint: name one with --debian-mirror URL, with SEALIFT_DEBIAN_MIRROR, or as `debian-mirror = "URL"` in ~/.config/sealift/config.toml
        "#
        );
    }

    #[test]
    fn odd_urls_are_usage_errors() {
        let (_root, machine) = machine(&[]);
        for url in ["mirror.example/debian", "ftp://mirror.example", "file:///srv", "https://", "http://a b"] {
            let error = debian(Some(url), &machine).unwrap_err();
            assert_eq!(Failure::within(&error).unwrap().kind, sealift_deployment::failure::Kind::Usage, "{url}");
        }
    }
}
