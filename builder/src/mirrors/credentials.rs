//! User names and passwords: in URLs, in `netrc` files, and in apt's `auth.conf` (`apt_auth.conf(5)`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

/// A user name and a password. They are never printed: [`fmt::Debug`] and [`fmt::Display`] show where they are from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
    origin: String,
}

impl Credentials {
    pub(crate) fn new(user: &str, password: &str, origin: &str) -> Self {
        Self { user: user.into(), password: password.into(), origin: origin.to_owned() }
    }

    /// Those in a URL (RFC 3986, section 3.2.1), which are removed from it; `None` if it has none.
    pub(crate) fn take(url: &mut Url, origin: &str) -> Option<Self> {
        if url.username().is_empty() && url.password().is_none() {
            return None;
        }
        let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
        // Neither fails for a URL that has them.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Some(Self { user, password, origin: format!("the URL in {origin}") })
    }

    /// The value of an `Authorization` or `Proxy-Authorization` header (RFC 7617).
    pub(crate) fn header(&self) -> String {
        format!("Basic {}", STANDARD.encode([&*self.user, b":", &*self.password].concat()))
    }

    /// User name and password as text, for the proxy protocols that want them so.
    pub(crate) fn text(&self) -> (String, String) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&self.user), text(&self.password))
    }

    /// `url` with these credentials, for a program that takes them there.
    pub(crate) fn put_into(&self, url: &Url) -> Url {
        let (user, password) = self.text();
        let mut url = url.clone();
        let _ = url.set_username(&user);
        let _ = url.set_password(Some(&password).filter(|password| !password.is_empty()).map(String::as_str));
        url
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the user name and password from {}", self.origin)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials(from {})", self.origin)
    }
}

/// Credentials, and the URLs that they are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// `None`: any scheme.
    scheme: Option<String>,
    /// In lower case. `None`: any host (`default` in a netrc file).
    host: Option<String>,
    /// `None`: any port.
    port: Option<u16>,
    /// Beginning of the path, or empty.
    path: String,
    /// Whether all of the server gets them if no other rule fits better.
    whole_server: bool,
    credentials: Credentials,
}

impl Rule {
    /// The credentials of a configured index or mirror at `url`. As in uv and pip, they are for all files of its server;
    /// where two indexes of one server have different ones, the path decides.
    pub(crate) fn of_url(url: &Url, credentials: Credentials) -> Self {
        Self {
            scheme: Some(url.scheme().to_owned()),
            host: url.host_str().map(str::to_ascii_lowercase),
            port: url.port_or_known_default(),
            path: url.path().trim_end_matches('/').to_owned(),
            whole_server: true,
            credentials,
        }
    }

    /// Whether it is for all hosts.
    pub(crate) fn is_for_all(&self) -> bool {
        self.host.is_none()
    }

    /// How well the rule fits: `None` if it does not, else the length of the path that it shares.
    fn fit(&self, url: &Url) -> Option<usize> {
        let host = url.host_str().unwrap_or_default();
        let fits = self.scheme.as_deref().is_none_or(|scheme| scheme == url.scheme())
            && self.host.as_deref().is_none_or(|own| own.eq_ignore_ascii_case(host))
            && self.port.is_none_or(|port| url.port_or_known_default() == Some(port));
        let below = url.path().strip_prefix(&self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match fits {
            true if below || self.path.is_empty() => Some(self.path.len()),
            true if self.whole_server => Some(0),
            _ => None,
        }
    }
}

/// The credentials for `url`: of the rules that fit best, the first.
pub(crate) fn choose<'a>(rules: &'a [Rule], url: &Url) -> Option<&'a Credentials> {
    let fitting = rules.iter().filter_map(|rule| Some((rule.fit(url)?, rule)));
    let best = fitting.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, rule)| &rule.credentials)
}

/// Which program's rules a file of `machine` entries follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `~/.netrc`: an entry is for a host, with any scheme and port, and `default` is for all.
    Netrc,
    /// apt's `auth.conf`: `machine [SCHEME://]HOST[:PORT][/PATH]`; without a scheme, for https only.
    Apt,
}

/// The rules in a file. Like the programs whose files these are, this passes over what it does not know.
pub(crate) fn parse(text: &str, format: Format, origin: &str) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut words = words(text).into_iter().peekable();
    while let Some(word) = words.next() {
        let machine = match &*word {
            "machine" => words.next(),
            "default" => None,
            _ => continue,
        };
        let (mut user, mut password) = (None, None);
        while let Some(key) = words.next_if(|word| word != "machine" && word != "default") {
            match &*key {
                "login" | "user" => user = words.next(),
                "password" => password = words.next(),
                "account" => drop(words.next()),
                _ => {}
            }
        }
        if user.is_none() && password.is_none() {
            continue;
        }
        let credentials = Credentials::new(&user.unwrap_or_default(), &password.unwrap_or_default(), origin);
        rules.extend(match format {
            Format::Netrc => Some(Rule {
                scheme: None,
                host: machine.map(|host| host.to_ascii_lowercase()),
                port: None,
                path: String::new(),
                whole_server: false,
                credentials,
            }),
            Format::Apt => machine.and_then(|machine| of_apt(&machine, credentials)),
        });
    }
    rules
}

