//! The HTTP client: kept-alive connections, redirects, retries. How a server is reached is part of its [`Address`].

use std::collections::BTreeMap;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::ui;
use sealift_layers::digest::{Hasher, Measured};
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::agent::{self, Way, way};
use super::pace::{Budget, Pace};
use super::retry::{HEAD, RequestError};
use super::rounds::{Failing, Outcome, failure};
use crate::mirrors::access::{Address, Route};

/// Longest chain of redirects.
const REDIRECTS: u32 = 10;

/// Timeouts and pauses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For a connection to be established.
    pub(super) connect: Duration,
    /// For a request to be sent, and for the whole header of its response.
    pub(super) head: Duration,
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
        Self { connect, head: HEAD, idle, pause: Duration::from_millis(500), window, total }
    }
}

/// An HTTP client. Threads may share it.
#[derive(Debug)]
pub struct Client {
    /// `None` once all connections are closed.
    agents: Mutex<Option<BTreeMap<Way, Agent>>>,
    offline: bool,
    pub(super) timeouts: Timeouts,
    pub(super) failing: Failing,
}

/// A fetched page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The content, decompressed if it was compressed on the way.
    pub bytes: Vec<u8>,
    /// The `Content-Type` header; empty if there is none.
    pub content_type: String,
    /// The address after redirects: the base of its relative links.
    pub address: Address,
}

/// What a server says about a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `Content-Length`, in bytes.
    pub size: Option<u64>,
    /// `Last-Modified`, as it is sent (RFC 9110, section 8.8.2).
    pub modified: Option<String>,
}

impl Client {
    /// A client. If `offline`, every request fails.
    #[must_use]
    pub fn new(offline: bool) -> Self {
        Self::with_timeouts(offline, Timeouts::default())
    }

    pub(super) fn with_timeouts(offline: bool, timeouts: Timeouts) -> Self {
        Self { agents: Mutex::new(Some(BTreeMap::new())), offline, timeouts, failing: Failing::default() }
    }

    /// A client with the same settings and its own connections, so that closing them does not affect this one.
    pub(super) fn fresh(&self) -> Self {
        Self { failing: self.failing.clone(), ..Self::with_timeouts(self.offline, self.timeouts) }
    }

    /// Closes all connections, also those that threads are waiting on. No request succeeds after this.
    pub(super) fn shut_down(&self) {
        let agents = self.agents.lock().expect("no thread panics").take();
        agents.into_iter().flat_map(BTreeMap::into_values).for_each(Agent::shutdown);
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
    pub fn get(&self, address: &Address, accept: &str, limit: u64) -> Result<Page> {
        self.find(address, accept, limit)?.ok_or_else(|| not_found(address))
    }

    /// Like [`Self::get`], but `None` for a page that does not exist (404, 410).
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub fn find(&self, address: &Address, accept: &str, limit: u64) -> Result<Option<Page>> {
        self.find_in(std::slice::from_ref(address), accept, limit, "it", |_, page| Ok(page))
    }

    /// Fetches a page, which messages call `name`, from the first server that has it. `check`, which gets the address that
    /// was asked, decides whether it is valid; if not, the other servers are asked. `None` if no server has it.
    ///
    /// # Errors
    /// Those of [`Self::get`], and those of `check`.
    pub fn find_in<T>(
        &self,
        addresses: &[Address],
        accept: &str,
        limit: u64,
        name: &str,
        mut check: impl FnMut(&Address, Page) -> Result<T>,
    ) -> Result<Option<T>> {
        let budget = Budget::start(self.timeouts.total, limit);
        let outcome = self.ask(addresses, &AtomicBool::new(false), |address| {
            check(address, self.page(address, accept, limit, budget)?).map_err(RequestError::Invalid)
        })?;
        match outcome {
            Outcome::Found(page) => Ok(Some(page)),
            Outcome::Missing => Ok(None),
            Outcome::Failed(tried) => Err(failure(name, tried)),
        }
    }

    /// Asks a server about a file, which is not transferred. Nothing is known about the files of some servers.
    #[must_use]
    pub fn facts(&self, address: &Address) -> Facts {
        let headers = [(header::ACCEPT_ENCODING, "identity")];
        let Ok((response, _)) = self.request(Method::Head, address, &headers) else { return Facts::default() };
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        Facts {
            size: text(header::CONTENT_LENGTH).and_then(|size| size.parse().ok()),
            modified: text(header::LAST_MODIFIED).map(str::to_owned),
        }
    }

    /// Size and SHA-256 of a file of at most `limit` bytes, which is transferred but not kept.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub fn measure(&self, address: &Address, limit: u64) -> Result<Measured> {
        self.measure_in(std::slice::from_ref(address), limit, "it")?.ok_or_else(|| not_found(address))
    }

