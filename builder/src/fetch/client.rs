//! The HTTP client: the machine's trust store and proxies, kept-alive connections, retries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::ui;
use ureq::config::{Config, RedirectAuthHeaders};
use ureq::http::{Response, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy, ResponseExt as _};

use super::trouble::{TRIES, Trouble, shown, split_userinfo};

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) connect: Duration,
    /// For the next byte of an answer.
    pub(super) idle: Duration,
    /// Before the second try; doubled before each further one.
    pub(super) pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let (connect, idle) = (Duration::from_secs(15), Duration::from_secs(30));
        Self { connect, idle, pause: Duration::from_millis(500) }
    }
}

/// An HTTP client. Threads may share it.
#[derive(Debug)]
pub struct Client {
    /// For URLs that start in `http:`; a redirect may lead to https.
    plain: Agent,
    /// For URLs that start in `https:`; a redirect to http is refused.
    secure: Agent,
    offline: bool,
    pub(super) patience: Patience,
}

/// A page as fetched.
#[derive(Clone, Debug)]
pub struct Page {
    /// The content, decompressed if it was compressed on the way.
    pub bytes: Vec<u8>,
    /// The `Content-Type` header, as it is; empty if there is none.
    pub content_type: String,
    /// Where it was found after redirects: what its relative links relate to.
    pub final_url: String,
}

impl Client {
    /// A client with the machine's proxies (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, small or capital) and
    /// trust store (`SSL_CERT_FILE`, `SSL_CERT_DIR`, the system's). When `offline`, every request is an error.
    ///
    /// # Errors
    /// When a proxy variable is not a URL (usage).
    pub fn new(machine: &Machine, offline: bool) -> Result<Self> {
        Self::with_patience(machine, offline, Patience::default())
    }

    pub(super) fn with_patience(machine: &Machine, offline: bool, patience: Patience) -> Result<Self> {
        let agent = |scheme: &str| -> Result<Agent> {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .https_only(scheme == "https")
                .redirect_auth_headers(RedirectAuthHeaders::SameHost)
                .proxy(proxy(machine, scheme)?)
                .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
                .user_agent(concat!("sealift/", env!("CARGO_PKG_VERSION")))
                .timeout_connect(Some(patience.connect))
                .timeout_per_read(Some(patience.idle))
                .timeout_per_write(Some(patience.idle))
                .max_idle_connections(32)
                .max_idle_connections_per_host(16);
            Ok(config.build().new_agent())
        };
        Ok(Self { plain: agent("http")?, secure: agent("https")?, offline, patience })
    }

    /// The same client with connections of its own, so that they can be closed without harm to others.
    pub(super) fn fresh(&self) -> Self {
        let again = |agent: &Agent| Config::new_agent(agent.config());
        Self { plain: again(&self.plain), secure: again(&self.secure), ..*self }
    }

    /// Closes all connections, also those that threads wait for; no request succeeds after it.
    pub(super) fn shut_down(&self) {
        self.plain.clone().shutdown();
        self.secure.clone().shutdown();
    }

    /// Whether nothing may be fetched.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// Fetches a page of at most `limit` bytes. `accept` is the `Accept` header (`*/*` for anything).
    ///
    /// # Errors
    /// Network failures: no answer after several tries, a page that is missing or too long.
    pub fn get(&self, url: &str, accept: &str, limit: u64) -> Result<Page> {
        self.find(url, accept, limit)?.ok_or_else(|| {
            let failure = Failure::network(format!("{}: the server does not have it (404)", shown(url)));
            failure.hint("check the URL, or name another mirror").into()
        })
    }

    /// As `get`, but a page that the server does not have (404, 410) is `None`.
    ///
    /// # Errors
    /// As for `get`.
    pub fn find(&self, url: &str, accept: &str, limit: u64) -> Result<Option<Page>> {
        let never = AtomicBool::new(false);
        let mut tries = 0;
        loop {
            let (why, pause) = match self.page(url, accept, limit) {
                Ok(page) => return Ok(Some(page)),
                Err(Trouble::Missing) => return Ok(None),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Wrong(why)) => return Err(Failure::network(format!("{}: {why}", shown(url))).into()),
                Err(Trouble::Again(why, pause)) => (why, pause),
            };
            tries += 1;
            if tries == TRIES {
                return Err(unreachable(url, &why));
            }
            self.pause(tries, pause, &never);
        }
    }

    fn page(&self, url: &str, accept: &str, limit: u64) -> Result<Page, Trouble> {
        let response = self.request(url, &[(header::ACCEPT, accept)])?;
        if !response.status().is_success() {
            return Err(Trouble::of_status(response.status(), response.headers(), &shown(url)));
        }
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let final_url = response.get_uri().to_string();
        let bytes =
            response.into_body().into_with_config().limit(limit).read_to_vec().map_err(|error| match error {
                ureq::Error::BodyExceedsLimit(_) => Trouble::Wrong(format!("is longer than {}", ui::bytes(limit))),
                error => Trouble::of_client(error, &shown(url), self.patience.idle),
            })?;
        Ok(Page { bytes, content_type, final_url })
    }

    /// One request; any status is an answer.
    pub(super) fn request(&self, url: &str, headers: &[(header::HeaderName, &str)]) -> Result<Response<Body>, Trouble> {
        if self.offline {
            let failure = Failure::network(format!("{} is needed, but --offline forbids to fetch it", shown(url)));
            return Err(Trouble::Final(failure.hint("run once without --offline").into()));
        }
        let (plain_url, userinfo) = split_userinfo(url).map_or((url.to_owned(), None), |(url, user)| (url, Some(user)));
        let agent = if plain_url.starts_with("https:") { &self.secure } else { &self.plain };
        let mut request = agent.get(&plain_url);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        if let Some(userinfo) = userinfo {
            request = request.header(header::AUTHORIZATION, authorization(userinfo));
        }
        request.call().map_err(|error| Trouble::of_client(error, &plain_url, self.patience.idle))
    }

    /// Waits before the next try, if nobody says stop.
    pub(super) fn pause(&self, tries: u32, asked: Option<Duration>, stop: &AtomicBool) {
        let until = Instant::now() + asked.unwrap_or(self.patience.pause * 2_u32.pow(tries.min(6) - 1));
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50).min(until - Instant::now()));
        }
    }
}

