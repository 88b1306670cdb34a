//! Requests for plain http through a proxy: as the proxies of HTTP take them, with the whole URL in the first line (RFC
//! 9112, section 3.2.2). ureq itself would ask every proxy for a tunnel, which many allow for https only.

use std::fmt;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport};
use ureq::{Error, ProxyProtocol};

/// Connects as ureq does, except to servers of plain http for which there is an HTTP proxy: to the proxy.
pub(super) struct ProxyConnector {
    default: DefaultConnector,
    /// The configuration for the connection to the proxy itself.
    direct: Config,
    /// The value of the `Proxy-Authorization` header.
    authorization: Option<String>,
}

impl ProxyConnector {
    pub(super) fn new(direct: Config, authorization: Option<String>) -> Self {
        Self { default: DefaultConnector::default(), direct, authorization }
    }

    /// The proxy to which the request goes as it is.
    fn forwards<'a>(details: &'a ConnectionDetails<'_>) -> Option<&'a Uri> {
        let proxy = details.config.proxy()?;
        let http = matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
        (http && details.uri.scheme() == Some(&Scheme::HTTP)).then(|| proxy.uri())
    }
}

impl fmt::Debug for ProxyConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyConnector").finish_non_exhaustive()
    }
}

impl Connector<()> for ProxyConnector {
    type Out = Box<dyn Transport>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<()>) -> Result<Option<Self::Out>, Error> {
        let Some(proxy) = Self::forwards(details) else { return self.default.connect(details, chained) };
        let to_proxy = ConnectionDetails {
            uri: proxy,
            addrs: details.resolver.resolve(proxy, details.config, details.timeout)?,
            config: &self.direct,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let transport = (details.run_connector)(&to_proxy)?;
        let authority = details.uri.authority().map(ToString::to_string).unwrap_or_default();
        let more = self.authorization.as_ref().map(|value| format!("Proxy-Authorization: {value}\r\n"));
        Ok(Some(Box::new(Forwarded { transport, site: format!("http://{authority}"), more: more.unwrap_or_default() })))
    }
}

/// A connection to a proxy. Each request is one piece of output: it has no body, and its head is shorter than the buffer.
struct Forwarded {
    transport: Box<dyn Transport>,
    /// What precedes the path in the first line.
    site: String,
    /// Further header lines.
    more: String,
}

impl fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Forwarded({})", self.site)
    }
}

impl Transport for Forwarded {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.transport.buffers().output();
        let head = forwarded(&output[..amount], &self.site, &self.more)
            .filter(|head| head.len() <= output.len())
            .ok_or_else(|| std::io::Error::other("the request is too long for a proxy"))?;
        output[..head.len()].copy_from_slice(&head);
        self.transport.transmit_output(head.len(), timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.transport.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.transport.is_open()
    }
}

/// The head of a request as it is sent to a proxy; `None` if it is not the head of a request.
fn forwarded(head: &[u8], site: &str, more: &str) -> Option<Vec<u8>> {
    let target = 1 + head.iter().position(|byte| *byte == b' ')?;
    let rest = 2 + head.windows(2).position(|two| two == b"\r\n")?;
    let line = head.get(target..rest)?;
    Some([&head[..target], site.as_bytes(), line, more.as_bytes(), &head[rest..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_has_the_whole_url() {
        let head = b"GET /a?b HTTP/1.1\r\nHost: x.example\r\n\r\n";
        let sent = forwarded(head, "http://x.example", "Proxy-Authorization: Basic eA==\r\n").unwrap();
        let wanted = "GET http://x.example/a?b HTTP/1.1\r\nProxy-Authorization: Basic eA==\r\nHost: x.example\r\n\r\n";
        assert_eq!(String::from_utf8(sent).unwrap(), wanted);
        assert_eq!(forwarded(b"body", "http://x.example", ""), None);
    }
}
