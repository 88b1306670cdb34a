//! How servers are reached: with which credentials, through which proxy, trusting whom. Locks and builds fetch everything
//! by an [`Address`], so both do the same.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::files;
use sealift_deployment::machine::Machine;
use url::Url;

use super::apt_conf::AptConf;
use super::credentials::{Credentials, Format, Rule, choose, parse};
use super::proxy::{Proxies, Proxy};

/// A URL, without user name and password, and how the servers are reached that it and its redirects lead to.
#[derive(Clone)]
pub struct Address {
    url: Url,
    access: Arc<Access>,
}

impl Address {
    /// `url`, reached by `access`.
    #[must_use]
    pub fn new(url: Url, access: &Arc<Access>) -> Self {
        Self { url, access: access.clone() }
    }

    /// Another URL that is reached by the same settings: below this one, or one that a server names. User name and
    /// password of a server's link are dropped: the machine's own settings decide who gets which.
    #[must_use]
    pub fn at(&self, mut url: Url) -> Self {
        drop(Credentials::take(&mut url, ""));
        Self { url, access: self.access.clone() }
    }

    /// `path`, which is percent-encoded, below this address.
    #[must_use]
    pub fn below(&self, path: &str) -> Self {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", self.url.path().trim_end_matches('/')));
        self.at(url)
    }

    /// The file called `name` in the folder of this one.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        let mut url = self.url.clone();
        let folder = url.path().rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        url.set_path(&format!("{folder}/{name}"));
        self.at(url)
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The path of a local file or folder; `None` for a URL of a server.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        (self.url.scheme() == "file").then(|| self.url.to_file_path().ok()).flatten()
    }

    /// How the server is reached.
    ///
    /// # Errors
    /// A usage failure if a setting of the machine for this server is malformed.
    pub fn route(&self) -> Result<Route> {
        self.access.route(&self.url)
    }

    /// Files with credentials that this user may not read, for hints.
    pub(crate) fn unreadable(&self) -> &[String] {
        &self.access.unreadable
    }

    /// The URL with its user name and password, for a program that takes them there.
    pub(crate) fn with_credentials(&self) -> Url {
        let credentials = choose(&self.access.urls, &self.url);
        credentials.map_or_else(|| self.url.clone(), |credentials| credentials.put_into(&self.url))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
    }
}

impl Eq for Address {}

/// How one server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The user name and password that it gets.
    pub credentials: Option<Credentials>,
    /// The proxy on the way.
    pub proxy: Option<Proxy>,
    /// Certificates.
    pub tls: Tls,
}

/// Certificates for connections with TLS. Without a file, the machine's trust store decides (`SSL_CERT_FILE`,
/// `SSL_CERT_DIR`, else the system's).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tls {
    /// File with the certificates of the authorities to trust, and where it is configured.
    pub authorities: Option<(PathBuf, String)>,
    /// File with the client's certificate, and where it is configured.
    pub certificate: Option<(PathBuf, String)>,
    /// File with its key; `None`: in the file of the certificate.
    pub key: Option<PathBuf>,
    /// The server's certificate is not checked, because this setting says so.
    pub unchecked: Option<String>,
}

impl Tls {
    /// What deviates from the machine's trust store, for messages.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let file =
            |what: &str, (path, origin): &(PathBuf, String)| format!("{what} {} (from {origin})", path.display());
        let trusted = self.authorities.as_ref().map(|found| file("trusting the authorities in", found));
        let own = self.certificate.as_ref().map(|found| file("with the client certificate", found));
        let unchecked =
            self.unchecked.as_ref().map(|origin| format!("without a check of its certificate (from {origin})"));
        [trusted, own, unchecked].into_iter().flatten().collect()
    }
}

/// The settings of one kind of servers: Debian mirrors, as apt has them, or Python indexes, as pip and uv have them.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Credentials in configured URLs.
    urls: Vec<Rule>,
    /// Credentials in files, which are asked next.
    files: Vec<Rule>,
    unreadable: Vec<String>,
    proxies: Proxies,
    tls: Tls,
    /// Servers whose certificates are not checked: host, port, and the setting that says so.
    unchecked: Vec<(String, Option<u16>, String)>,
    apt: AptConf,
}

