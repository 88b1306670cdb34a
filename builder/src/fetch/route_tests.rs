//! Proxies, credentials, redirects, and what happens when one of several servers fails.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealift_deployment::failure::{Failure, Kind};
use sealift_deployment::machine::Machine;
use sealift_deployment::ui::Ui;
use sealift_layers::digest::Digest;

use super::client::{Facts, Timeouts};
use super::server::{Reply, Server};
use super::*;
use crate::mirrors::access::{Access, Address};
use crate::store::Store;

fn client() -> Client {
    let ms = Duration::from_millis;
    let (head, window) = (ms(40_000), ms(1500));
    Client::with_timeouts(
        false,
        Timeouts { connect: ms(2000), head, idle: ms(300), pause: ms(1), window, total: ms(60_000) },
    )
}

/// The settings of a machine with these variables, and URLs that are configured on it.
fn configured(variables: &[(&str, &str)], urls: &[&str]) -> Vec<Address> {
    let mut access = Access::of_environment(&Machine::of(Path::new("/"), variables)).unwrap();
    let urls: Vec<_> = urls.iter().map(|url| access.configured(url.parse().unwrap(), "a test")).collect();
    let access = Arc::new(access);
    urls.into_iter().map(|url| Address::new(url, &access)).collect()
}

fn get(address: &Address) -> Result<Vec<u8>, String> {
    client().get(address, "*/*", 1000).map(|page| page.bytes).map_err(|error| format!("{error:#}"))
}

/// Downloads `abc` from the first of the servers that delivers it.
fn download_from(addresses: Vec<Address>) -> Result<(), (Kind, String)> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let job = Download { name: "a.deb".into(), urls: Urls::Known(addresses), size: 3, digest: Digest::of(b"abc") };
    let fetched = download(&client(), &[job], &store, 1, &Ui::plain(io::sink()).phase("Fetching", 0));
    let done = fetched.and_then(|fetched| fetched.complete("hint"));
    done.map_err(|error| (Kind::of(&error), format!("{error:#}")))
}

/// A URL that refuses connections.
fn closed() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{address}/f")
}

#[test]
fn a_proxy_gets_requests_for_plain_http_as_they_are() {
    let proxy = Server::start(|_, request| Reply::ok(request.path.as_bytes()));
    let url = proxy.url("").replace("http://", "http://me:se%40cret@");
    let addresses = configured(&[("http_proxy", &url)], &["http://u:p@mirror.example:81/a?b"]);
    let client = client();
    for _ in 0..2 {
        let page = client.get(&addresses[0], "*/*", 1000).unwrap();
        assert_eq!(String::from_utf8(page.bytes).unwrap(), "http://mirror.example:81/a?b");
    }
    let request = &proxy.requests()[1];
    assert_eq!(request.header("host"), Some("mirror.example:81"));
    assert_eq!(request.header("proxy-authorization"), Some("Basic bWU6c2VAY3JldA=="));
    assert_eq!(request.header("authorization"), Some("Basic dTpw"));
    assert_eq!(proxy.connections(), 1, "the connection is kept");
}

#[test]
fn a_proxy_is_asked_for_a_tunnel_to_https() {
    let proxy = Server::start(|_, _| Reply::status("403 Forbidden"));
    let addresses = configured(&[("HTTPS_PROXY", &proxy.url(""))], &["https://u:secret@mirror.example/a"]);
    let error = get(&addresses[0]).unwrap_err().replace(&proxy.url(""), "http://proxy.example");
    insta::assert_snapshot!(error, @"cannot fetch https://mirror.example/a: the proxy refused the connection: proxy server responded 403/403, through the proxy http://proxy.example (from HTTPS_PROXY)");
    let requests = proxy.requests();
    assert_eq!((requests.len(), requests[0].path.as_str()), (1, "mirror.example:443"));
    assert_eq!(requests[0].header("authorization"), None, "only the server gets its password");
}

