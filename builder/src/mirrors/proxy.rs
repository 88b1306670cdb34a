//! Proxies, as curl, apt, pip and uv are told about them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use url::Url;

use super::credentials::Credentials;

/// The schemes of proxies.
const SCHEMES: [&str; 7] = ["http", "https", "socks", "socks4", "socks4a", "socks5", "socks5h"];

/// A proxy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proxy {
    /// One of [`SCHEMES`].
    pub(crate) scheme: String,
    /// A name, or an address; one of IPv6 in brackets.
    pub(crate) host: String,
    /// Its port; `None` for the one of the scheme.
    pub(crate) port: Option<u16>,
    /// What it is to be told about the user.
    pub(crate) credentials: Option<Credentials>,
    /// Where it is configured.
    pub(crate) origin: String,
}

impl Proxy {
    /// Parses the URL of a proxy; a text without a scheme is one of http.
    pub(crate) fn parse(text: &str, origin: &str) -> Result<Self> {
        let full = if text.contains("://") { text.trim().to_owned() } else { format!("http://{}", text.trim()) };
        let wrong = || {
            let shown = full.rsplit_once('@').map_or(&*full, |(_, host)| host);
            Failure::usage(format!("{origin} is not the URL of a proxy: `{shown}`"))
                .hint("use a URL such as http://proxy.example:3128")
        };
        let mut url: Url = full.parse().map_err(|_| wrong())?;
        let credentials = Credentials::take(&mut url, origin);
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?.to_owned();
        if !SCHEMES.contains(&url.scheme()) {
            return Err(wrong().into());
        }
        Ok(Self { scheme: url.scheme().to_owned(), host, port: url.port(), credentials, origin: origin.to_owned() })
    }

    /// Its URL, without user name and password.
    #[must_use]
    pub fn url(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.scheme, self.host)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {} (from {})", self.url(), self.origin)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which proxy is for which URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proxies {
    /// By scheme of the URL.
    pub(crate) by_scheme: BTreeMap<String, Proxy>,
    /// The hosts that are reached without one.
    pub(crate) direct: NoProxy,
}

impl Proxies {
    /// Those of the environment: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in lower or upper case.
    ///
    /// # Errors
    /// A usage failure for a variable that is not the URL of a proxy.
    pub(crate) fn of_environment(machine: &Machine) -> Result<Self> {
        let either = |name: &str| {
            let upper = name.to_uppercase();
            let lower = machine.var(name).map(|value| (value, name.to_owned()));
            lower.or_else(|| machine.var(&upper).map(|value| (value, upper)))
        };
        let mut found = Self::default();
        for scheme in ["http", "https"] {
            if let Some((value, name)) = either(&format!("{scheme}_proxy")).or_else(|| either("all_proxy")) {
                found.by_scheme.insert(scheme.to_owned(), Proxy::parse(value, &name)?);
            }
        }
        found.direct = either("no_proxy").map(|(value, _)| NoProxy::parse(value)).unwrap_or_default();
        Ok(found)
    }

    /// Uses `proxy` for all schemes.
    pub(crate) fn set_all(&mut self, proxy: &Proxy) {
        for scheme in ["http", "https"] {
            self.by_scheme.insert(scheme.to_owned(), proxy.clone());
        }
    }

    /// The proxy for `url`.
    pub(crate) fn choose(&self, url: &Url) -> Option<&Proxy> {
        self.by_scheme.get(url.scheme()).filter(|_| !self.direct.contains(url))
    }
}

/// `no_proxy`: hosts that are reached without a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NoProxy(Vec<Direct>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Direct {
    All,
    /// A name and all names below it, with any port or this one.
    Name(String, Option<u16>),
    /// The addresses whose first bits are these.
    Block(IpAddr, u8, Option<u16>),
}

impl NoProxy {
    /// Parses a list with commas or blanks. As in curl and Go: a name is also for the names below it, with or without a
    /// dot (or `*.`) before it; addresses may be blocks such as `10.0.0.0/8`; a port restricts an entry; `*` is for all.
    pub(crate) fn parse(text: &str) -> Self {
        let entries = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
        Self(entries.filter_map(Direct::parse).collect())
    }

    /// Whether `url` is reached without a proxy.
    pub(crate) fn contains(&self, url: &Url) -> bool {
        let host =
            url.host_str().unwrap_or_default().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok().map(unmapped);
        let port = url.port_or_known_default();
        self.0.iter().any(|entry| entry.fits(&host, address, port))
    }
}

