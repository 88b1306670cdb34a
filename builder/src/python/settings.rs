//! The settings of pip and uv about indexes: their configuration files and variables.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::machine::Machine;
use toml::{Table, Value};

/// A value, and where it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) text: String,
    /// For messages: a variable, or the path of a file.
    pub(super) source: String,
}

impl Setting {
    pub(super) fn new(text: &str, source: &str) -> Self {
        Self { text: text.trim().to_owned(), source: source.to_owned() }
    }
}

/// The words of a variable.
pub(super) fn variable(machine: &Machine, name: &str, separator: fn(char) -> bool) -> Vec<Setting> {
    let value = machine.var(name).unwrap_or_default();
    value.split(separator).filter(|word| !word.trim().is_empty()).map(|word| Setting::new(word, name)).collect()
}

/// Whether a text means yes: of pip's and uv's options.
pub(super) fn is_true(setting: &Setting) -> bool {
    ["1", "true", "yes", "on", "y", "t"].iter().any(|yes| setting.text.eq_ignore_ascii_case(yes))
}

/// pip's configuration: its variables (`PIP_INDEX_URL`), then its files, highest precedence first.
pub(super) struct Pip<'m> {
    machine: &'m Machine,
    files: Vec<(String, String)>,
}

impl<'m> Pip<'m> {
    /// # Errors
    /// One of the files is a pipe, a device or a folder.
    pub(super) fn read(machine: &'m Machine) -> Result<Self> {
        let named = machine.var("PIP_CONFIG_FILE").map(PathBuf::from);
        // This value disables all configuration files of pip.
        let disabled = named.as_deref() == Some(Path::new("/dev/null"));
        let environment = machine.var("VIRTUAL_ENV").map(|folder| Path::new(folder).join("pip.conf"));
        let home = machine.var("HOME").map(|home| Path::new(home).join(".pip/pip.conf"));
        let user = machine.config_home().map(|directory| directory.join("pip/pip.conf"));
        let system = ["/etc/pip.conf", "/etc/xdg/pip/pip.conf"].map(|path| Some(path.into()));
        let files = [named, environment, user, home].into_iter().chain(system).flatten().filter(|_| !disabled);
        Ok(Self { machine, files: files.filter_map(|path| read(machine, &path).transpose()).collect::<Result<_>>()? })
    }

    /// The value of an option, such as `index-url`: from the variable if it is set, else from the first file that has it.
    pub(super) fn option(&self, name: &str) -> Option<Setting> {
        let variable = format!("PIP_{}", name.to_uppercase().replace('-', "_"));
        if let Some(value) = self.machine.var(&variable) {
            return Some(Setting::new(value, &variable));
        }
        self.in_files(name)
    }

    /// The value of an option in the files alone.
    pub(super) fn in_files(&self, name: &str) -> Option<Setting> {
        self.files.iter().find_map(|(path, text)| {
            // The section of the command has precedence over the general one.
            let value = ini_value(text, "install", name).or_else(|| ini_value(text, "global", name))?;
            Some(Setting::new(&value, path))
        })
    }

    /// The words of an option with a list.
    pub(super) fn list(&self, name: &str) -> Vec<Setting> {
        let words = |setting: Setting| -> Vec<Setting> {
            setting.text.split_whitespace().map(|word| Setting::new(word, &setting.source)).collect()
        };
        self.option(name).map(words).unwrap_or_default()
    }
}

/// The last value of a key in a section of an INI file. Indented lines continue the value before them.
fn ini_value(text: &str, section: &str, name: &str) -> Option<String> {
    let mut here = false;
    let mut current = false;
    let mut found: Option<String> = None;
    for line in text.lines() {
        let word = line.trim();
        if word.starts_with(['#', ';']) || word.is_empty() {
            continue;
        }
        if line.starts_with(char::is_whitespace) && current {
            found.get_or_insert_default().push_str(&format!("\n{word}"));
        } else if let Some(title) = word.strip_prefix('[') {
            (here, current) = (title.trim_end_matches(']').trim() == section, false);
        } else if here && let Some((key, value)) = word.split_once(['=', ':']) {
            current = key.trim().to_ascii_lowercase().replace('_', "-") == name;
            if current {
                found = Some(value.trim().to_owned());
            }
        }
    }
    found.filter(|value| !value.trim().is_empty())
}

