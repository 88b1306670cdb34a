//! Artifacts into the store: in parallel, resumed, verified.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::ui::Phase;
use sealift_layers::digest::Digest;
use ureq::http::{HeaderMap, StatusCode, header};

use super::client::{Client, unreachable};
use super::partial::Partial;
use super::trouble::{TRIES, Trouble, shown};
use crate::store::Store;

/// How much a try has to bring so that it does not count as a failed one.
const PROGRESS: u64 = 1 << 20;

/// How many names an error lists.
const LISTED: usize = 10;

/// An artifact to fetch.
pub struct Download<'a> {
    /// Its name in messages: the file's.
    pub name: String,
    /// Where it may be.
    pub urls: Urls<'a>,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
}

/// Where an artifact may be: places that are asked in this order.
pub enum Urls<'a> {
    /// Known places.
    Known(Vec<String>),
    /// Places that are looked up when it is their turn, by one of the fetching threads. None found: it is missing.
    Lazy(Box<dyn Fn() -> Result<Vec<String>> + Send + Sync + 'a>),
}

/// An artifact that no server has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
    /// Where it was looked for.
    pub urls: Vec<String>,
}

/// What a download did.
#[must_use = "some artifacts may be missing"]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Artifacts fetched.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Artifacts that no server has (404), by name. All others are in the store.
    pub missing: Vec<Missing>,
}

impl Fetched {
    /// An error if anything is missing; `hint` says what to do about it.
    ///
    /// # Errors
    /// A network failure that names what is missing.
    pub fn complete(&self, hint: &str) -> Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let names = self.missing.iter().map(|missing| match missing.urls.first() {
            Some(url) => format!("{} ({})", missing.name, shown(url)),
            None => missing.name.clone(),
        });
        let heading = match self.missing.len() {
            1 => "no server has this any more:".to_owned(),
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

/// Those that the store lacks, each once, the largest first (so that none of them is what all wait for at the end).
#[must_use]
pub fn lacking<'a, 'b>(jobs: &'b [Download<'a>], store: &Store) -> Vec<&'b Download<'a>> {
    let mut seen = BTreeSet::new();
    let mut lacking: Vec<_> = jobs.iter().filter(|job| store.artifact(&job.digest, job.size).is_none()).collect();
    lacking.retain(|job| seen.insert(job.digest));
    lacking.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
    lacking
}

/// Fetches the artifacts that the store lacks, `parallelism` at a time; `progress` counts their bytes.
///
/// What is complete stays in the store, and what is not is resumed by the next run, whatever happens.
///
/// # Errors
/// The first failure stops the others: network (no answer after several tries; or offline), verification (another content
/// than the digest says), the disk. An artifact that no server has is not an error here: see `Fetched::complete`.
pub fn download(
    client: &Client,
    jobs: &[Download<'_>],
    store: &Store,
    parallelism: usize,
    progress: &Phase<'_>,
) -> Result<Fetched> {
    let jobs = lacking(jobs, store);
    if client.is_offline() && !jobs.is_empty() {
        let mut names: Vec<_> = jobs.iter().map(|job| job.name.clone()).collect();
        names.sort();
        let failure = Failure::network(list("--offline, but these are not in the store:", names.into_iter()));
        return Err(failure.hint("run once without --offline").into());
    }
    let crew = Crew {
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
                    crew.work(job);
                }
            });
        }
    });
    if let Some(error) = crew.error.into_inner().expect("no thread panics") {
        return Err(error);
    }
    let mut fetched = crew.fetched.into_inner().expect("no thread panics");
    fetched.missing.sort();
    Ok(fetched)
}

/// What the threads share.
struct Crew<'a> {
    client: Client,
    store: &'a Store,
    progress: &'a Phase<'a>,
    stop: AtomicBool,
    error: Mutex<Option<anyhow::Error>>,
    fetched: Mutex<Fetched>,
}