    /// Like [`Self::measure`], of a file that messages call `name`, on the first server that has it. `None` if none has it.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub fn measure_in(&self, addresses: &[Address], limit: u64, name: &str) -> Result<Option<Measured>> {
        let budget = Budget::start(self.timeouts.total, 0);
        let outcome = self.ask(addresses, &AtomicBool::new(false), |address| {
            let (mut hasher, mut size) = (Hasher::default(), 0);
            self.stream(address, "*/*", limit, budget, &mut |bytes| {
                size += bytes.len() as u64;
                hasher.write_all(bytes).expect("hashing cannot fail");
            })?;
            Ok(Measured { digest: hasher.finish(), size })
        })?;
        match outcome {
            Outcome::Found(measured) => Ok(Some(measured)),
            Outcome::Missing => Ok(None),
            Outcome::Failed(tried) => Err(failure(name, tried)),
        }
    }

    fn page(&self, address: &Address, accept: &str, limit: u64, budget: Budget) -> Result<Page, RequestError> {
        let mut bytes = Vec::new();
        let (content_type, address) =
            self.stream(address, accept, limit, budget, &mut |more| bytes.extend_from_slice(more))?;
        Ok(Page { bytes, content_type, address })
    }

    /// Passes the content of a file to `sink`; returns its type, and its address after redirects.
    fn stream(
        &self,
        address: &Address,
        accept: &str,
        limit: u64,
        budget: Budget,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(String, Address), RequestError> {
        let (mut reader, content_type, address): (Box<dyn Read>, _, _) = match address.file() {
            // Of a folder of a local index, the page.
            Some(path) if path.is_dir() => (Box::new(open(&path.join("index.html"))?), String::new(), address.clone()),
            Some(path) => (Box::new(open(&path)?), String::new(), address.clone()),
            None => {
                let (response, address) = self.request(Method::Get, address, &[(header::ACCEPT, accept)])?;
                let content_type = response.headers().get(header::CONTENT_TYPE);
                let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
                (Box::new(response.into_body().into_reader()), content_type, address)
            }
        };
        let mut pace = Pace::new(budget, self.timeouts.window);
        let (mut length, mut buffer) = (0, vec![0; 1 << 16]);
        loop {
            let n = reader.read(&mut buffer);
            let n = n.map_err(|error| RequestError::of_read(&error, self.timeouts.idle))?;
            if n == 0 {
                return Ok((content_type, address));
            }
            pace.count(n)?;
            length += n as u64;
            if length > limit {
                return Err(RequestError::refused(format!("it is longer than {}", ui::bytes(limit)), None));
            }
            sink(&buffer[..n]);
        }
    }

    /// Sends a request and follows redirects. Returns a response with the status of success, or one to a request for a range
    /// (206, 416), and the address that it is from.
    pub(super) fn request(
        &self,
        method: Method,
        address: &Address,
        headers: &[(header::HeaderName, &str)],
    ) -> Result<(Response<Body>, Address), RequestError> {
        if self.offline {
            let failure = Failure::network(format!("cannot fetch {address}: --offline is set"));
            return Err(RequestError::Fatal(failure.hint("run once without --offline").into()));
        }
        let mut here = address.clone();
        for _ in 0..=REDIRECTS {
            let route = here.route().map_err(RequestError::Fatal)?;
            let explain = |reason: String| {
                let redirected =
                    if here == *address { String::new() } else { format!("redirected to {here}, which failed: ") };
                let proxy = route.proxy.as_ref().map(|proxy| format!(", through {proxy}")).unwrap_or_default();
                format!("{redirected}{reason}{proxy}")
            };
            let response = self.send(method, &here, &route, headers).map_err(|error| error.map(explain))?;
            let status = response.status();
            if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
                return Ok((response, here));
            }
            let location = response.headers().get(header::LOCATION).filter(|_| status.is_redirection());
            let Some(location) = location else {
                return Err(RequestError::of_status(status, response.headers(), &here, &route).map(explain));
            };
            here = redirected(&here, location.as_bytes())?;
        }
        Err(RequestError::refused("too many redirects", None))
    }

    fn send(
        &self,
        method: Method,
        address: &Address,
        route: &Route,
        headers: &[(header::HeaderName, &str)],
    ) -> Result<Response<Body>, RequestError> {
        let agent = self.agent(route)?;
        let url = address.url().as_str();
        let mut request = match method {
            Method::Get => agent.get(url),
            Method::Head => agent.head(url),
        };
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        if let Some(credentials) = &route.credentials {
            request = request.header(header::AUTHORIZATION, credentials.header());
        }
        request.call().map_err(|error| RequestError::of_client(error, self.timeouts.idle))
    }

    fn agent(&self, route: &Route) -> Result<Agent, RequestError> {
        let mut agents = self.agents.lock().expect("no thread panics");
        let agents = agents.as_mut().ok_or_else(|| RequestError::temporary("stopped"))?;
        let way = way(route);
        if let Some(agent) = agents.get(&way) {
            return Ok(agent.clone());
        }
        let agent = agent::agent(&way, &self.timeouts).map_err(RequestError::Fatal)?;
        agents.insert(way, agent.clone());
        Ok(agent)
    }

    /// Waits before the next attempt: as long as the server asked, else longer after each attempt. Returns early when
    /// `stop` is set.
    pub(super) fn pause(&self, tries: u32, asked: Option<Duration>, stop: &AtomicBool) {
        let until = Instant::now() + asked.unwrap_or(self.timeouts.pause * 2_u32.pow(tries.clamp(1, 6) - 1));
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50).min(until - Instant::now()));
        }
    }
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
}

/// Where a redirect leads.
fn redirected(from: &Address, location: &[u8]) -> Result<Address, RequestError> {
    let to = from.url().join(&String::from_utf8_lossy(location));
    let to = to.ok().filter(|to| matches!(to.scheme(), "http" | "https"));
    let to = from.at(to.ok_or_else(|| RequestError::refused("redirected to something that is not a URL", None))?);
    if from.url().scheme() == "https" && to.url().scheme() == "http" {
        let hint = "use the https URL of a server that does not redirect to http, or its http URL";
        return Err(RequestError::refused(format!("redirected from https to {to}"), Some(hint)));
    }
    Ok(to)
}

fn not_found(address: &Address) -> anyhow::Error {
    Failure::network(format!("{address}: not found (404)")).hint("check the URL, or name another mirror").into()
}

/// Opens a local file of an index or archive.
pub(super) fn open(path: &Path) -> Result<fs_err::File, RequestError> {
    match files::open(path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Err(RequestError::NotFound),
        opened => opened.map_err(|error| of_file(&error)),
    }
}

fn of_file(error: &io::Error) -> RequestError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => RequestError::NotFound,
        _ => RequestError::refused(error.to_string(), None),
    }
}