/// An index in a configuration file of uv.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UvIndex {
    pub(super) name: Option<String>,
    pub(super) url: String,
    pub(super) default: bool,
    pub(super) explicit: bool,
    pub(super) flat: bool,
}

/// uv's configuration files, highest precedence first. A file that cannot be parsed is passed over: uv reports its errors.
pub(super) struct UvFiles(Vec<(String, Table)>);

impl UvFiles {
    /// # Errors
    /// One of the files is a pipe, a device or a folder: uv would wait for the other end of a pipe.
    pub(super) fn read(machine: &Machine) -> Result<Self> {
        if machine.var("UV_NO_CONFIG").is_some() {
            return Ok(Self(Vec::new()));
        }
        let named = machine.var("UV_CONFIG_FILE").map(PathBuf::from);
        let user = machine.config_home().map(|directory| directory.join("uv/uv.toml"));
        let files = match named {
            Some(named) => vec![named],
            None => [user, Some("/etc/uv/uv.toml".into())].into_iter().flatten().collect(),
        };
        let texts: Vec<_> = files.iter().filter_map(|path| read(machine, path).transpose()).collect::<Result<_>>()?;
        Ok(Self(texts.into_iter().filter_map(|(path, text)| Some((path, toml::from_str(&text).ok()?))).collect()))
    }

    /// All `[[index]]`, each with its file.
    pub(super) fn indexes(&self) -> Vec<(UvIndex, &str)> {
        let of = |(path, table): &'_ (String, Table)| -> Vec<UvIndex> {
            let _ = path;
            let list = table.get("index").and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|entry| {
                let text = |key: &str| entry.get(key).and_then(Value::as_str);
                let is = |key: &str| entry.get(key).and_then(Value::as_bool).unwrap_or_default();
                Some(UvIndex {
                    name: text("name").map(str::to_owned),
                    url: text("url")?.to_owned(),
                    default: is("default"),
                    explicit: is("explicit"),
                    flat: text("format") == Some("flat"),
                })
            })
            .collect()
        };
        self.0.iter().flat_map(|file| of(file).into_iter().map(|index| (index, file.0.as_str()))).collect()
    }

    /// The values of a key, also of the section `[pip]`: of the first file that has it.
    pub(super) fn list(&self, key: &str) -> Vec<Setting> {
        let of = |table: &Table| -> Vec<String> {
            let pip = table.get("pip").and_then(Value::as_table).and_then(|pip| pip.get(key));
            match pip.or_else(|| table.get(key)) {
                Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                Some(Value::String(text)) => vec![text.clone()],
                Some(Value::Boolean(is)) => vec![is.to_string()],
                _ => Vec::new(),
            }
        };
        let found = self.0.iter().map(|(path, table)| (path, of(table))).find(|(_, values)| !values.is_empty());
        let settings = |(path, values): (&String, Vec<String>)| {
            values.iter().map(|value| Setting::new(value, path)).collect::<Vec<_>>()
        };
        found.map(settings).unwrap_or_default()
    }

    /// The value of a key.
    pub(super) fn option(&self, key: &str) -> Option<Setting> {
        self.list(key).into_iter().next()
    }
}

/// The path and the text of a file; `None` if it is not there, may not be read, or is the empty `/dev/null`.
fn read(machine: &Machine, path: &Path) -> Result<Option<(String, String)>> {
    let shown = path.display().to_string();
    match files::read(&machine.path(&path.to_string_lossy())) {
        Ok(text) => Ok(Some((shown, String::from_utf8_lossy(&text).into_owned()))),
        Err(error)
            if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::IsADirectory)
                && path != Path::new("/dev/null") =>
        {
            Err(Failure::usage(error.to_string()).hint("remove it, or put a file in its place").into())
        }
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_pip_may_have_several_lines() {
        let text = "[global]\nextra-index-url =\n  https://a.example\n  # no\n  https://b.example\nproxy= x\n[install]\nProxy: y\n";
        let value = |section, name| ini_value(text, section, name).unwrap_or_default();
        assert_eq!(
            value("global", "extra-index-url").split_whitespace().collect::<Vec<_>>(),
            ["https://a.example", "https://b.example"]
        );
        assert_eq!((value("global", "proxy"), value("install", "proxy")), ("x".into(), "y".into()));
        assert_eq!(value("global", "cert"), "");
    }
}