pub(super) fn unreachable(url: &str, why: &str) -> anyhow::Error {
    let failure = Failure::network(format!("cannot fetch {}: {why} ({TRIES} tries)", shown(url)));
    failure.hint("check the network, the proxy variables (HTTPS_PROXY, NO_PROXY) and the mirror").into()
}

/// The `Authorization` header for a user name and password from a URL (RFC 7617).
fn authorization(userinfo: &str) -> String {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let mut pair = percent_decoded(user);
    pair.push(b':');
    pair.extend(percent_decoded(password));
    format!("Basic {}", STANDARD.encode(pair))
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let decoded = after.first_chunk::<2>().filter(|_| *first == b'%').and_then(|hex| {
            let mut byte = [0];
            hex::decode_to_slice(hex, &mut byte).ok().map(|()| byte[0])
        });
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    bytes
}

/// The proxy for URLs of this scheme, as the environment has it.
fn proxy(machine: &Machine, scheme: &str) -> Result<Option<Proxy>> {
    let either = |name: &str| machine.var(name).or_else(|| machine.var(&name.to_uppercase()));
    let Some(url) = either(&format!("{scheme}_proxy")).or_else(|| either("all_proxy")) else { return Ok(None) };
    let wrong = || {
        let failure = Failure::usage(format!("the proxy variable for {scheme} is not understood: `{}`", shown(url)));
        failure.hint("a proxy is named like this: http://proxy.example:3128")
    };
    let parsed = Proxy::new(url).map_err(|_| wrong())?;
    let mut builder = Proxy::builder(parsed.protocol()).host(parsed.host()).port(parsed.port());
    if let Some(user) = parsed.username() {
        builder = builder.username(user);
    }
    if let Some(password) = parsed.password() {
        builder = builder.password(password);
    }
    for name in either("no_proxy").unwrap_or_default().split(',') {
        // A name stands for itself and all below it, with a dot before it or without, as elsewhere.
        let name = name.trim().trim_start_matches('*').trim_start_matches('.');
        match name {
            "" => {}
            _ => builder = builder.no_proxy(name).no_proxy(&format!(".{name}")),
        }
    }
    if either("no_proxy").is_some_and(|names| names.split(',').any(|name| name.trim() == "*")) {
        builder = builder.no_proxy("*");
    }
    Ok(Some(builder.build().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn proxies_go_by_scheme() {
        let of = |variables: &[(&str, &str)], scheme| proxy(&Machine::of(Path::new("/"), variables), scheme);
        assert!(of(&[], "http").unwrap().is_none());
        let variables = [
            ("HTTP_PROXY", "http://a.example:1"),
            ("https_proxy", "u:p@b.example:2"),
            ("NO_PROXY", "x.example, .y.example"),
        ];
        assert_eq!(of(&variables, "http").unwrap().unwrap().host(), "a.example");
        let secure = of(&variables, "https").unwrap().unwrap();
        assert_eq!((secure.host(), secure.port(), secure.password()), ("b.example", 2, Some("p")));
        let direct = |proxy: &Proxy, url: &str| proxy.is_no_proxy(&url.parse().unwrap());
        assert!(
            ["x.example", "a.x.example", "y.example", "a.y.example"]
                .iter()
                .all(|host| direct(&secure, &format!("https://{host}/")))
        );
        assert!(!direct(&secure, "https://ax.example/"));
        let all = of(&[("ALL_PROXY", "http://c.example"), ("no_proxy", "*")], "https").unwrap().unwrap();
        assert!(direct(&all, "https://any.example/"));
        let error = of(&[("http_proxy", "gopher://u:secret@x")], "http").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn passwords_are_sent_but_not_shown() {
        let url = "https://us%40er:pa%3Ass%zz@mirror.example/simple/?a=b@c";
        let (plain, userinfo) = split_userinfo(url).unwrap();
        assert_eq!(plain, "https://mirror.example/simple/?a=b@c");
        assert_eq!(authorization(userinfo), format!("Basic {}", STANDARD.encode("us@er:pa:ss%zz")));
        assert_eq!(shown(&plain), plain);
    }
}
