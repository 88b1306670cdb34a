//! Sends the request of a task to a service of this host, over TLS.
//!
//! The service has to show the very certificate that is in the site: whoever signed it, and for whatever name. The answer ends
//! with the connection (HTTP/1.0), so that nothing of HTTP is needed but its head.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use sealift_deployment::failure::Failure;
use sealift_deployment::host::request::Prepared;

/// Time for the connection, and for each piece of the answer: some answers are computed from a whole database.
const LIMIT: Duration = Duration::from_secs(300);
/// Most bytes of an answer.
const ANSWER_LIMIT: u64 = 256 << 20;

/// Sends the request. Returns the status and the body of the answer.
///
/// # Errors
/// The service cannot be reached, shows another certificate, or answers with something else than HTTP.
pub(super) fn send(prepared: &Prepared) -> Result<(u16, Vec<u8>)> {
    let answer = exchange(prepared).map_err(|error| {
        Failure::failed(format!("no answer from {}", prepared.address))
            .hint("`sealift status` shows whether the services run")
            .because(error)
    })?;
    parsed(&answer)
}

fn exchange(prepared: &Prepared) -> Result<Vec<u8>> {
    let stream = TcpStream::connect_timeout(&prepared.address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    match &prepared.certificate {
        None => conversation(stream, &prepared.bytes),
        Some(certificate) => {
            let name = ServerName::try_from(prepared.host.clone())?;
            let connection = ClientConnection::new(Arc::new(config(certificate)?), name)?;
            conversation(StreamOwned::new(connection, stream), &prepared.bytes)
        }
    }
}

fn conversation(mut stream: impl Read + Write, request: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.take(ANSWER_LIMIT).read_to_end(&mut answer) {
        // Servers may close the connection without a farewell of TLS; the length tells whether all is there.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && !answer.is_empty() => {}
        result => drop(result?),
    }
    Ok(answer)
}

/// Status and body of an answer (RFC 9112).
fn parsed(answer: &[u8]) -> Result<(u16, Vec<u8>)> {
    let wrong = || Failure::failed("the answer of the service is not HTTP, or cut off");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(wrong)?;
    let (head, body) = (String::from_utf8_lossy(&answer[..end]), &answer[end + 4..]);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok());
    let header = |wanted: &str| {
        let found =
            head.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim().to_owned())
    };
    let length: Option<usize> = header("content-length").and_then(|value| value.parse().ok());
    if length.is_some_and(|length| length != body.len()) || header("transfer-encoding").is_some() {
        return Err(wrong().into());
    }
    Ok((status.ok_or_else(wrong)?, body.to_vec()))
}

fn config(certificate: &[u8]) -> Result<ClientConfig> {
    let provider = crate::tls::provider();
    let verifier = TheCertificate { wanted: certificate.to_vec(), provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.context("TLS cannot be used")?.dangerous();
    Ok(builder.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// Accepts one certificate, and the proof that the service has its key.
#[derive(Debug)]
struct TheCertificate {
    wanted: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for TheCertificate {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if certificate.as_ref() == self.wanted {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::UnknownIssuer.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// A certificate as the Parsec project's guide makes it. `ring` alone cannot check the signature of such a key.
    #[test]
    fn a_service_with_a_key_on_p521_is_asked() {
        if Command::new("openssl").arg("version").output().is_err() {
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let openssl = |arguments: &str| {
            let mut command = Command::new("openssl");
            command.args(arguments.split(' ')).current_dir(place.path()).stdin(Stdio::null()).stderr(Stdio::null());
            command
        };
        let make =
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-521 -nodes -keyout key -out crt -subj /CN=x -days 1";
        assert!(openssl(make).status().unwrap().success());
        assert!(openssl("x509 -in crt -outform DER -out der").status().unwrap().success());
        // In TLS 1.2 the curve of the key would have to be one for the exchange of keys, too.
        let serve = "s_server -accept 127.0.0.1:0 -key key -cert crt -www -naccept 2 -tls1_3";
        let mut server = openssl(serve).stdout(Stdio::piped()).spawn().unwrap();
        let lines = std::io::BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.filter_map(|line| line.strip_prefix("ACCEPT ")?.parse().ok()).next().unwrap();
        let certificate = fs_err::read(place.path().join("der")).unwrap();
        let prepared = |certificate: &[u8]| Prepared {
            address,
            host: "x".to_owned(),
            certificate: Some(certificate.to_vec()),
            bytes: b"GET / HTTP/1.0\r\n\r\n".to_vec(),
        };
        let (status, body) = send(&prepared(&certificate)).unwrap();
        assert!(status == 200 && String::from_utf8_lossy(&body).contains("s_server"), "{status}");
        send(&prepared(&certificate[1..])).unwrap_err();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    #[test]
    fn an_answer_that_is_cut_off_is_none() {
        let answer = |text: &str| parsed(text.as_bytes()).map_err(|error| error.to_string());
        let whole = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(answer(whole), Ok((404, b"{}".to_vec())));
        assert_eq!(answer("HTTP/1.0 200 OK\r\n\r\n{}"), Ok((200, b"{}".to_vec())));
        for cut in [&whole[..whole.len() - 1], &whole[..20], "SSH-2.0-x\r\n\r\n"] {
            assert_eq!(answer(cut).unwrap_err(), "the answer of the service is not HTTP, or cut off");
        }
    }
}
