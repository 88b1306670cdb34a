//! What can go wrong with one request, by what to do about it.

use std::io::{self, ErrorKind};
use std::time::Duration;

use sealift_deployment::failure::Failure;
use ureq::http::{HeaderMap, StatusCode};

/// How often one thing is asked for.
pub(super) const TRIES: u32 = 4;

/// Longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why a request did not give what was wanted.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Passing: worth another try, after this long if the server said so.
    Again(String, Option<Duration>),
    /// The server says that it does not have it.
    Missing,
    /// The content is not what was asked for.
    Wrong(String),
    /// Anything else, ready to be shown.
    Final(anyhow::Error),
}

impl Trouble {
    pub(super) fn again(why: impl Into<String>) -> Self {
        Self::Again(why.into(), None)
    }

    /// What an answer with a status other than success means.
    pub(super) fn of_status(status: StatusCode, headers: &HeaderMap, url: &str) -> Self {
        match status.as_u16() {
            404 | 410 => Self::Missing,
            408 | 429 | 500..=599 => {
                let text = headers.get("retry-after").and_then(|value| value.to_str().ok());
                // The other form, a date, would need the clock.
                let pause = text.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
                Self::Again(format!("the server answered {status}"), pause.map(|pause| pause.min(LONGEST_PAUSE)))
            }
            _ => {
                let failure = Failure::network(format!("{url}: the server answered {status}"));
                Self::Final(
                    match status.as_u16() {
                        401 | 403 => {
                            failure.hint("the server wants a user name and password: https://USER:PASSWORD@HOST/")
                        }
                        407 => {
                            failure.hint("the proxy wants a user name and password: http://USER:PASSWORD@PROXY:PORT")
                        }
                        _ => failure,
                    }
                    .into(),
                )
            }
        }
    }

    /// What an error of the HTTP client means; `idle` is how long it waits for a byte.
    pub(super) fn of_client(error: ureq::Error, url: &str, idle: Duration) -> Self {
        use ureq::Error as E;
        let last = |message: String, hint: &str| {
            let failure = Failure::network(format!("{url}: {message}"));
            Self::Final(if hint.is_empty() { failure } else { failure.hint(hint) }.into())
        };
        const TRUST: &str = "the machine's trust store decides: SSL_CERT_FILE and SSL_CERT_DIR name another one";
        match error {
            E::Io(error) => Self::of_read(&error, url, idle),
            E::Timeout(ureq::Timeout::Connect) => Self::again("no connection in time"),
            E::Timeout(_) => Self::again(format!("no byte in {} seconds", idle.as_secs())),
            E::HostNotFound => Self::again("the host's name is not known"),
            E::ConnectionFailed => Self::again("no connection"),
            E::Protocol(error) => Self::again(format!("the answer is not HTTP as it should be: {error}")),
            E::Decompress(_, error) => Self::again(format!("the answer cannot be decompressed: {error}")),
            E::RequireHttpsOnly(to) => last(format!("redirected from https to {to}"), "the server is set up badly"),
            E::TooManyRedirects => last("redirected too often".into(), ""),
            E::BadUri(_) | E::Http(_) => last("not a URL".into(), ""),
            E::Tls(error) => last(error.to_owned(), TRUST),
            E::Rustls(error) => last(error.to_string(), TRUST),
            E::ConnectProxyFailed(error) if url.starts_with("http://") => last(
                format!("the proxy refused: {error}"),
                "many proxies tunnel https only: name a mirror with an https URL",
            ),
            E::ConnectProxyFailed(error) => last(format!("the proxy refused: {error}"), ""),
            other => last(other.to_string(), ""),
        }
    }

    /// What an error while reading an answer means.
    pub(super) fn of_read(error: &io::Error, url: &str, idle: Duration) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
            Some(ureq::Error::Timeout(_)) => return Self::again(format!("no byte in {} seconds", idle.as_secs())),
            Some(ureq::Error::Io(inner)) => return Self::of_read(inner, url, idle),
            _ => {}
        }
        if error.kind() == ErrorKind::InvalidData {
            // So TLS tells what it makes of a certificate.
            let hint = "the machine's trust store decides: SSL_CERT_FILE and SSL_CERT_DIR name another one";
            return Self::Final(Failure::network(format!("{url}: {error}")).hint(hint).into());
        }
        Self::again(match error.kind() {
            ErrorKind::UnexpectedEof => "the connection was closed early".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// A URL as it may be shown and sent: without user name and password.
pub(super) fn shown(url: &str) -> String {
    split_userinfo(url).map_or_else(|| url.to_owned(), |(plain, _)| plain)
}

/// A URL without its user name and password, and those (RFC 3986, section 3.2.1), if it has any.
pub(super) fn split_userinfo(url: &str) -> Option<(String, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (userinfo, host) = authority.rsplit_once('@')?;
    Some((format!("{scheme}://{host}{path}"), userinfo))
}