impl Direct {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self::All);
        }
        if let Some((address, bits)) = entry.rsplit_once('/') {
            let address = unmapped(address.trim_matches(['[', ']']).parse().ok()?);
            let bits: u8 = bits.parse().ok()?;
            let longest = if address.is_ipv4() { 32 } else { 128 };
            return (bits <= longest).then_some(Self::Block(address, bits, None));
        }
        let (host, port) = match entry.rsplit_once(':') {
            // An IPv6 address without brackets has more than one colon.
            Some((host, port)) if host.ends_with(']') || !host.contains(':') => (host, Some(port.parse().ok()?)),
            _ => (entry, None),
        };
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            let address = unmapped(address);
            return Some(Self::Block(address, if address.is_ipv4() { 32 } else { 128 }, port));
        }
        let name = host.strip_prefix('*').unwrap_or(host).trim_start_matches('.').trim_end_matches('.');
        (!name.is_empty()).then(|| Self::Name(name.to_ascii_lowercase(), port))
    }

    fn fits(&self, host: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
        match self {
            Self::All => true,
            Self::Name(name, own) => {
                let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                below && own.is_none_or(|own| port == Some(own))
            }
            Self::Block(block, bits, own) => {
                address.is_some_and(|address| same_start(*block, address, *bits))
                    && own.is_none_or(|own| port == Some(own))
            }
        }
    }
}

/// `::ffff:10.0.0.1` is 10.0.0.1.
fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn same_start(one: IpAddr, two: IpAddr, bits: u8) -> bool {
    let differing = match (one, two) {
        (IpAddr::V4(one), IpAddr::V4(two)) => u128::from(one.to_bits() ^ two.to_bits()) << 96,
        (IpAddr::V6(one), IpAddr::V6(two)) => one.to_bits() ^ two.to_bits(),
        _ => return false,
    };
    differing.leading_zeros() >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies> {
        Proxies::of_environment(&Machine::of(Path::new("/"), variables))
    }

    fn direct(list: &str, urls: &[&str]) -> Vec<bool> {
        let list = NoProxy::parse(list);
        urls.iter().map(|url| list.contains(&url.parse().unwrap())).collect()
    }

    #[test]
    fn each_scheme_has_its_own_proxy() {
        assert_eq!(proxies(&[]).unwrap(), Proxies::default());
        let found = proxies(&[("HTTP_PROXY", "http://a.example:1"), ("https_proxy", "us%40er:p@b.example:2")]).unwrap();
        let of = |found: &Proxies, url: &str| found.choose(&url.parse().unwrap()).map(ToString::to_string);
        assert_eq!(of(&found, "http://x.example/").unwrap(), "the proxy http://a.example:1 (from HTTP_PROXY)");
        assert_eq!(of(&found, "https://x.example/").unwrap(), "the proxy http://b.example:2 (from https_proxy)");
        let credentials = found.by_scheme["https"].credentials.clone().unwrap();
        assert_eq!(credentials.text(), ("us@er".into(), "p".into()));
        assert_eq!(of(&found, "file:///srv/x"), None);
        let all = proxies(&[("ALL_PROXY", "socks5h://c.example"), ("no_proxy", "y.example")]).unwrap();
        assert_eq!(of(&all, "http://x.example/").unwrap(), "the proxy socks5h://c.example (from ALL_PROXY)");
        assert_eq!(of(&all, "http://y.example/"), None);
    }

    #[test]
    fn a_malformed_proxy_is_an_error_without_its_password() {
        for value in ["gopher://u:secret@x", "http://u:secret@", "u:secret@:"] {
            let error = format!("{:#}", proxies(&[("http_proxy", value)]).unwrap_err());
            assert!(error.contains("http_proxy") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn names_without_a_proxy_include_those_below() {
        let urls = ["http://x.example", "http://a.x.example.", "http://ax.example", "https://y.example:8443"];
        assert_eq!(direct("x.example", &urls), [true, true, false, false]);
        assert_eq!(direct(" .X.example ,y.example:8443", &urls), [true, true, false, true]);
        assert_eq!(direct("*.x.example y.example:443", &urls), [true, true, false, false]);
        assert_eq!(direct("*", &urls), [true; 4]);
        assert_eq!(direct("", &urls), [false; 4]);
    }

    #[test]
    fn addresses_without_a_proxy_may_be_blocks() {
        let urls = [
            "http://127.0.0.1:81/",
            "http://10.1.2.3",
            "http://10.128.0.1",
            "http://[fd00::1]:82/",
            "http://ten.example",
        ];
        assert_eq!(direct("localhost,127.0.0.0/8", &urls), [true, false, false, false, false]);
        assert_eq!(direct("10.0.0.0/9,fd00::/8", &urls), [false, true, false, true, false]);
        assert_eq!(direct("10.1.2.3,[fd00::1]:82,127.0.0.1:80", &urls), [false, true, false, true, false]);
        assert_eq!(direct("fd00::1 0.0.0.0/0", &urls), [true, true, true, true, false]);
        assert_eq!(direct("10.0.0.0/33,x/y,127.0.0.1/a", &urls), [false; 5]);
    }
}
