//! Which Python index this machine is set up to use. There is no built-in one.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use serde::Deserialize;
use url::Url;

use crate::mirrors::Config;

/// An index and who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Root of its simple repository API (PEP 503).
    pub url: Url,
    /// `--python-index`, a variable, a file, or `uv`.
    pub source: String,
}

/// The index to use: the one named by `option`, else by the environment, by Sealift's own configuration, by pip's, by uv's,
/// else what `uv` says its default is ([`super::resolve::Uv::default_index`]). The first found counts.
///
/// # Errors
/// A usage failure where none is found, or where what is found is not a URL.
pub fn find(option: Option<&str>, machine: &Machine, uv: impl FnOnce() -> Option<String>) -> Result<Index> {
    let own = Config::read(machine)?;
    let found = option
        .map(|url| (url.to_owned(), "--python-index".to_owned()))
        .or_else(|| {
            let variables = ["PIP_INDEX_URL", "UV_DEFAULT_INDEX"].into_iter();
            variables.flat_map(|name| Some((machine.var(name)?.to_owned(), name.to_owned()))).next()
        })
        .or_else(|| Some((own.python_index?, own.place)))
        .or_else(|| configured(machine, &pip_files(machine), pip_index))
        .or_else(|| configured(machine, &uv_files(machine), uv_index))
        .or_else(|| Some((uv()?, "uv".to_owned())));
    let Some((text, source)) = found else {
        return Err(Failure::usage("this machine names no Python index")
            .hint(
                "name one with `--python-index URL`, with the variable PIP_INDEX_URL or UV_DEFAULT_INDEX, \
                 or in the configuration of pip or uv",
            )
            .into());
    };
    // uv lets an index have a name before its URL.
    let bare = text.split_once('=').filter(|(name, _)| !name.contains([':', '/'])).map_or(&*text, |(_, url)| url);
    match bare.trim().parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https" | "file") => Ok(Index { url, source }),
        _ => {
            Err(Failure::usage(format!("the Python index `{text}`, named by {source}, is not an HTTP or file URL"))
                .into())
        }
    }
}

/// What the first of `files` that says anything says. A file that is not there or cannot be read says nothing.
fn configured(machine: &Machine, files: &[PathBuf], parse: fn(&str) -> Option<String>) -> Option<(String, String)> {
    files.iter().find_map(|file| {
        let text = fs_err::read_to_string(machine.path(&file.to_string_lossy())).ok()?;
        Some((parse(&text)?, file.display().to_string()))
    })
}

/// pip's configuration files, the one that overrides the others first.
fn pip_files(machine: &Machine) -> Vec<PathBuf> {
    let named = machine.var("PIP_CONFIG_FILE").map(PathBuf::from);
    if named.as_deref() == Some(Path::new("/dev/null")) {
        // pip's own way to say: none at all.
        return Vec::new();
    }
    let home = machine.var("HOME").map(|home| Path::new(home).join(".pip/pip.conf"));
    let user = machine.config_home().map(|directory| directory.join("pip/pip.conf"));
    [named, user, home, Some("/etc/pip.conf".into())].into_iter().flatten().collect()
}

/// uv's configuration files, the one that overrides the others first.
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

/// The default among `[[index]]`, or `index-url`. A file that is not as we know it says nothing here: `uv` itself
/// will complain of it, or understand it better.
fn uv_index(text: &str) -> Option<String> {
    let configuration: UvConfiguration = toml::from_str(text).ok()?;
    let default = configuration.index.into_iter().find(|index| index.default);
    default.map(|index| index.url).or(configuration.index_url)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a machine with these variables and, by absolute path, these files; `uv` by the name `uv`.
    fn on(option: Option<&str>, says: &[(&str, &str)]) -> Result<Index> {
        let root = tempfile::tempdir().unwrap();
        let (files, variables): (Vec<_>, Vec<_>) = says.iter().partition(|(name, _)| name.starts_with('/'));
        for (name, text) in files {
            let path = root.path().join(name.trim_start_matches('/'));
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let uv = || says.iter().find(|(name, _)| *name == "uv").map(|(_, url)| (*url).to_owned());
        find(option, &Machine::of(root.path(), &variables), uv)
    }

    #[test]
    fn the_first_voice_counts() {
        let mut says = vec![
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
        let mut order = vec![on(Some("https://mirror.example/0"), &says).unwrap()];
        // Each voice falls silent in turn: PIP_CONFIG_FILE itself (3) with the file it names.
        while says.len() > 1 {
            order.push(on(None, &says).unwrap());
            says.remove(1);
            if says.get(1).is_some_and(|(name, _)| *name == "PIP_CONFIG_FILE") {
                order.push(on(None, &says).unwrap());
                says.drain(1..3);
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
    fn pip_can_be_silenced() {
        let says = [
            ("HOME", "/h"),
            ("PIP_CONFIG_FILE", "/dev/null"),
            ("/etc/pip.conf", "[global]\nindex-url=https://mirror.example/"),
        ];
        assert!(on(None, &says).is_err());
        assert!(
            on(None, &[("XDG_CONFIG_HOME", "/x"), ("/x/pip/pip.conf", "[global]\nindex-url=https://mirror.example/")])
                .is_ok()
        );
    }

    #[test]
    fn errors_name_the_ways() {
        let error = on(None, &[("PIP_INDEX_URL", "")]).unwrap_err();
        let failure = Failure::within(&error).unwrap();
        insta::assert_snapshot!(format!("{failure}\n{}", failure.hint.as_ref().unwrap()), @"
        this machine names no Python index
        name one with `--python-index URL`, with the variable PIP_INDEX_URL or UV_DEFAULT_INDEX, or in the configuration of pip or uv
        ");
        let error = on(None, &[("PIP_INDEX_URL", "mirror.example")]).unwrap_err();
        insta::assert_snapshot!(error, @"the Python index `mirror.example`, named by PIP_INDEX_URL, is not an HTTP or file URL");
    }
}
