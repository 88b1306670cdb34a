//! `sealift/config.toml` in the user's folder for settings: the servers that this user wants used.

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::cannot;
use sealift_deployment::machine::Machine;
use serde::Deserialize;

/// The user's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// URL of a Debian mirror.
    pub debian_mirror: Option<String>,
    /// URL of a Python package index.
    pub python_index: Option<String>,
    /// The file's path, for messages, whether it is there or not.
    #[serde(skip)]
    pub place: String,
}

impl Config {
    /// Reads the file; nothing is set if there is none.
    ///
    /// # Errors
    /// When it cannot be read or understood (usage).
    pub fn read(machine: &Machine) -> Result<Self> {
        let Some(home) = machine.config_home() else {
            return Ok(Self { place: "~/.config/sealift/config.toml".to_owned(), ..Self::default() });
        };
        let path = home.join("sealift/config.toml");
        let place = path.display().to_string();
        let text = match fs_err::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(cannot("read", &path, &error)),
        };
        let config: Self = toml::from_str(&text).map_err(|error| {
            let failure = Failure::usage(format!("{place}: {}", error.to_string().trim_end()));
            failure.hint("it may set `debian-mirror` and `python-index`, each to a URL")
        })?;
        Ok(Self { place, ..config })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_strictly() {
        let home = tempfile::tempdir().unwrap();
        let machine = Machine::of(home.path(), &[("XDG_CONFIG_HOME", home.path().to_str().unwrap())]);
        let path = home.path().join("sealift/config.toml");
        assert_eq!(Config::read(&machine).unwrap().python_index, None);
        fs_err::create_dir(home.path().join("sealift")).unwrap();
        fs_err::write(&path, "python-index = 'https://mirror.example/simple'\n").unwrap();
        let config = Config::read(&machine).unwrap();
        assert_eq!(config.python_index.as_deref(), Some("https://mirror.example/simple"));
        assert_eq!(config.place, path.to_str().unwrap());
        fs_err::write(&path, "pyton-index = 'x'\n").unwrap();
        let error = Config::read(&machine).unwrap_err().to_string();
        assert!(error.starts_with(&config.place) && error.contains("pyton-index"), "{error}");
    }
}