fn of_apt(machine: &str, credentials: Credentials) -> Option<Rule> {
    let (scheme, rest) = machine.split_once("://").unwrap_or(("https", machine));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // An IPv6 address is in brackets, and has colons itself.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port.parse().ok()?)),
        _ => (authority, None),
    };
    Some(Rule {
        scheme: Some(scheme.to_ascii_lowercase()),
        host: Some(host.to_ascii_lowercase()),
        port,
        path: path.trim_end_matches('/').to_owned(),
        whole_server: false,
        credentials,
    })
}

/// The words of a file. Comments are lines that begin with `#`: a password may begin with it. Macros are left out.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut in_macro = false;
    for line in text.lines() {
        let line = line.trim();
        in_macro &= !line.is_empty();
        if line.starts_with('#') || in_macro {
            continue;
        }
        let mut rest = line;
        while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
            let (word, after) = word(&rest[start..]);
            rest = after;
            if word == "macdef" {
                in_macro = true;
                break;
            }
            words.push(word);
        }
    }
    words
}

/// The word at the start of `text`, and what follows it. It may be quoted, with backslashes before quotes, as in curl.
fn word(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
        return (word.to_owned(), rest);
    };
    let mut word = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (word, &quoted[at + 1..]),
            '\\' => word.extend(characters.next().map(|(_, escaped)| escaped)),
            other => word.push(other),
        }
    }
    (word, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(rules: &[Rule], url: &str) -> String {
        choose(rules, &url.parse().unwrap()).map_or_else(|| "none".into(), |found| found.text().0)
    }

    fn rule(url: &str) -> Rule {
        let mut url: Url = url.parse().unwrap();
        let credentials = Credentials::take(&mut url, "a test").unwrap();
        Rule::of_url(&url, credentials)
    }

    #[test]
    fn credentials_of_a_url_are_for_its_whole_server() {
        let rules = [rule("https://a:1@one.example/x/simple/"), rule("https://b:2@one.example/y/simple")];
        assert_eq!(of(&rules, "https://one.example/x/simple/tool/"), "a");
        assert_eq!(of(&rules, "https://one.example/y/simple/tool/"), "b");
        assert_eq!(of(&rules, "https://one.example/files/tool.whl"), "a");
        assert_eq!(of(&rules, "https://one.example:443/y/simple"), "b");
        // Never to another host, port or scheme.
        for url in
            ["https://two.example/x/simple/", "https://one.example:444/x/simple/", "http://one.example/x/simple/"]
        {
            assert_eq!(of(&rules, url), "none", "{url}");
        }
    }

    #[test]
    fn passwords_are_decoded_sent_and_never_printed() {
        let mut url: Url = "https://us%40er:pa%3Ass%zz@mirror.example/simple/?a=b@c".parse().unwrap();
        let credentials = Credentials::take(&mut url, "UV_INDEX").unwrap();
        assert_eq!(url.as_str(), "https://mirror.example/simple/?a=b@c");
        assert_eq!(credentials.header(), format!("Basic {}", STANDARD.encode("us@er:pa:ss%zz")));
        assert_eq!(credentials.to_string(), "the user name and password from the URL in UV_INDEX");
        assert_eq!(format!("{credentials:?}"), "Credentials(from the URL in UV_INDEX)");
        let again: Url = credentials.put_into(&url);
        assert_eq!(Credentials::take(&mut again.clone(), "UV_INDEX"), Some(credentials));
    }

    #[test]
    fn a_netrc_entry_is_for_its_host() {
        let text = "# machine not.example login no\nmachine One.example login a password \"p \\\" q\"\n\
                    machine two.example\n  login b\n  account x\n  password #hash\n\
                    macdef init\nmachine not.example login no\n\nmachine three.example password only\ndefault login d password e\n";
        let rules = parse(text, Format::Netrc, "~/.netrc");
        let found = |url: &str| choose(&rules, &url.parse().unwrap()).unwrap().text();
        assert_eq!(found("http://one.example:8080/simple"), ("a".into(), "p \" q".into()));
        assert_eq!(found("https://two.example/"), ("b".into(), "#hash".into()));
        assert_eq!(found("https://three.example/"), (String::new(), "only".into()));
        assert_eq!(found("https://not.example/"), ("d".into(), "e".into()));
    }

    #[test]
    fn apts_entries_may_name_scheme_port_and_path() {
        let text = "machine one.example login a password 1\nmachine http://two.example:81/deb/ login b password 2\n\
                    machine [::1]:8080 login c password 3\nmachine two.example/x login d password 4\ndefault login e password 5\n";
        let rules = parse(text, Format::Apt, "auth.conf");
        for (url, user) in [
            ("https://one.example:8443/debian", "a"),
            ("http://one.example/debian", "none"),
            ("http://two.example:81/deb/pool/x.deb", "b"),
            ("http://two.example:81/debian/pool/x.deb", "none"),
            ("http://two.example/deb/", "none"),
            ("https://[::1]:8080/", "c"),
            ("https://two.example/x", "d"),
            ("https://other.example/", "none"),
        ] {
            assert_eq!(of(&rules, url), user, "{url}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_files_cause_no_panic(text in "(machine|login|password|default|macdef| |\n|\"|\\\\|#|a|é|::?|/){0,20}") {
            parse(&text, Format::Netrc, "");
            parse(&text, Format::Apt, "");
        }
    }
}
