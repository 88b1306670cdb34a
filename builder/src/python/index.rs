//! The Python index that this machine is configured to use. There is no built-in one.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::machine::Machine;
use serde::Deserialize;
use url::Url;

use crate::mirrors::Config;

/// An index, and where it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Root of the simple repository API (PEP 503).
    pub url: Url,
    /// For messages: `--python-index`, a variable, the path of a file, or `uv`.
    pub source: String,
}

/// The index to use: the first that is set among `option`, the environment, Sealift's configuration, pip's, uv's, and uv's
/// built-in default ([`super::resolve::Uv::default_index`]).
///
/// # Errors
/// A usage failure if none is set, or if the first one is not a URL.
pub fn find(option: Option<&str>, machine: &Machine, uv: impl FnOnce() -> Option<String>) -> Result<Index> {
    let own = Config::read(machine)?;
    let found = option
        .map(|url| (url.to_owned(), "--python-index".to_owned()))
        .or_else(|| {
            let variables = ["PIP_INDEX_URL", "UV_DEFAULT_INDEX"].into_iter();
            variables.flat_map(|name| Some((machine.var(name)?.to_owned(), name.to_owned()))).next()
        })
        .or_else(|| Some((own.python_index?, own.path)))
        .or_else(|| configured(machine, &pip_files(machine), pip_index))
        .or_else(|| configured(machine, &uv_files(machine), uv_index))
        .or_else(|| Some((uv()?, "uv".to_owned())));
    let Some((text, source)) = found else {
        return Err(Failure::usage("no Python index is configured on this machine")
            .hint(
                "name one with --python-index URL, in the variable PIP_INDEX_URL, or in the configuration of pip or uv; or \
                 install uv, whose default index is then used",
            )
            .into());
    };
    // uv accepts a name before the URL: `NAME=URL`.
    let bare = text.split_once('=').filter(|(name, _)| !name.contains([':', '/'])).map_or(&*text, |(_, url)| url);
    match bare.trim().parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https" | "file") => Ok(Index { url, source }),
        _ => {
            Err(Failure::usage(format!("the Python index `{text}` (from {source}) is not an http, https or file URL"))
                .into())
        }
    }
}

/// The first value in `files`, and the file's path. A file that does not exist or cannot be read has no value.
fn configured(machine: &Machine, files: &[PathBuf], parse: fn(&str) -> Option<String>) -> Option<(String, String)> {
    files.iter().find_map(|file| {
        let text = files::read_text(&machine.path(&file.to_string_lossy())).ok()?;
        Some((parse(&text)?, file.display().to_string()))
    })
}

/// pip's configuration files, highest precedence first.
fn pip_files(machine: &Machine) -> Vec<PathBuf> {
    let named = machine.var("PIP_CONFIG_FILE").map(PathBuf::from);
    if named.as_deref() == Some(Path::new("/dev/null")) {
        // This value disables all configuration files of pip.
        return Vec::new();
    }
    let home = machine.var("HOME").map(|home| Path::new(home).join(".pip/pip.conf"));
    let user = machine.config_home().map(|directory| directory.join("pip/pip.conf"));
    [named, user, home, Some("/etc/pip.conf".into())].into_iter().flatten().collect()
}

/// uv's configuration files, highest precedence first.
fn uv_files(machine: &Machine) -> Vec<PathBuf> {
    let user = machine.config_home().map(|directory| directory.join("uv/uv.toml"));
    [user, Some("/etc/uv/uv.toml".into())].into_iter().flatten().collect()
}

