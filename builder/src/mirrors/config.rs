//! `sealift/config.toml` in the user's configuration folder: the servers to use.

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::machine::Machine;
use serde::{Deserialize, Deserializer};

/// The user's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// `debian-mirror`: URL of a Debian mirror, or a list of them; see [`super::debian`].
    #[serde(default, deserialize_with = "one_or_more")]
    pub debian_mirror: Vec<String>,
    /// `debian-snapshots`: URL of the archives of past times, or a list of them; see [`super::snapshots`].
    #[serde(default, deserialize_with = "one_or_more")]
    pub debian_snapshots: Vec<String>,
    /// `archive-mirror`: folder or URL of a server that has archives, or a list of them; see [`super::archives`].
    #[serde(default, deserialize_with = "one_or_more")]
    pub archive_mirror: Vec<String>,
    /// `python-index`: URL of a Python index.
    pub python_index: Option<String>,
    /// The file's path, for messages; the file need not exist.
    #[serde(skip)]
    pub path: String,
}

impl Config {
    /// Reads the file; without a file nothing is set.
    ///
    /// # Errors
    /// The file cannot be read, or is malformed (usage).
    pub fn read(machine: &Machine) -> Result<Self> {
        let Some(home) = machine.config_home() else {
            return Ok(Self { path: "~/.config/sealift/config.toml".to_owned(), ..Self::default() });
        };
        let file = home.join("sealift/config.toml");
        let path = file.display().to_string();
        let text = match files::read_text(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::usage("cannot use the configuration").because(error).into()),
        };
        let config: Self = toml::from_str(&text).map_err(|error| {
            let failure = Failure::usage(format!("cannot parse {path}")).because(error);
            failure.hint("its settings are `debian-mirror`, `debian-snapshots` and `archive-mirror`, each a URL or a list of URLs, and `python-index`, a URL")
        })?;
        Ok(Self { path, ..config })
    }
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        One(String),
        More(Vec<String>),
    }
    Ok(match Value::deserialize(deserializer)? {
        Value::One(one) => vec![one],
        Value::More(more) => more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_settings_are_errors() {
        let home = tempfile::tempdir().unwrap();
        let machine = Machine::of(home.path(), &[("XDG_CONFIG_HOME", home.path().to_str().unwrap())]);
        let path = home.path().join("sealift/config.toml");
        assert_eq!(Config::read(&machine).unwrap().python_index, None);
        fs_err::create_dir(home.path().join("sealift")).unwrap();
        fs_err::write(&path, "python-index = 'https://mirror.example/simple'\n").unwrap();
        let config = Config::read(&machine).unwrap();
        assert_eq!(config.python_index.as_deref(), Some("https://mirror.example/simple"));
        assert_eq!(config.path, path.to_str().unwrap());
        for (text, mirrors) in
            [("'http://a'", &["http://a"][..]), ("['http://a', 'http://b']", &["http://a", "http://b"])]
        {
            fs_err::write(&path, format!("debian-mirror = {text}\n")).unwrap();
            assert_eq!(Config::read(&machine).unwrap().debian_mirror, mirrors);
        }
        fs_err::write(&path, "pyton-index = 'x'\n").unwrap();
        let error = format!("{:#}", Config::read(&machine).unwrap_err());
        assert!(error.contains(&config.path) && error.contains("pyton-index"), "{error}");
    }
}
