//! The HTTP client: the machine's trust store and proxies, kept-alive connections, retries.

use std::io::Read as _;
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

use super::pace::{Budget, Pace, SLOW_TRIES};
use super::retry::{HEAD, RequestError, TRIES, shown, split_userinfo};

/// Timeouts and pauses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For a connection to be established.
    pub(super) connect: Duration,
    /// For the next byte of a response.
    pub(super) idle: Duration,
    /// Pause before the second attempt; doubled before each further one.
    pub(super) pause: Duration,
    /// The time over which the speed is measured.
    pub(super) window: Duration,
    /// For a transfer with all its attempts; its size adds to it.
    pub(super) total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let (connect, idle) = (Duration::from_secs(15), Duration::from_secs(30));
        let (window, total) = (Duration::from_secs(30), Duration::from_secs(900));
        Self { connect, idle, pause: Duration::from_millis(500), window, total }
    }
}

/// An HTTP client. Threads may share it.
#[derive(Debug)]
pub struct Client {
    /// For URLs with the scheme `http`; a redirect may lead to https.
    plain: Agent,
    /// For URLs with the scheme `https`; a redirect to http is refused.
    secure: Agent,
    offline: bool,
    pub(super) timeouts: Timeouts,
}

/// A fetched page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The content, decompressed if it was compressed on the way.
    pub bytes: Vec<u8>,
    /// The `Content-Type` header; empty if there is none.
    pub content_type: String,
    /// The URL after redirects: the base of its relative links.
    pub final_url: String,
}

impl Client {
    /// A client with the machine's proxies (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, in lower or upper case)
    /// and trust store (`SSL_CERT_FILE`, `SSL_CERT_DIR`, the system's). If `offline`, every request fails.
    ///
    /// # Errors
    /// A usage failure for a proxy variable that is not a URL.
    pub fn new(machine: &Machine, offline: bool) -> Result<Self> {
        Self::with_timeouts(machine, offline, Timeouts::default())
    }

    pub(super) fn with_timeouts(machine: &Machine, offline: bool, timeouts: Timeouts) -> Result<Self> {
        let agent = |scheme: &str| -> Result<Agent> {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .https_only(scheme == "https")
                .redirect_auth_headers(RedirectAuthHeaders::SameHost)
                .proxy(proxy(machine, scheme)?)
                .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
                .user_agent(concat!("sealift/", env!("CARGO_PKG_VERSION")))
                .timeout_connect(Some(timeouts.connect))
                .timeout_send_request(Some(HEAD))
                .timeout_recv_response(Some(HEAD))
                .timeout_per_read(Some(timeouts.idle))
                .timeout_per_write(Some(timeouts.idle))
                .max_idle_connections(32)
                .max_idle_connections_per_host(16);
            Ok(config.build().new_agent())
        };
        Ok(Self { plain: agent("http")?, secure: agent("https")?, offline, timeouts })
    }

    /// A client with the same settings and its own connections, so that closing them does not affect this one.
    pub(super) fn fresh(&self) -> Self {
        let copy = |agent: &Agent| Config::new_agent(agent.config());
        Self { plain: copy(&self.plain), secure: copy(&self.secure), ..*self }
    }

    /// Closes all connections, also those that threads are waiting on. No request succeeds after this.
    pub(super) fn shut_down(&self) {
        self.plain.clone().shutdown();
        self.secure.clone().shutdown();
    }

    /// Whether every request fails because of `--offline`.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// Fetches a page of at most `limit` bytes. `accept` is the `Accept` header (`*/*` for anything).
    ///
    /// # Errors
    /// A network failure: no response after several attempts, or a page that does not exist or is too long.
    pub fn get(&self, url: &str, accept: &str, limit: u64) -> Result<Page> {
        self.find(url, accept, limit)?.ok_or_else(|| {
            let failure = Failure::network(format!("{}: not found (404)", shown(url)));
            failure.hint("check the URL, or name another mirror").into()
        })
    }

