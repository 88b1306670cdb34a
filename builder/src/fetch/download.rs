//! Downloads of artifacts into the store: in parallel, resumable, verified.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::ui::Phase;
use sealift_layers::digest::Digest;
use ureq::http::{HeaderMap, StatusCode, header};

use super::client::{Client, Method, open};
use super::pace::{Budget, Pace};
use super::partial::Partial;
use super::retry::RequestError;
use super::rounds::{Outcome, failure};
use crate::mirrors::access::Address;
use crate::store::Store;

/// An attempt that receives this many bytes resets the count of failed attempts.
const PROGRESS: u64 = 1 << 20;

/// Longest list of names in an error.
const LISTED: usize = 10;

/// An artifact to fetch.
pub struct Download<'a> {
    /// The file's name, for messages.
    pub name: String,
    /// Where the file may be found.
    pub urls: Urls<'a>,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub digest: Digest,
}

/// The URLs of an artifact, in the order in which they are tried.
pub enum Urls<'a> {
    /// URLs that are known in advance.
    Known(Vec<Address>),
    /// URLs that are looked up when the download starts, on one of the downloading threads. No URL: the artifact is
    /// missing.
    Lazy(Box<dyn Fn() -> Result<Vec<Address>> + Send + Sync + 'a>),
}

/// An artifact that no server has (404, or no URL).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// The file's name.
    pub name: String,
    /// SHA-256 of the content.
    pub digest: Digest,
    /// The URLs that were tried.
    pub urls: Vec<String>,
}

/// The result of [`download`].
#[must_use = "some artifacts may be missing"]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Number of artifacts fetched.
    pub count: usize,
    /// Their total size in bytes.
    pub bytes: u64,
    /// Artifacts that no server has, sorted by name. All others are in the store.
    pub missing: Vec<Missing>,
}

impl Fetched {
    /// Checks that nothing is missing. `hint` is the hint of the error.
    ///
    /// # Errors
    /// A network failure that lists the missing artifacts.
    pub fn complete(&self, hint: &str) -> Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let names = self.missing.iter().map(|missing| match missing.urls.first() {
            Some(url) => format!("{} ({url})", missing.name),
            None => missing.name.clone(),
        });
        let heading = match self.missing.len() {
            1 => "no server has this file any more:".to_owned(),
            n => format!("no server has these {n} files any more:"),
        };
        Err(Failure::network(list(&heading, names)).hint(hint).into())
    }
}

fn list(heading: &str, names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let mut text = heading.to_owned();
    for name in names.take(LISTED) {
        text.push_str("\n  ");
        text.push_str(&name);
    }
    if more > 0 {
        text.push_str(&format!("\n  and {more} more"));
    }
    text
}

/// The downloads that are not in the store, each digest once. The largest come first, so that none of them is left for
/// the end, when the other threads have nothing to do.
fn not_in_store<'a, 'b>(jobs: &'b [Download<'a>], store: &Store) -> Vec<&'b Download<'a>> {
    let mut seen = BTreeSet::new();
    let mut needed: Vec<_> = jobs.iter().filter(|job| store.artifact(&job.digest, job.size).is_none()).collect();
    needed.retain(|job| seen.insert(job.digest));
    needed.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
    needed
}

/// Fetches the artifacts that are not in the store, `parallelism` at a time; `progress` counts their bytes.
///
/// Complete downloads stay in the store also when an error occurs; the next run resumes the incomplete ones.
///
/// # Errors
/// The first error stops all downloads: network (no response after several attempts, or offline), verification (the
/// content does not match the digest), or disk. A missing artifact is no error: see [`Fetched::complete`].
pub fn download(
    client: &Client,
    jobs: &[Download<'_>],
    store: &Store,
    parallelism: usize,
    progress: &Phase<'_>,
) -> Result<Fetched> {
    let jobs = not_in_store(jobs, store);
    if client.is_offline() && !jobs.is_empty() {
        let mut names: Vec<_> = jobs.iter().map(|job| job.name.clone()).collect();
        names.sort();
        let failure =
            Failure::network(list("--offline is set, but these files are not in the store:", names.into_iter()));
        return Err(failure.hint("run once without --offline, or name a folder that has them with --artifacts").into());
    }
    let workers = Workers {
        client: client.fresh(),
        store,
        progress,
        stop: AtomicBool::new(false),
        error: Mutex::new(None),
        fetched: Mutex::new(Fetched::default()),
    };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..parallelism.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    workers.process(job);
                }
            });
        }
    });
    if let Some(error) = workers.error.into_inner().expect("no thread panics") {
        return Err(error);
    }
    let mut fetched = workers.fetched.into_inner().expect("no thread panics");
    fetched.missing.sort();
    Ok(fetched)
}

