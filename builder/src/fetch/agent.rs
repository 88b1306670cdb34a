//! One agent of ureq for each way to reach servers: it has its own connections.

use std::path::Path;

use anyhow::Result;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use ureq::config::Config;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, ProxyProtocol};

use super::client::Timeouts;
use super::connector::ProxyConnector;
use crate::mirrors::access::{Route, Tls};
use crate::mirrors::proxy::Proxy;

/// A proxy and certificates: servers that share them share an agent.
pub(super) type Way = (Option<Proxy>, Tls);

pub(super) fn way(route: &Route) -> Way {
    (route.proxy.clone(), route.tls.clone())
}

/// The agent for servers that are reached in this way. It follows no redirects.
///
/// # Errors
/// A usage failure for a proxy or certificates that cannot be used.
pub(super) fn agent((proxy, tls): &Way, timeouts: &Timeouts) -> Result<Agent> {
    let tls = tls_config(tls)?;
    let config = |proxy: Option<ureq::Proxy>| -> Config {
        Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .tls_config(tls.clone())
            .user_agent(concat!("sealift/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(timeouts.connect))
            .timeout_send_request(Some(timeouts.head))
            .timeout_recv_response(Some(timeouts.head))
            .timeout_per_read(Some(timeouts.idle))
            .timeout_per_write(Some(timeouts.idle))
            .max_idle_connections(32)
            .max_idle_connections_per_host(16)
            .build()
    };
    let Some(proxy) = proxy else { return Ok(config(None).new_agent()) };
    let authorization = proxy.credentials.as_ref().map(crate::mirrors::credentials::Credentials::header);
    let connector = ProxyConnector::new(config(None), authorization);
    Ok(Agent::with_parts(config(Some(of_ureq(proxy)?)), connector, DefaultResolver::default()))
}

fn of_ureq(proxy: &Proxy) -> Result<ureq::Proxy> {
    let wrong = || Failure::usage(format!("{proxy} cannot be used"));
    let protocol = ProxyProtocol::try_from(proxy.scheme.as_str()).map_err(|_| wrong())?;
    let mut builder = ureq::Proxy::builder(protocol).host(&proxy.host);
    if let Some(port) = proxy.port {
        builder = builder.port(port);
    }
    if let Some(credentials) = &proxy.credentials {
        let (user, password) = credentials.text();
        builder = builder.username(&user).password(&password);
    }
    Ok(builder.build().map_err(|_| wrong())?)
}

fn tls_config(tls: &Tls) -> Result<TlsConfig> {
    let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(crate::tls::provider());
    let mut builder = builder.root_certs(RootCerts::PlatformVerifier);
    if let Some((path, origin)) = &tls.authorities {
        let certificates: Vec<Certificate<'static>> = pem(path, origin)?.into_iter().filter_map(certificate).collect();
        if certificates.is_empty() {
            return Err(unusable(path, origin, "certificate").into());
        }
        builder = builder.root_certs(RootCerts::new_with_certs(&certificates));
    }
    if let Some((path, origin)) = &tls.certificate {
        let chain: Vec<_> = pem(path, origin)?.into_iter().filter_map(certificate).collect();
        let key_file = tls.key.as_deref().unwrap_or(path);
        let key: Option<PrivateKey<'static>> = pem(key_file, origin)?.into_iter().find_map(|item| match item {
            PemItem::PrivateKey(key) => Some(key),
            _ => None,
        });
        let key = key.ok_or_else(|| unusable(key_file, origin, "private key"))?;
        if chain.is_empty() {
            return Err(unusable(path, origin, "certificate").into());
        }
        check_pair(&chain, &key).map_err(|error| {
            let (path, key) = (path.display(), key_file.display());
            Failure::usage(format!("the certificate {path} and the key {key} (from {origin}) cannot be used together"))
                .hint("name the key that belongs to the certificate")
                .because(error)
        })?;
        builder = builder.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
    }
    Ok(builder.disable_verification(tls.unchecked.is_some()).build())
}

/// Checks that the key can be used, and is that of the first certificate: with others, ureq panics.
fn check_pair(chain: &[Certificate<'static>], key: &PrivateKey<'static>) -> Result<(), rustls::Error> {
    let chain = chain.iter().map(|certificate| certificate.der().to_vec().into()).collect();
    let key = PrivateKeyDer::try_from(key.der().to_vec()).map_err(|why| rustls::Error::General(why.to_owned()))?;
    CertifiedKey::from_der(chain, key, &crate::tls::provider()).map(drop)
}

fn certificate(item: PemItem<'static>) -> Option<Certificate<'static>> {
    match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    }
}

fn pem(path: &Path, origin: &str) -> Result<Vec<PemItem<'static>>> {
    let read = |path: &Path| {
        if path.is_dir() {
            // A folder of certificates, as OpenSSL has them.
            let found = files::sorted_dir(path)?;
            return Ok(found.iter().filter_map(|file| files::read(file).ok()).collect::<Vec<_>>().concat());
        }
        Ok::<_, anyhow::Error>(files::read(path)?)
    };
    let bytes =
        read(path).map_err(|error| Failure::usage(format!("cannot read the file of {origin}")).because(error))?;
    Ok(parse_pem(&bytes).filter_map(Result::ok).collect())
}

fn unusable(path: &Path, origin: &str, what: &str) -> Failure {
    Failure::usage(format!("{} (from {origin}) has no {what}", path.display())).hint("use a file in the PEM format")
}