impl Access {
    /// The settings of the environment alone: proxies.
    ///
    /// # Errors
    /// A usage failure for a malformed proxy variable.
    pub fn of_environment(machine: &Machine) -> Result<Self> {
        Ok(Self { proxies: Proxies::of_environment(machine)?, ..Self::default() })
    }

    /// The settings for servers that no other program has settings for: proxies, and the entries of `~/.netrc`.
    ///
    /// # Errors
    /// A usage failure for a malformed proxy variable.
    pub(super) fn others(machine: &Machine) -> Result<Self> {
        let mut access = Self::of_environment(machine)?;
        access.read_netrc(machine);
        Ok(access)
    }

    /// The settings for Debian mirrors: apt's proxies, certificates and `auth.conf`, and the entries of `~/.netrc`.
    ///
    /// # Errors
    /// A usage failure for a malformed proxy variable.
    pub(super) fn debian(machine: &Machine) -> Result<Self> {
        let mut access = Self { apt: AptConf::read(machine), ..Self::of_environment(machine)? };
        let main = machine.path("/etc/apt/auth.conf");
        let parts = sealift_deployment::files::sorted_dir(&machine.path("/etc/apt/auth.conf.d")).unwrap_or_default();
        let parts = parts.into_iter().filter(|path| path.extension().is_none_or(|extension| extension == "conf"));
        for path in std::iter::once(main).chain(parts) {
            access.read_credentials(path, Format::Apt);
        }
        // apt does not send the credentials for all other hosts of a user's own file to its mirrors.
        access.read_netrc(machine);
        access.files.retain(|rule| !rule.is_for_all());
        Ok(access)
    }

    /// Reads the user's netrc file, as curl, pip and uv do.
    pub(crate) fn read_netrc(&mut self, machine: &Machine) {
        let named = machine.var("NETRC").map(|path| machine.path(path));
        let home = machine.var("HOME").map(|home| machine.path(home).join(".netrc"));
        if let Some(path) = named.or(home) {
            self.read_credentials(path, Format::Netrc);
        }
    }