/// `index-url` of the section `[global]` of an INI file.
fn pip_index(text: &str) -> Option<String> {
    let mut global = false;
    let mut found = None;
    for line in text.lines() {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[') {
            global = section.trim_end_matches(']').trim() == "global";
        } else if global
            && !line.starts_with(['#', ';'])
            && let Some((key, value)) = line.split_once(['=', ':'])
            && key.trim().to_ascii_lowercase().replace('_', "-") == "index-url"
        {
            found = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        }
    }
    found
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UvConfiguration {
    index_url: Option<String>,
    #[serde(default)]
    index: Vec<UvIndex>,
}

#[derive(Deserialize)]
struct UvIndex {
    url: String,
    #[serde(default)]
    default: bool,
}

/// The default among `[[index]]`, or `index-url`. A file that cannot be parsed has no value: uv reports its errors, or
/// knows a newer format.
fn uv_index(text: &str) -> Option<String> {
    let configuration: UvConfiguration = toml::from_str(text).ok()?;
    let default = configuration.index.into_iter().find(|index| index.default);
    default.map(|index| index.url).or(configuration.index_url)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [`find`] on a machine with `settings`: variables, files (names with `/` at the start) and uv's default (`uv`).
    fn find_with(option: Option<&str>, settings: &[(&str, &str)]) -> Result<Index> {
        let root = tempfile::tempdir().unwrap();
        let (files, variables): (Vec<_>, Vec<_>) = settings.iter().partition(|(name, _)| name.starts_with('/'));
        for (name, text) in files {
            let path = root.path().join(name.trim_start_matches('/'));
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let uv = || settings.iter().find(|(name, _)| *name == "uv").map(|(_, url)| (*url).to_owned());
        find(option, &Machine::of(root.path(), &variables), uv)
    }

    #[test]
    fn settings_have_an_order_of_precedence() {
        let mut settings = vec![
            ("HOME", "/home/me"),
            ("PIP_INDEX_URL", "https://mirror.example/1"),
            ("UV_DEFAULT_INDEX", "internal=https://mirror.example/2"),
            ("PIP_CONFIG_FILE", "/pip.conf"),
            ("/pip.conf", "[install]\nindex-url = x\n[global]\n# index-url = y\nindex_url: https://mirror.example/3\n"),
            ("/home/me/.config/pip/pip.conf", "[global]\nindex-url=https://mirror.example/4"),
            ("/home/me/.pip/pip.conf", "[global]\nindex-url=https://mirror.example/5"),
            ("/etc/pip.conf", "[global]\nindex-url=https://mirror.example/6"),
            (
                "/home/me/.config/uv/uv.toml",
                "[[index]]\nname = 'a'\nurl = 'https://mirror.example/no'\n[[index]]\nurl = 'https://mirror.example/7'\ndefault = true",
            ),
            ("/etc/uv/uv.toml", "index-url = 'https://mirror.example/8'"),
            ("uv", "https://mirror.example/9"),
        ];
        let mut order = vec![find_with(Some("https://mirror.example/0"), &settings).unwrap()];
        // Removes the settings one by one; PIP_CONFIG_FILE (3) together with the file that it names.
        while settings.len() > 1 {
            order.push(find_with(None, &settings).unwrap());
            settings.remove(1);
            if settings.get(1).is_some_and(|(name, _)| *name == "PIP_CONFIG_FILE") {
                order.push(find_with(None, &settings).unwrap());
                settings.drain(1..3);
            }
        }
        let lines: Vec<_> = order.iter().map(|index| format!("{} {}", index.url.path(), index.source)).collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        /0 --python-index
        /1 PIP_INDEX_URL
        /2 UV_DEFAULT_INDEX
        /3 /pip.conf
        /4 /home/me/.config/pip/pip.conf
        /5 /home/me/.pip/pip.conf
        /6 /etc/pip.conf
        /7 /home/me/.config/uv/uv.toml
        /8 /etc/uv/uv.toml
        /9 uv
        ");
    }

    #[test]
    fn pips_configuration_can_be_disabled() {
        let settings = [
            ("HOME", "/h"),
            ("PIP_CONFIG_FILE", "/dev/null"),
            ("/etc/pip.conf", "[global]\nindex-url=https://mirror.example/"),
        ];
        assert!(find_with(None, &settings).is_err());
        assert!(
            find_with(
                None,
                &[("XDG_CONFIG_HOME", "/x"), ("/x/pip/pip.conf", "[global]\nindex-url=https://mirror.example/")]
            )
            .is_ok()
        );
    }

    #[test]
    fn errors_name_the_settings() {
        let error = find_with(None, &[("PIP_INDEX_URL", "")]).unwrap_err();
        let failure = Failure::within(&error).unwrap();
        insta::assert_snapshot!(format!("{failure}\n{}", failure.hint.as_ref().unwrap()), @"
        no Python index is configured on this machine
        name one with --python-index URL, in the variable PIP_INDEX_URL, or in the configuration of pip or uv; or install uv, whose default index is then used
        ");
        let error = find_with(None, &[("PIP_INDEX_URL", "mirror.example")]).unwrap_err();
        insta::assert_snapshot!(error, @"the Python index `mirror.example` (from PIP_INDEX_URL) is not an http, https or file URL");
    }
}
