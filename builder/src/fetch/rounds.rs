//! A file that several servers may have: each is asked in turn, and those with a temporary failure again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use sealift_deployment::failure::{Failure, Kind, one_line};

use super::client::Client;
use super::pace::SLOW_TRIES;
use super::retry::{RequestError, TRIES};
use crate::mirrors::access::Address;

/// Hint for servers that cannot be reached.
const REACH: &str = "check the network, the proxy variables (HTTPS_PROXY, NO_PROXY) and the mirror; `sealift mirrors` shows \
    which are used";

/// Servers that failed in this run: they are asked last.
#[derive(Clone, Debug, Default)]
pub(super) struct Failing(Arc<Mutex<BTreeSet<String>>>);

impl Failing {
    fn set(&self, address: &Address, failing: bool) {
        let server = server_of(address);
        let mut servers = self.0.lock().expect("no thread panics");
        match failing {
            true => servers.insert(server),
            false => servers.remove(&server),
        };
    }

    fn sorted<'a>(&self, addresses: &'a [Address]) -> Vec<&'a Address> {
        let servers = self.0.lock().expect("no thread panics");
        let mut sorted: Vec<_> = addresses.iter().collect();
        sorted.sort_by_key(|address| servers.contains(&server_of(address)));
        sorted
    }
}

/// Scheme, host and port.
fn server_of(address: &Address) -> String {
    address.url().origin().ascii_serialization()
}

/// What came of asking all servers.
#[derive(Debug)]
pub(super) enum Outcome<T> {
    /// One has the file.
    Found(T),
    /// All answered that they do not have it.
    Missing,
    /// Some failed; the others do not have it.
    Failed(Vec<Tried>),
}

/// A server that was asked in vain.
#[derive(Debug)]
pub(super) struct Tried {
    address: String,
    reason: Reason,
    hint: Option<String>,
    tries: u32,
    /// It answered 403.
    pub(super) forbidden: bool,
}

#[derive(Debug)]
enum Reason {
    Failed(String),
    Wrong(String),
    Invalid(anyhow::Error),
}

struct Open<'a> {
    address: &'a Address,
    tries: u32,
    slow: u32,
}

impl Client {
    /// Asks the servers until one delivers.
    ///
    /// # Errors
    /// A fatal one.
    pub(super) fn ask<T>(
        &self,
        addresses: &[Address],
        stop: &AtomicBool,
        mut attempt: impl FnMut(&Address) -> Result<T, RequestError>,
    ) -> Result<Outcome<T>> {
        let open = |address| Open { address, tries: 0, slow: 0 };
        let mut open: Vec<Open<'_>> = self.failing.sorted(addresses).into_iter().map(open).collect();
        let mut failed = Vec::new();
        while !open.is_empty() {
            let (mut again, mut asked, mut down) = (Vec::new(), None, BTreeSet::new());
            for mut server in open {
                // Another file of a server that just failed.
                if down.contains(&server_of(server.address)) {
                    server.tries += 1;
                    again.extend(Some(server).filter(|server| server.tries < TRIES));
                    continue;
                }
                let error = match attempt(server.address) {
                    Ok(found) => {
                        self.failing.set(server.address, false);
                        return Ok(Outcome::Found(found));
                    }
                    Err(error) => error,
                };
                server.tries += 1;
                let forbidden = matches!(error, RequestError::Refused { forbidden: true, .. });
                let (reason, hint, last) = match error {
                    RequestError::NotFound => continue,
                    RequestError::Fatal(error) => return Err(error),
                    RequestError::WrongContent(what) => (Reason::Wrong(what), None, true),
                    RequestError::Invalid(error) => (Reason::Invalid(error), None, true),
                    RequestError::Refused { reason, hint, .. } => (Reason::Failed(reason), hint, true),
                    RequestError::Temporary { reason, pause, progress } => {
                        self.failing.set(server.address, true);
                        down.insert(server_of(server.address));
                        server.tries = if progress { 1 } else { server.tries };
                        asked = asked.max(pause);
                        (Reason::Failed(reason), None, server.tries >= TRIES)
                    }
                    RequestError::Slow(reason) => {
                        self.failing.set(server.address, true);
                        down.insert(server_of(server.address));
                        server.slow += 1;
                        (Reason::Failed(reason), None, server.slow >= SLOW_TRIES)
                    }
                };
                if last || stop.load(Ordering::Relaxed) {
                    let (address, tries) = (server.address.to_string(), server.tries);
                    failed.push(Tried { address, reason, hint, tries, forbidden });
                } else {
                    again.push(server);
                }
            }
            if let Some(tries) = again.iter().map(|server| server.tries).max() {
                self.pause(tries, asked, stop);
            }
            open = again;
        }
        Ok(if failed.is_empty() { Outcome::Missing } else { Outcome::Failed(failed) })
    }
}

/// The error for a file, named `name`, that no server delivered.
pub(super) fn failure(name: &str, mut tried: Vec<Tried>) -> anyhow::Error {
    // What is wrong with the content is more than that a server is down.
    tried.sort_by_key(|tried| matches!(tried.reason, Reason::Failed(_)));
    let hint = tried.iter().find_map(|tried| tried.hint.clone()).unwrap_or_else(|| REACH.to_owned());
    if tried.len() == 1
        && let Some(Tried { reason: Reason::Invalid(error), .. }) = tried.pop_if(|tried| tried.is_invalid())
    {
        return error;
    }
    let others = |tried: &[Tried]| tried.iter().map(|tried| format!("\n  {}", tried.line())).collect::<String>();
    let failure = match &*tried {
        [Tried { reason: Reason::Wrong(what), address, .. }, rest @ ..] => {
            let message = format!("{name} {what}\n  from {address}{}", others(rest));
            Failure::verification(message).hint("the mirror or a proxy has changed the file: try another mirror")
        }
        [Tried { reason: Reason::Failed(_), .. }] => {
            Failure::network(format!("cannot fetch {}", tried[0].line())).hint(hint)
        }
        all => {
            let message = format!("no server delivers {name}:{}", others(all));
            match all.first().map(|first| &first.reason) {
                Some(Reason::Invalid(error)) => {
                    let hint = Failure::hint_in(error).unwrap_or(&hint);
                    Failure::network(message).of_kind(Kind::of(error)).hint(hint)
                }
                _ => Failure::network(message).hint(hint),
            }
        }
    };
    failure.into()
}

impl Tried {
    fn is_invalid(&self) -> bool {
        matches!(self.reason, Reason::Invalid(_))
    }

    fn line(&self) -> String {
        let times = if self.tries > 1 { format!(" ({} attempts)", self.tries) } else { String::new() };
        match &self.reason {
            Reason::Failed(reason) => format!("{}: {reason}{times}", self.address),
            Reason::Wrong(what) => format!("{}: it {}", self.address, what.lines().next().unwrap_or_default()),
            Reason::Invalid(error) => format!("{}: {}", self.address, one_line(error.as_ref())),
        }
    }
}