/// State shared by the downloading threads.
struct Workers<'a> {
    client: Client,
    store: &'a Store,
    progress: &'a Phase<'a>,
    stop: AtomicBool,
    error: Mutex<Option<anyhow::Error>>,
    fetched: Mutex<Fetched>,
}

impl Workers<'_> {
    fn process(&self, job: &Download<'_>) {
        if self.stopped() {
            return;
        }
        let result = self.fetch(job);
        let mut fetched = self.fetched.lock().expect("no thread panics");
        match result {
            Ok(None) => {
                fetched.count += 1;
                fetched.bytes += job.size;
            }
            Ok(Some(urls)) => fetched.missing.push(Missing { name: job.name.clone(), digest: job.digest, urls }),
            Err(error) => {
                self.error.lock().expect("no thread panics").get_or_insert(error);
                self.stop.store(true, Ordering::Relaxed);
                // Wakes threads that wait for a server. Their errors come later and are dropped.
                self.client.shut_down();
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Fetches one artifact. Returns the tried URLs if none of them has it.
    fn fetch(&self, job: &Download<'_>) -> Result<Option<Vec<String>>> {
        self.progress.item(&job.name);
        let opened = Partial::open(self.store, &job.digest, job.size, self.progress, &self.stop)?;
        let Some(mut partial) = opened else { return Ok(None) };
        // A process that was killed just before `promote` leaves a complete file.
        if partial.length == job.size && partial.digest() == job.digest {
            partial.promote()?;
            return Ok(None);
        }
        let urls = match &job.urls {
            Urls::Known(urls) => urls.clone(),
            Urls::Lazy(look_up) => look_up()?,
        };
        let budget = Budget::start(self.client.timeouts.total, job.size);
        let mut longest = partial.length;
        let outcome = self.client.ask(&urls, &self.stop, |address| {
            let fetched = self.fetch_from(address, job, &mut partial, budget);
            let progress = partial.length >= longest + PROGRESS;
            longest = longest.max(partial.length);
            fetched.map_err(|error| match error {
                RequestError::Temporary { reason, pause, .. } => RequestError::Temporary { reason, pause, progress },
                error => error,
            })
        })?;
        // Where one server does not have the file, others that forbid it do not have it either: object stores say so.
        let outcome = match outcome {
            Outcome::Failed(tried) if tried.len() < urls.len() && tried.iter().all(|tried| tried.forbidden) => {
                Outcome::Missing
            }
            outcome => outcome,
        };
        match outcome {
            Outcome::Found(()) => {
                partial.promote()?;
                Ok(None)
            }
            Outcome::Missing => {
                if partial.length == 0 {
                    partial.discard();
                }
                Ok(Some(urls.iter().map(ToString::to_string).collect()))
            }
            Outcome::Failed(tried) => {
                if partial.length == 0 {
                    partial.discard();
                }
                Err(failure(&job.name, tried))
            }
        }
    }

    /// Fetches from one server. The part from an earlier run, or from another server, may be damaged: then once more, from
    /// the start.
    fn fetch_from(
        &self,
        address: &Address,
        job: &Download<'_>,
        partial: &mut Partial<'_>,
        budget: Budget,
    ) -> Result<(), RequestError> {
        let resumed = partial.length > 0;
        let first = self.attempt(address, job, partial, budget);
        let Err(RequestError::WrongContent(_)) = first else { return first };
        partial.restart().map_err(RequestError::Fatal)?;
        if !resumed {
            return first;
        }
        let second = self.attempt(address, job, partial, budget);
        if let Err(RequestError::WrongContent(_)) = second {
            partial.restart().map_err(RequestError::Fatal)?;
        }
        second
    }

    /// One request, from the end of the partial file; then checks the digest.
    fn attempt(
        &self,
        address: &Address,
        job: &Download<'_>,
        partial: &mut Partial<'_>,
        budget: Budget,
    ) -> Result<(), RequestError> {
        if partial.length < job.size || job.size == 0 {
            self.receive(address, job, partial, budget)?;
        }
        let got = partial.digest();
        if got != job.digest {
            let what = format!("has the wrong content\n  expected {}\n  got      {got}", job.digest);
            return Err(RequestError::WrongContent(what));
        }
        Ok(())
    }

    /// Sends the request and writes the body into the partial file.
    fn receive(
        &self,
        address: &Address,
        job: &Download<'_>,
        partial: &mut Partial<'_>,
        budget: Budget,
    ) -> Result<(), RequestError> {
        let mut reader = self.open(address, job, partial)?;
        let mut pace = Pace::new(budget, self.client.timeouts.window);
        let mut buffer = vec![0; 1 << 17];
        loop {
            if self.stopped() {
                return Err(RequestError::temporary("stopped"));
            }
            let n = reader.read(&mut buffer).map_err(|error| self.interrupted(&error, job, partial))?;
            if n as u64 > job.size - partial.length {
                return Err(RequestError::WrongContent(format!("is longer than the expected {} bytes", job.size)));
            }
            if n == 0 && partial.length < job.size {
                let reason = format!("the server sent {} of {} bytes", partial.length, job.size);
                return Err(RequestError::temporary(reason));
            }
            if n == 0 {
                return Ok(());
            }
            partial.write(&buffer[..n]).map_err(RequestError::Fatal)?;
            if partial.length < job.size {
                pace.count(n)?;
            }
        }
    }

    /// The rest of the file. Empties the partial file if the server sends the whole file.
    fn open(
        &self,
        address: &Address,
        job: &Download<'_>,
        partial: &mut Partial<'_>,
    ) -> Result<Box<dyn Read>, RequestError> {
        if let Some(path) = address.file() {
            let mut file = open(&path)?;
            file.seek(SeekFrom::Start(partial.length)).map_err(|error| self.interrupted(&error, job, partial))?;
            return Ok(Box::new(file));
        }
        let range = format!("bytes={}-", partial.length);
        // A compressed body could not be resumed.
        let mut headers = vec![(header::ACCEPT_ENCODING, "identity")];
        if partial.length > 0 {
            headers.push((header::RANGE, &range));
        }
        let (response, _) = self.client.request(Method::Get, address, &headers)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if continues(response.headers(), partial.length, job.size) => {}
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                partial.restart().map_err(RequestError::Fatal)?;
                return Err(RequestError::temporary("the server cannot resume the download"));
            }
            _ => partial.restart().map_err(RequestError::Fatal)?,
        }
        Ok(Box::new(response.into_body().into_reader()))
    }

    /// An error while the body was read, with the number of bytes so far.
    fn interrupted(&self, error: &io::Error, job: &Download<'_>, partial: &Partial<'_>) -> RequestError {
        RequestError::of_read(error, self.client.timeouts.idle)
            .map(|reason| format!("{reason}, after {} of {} bytes", partial.length, job.size))
    }
}

/// Whether a `Content-Range` (RFC 9110, section 14.4) goes from `start` to the end of a file of `size` bytes.
fn continues(headers: &HeaderMap, start: u64, size: u64) -> bool {
    let range = || {
        let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes ")?;
        let (span, total) = range.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        let last: u64 = last.parse().ok()?;
        Some(
            first.parse() == Ok(start)
                && last.checked_add(1) == Some(size)
                && (total == "*" || total.parse() == Ok(size)),
        )
    };
    range().unwrap_or(false)
}