    /// Like [`Self::get`], but `None` for a page that does not exist (404, 410).
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub fn find(&self, url: &str, accept: &str, limit: u64) -> Result<Option<Page>> {
        let never = AtomicBool::new(false);
        let budget = Budget::start(self.timeouts.total, limit);
        let (mut tries, mut slow) = (0, 0);
        loop {
            let (reason, pause) = match self.page(url, accept, limit, budget) {
                Ok(page) => return Ok(Some(page)),
                Err(RequestError::NotFound) => return Ok(None),
                Err(RequestError::Fatal(error)) => return Err(error),
                Err(RequestError::WrongContent(reason)) => {
                    return Err(Failure::network(format!("{} {reason}", shown(url))).into());
                }
                Err(RequestError::Temporary { reason, pause }) => (reason, pause),
                Err(RequestError::Slow(reason)) => {
                    slow += 1;
                    (reason, None)
                }
            };
            tries += 1;
            if tries == TRIES || slow == SLOW_TRIES {
                return Err(unreachable(url, &reason, tries));
            }
            self.pause(tries, pause, &never);
        }
    }

    fn page(&self, url: &str, accept: &str, limit: u64, budget: Budget) -> Result<Page, RequestError> {
        let response = self.request(url, &[(header::ACCEPT, accept)])?;
        if !response.status().is_success() {
            return Err(RequestError::of_status(response.status(), response.headers(), &shown(url)));
        }
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let final_url = response.get_uri().to_string();
        let mut pace = Pace::new(budget, self.timeouts.window);
        let mut reader = response.into_body().into_reader();
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            let n = reader.read(&mut buffer);
            let n = n.map_err(|error| RequestError::of_read(&error, &shown(url), self.timeouts.idle))?;
            if n == 0 {
                return Ok(Page { bytes, content_type, final_url });
            }
            pace.count(n)?;
            bytes.extend_from_slice(&buffer[..n]);
            if bytes.len() as u64 > limit {
                return Err(RequestError::WrongContent(format!("is longer than {}", ui::bytes(limit))));
            }
        }
    }

    /// Sends one request. A response with any status is a success.
    pub(super) fn request(
        &self,
        url: &str,
        headers: &[(header::HeaderName, &str)],
    ) -> Result<Response<Body>, RequestError> {
        if self.offline {
            let failure = Failure::network(format!("cannot fetch {}: --offline is set", shown(url)));
            return Err(RequestError::Fatal(failure.hint("run once without --offline").into()));
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
        request.call().map_err(|error| RequestError::of_client(error, &plain_url, self.timeouts.idle))
    }

    /// Waits before the next attempt: as long as the server asked, else longer after each attempt. Returns early when
    /// `stop` is set.
    pub(super) fn pause(&self, tries: u32, asked: Option<Duration>, stop: &AtomicBool) {
        let until = Instant::now() + asked.unwrap_or(self.timeouts.pause * 2_u32.pow(tries.min(6) - 1));
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50).min(until - Instant::now()));
        }
    }
}

pub(super) fn unreachable(url: &str, reason: &str, tries: u32) -> anyhow::Error {
    let failure = Failure::network(format!("cannot fetch {}: {reason} ({tries} attempts)", shown(url)));
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

/// The proxy that the environment names for URLs of this scheme.
fn proxy(machine: &Machine, scheme: &str) -> Result<Option<Proxy>> {
    let either = |name: &str| machine.var(name).or_else(|| machine.var(&name.to_uppercase()));
    let Some(url) = either(&format!("{scheme}_proxy")).or_else(|| either("all_proxy")) else { return Ok(None) };
    let wrong = || {
        let failure =
            Failure::usage(format!("the proxy variable for {scheme} is not the URL of a proxy: `{}`", shown(url)));
        failure.hint("use a URL such as http://proxy.example:3128")
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
        // As in curl: a name matches itself and its subdomains, with or without a leading dot.
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
    fn each_scheme_has_its_own_proxy() {
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
    fn passwords_in_urls_are_sent_but_not_shown() {
        let url = "https://us%40er:pa%3Ass%zz@mirror.example/simple/?a=b@c";
        let (plain, userinfo) = split_userinfo(url).unwrap();
        assert_eq!(plain, "https://mirror.example/simple/?a=b@c");
        assert_eq!(authorization(userinfo), format!("Basic {}", STANDARD.encode("us@er:pa:ss%zz")));
        assert_eq!(shown(&plain), plain);
    }
}
