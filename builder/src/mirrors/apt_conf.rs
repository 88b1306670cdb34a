//! apt's configuration (`apt.conf(5)`): what it says about proxies and TLS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sealift_deployment::files::sorted_dir;
use sealift_deployment::machine::Machine;

use super::apt::read;

/// The options, by their names in lower case (`acquire::http::proxy`), with the file that sets each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AptConf(BTreeMap<String, Value>);

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    /// Option and file, for messages.
    pub(crate) origin: String,
}

impl AptConf {
    /// Reads the files in apt's order; the last value of an option counts. Files that cannot be read are passed over.
    pub(crate) fn read(machine: &Machine) -> Self {
        let mut conf = Self::default();
        let named = machine.var("APT_CONFIG").map(|path| machine.path(path));
        let mut parts = sorted_dir(&machine.path("/etc/apt/apt.conf.d")).unwrap_or_default();
        parts.retain(|path| is_part(path));
        for path in named.into_iter().chain(parts).chain([machine.path("/etc/apt/apt.conf")]) {
            if let Some(text) = read(&path) {
                conf.add(&text, &path.display().to_string());
            }
        }
        conf
    }

    fn add(&mut self, text: &str, file: &str) {
        let mut scopes: Vec<String> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        for token in tokens(text) {
            match token {
                Token::Word(word) => words.push(word),
                Token::Open => scopes.push(words.drain(..).next().unwrap_or_default()),
                Token::Close => drop(scopes.pop()),
                Token::End => {
                    // A value alone is an element of a list; none of the options here is one.
                    if let [name, value] = &*words {
                        let name = scopes.iter().chain([name]).map(String::as_str).collect::<Vec<_>>().join("::");
                        let origin = format!("{name} in {file}");
                        self.0.insert(name.to_ascii_lowercase(), Value { text: value.clone(), origin });
                    }
                    words.clear();
                }
            }
        }
    }

    /// `option` of the transport for `scheme`: first as it is set for this host, then in general. What is not set for https is
    /// as for http.
    pub(crate) fn transport(&self, scheme: &str, host: &str, option: &str) -> Option<&Value> {
        let schemes: &[&str] = if scheme == "https" { &["https", "http"] } else { &["http"] };
        schemes.iter().find_map(|scheme| {
            let names = [
                format!("acquire::{scheme}::{host}::{option}"),
                format!("acquire::{scheme}::{option}::{host}"),
                format!("acquire::{scheme}::{option}"),
            ];
            names.iter().find_map(|name| self.0.get(&name.to_ascii_lowercase())).filter(|value| !value.text.is_empty())
        })
    }
}

/// Whether apt reads this file of `apt.conf.d`.
fn is_part(path: &Path) -> bool {
    path.extension().is_none_or(|extension| extension == "conf") && PathBuf::from(path).is_file()
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Open,
    Close,
    End,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { return tokens };
        let (token, length) = match first {
            // `#clear` and `#include` are passed over, too.
            '#' => (None, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("//") => (None, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (None, rest.find("*/").map_or(rest.len(), |end| end + 2)),
            '{' => (Some(Token::Open), 1),
            '}' => (Some(Token::Close), 1),
            ';' => (Some(Token::End), 1),
            '"' => {
                let end = rest[1..].find('"').map_or(rest.len(), |end| end + 2);
                (Some(Token::Word(rest[1..end].trim_end_matches('"').to_owned())), end)
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "{};\"".contains(c)).unwrap_or(rest.len());
                (Some(Token::Word(rest[..end].to_owned())), end)
            }
        };
        tokens.extend(token);
        rest = &rest[length..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_ways_of_writing_options_are_read() {
        let mut conf = AptConf::default();
        conf.add(
            "// a comment; with a semicolon\n# another\nAcquire::http::Proxy \"http://p.example:3128/\";\n\
             Acquire { /* a\n block */ Http { Proxy::near.example \"DIRECT\"; };\n\
             https { CaInfo \"/ca.pem\"; Proxy::far.example \"http://q.example\"; own.example { CaInfo \"/own.pem\"; } } };\n\
             DPkg::Options { \"--force\"; };\n",
            "/etc/apt/apt.conf",
        );
        let of = |scheme: &str, host: &str, option: &str| {
            conf.transport(scheme, host, option).map_or("", |value| value.text.as_str()).to_owned()
        };
        assert_eq!(of("http", "far.example", "Proxy"), "http://p.example:3128/");
        assert_eq!(of("http", "near.example", "Proxy"), "DIRECT");
        assert_eq!(of("https", "near.example", "Proxy"), "DIRECT");
        assert_eq!(of("https", "far.example", "Proxy"), "http://q.example");
        assert_eq!(of("https", "far.example", "CaInfo"), "/ca.pem");
        assert_eq!(of("https", "own.example", "CAInfo"), "/own.pem");
        assert_eq!(of("http", "own.example", "CAInfo"), "");
        let origin = &conf.transport("http", "far.example", "Proxy").unwrap().origin;
        assert_eq!(origin, "Acquire::http::Proxy in /etc/apt/apt.conf");
    }

    #[test]
    fn the_last_file_counts() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("etc/apt/apt.conf.d");
        fs_err::create_dir_all(&folder).unwrap();
        let set = |name: &str| format!("Acquire::http::Proxy \"http://{name}.example\";");
        for (name, value) in [("10one", "one"), ("20two.conf", "two"), ("30three.bak", "three")] {
            fs_err::write(folder.join(name), set(value)).unwrap();
        }
        let proxy = || {
            let conf = AptConf::read(&Machine::of(root.path(), &[]));
            conf.transport("http", "x.example", "Proxy").unwrap().text.clone()
        };
        assert_eq!(proxy(), "http://two.example");
        fs_err::write(root.path().join("etc/apt/apt.conf"), set("main")).unwrap();
        assert_eq!(proxy(), "http://main.example");
    }

    proptest! {
        #[test]
        fn arbitrary_files_cause_no_panic(text in "(Acquire|::|\\{|\\}|;|\"|//|/\\*|\\*/|#|\n| |a|é){0,20}") {
            AptConf::default().add(&text, "");
        }
    }
}
