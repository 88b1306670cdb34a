//! Errors of one request, classified by what to do next: try again, look elsewhere, or give up.

use std::io::{self, ErrorKind};
use std::time::Duration;

use sealift_deployment::failure::Failure;
use ureq::http::{HeaderMap, StatusCode};

/// Number of attempts before a request fails.
pub(super) const TRIES: u32 = 4;

/// Time for a request to be sent, and for the whole header of its response. Longer than the time for one byte.
pub(super) const HEAD: Duration = Duration::from_secs(40);

/// Upper limit for a server's `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Hint for rejected certificates.
const TRUST: &str =
    "install the server's CA in the machine's trust store, or name a file with it in the variable SSL_CERT_FILE";

/// Why a request failed.
#[derive(Debug)]
pub(super) enum RequestError {
    /// A temporary failure. Try again, after the pause if the server asked for one (`Retry-After`).
    Temporary { reason: String, pause: Option<Duration> },
    /// The server sends too little in too much time. Trying again takes as long, so it is done only once.
    Slow(String),
    /// The server does not have the file (404, 410).
    NotFound,
    /// The content differs from the expected one. The text completes a sentence that begins with the file's name.
    WrongContent(String),
    /// Any other error: trying again does not help.
    Fatal(anyhow::Error),
}

impl RequestError {
    pub(super) fn temporary(reason: impl Into<String>) -> Self {
        Self::Temporary { reason: reason.into(), pause: None }
    }

    /// Classifies a response whose status is not success.
    pub(super) fn of_status(status: StatusCode, headers: &HeaderMap, url: &str) -> Self {
        match status.as_u16() {
            404 | 410 => Self::NotFound,
            408 | 429 | 500..=599 => {
                let text = headers.get("retry-after").and_then(|value| value.to_str().ok());
                // The other form, a date, would need the clock.
                let pause = text.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
                let pause = pause.map(|pause| pause.min(LONGEST_PAUSE));
                Self::Temporary { reason: format!("the server answered {status}"), pause }
            }
            _ => {
                let failure = Failure::network(format!("{url}: the server answered {status}"));
                let failure = match status.as_u16() {
                    401 | 403 => {
                        failure.hint("put the user name and password into the URL: https://USER:PASSWORD@HOST/")
                    }
                    407 => failure.hint(
                        "put the user name and password of the proxy into its URL: http://USER:PASSWORD@PROXY:PORT",
                    ),
                    _ => failure,
                };
                Self::Fatal(failure.into())
            }
        }
    }

    /// Classifies an error of the HTTP client; `idle` is its timeout for the next byte.
    pub(super) fn of_client(error: ureq::Error, url: &str, idle: Duration) -> Self {
        use ureq::Error as E;
        let fatal = |message: String, hint: &str| {
            let failure = Failure::network(format!("{url}: {message}"));
            Self::Fatal(if hint.is_empty() { failure } else { failure.hint(hint) }.into())
        };
        match error {
            E::Io(error) => Self::of_read(&error, url, idle),
            E::Timeout(ureq::Timeout::SendRequest | ureq::Timeout::RecvResponse) => {
                Self::Slow(format!("no complete response header in {} seconds", HEAD.as_secs()))
            }
            E::Timeout(ureq::Timeout::Connect) => Self::temporary("the connection was not established in time"),
            E::Timeout(_) => Self::temporary(format!("no byte in {} seconds", idle.as_secs())),
            E::HostNotFound => Self::temporary("the host name cannot be resolved"),
            E::ConnectionFailed => Self::temporary("the connection failed"),
            E::Protocol(error) => Self::temporary(format!("the response is not valid HTTP: {error}")),
            E::Decompress(_, error) => Self::temporary(format!("the response cannot be decompressed: {error}")),
            E::RequireHttpsOnly(to) => fatal(
                format!("redirected from https to {to}"),
                "use the https URL of a server that does not redirect to http, or its http URL",
            ),
            E::TooManyRedirects => fatal("too many redirects".into(), ""),
            E::BadUri(_) | E::Http(_) => fatal("not a URL".into(), ""),
            E::Tls(error) => fatal(error.to_owned(), TRUST),
            E::Rustls(error) => fatal(error.to_string(), TRUST),
            E::ConnectProxyFailed(error) if url.starts_with("http://") => fatal(
                format!("the proxy refused the connection: {error}"),
                "many proxies allow https only: name a mirror with an https URL",
            ),
            E::ConnectProxyFailed(error) => fatal(format!("the proxy refused the connection: {error}"), ""),
            other => fatal(other.to_string(), ""),
        }
    }

    /// Classifies an error while a response is read.
    pub(super) fn of_read(error: &io::Error, url: &str, idle: Duration) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
            Some(ureq::Error::Timeout(ureq::Timeout::SendRequest | ureq::Timeout::RecvResponse)) => {
                return Self::Slow(format!("no complete response header in {} seconds", HEAD.as_secs()));
            }
            Some(ureq::Error::Timeout(_)) => return Self::temporary(format!("no byte in {} seconds", idle.as_secs())),
            Some(ureq::Error::Decompress(_, error)) => {
                return Self::temporary(format!("the response cannot be decompressed: {error}"));
            }
            Some(ureq::Error::Io(inner)) => return Self::of_read(inner, url, idle),
            _ => {}
        }
        if error.kind() == ErrorKind::InvalidData {
            // Rejected certificates arrive as this kind.
            return Self::Fatal(Failure::network(format!("{url}: {error}")).hint(TRUST).into());
        }
        Self::temporary(match error.kind() {
            ErrorKind::UnexpectedEof => "the connection was closed early".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// A URL without its user name and password: for messages.
pub(super) fn shown(url: &str) -> String {
    split_userinfo(url).map_or_else(|| url.to_owned(), |(plain, _)| plain)
}

/// Splits `user:password` (RFC 3986, section 3.2.1) off a URL; `None` if it has none.
pub(super) fn split_userinfo(url: &str) -> Option<(String, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (userinfo, host) = authority.rsplit_once('@')?;
    Some((format!("{scheme}://{host}{path}"), userinfo))
}