impl Crew<'_> {
    fn work(&self, job: &Download<'_>) {
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
                // Wakes the threads that wait for a server. Their errors come later and do not count.
                self.client.shut_down();
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Fetches one artifact; gives the places where it was looked for, if none of them has it.
    fn fetch(&self, job: &Download<'_>) -> Result<Option<Vec<String>>> {
        self.progress.item(&job.name);
        let opened = Partial::open(self.store, &job.digest, job.size, self.progress, &self.stop)?;
        let Some(mut partial) = opened else { return Ok(None) };
        // What is whole already was left by a process killed just before it could say so.
        if partial.length == job.size && partial.digest() == job.digest {
            partial.promote()?;
            return Ok(None);
        }
        let urls = match &job.urls {
            Urls::Known(urls) => urls.clone(),
            Urls::Lazy(look_up) => look_up()?,
        };
        let mut unreachable = None;
        for url in &urls {
            match self.fetch_from(url, job, &mut partial) {
                Ok(()) => {
                    partial.promote()?;
                    return Ok(None);
                }
                Err(Trouble::Missing) => {}
                Err(Trouble::Again(why, _)) => unreachable = Some(self::unreachable(url, &why)),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Wrong(what)) => {
                    partial.discard();
                    let message = format!("{} {what}\n  from {}", job.name, shown(url));
                    let hint = "the mirror or something on the way to it has changed the file: try another mirror";
                    return Err(Failure::verification(message).hint(hint).into());
                }
            }
        }
        match unreachable {
            Some(error) => Err(error),
            None => {
                if partial.length == 0 {
                    partial.discard();
                }
                Ok(Some(urls))
            }
        }
    }

    /// Fetches from one place until it is whole and verified, or hope is lost.
    fn fetch_from(&self, url: &str, job: &Download<'_>, partial: &mut Partial<'_>) -> Result<(), Trouble> {
        let mut tries = 0;
        let mut longest = partial.length;
        let mut restarted = false;
        loop {
            let resumed = partial.length > 0;
            let trouble = match self.attempt(url, job, partial) {
                Ok(()) => return Ok(()),
                Err(trouble) => trouble,
            };
            match trouble {
                _ if self.stopped() => return Err(trouble),
                // The part that was there may be to blame: once more, from the start.
                Trouble::Wrong(_) if resumed && !restarted => {
                    restarted = true;
                    partial.restart().map_err(Trouble::Final)?;
                    longest = 0;
                }
                Trouble::Again(why, pause) => {
                    tries = if partial.length >= longest + PROGRESS { 1 } else { tries + 1 };
                    longest = longest.max(partial.length);
                    if tries == TRIES {
                        return Err(Trouble::Again(why, None));
                    }
                    self.client.pause(tries, pause, &self.stop);
                }
                trouble => return Err(trouble),
            }
        }
    }

    /// One request, from where the partial file ends.
    fn attempt(&self, url: &str, job: &Download<'_>, partial: &mut Partial<'_>) -> Result<(), Trouble> {
        if partial.length < job.size || job.size == 0 {
            self.receive(url, job, partial)?;
        }
        let got = partial.digest();
        if got != job.digest {
            return Err(Trouble::Wrong(format!("has the wrong content\n  expected {}\n  got      {got}", job.digest)));
        }
        Ok(())
    }

    fn receive(&self, url: &str, job: &Download<'_>, partial: &mut Partial<'_>) -> Result<(), Trouble> {
        let range = format!("bytes={}-", partial.length);
        // The bytes as they are: compressed on the way, they could not be resumed.
        let mut headers = vec![(header::ACCEPT_ENCODING, "identity")];
        if partial.length > 0 {
            headers.push((header::RANGE, &range));
        }
        let response = self.client.request(url, &headers)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if continues(response.headers(), partial.length, job.size) => {}
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                partial.restart().map_err(Trouble::Final)?;
                return Err(Trouble::again("the server cannot continue where the file ends"));
            }
            status if status.is_success() => partial.restart().map_err(Trouble::Final)?,
            status => return Err(Trouble::of_status(status, response.headers(), &shown(url))),
        }
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 17];
        loop {
            if self.stopped() {
                return Err(Trouble::again("stopped"));
            }
            let n = reader
                .read(&mut buffer)
                .map_err(|error| Trouble::of_read(&error, &shown(url), self.client.patience.idle))
                .map_err(|trouble| match trouble {
                    Trouble::Again(why, pause) => {
                        Trouble::Again(format!("{why}, after {} of {} bytes", partial.length, job.size), pause)
                    }
                    other => other,
                })?;
            if n as u64 > job.size - partial.length {
                return Err(Trouble::Wrong(format!("is longer than the {} bytes that it should have", job.size)));
            }
            if n == 0 && partial.length < job.size {
                return Err(Trouble::again(format!("the server gave {} of {} bytes", partial.length, job.size)));
            }
            if n == 0 {
                return Ok(());
            }
            partial.write(&buffer[..n]).map_err(Trouble::Final)?;
        }
    }
}

/// Whether a `Content-Range` (RFC 9110, section 14.4) says: from `start` to the end of `size` bytes.
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
