//! Errors of one request, classified by what to do next: try again, look elsewhere, or give up.

use std::io::{self, ErrorKind};
use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode};

use crate::mirrors::access::{Address, Route};

/// Number of attempts before a request fails.
pub(super) const TRIES: u32 = 4;

/// Time for a request to be sent, and for the whole header of its response. Longer than the time for one byte.
pub(super) const HEAD: Duration = Duration::from_secs(40);

/// Upper limit for a server's `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Hint for rejected certificates.
const TRUST: &str = "install the server's CA in the machine's trust store, or name a file with it: in the variable \
    SSL_CERT_FILE, as Acquire::https::CaInfo of apt, or as `cert` of pip";

/// Why a request failed.
#[derive(Debug)]
pub(super) enum RequestError {
    /// A temporary failure. Try again, after the pause if the server asked for one (`Retry-After`). `progress`: a good part
    /// of the file arrived before it.
    Temporary { reason: String, pause: Option<Duration>, progress: bool },
    /// The server sends too little in too much time. Trying again takes as long, so it is done only once.
    Slow(String),
    /// The server does not have the file (404, 410).
    NotFound,
    /// The server will not, or cannot, deliver the file: trying it again does not help, another one may. `forbidden`: it
    /// answered 403, as object stores do for files that they do not have.
    Refused { reason: String, hint: Option<String>, forbidden: bool },
    /// The content differs from the expected one. The text completes a sentence that begins with the file's name.
    WrongContent(String),
    /// The content is not valid. The error says why.
    Invalid(anyhow::Error),
    /// Any other error: neither trying again nor another server helps.
    Fatal(anyhow::Error),
}

impl RequestError {
    pub(super) fn temporary(reason: impl Into<String>) -> Self {
        Self::Temporary { reason: reason.into(), pause: None, progress: false }
    }

    pub(super) fn refused(reason: impl Into<String>, hint: Option<&str>) -> Self {
        Self::Refused { reason: reason.into(), hint: hint.map(str::to_owned), forbidden: false }
    }

    /// Changes the reason.
    pub(super) fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Temporary { reason, pause, progress } => Self::Temporary { reason: change(reason), pause, progress },
            Self::Slow(reason) => Self::Slow(change(reason)),
            Self::Refused { reason, hint, forbidden } => Self::Refused { reason: change(reason), hint, forbidden },
            other => other,
        }
    }

    /// Classifies a response whose status is not success.
    pub(super) fn of_status(status: StatusCode, headers: &HeaderMap, address: &Address, route: &Route) -> Self {
        let answered = format!("the server answered {status}");
        match status.as_u16() {
            404 | 410 => Self::NotFound,
            408 | 429 | 500..=599 => {
                let text = headers.get("retry-after").and_then(|value| value.to_str().ok());
                // The other form, a date, would need the clock.
                let pause = text.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
                let pause = pause.map(|pause| pause.min(LONGEST_PAUSE));
                Self::Temporary { reason: answered, pause, progress: false }
            }
            401 | 403 => {
                let (sent, hint) = match &route.credentials {
                    Some(credentials) => (credentials.to_string(), "check the user name and password".to_owned()),
                    None => ("no user name and password".to_owned(), where_to_put(address)),
                };
                let forbidden = status == StatusCode::FORBIDDEN;
                Self::Refused { reason: format!("{answered}; it was sent {sent}"), hint: Some(hint), forbidden }
            }
            407 => Self::of_proxy(answered),
            _ => Self::refused(answered, None),
        }
    }

    fn of_proxy(reason: String) -> Self {
        let hint = "put the user name and password of the proxy into its URL: http://USER:PASSWORD@PROXY:PORT";
        Self::refused(reason, Some(hint))
    }

    /// Classifies an error of the HTTP client; `idle` is its timeout for the next byte.
    pub(super) fn of_client(error: ureq::Error, idle: Duration) -> Self {
        use ureq::Error as E;
        match error {
            E::Io(error) => Self::of_read(&error, idle),
            E::Timeout(ureq::Timeout::SendRequest | ureq::Timeout::RecvResponse) => {
                Self::Slow(format!("no complete response header in {} seconds", HEAD.as_secs()))
            }
            E::Timeout(ureq::Timeout::Connect) => Self::temporary("the connection was not established in time"),
            E::Timeout(_) => Self::temporary(format!("no byte in {} seconds", idle.as_secs())),
            E::HostNotFound => Self::temporary("the host name cannot be resolved"),
            E::ConnectionFailed => Self::temporary("the connection failed"),
            E::Protocol(error) => Self::temporary(format!("the response is not valid HTTP: {error}")),
            E::Decompress(_, error) => Self::temporary(format!("the response cannot be decompressed: {error}")),
            E::BadUri(_) | E::Http(_) => Self::refused("not a URL", None),
            E::Tls(error) => Self::refused(error, Some(TRUST)),
            E::Rustls(error) => Self::refused(error.to_string(), Some(TRUST)),
            E::ConnectProxyFailed(error) => {
                let reason = format!("the proxy refused the connection: {error}");
                match error.rsplit('/').next().and_then(|status| status.parse().ok()) {
                    Some(407_u16) => Self::of_proxy(reason),
                    Some(500..=599) => Self::temporary(reason),
                    _ => Self::refused(reason, None),
                }
            }
            other => Self::refused(other.to_string(), None),
        }
    }

    /// Classifies an error while a response is read.
    pub(super) fn of_read(error: &io::Error, idle: Duration) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
            Some(ureq::Error::Timeout(ureq::Timeout::SendRequest | ureq::Timeout::RecvResponse)) => {
                return Self::Slow(format!("no complete response header in {} seconds", HEAD.as_secs()));
            }
            Some(ureq::Error::Timeout(_)) => return Self::temporary(format!("no byte in {} seconds", idle.as_secs())),
            Some(ureq::Error::Decompress(_, error)) => {
                return Self::temporary(format!("the response cannot be decompressed: {error}"));
            }
            Some(ureq::Error::Io(inner)) => return Self::of_read(inner, idle),
            _ => {}
        }
        if error.kind() == ErrorKind::InvalidData {
            // Rejected certificates arrive as this kind.
            return Self::refused(error.to_string(), Some(TRUST));
        }
        Self::temporary(match error.kind() {
            ErrorKind::UnexpectedEof => "the connection was closed early".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// A hint for a server that wants a user name and a password.
fn where_to_put(address: &Address) -> String {
    match address.unreadable() {
        [] => {
            "put the user name and password into the URL (https://USER:PASSWORD@HOST/), ~/.netrc, or apt's auth.conf.d"
                .to_owned()
        }
        files => format!("this user may not read {}: put the user name and password into ~/.netrc", files.join(", ")),
    }
}