#[test]
fn hosts_may_be_reached_without_the_proxy() {
    let server = Server::start(|_, _| Reply::ok(b"direct"));
    let variables = [("http_proxy", closed()), ("no_proxy", "localhost,127.0.0.0/8".to_owned())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(get(&configured(&variables, &[&server.url("/")])[0]).unwrap(), b"direct");
    let error = get(&configured(&variables[..1], &[&server.url("/")])[0]).unwrap_err();
    assert!(error.contains("refused") && error.contains("(from http_proxy)"), "{error}");
}

#[test]
fn credentials_follow_no_redirect_to_another_server() {
    let other = Server::start(|_, _| Reply::ok(b"other"));
    let location = format!("Location: {}", other.url("/x").replace("127.0.0.1", "localhost"));
    let server = Server::start(move |_, request| match request.path.as_str() {
        "/moved" => Reply::status("302 Found").header("Location: /here"),
        "/elsewhere" => Reply::status("307 Temporary Redirect").header(&location),
        _ => Reply::ok(b"here"),
    });
    let url = |path| server.url(path).replace("http://", "http://u:p@");
    let addresses = configured(&[], &[&url("/moved"), &url("/elsewhere")]);
    assert_eq!((get(&addresses[0]).unwrap(), get(&addresses[1]).unwrap()), (b"here".to_vec(), b"other".to_vec()));
    assert!(server.requests().iter().all(|request| request.header("authorization") == Some("Basic dTpw")));
    assert_eq!(other.requests()[0].header("authorization"), None);
}

#[test]
fn any_failure_of_one_server_leads_to_the_next() {
    let statuses = ["401 Unauthorized", "403 Forbidden", "404 Not Found", "451 Nope", "500 Oops", "503 Busy"];
    for status in statuses {
        let bad = Server::start(move |_, _| Reply::status(status));
        let good = Server::start(|_, _| Reply::ok(b"abc"));
        download_from(configured(&[], &[&bad.url("/f"), &good.url("/f")])).unwrap();
        assert_eq!((bad.requests().len(), good.requests().len()), (1, 1), "{status}");
    }
    let good = Server::start(|_, _| Reply::ok(b"abc"));
    let wrong = Server::start(|_, _| Reply::ok(b"abd"));
    let short = Server::start(|_, _| Reply::ok(b"ab").delay(Duration::from_secs(5)));
    let looping = Server::start(|_, _| Reply::status("302 Found").header("Location: /f"));
    let no_tls = good.url("/f").replace("http://", "https://");
    for bad in
        [closed(), "http://nowhere.invalid/f".into(), wrong.url("/f"), short.url("/f"), looping.url("/f"), no_tls]
    {
        let before = good.requests().len();
        download_from(configured(&[], &[&bad, &good.url("/f")])).unwrap();
        assert_eq!(good.requests().iter().skip(before).filter(|request| request.path == "/f").count(), 1, "{bad}");
    }
}

/// Object stores answer 403 for files that they do not have.
#[test]
fn a_file_that_one_server_lacks_and_another_forbids_is_missing() {
    let forbidden = Server::start(|_, _| Reply::status("403 Forbidden"));
    let gone = Server::start(|_, _| Reply::status("404 Not Found"));
    let (_, message) = download_from(configured(&[], &[&gone.url("/f"), &forbidden.url("/f")])).unwrap_err();
    assert!(message.starts_with("no server has this file any more:"), "{message}");
    let (_, message) = download_from(configured(&[], &[&forbidden.url("/f")])).unwrap_err();
    assert!(message.contains("403 Forbidden"), "{message}");
}

#[test]
fn a_server_that_failed_is_asked_last_from_then_on() {
    let bad = Server::start(|_, _| Reply::status("500 Oops"));
    let good = Server::start(|_, _| Reply::ok(b"page"));
    let addresses = configured(&[], &[&bad.url("/"), &good.url("/")]);
    let client = client();
    for _ in 0..3 {
        assert!(client.find_in(&addresses, "*/*", 1000, "x", |_, page| Ok(page)).unwrap().is_some());
    }
    assert_eq!((bad.requests().len(), good.requests().len()), (1, 3));
}

#[test]
fn errors_list_all_servers_and_no_password() {
    let forbidden = Server::start(|_, _| Reply::status("403 Forbidden"));
    let gone = Server::start(|_, _| Reply::status("404 Not Found"));
    let busy = Server::start(|_, _| Reply::status("503 Busy"));
    let wrong = Server::start(|_, _| Reply::ok(b"abd"));
    let names = |text: String| {
        let servers = [(&forbidden, "one"), (&gone, "two"), (&busy, "three"), (&wrong, "four")];
        servers
            .iter()
            .fold(text, |text, (server, name)| text.replace(&server.url(""), &format!("http://{name}.example")))
    };
    let secret = forbidden.url("/f").replace("http://", "http://u:secret@");
    let (kind, message) = download_from(configured(&[], &[&secret, &gone.url("/f"), &busy.url("/f")])).unwrap_err();
    assert_eq!(kind, Kind::Network);
    insta::assert_snapshot!(names(message), @r"
    no server delivers a.deb:
      http://one.example/f: the server answered 403 Forbidden; it was sent the user name and password from the URL in a test
      http://three.example/f: the server answered 503 Service Unavailable (4 attempts)
    ");
    let (kind, message) = download_from(configured(&[], &[&busy.url("/f"), &wrong.url("/f")])).unwrap_err();
    assert_eq!(kind, Kind::Verification);
    insta::assert_snapshot!(names(message), @r"
    a.deb has the wrong content
      expected sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
      got      sha256:a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9
      from http://four.example/f
      http://three.example/f: the server answered 503 Service Unavailable (4 attempts)
    ");
}

#[test]
fn the_error_of_a_page_that_is_not_valid_is_kept() {
    let good = Server::start(|_, _| Reply::ok(b"page"));
    let check = |_: &Address, _: Page| -> anyhow::Result<()> { Err(Failure::verification("bad").hint("look").into()) };
    let client = client();
    let error = client.find_in(&configured(&[], &[&good.url("/")]), "*/*", 1000, "x", check).unwrap_err();
    assert_eq!((error.to_string().as_str(), Kind::of(&error)), ("bad", Kind::Verification));
    let both = configured(&[], &[&closed(), &good.url("/")]);
    let error = client.find_in(&both, "*/*", 1000, "the page", check).unwrap_err();
    assert_eq!((Kind::of(&error), Failure::hint_in(&error)), (Kind::Verification, Some("look")));
    assert!(error.to_string().starts_with("no server delivers the page:\n"), "{error}");
}

#[test]
fn files_of_this_machine_have_urls_too() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("a b.deb"), b"abc").unwrap();
    fs_err::write(folder.path().join("index.html"), b"links").unwrap();
    let url = |name: &str| format!("file://{}/{name}", folder.path().display());
    let addresses =
        configured(&[("ALL_PROXY", "http://nowhere.invalid")], &[&url("gone"), &url("a%20b.deb"), &url("")]);
    assert_eq!(get(&addresses[2]).unwrap(), b"links");
    assert!(get(&addresses[0]).unwrap_err().contains("not found"));
    download_from(addresses).unwrap();
}

#[test]
fn the_header_of_a_file_tells_size_and_time() {
    let server = Server::start(|_, _| Reply::ok(b"12345").header("Last-Modified: Fri, 02 Jan 2026 03:04:05 GMT"));
    let address = &configured(&[], &[&server.url("/f")])[0];
    let modified = Some("Fri, 02 Jan 2026 03:04:05 GMT".to_owned());
    assert_eq!(client().facts(address), Facts { size: Some(5), modified });
    assert_eq!(client().measure(address, 1000).unwrap().digest, Digest::of(b"12345"));
    assert_eq!(client().facts(&configured(&[], &[&closed()])[0]), Facts::default());
}
