//! Whether the web address of a deployment is answered by what stands behind its proxy.
//!
//! Health checks ask each service alone: a proxy that passes requests to a wrong name or port is healthy, and so is everything
//! else.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sealift_deployment::finding::Findings;
use sealift_deployment::host::Deployment;
use ureq::Agent;
use ureq::tls::TlsConfig;

/// Time for an answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(500);
/// How long `up` waits for services without a health check to answer their proxy.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// What proxies answer when what they pass requests to does not (RFC 9110, 15.6.3 and 15.6.5), with the words for it.
const GATEWAY: [(u16, &str); 2] = [(502, "Bad Gateway"), (504, "Gateway Timeout")];

/// Warns of ports named `http` and `https` that go on answering with one of [`GATEWAY`] for `patience`. Other answers, and none,
/// say nothing: nobody knows what a path needs.
pub(super) fn check(deployment: &Deployment, patience: Duration, findings: &mut Findings) {
    // The preflight tells what is wrong with them.
    let Ok(ports) = deployment.web_ports() else { return };
    let begin = Instant::now();
    for (scheme, address) in ports {
        let words = loop {
            let found = status(scheme, address);
            let found = GATEWAY.iter().find(|(status, _)| found == Some(*status));
            match found {
                Some(_) if begin.elapsed() < patience => std::thread::sleep(PAUSE),
                found => break found,
            }
        };
        if let Some((status, words)) = words {
            let hint = "the proxy gets no answer from what it passes requests to: check the name and the port there";
            findings.warn(format!("port {scheme}"), format!("{scheme}://{address}/ answers {status} {words}"), hint);
        }
    }
}

/// The status of `OPTIONS /`, which proxies pass on and which, unlike GET and HEAD, programs seldom take for a visit (RFC 9110,
/// 9.3.7). Whose certificate it is does not matter here.
fn status(scheme: &str, address: SocketAddr) -> Option<u16> {
    let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(crate::tls::provider());
    let agent: Agent = Agent::config_builder()
        .tls_config(tls.disable_verification(true).build())
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(LIMIT))
        .build()
        .into();
    Some(agent.options(format!("{scheme}://{address}/")).call().ok()?.status().as_u16())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// A server on loopback that answers once.
    fn answered(head: &'static str) -> Option<u16> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            // A program that counts its visitors counted `up` and `doctor`.
            assert!(request[..length].starts_with(b"OPTIONS / "), "{}", request[..length].escape_ascii());
            write!(stream, "HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        });
        let status = status("http", address);
        server.join().unwrap();
        status
    }

    /// All was green, and each request was answered with 502.
    #[test]
    fn answers_of_proxies_without_a_service_are_seen() {
        assert_eq!(answered("502 Bad Gateway"), Some(502));
        assert_eq!(answered("301 Moved\r\nLocation: https://elsewhere.example/"), Some(301));
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(status("http", closed), None);
    }
}