    fn read_credentials(&mut self, path: PathBuf, format: Format) {
        match files::read(&path) {
            Ok(bytes) => {
                self.files.extend(parse(&String::from_utf8_lossy(&bytes), format, &path.display().to_string()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                self.unreadable.push(path.display().to_string());
            }
            Err(_) => {}
        }
    }

    /// Takes user name and password out of a configured URL, and remembers them for its server.
    pub(crate) fn configured(&mut self, mut url: Url, origin: &str) -> Url {
        if let Some(credentials) = Credentials::take(&mut url, origin) {
            self.add_credentials(&url, credentials);
        }
        url
    }

    /// Remembers credentials for the server of a configured URL.
    pub(crate) fn add_credentials(&mut self, url: &Url, credentials: Credentials) {
        self.urls.push(Rule::of_url(url, credentials));
    }

    /// The proxies, to be changed by further settings.
    pub(crate) fn proxies(&mut self) -> &mut Proxies {
        &mut self.proxies
    }

    /// The certificates for all servers.
    pub(crate) fn tls(&mut self) -> &mut Tls {
        &mut self.tls
    }

    /// Does not check the certificates of a server: `HOST` or `HOST:PORT`.
    pub(crate) fn do_not_check(&mut self, server: &str, origin: &str) {
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => (host, port.parse().ok()),
            _ => (server, None),
        };
        self.unchecked.push((host.to_ascii_lowercase(), port, origin.to_owned()));
    }

    fn route(&self, url: &Url) -> Result<Route> {
        let credentials = choose(&self.urls, url).or_else(|| choose(&self.files, url)).cloned();
        let scheme = url.scheme();
        let host = url.host_str().unwrap_or_default();
        let proxy = match self.apt.transport(scheme, host, "Proxy") {
            Some(_) if self.proxies.direct.contains(url) => None,
            Some(value) if value.text.eq_ignore_ascii_case("DIRECT") => None,
            Some(value) => Some(Proxy::parse(&value.text, &value.origin)?),
            None => self.proxies.choose(url).cloned(),
        };
        Ok(Route { credentials, proxy, tls: if scheme == "https" { self.tls_for(url, host) } else { Tls::default() } })
    }

    fn tls_for(&self, url: &Url, host: &str) -> Tls {
        let apt = |option: &str| self.apt.transport("https", host, option);
        let file = |option: &str| apt(option).map(|value| (PathBuf::from(&value.text), value.origin.clone()));
        let off = |value: &&super::apt_conf::Value| ["false", "no", "off", "0"].contains(&&*value.text.to_lowercase());
        let listed = self.unchecked.iter().find(|(own, port, _)| {
            own.eq_ignore_ascii_case(host) && port.is_none_or(|port| url.port_or_known_default() == Some(port))
        });
        Tls {
            authorities: file("CaInfo").or_else(|| self.tls.authorities.clone()),
            certificate: file("SslCert").or_else(|| self.tls.certificate.clone()),
            key: file("SslKey").map(|(path, _)| path).or_else(|| self.tls.key.clone()),
            unchecked: apt("Verify-Peer")
                .filter(off)
                .map(|value| value.origin.clone())
                .or_else(|| listed.map(|(_, _, origin)| origin.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn machine(files: &[(&str, &str)], variables: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name.trim_start_matches('/'));
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let machine = Machine::of(root.path(), variables);
        (root, machine)
    }

    fn route(access: &Access, url: &str) -> Route {
        access.route(&url.parse().unwrap()).unwrap()
    }

    #[test]
    fn apts_settings_are_for_debian() {
        let conf = "Acquire::http::Proxy \"http://p.example:1\"; Acquire::http::Proxy::near.example \"DIRECT\";\n\
                    Acquire::https::own.example::CaInfo \"/own.pem\"; Acquire::https::old.example::Verify-Peer \"false\";\n\
                    Acquire::https::SslCert \"/me.pem\"; Acquire::https::SslKey \"/me.key\";";
        let (root, machine) = machine(
            &[
                ("/etc/apt/apt.conf", conf),
                ("/etc/apt/auth.conf", "machine http://one.example login a password b\n"),
                ("/etc/apt/auth.conf.d/two.conf", "machine two.example login c password d\n"),
                ("/etc/apt/auth.conf.d/three.bak", "machine three.example login e password f\n"),
                ("/home/.netrc", "machine four.example login g password h\ndefault login i password j\n"),
            ],
            &[("HOME", "/home"), ("http_proxy", "http://env.example"), ("no_proxy", "direct.example")],
        );
        let access = Access::debian(&machine).unwrap();
        let found = |url: &str| {
            let route = route(&access, url);
            let credentials = route.credentials.map(|found| found.to_string()).unwrap_or_default();
            let text = format!("{} | {}", credentials, route.proxy.map(|proxy| proxy.to_string()).unwrap_or_default());
            text.replace(root.path().to_str().unwrap(), "")
        };
        insta::assert_snapshot!(["http://one.example", "https://two.example", "https://three.example", "http://four.example",
            "http://near.example", "http://direct.example"].map(found).join("\n"), @r"
        the user name and password from /etc/apt/auth.conf | the proxy http://p.example:1 (from Acquire::http::Proxy in /etc/apt/apt.conf)
        the user name and password from /etc/apt/auth.conf.d/two.conf | the proxy http://p.example:1 (from Acquire::http::Proxy in /etc/apt/apt.conf)
         | the proxy http://p.example:1 (from Acquire::http::Proxy in /etc/apt/apt.conf)
        the user name and password from /home/.netrc | the proxy http://p.example:1 (from Acquire::http::Proxy in /etc/apt/apt.conf)
         | 
         | 
        ");
        let tls = route(&access, "https://own.example/debian").tls;
        assert_eq!(tls.authorities.unwrap().0, Path::new("/own.pem"));
        assert_eq!((tls.certificate.unwrap().0, tls.key.unwrap()), ("/me.pem".into(), "/me.key".into()));
        assert_eq!(tls.unchecked, None);
        assert!(route(&access, "https://old.example").tls.unchecked.is_some());
    }

    #[test]
    fn credentials_of_a_link_are_dropped() {
        let access = Arc::new(Access::default());
        let address = Address::new("https://one.example/simple".parse().unwrap(), &access);
        let linked = address.at("https://a:secret@two.example/x".parse().unwrap());
        assert_eq!(linked.to_string(), "https://two.example/x");
        assert_eq!(
            address.below("pool/c%2b%2b%3a1.deb").to_string(),
            "https://one.example/simple/pool/c%2b%2b%3a1.deb"
        );
    }
}
