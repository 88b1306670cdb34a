use std::io;
use std::time::{Duration, Instant};

use sealift_deployment::failure::{Failure, Kind};
use sealift_deployment::ui::Ui;
use sealift_layers::digest::Digest;

use super::client::Timeouts;
use super::server::{Reply, Request, Server};
use super::*;
use crate::mirrors::access::Address;
use crate::store::Store;

/// A client with short timeouts.
fn client(offline: bool) -> Client {
    let ms = Duration::from_millis;
    let timeouts = Timeouts {
        connect: ms(2000),
        head: ms(40_000),
        idle: ms(300),
        pause: ms(1),
        window: ms(1500),
        total: ms(60_000),
    };
    Client::with_timeouts(offline, timeouts)
}

/// A URL without any settings.
fn at(url: &str) -> Address {
    Address::new(url.parse().unwrap(), &Default::default())
}

fn body() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn job(url: String, body: &[u8]) -> Download<'static> {
    Download {
        name: "a_1_amd64.deb".into(),
        urls: Urls::Known(vec![at(&url)]),
        size: body.len() as u64,
        digest: Digest::of(body),
    }
}

struct TestStore {
    store: Store,
    _folder: tempfile::TempDir,
}

impl TestStore {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: Store::open(folder.path()).unwrap(), _folder: folder }
    }

    fn run(&self, jobs: &[Download<'_>]) -> anyhow::Result<Fetched> {
        let ui = Ui::plain(io::sink());
        download(&client(false), jobs, &self.store, 4, &ui.phase("Fetching", 0))
    }

    fn has(&self, body: &[u8]) -> bool {
        self.store
            .artifact(&Digest::of(body), body.len() as u64)
            .is_some_and(|path| fs_err::read(path).unwrap() == body)
    }
}

/// One artifact from one server.
fn fetch(store: &TestStore, server: &Server, body: &[u8]) -> Result<Fetched, (Kind, String)> {
    store.run(&[job(server.url("/f"), body)]).map_err(|error| {
        let failure = Failure::within(&error).unwrap();
        // Ports differ from run to run.
        (failure.kind, failure.message.replace(&server.url(""), "http://mirror.example"))
    })
}

#[test]
fn an_artifact_is_fetched_once() {
    let (store, body) = (TestStore::new(), body());
    let server = Server::start({
        let body = body.clone();
        move |_, _| Reply::ok(&body)
    });
    let fetched = fetch(&store, &server, &body).unwrap();
    assert_eq!((fetched.count, fetched.bytes), (1, body.len() as u64));
    assert!(store.has(&body));
    assert_eq!(fetch(&store, &server, &body), Ok(Fetched::default()), "it is already in the store");
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("user-agent"), Some(concat!("sealift/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(requests[0].header("range"), None);
}

#[test]
fn broken_connections_are_resumed() {
    let (store, body) = (TestStore::new(), body());
    let server = Server::start({
        let body = body.clone();
        move |number, request| match number {
            0 => Reply::range(request, &body).cut(400_000),
            1 => Reply::range(request, &body).cut(1),
            _ => Reply::range(request, &body),
        }
    });
    assert_eq!(fetch(&store, &server, &body).unwrap().count, 1);
    assert!(store.has(&body));
    let starts: Vec<_> = server.requests().iter().map(Request::start).collect();
    assert_eq!(starts, [None, Some(400_000), Some(400_001)]);
}

#[test]
fn without_range_support_the_download_starts_again() {
    let (store, body) = (TestStore::new(), body());
    let server = Server::start({
        let body = body.clone();
        move |number, _| if number == 0 { Reply::ok(&body).cut(1000) } else { Reply::ok(&body) }
    });
    assert_eq!(fetch(&store, &server, &body).unwrap().count, 1);
    assert!(store.has(&body));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_wrong_range_is_not_trusted() {
    let (store, body) = (TestStore::new(), body());
    let server = Server::start({
        let body = body.clone();
        move |number, _| match number {
            0 => Reply::ok(&body).cut(1000),
            1 => Reply::status("206 Partial Content").header("Content-Range: bytes 0-9/10"),
            _ => Reply::ok(&body),
        }
    });
    assert_eq!(fetch(&store, &server, &body).unwrap().count, 1);
    assert!(store.has(&body));
    assert_eq!(server.requests()[2].header("range"), None);
}

#[test]
fn a_partial_download_of_an_earlier_run_is_resumed() {
    let (store, body) = (TestStore::new(), body());
    let server = Server::start({
        let body = body.clone();
        move |_, request| Reply::range(request, &body)
    });
    let partial = store.store.partial(&Digest::of(&body));
    fs_err::write(&partial, &body[..500_000]).unwrap();
    assert_eq!(fetch(&store, &server, &body).unwrap().count, 1);
    assert_eq!(server.requests()[0].start(), Some(500_000));
    assert!(store.has(&body) && !partial.exists());
}

#[test]
fn a_damaged_or_too_long_partial_download_is_fetched_again() {
    for length in [500_000, 1_200_000, 1_300_000] {
        let (store, body) = (TestStore::new(), body());
        let server = Server::start({
            let body = body.clone();
            move |_, request| Reply::range(request, &body)
        });
        fs_err::write(store.store.partial(&Digest::of(&body)), vec![7; length]).unwrap();
        assert_eq!(fetch(&store, &server, &body).unwrap().count, 1);
        assert!(store.has(&body), "{length}");
    }
}

#[test]
fn a_complete_partial_download_needs_no_server() {
    let (store, body) = (TestStore::new(), body());
    fs_err::write(store.store.partial(&Digest::of(&body)), &body).unwrap();
    assert_eq!(store.run(&[job("http://127.0.0.1:9/".into(), &body)]).unwrap().count, 1);
    assert!(store.has(&body));
}

#[test]
fn wrong_content_is_reported_and_not_kept() {
    let store = TestStore::new();
    let server = Server::start(|_, _| Reply::ok(b"abd"));
    let (kind, message) = fetch(&store, &server, b"abc").unwrap_err();
    assert_eq!(kind, Kind::Verification);
    insta::assert_snapshot!(message, @r"
    a_1_amd64.deb has the wrong content
      expected sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
      got      sha256:a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9
      from http://mirror.example/f
    ");
    assert_eq!(server.requests().len(), 1);
    assert!(!store.store.partial(&Digest::of(b"abc")).exists() && !store.has(b"abc"));
}

#[test]
fn a_file_longer_than_expected_is_a_verification_failure() {
    let store = TestStore::new();
    let server = Server::start(|_, _| Reply::ok(b"abcd"));
    let (kind, message) = fetch(&store, &server, b"abc").unwrap_err();
    assert_eq!(kind, Kind::Verification);
    assert!(message.contains("is longer than the expected 3 bytes"), "{message}");
}

#[test]
fn a_file_that_stays_short_is_a_network_failure() {
    let store = TestStore::new();
    let server = Server::start(|_, _| Reply::ok(b"ab"));
    let (kind, message) = fetch(&store, &server, b"abc").unwrap_err();
    assert_eq!(kind, Kind::Network);
    insta::assert_snapshot!(message, @"cannot fetch http://mirror.example/f: the server sent 2 of 3 bytes (4 attempts)");
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn temporary_errors_are_retried() {
    let store = TestStore::new();
    let server = Server::start(|number, _| match number {
        0 => Reply::status("503 Service Unavailable").header("Retry-After: 0"),
        1 => Reply::status("429 Too Many Requests"),
        _ => Reply::ok(b"abc"),
    });
    assert_eq!(fetch(&store, &server, b"abc").unwrap().count, 1);
    let server = Server::start(|_, _| Reply::status("500 Internal Server Error"));
    let (kind, message) = fetch(&TestStore::new(), &server, b"abc").unwrap_err();
    assert_eq!((kind, server.requests().len()), (Kind::Network, 4));
    assert!(message.contains("500 Internal Server Error"), "{message}");
}

#[test]
fn other_statuses_are_not_retried() {
    let server = Server::start(|_, _| Reply::status("403 Forbidden"));
    let (kind, message) = fetch(&TestStore::new(), &server, b"abc").unwrap_err();
    assert_eq!((kind, server.requests().len()), (Kind::Network, 1));
    assert_eq!(
        message,
        "cannot fetch http://mirror.example/f: the server answered 403 Forbidden; it was sent no user name and password"
    );
}

#[test]
fn a_server_that_stops_sending_times_out() {
    let (store, body) = (TestStore::new(), body());
    let server = Server::start({
        let body = body.clone();
        move |number, request| {
            let delay = Duration::from_secs(if number == 0 { 20 } else { 0 });
            Reply::range(request, &body).delay(delay)
        }
    });
    let started = Instant::now();
    assert_eq!(fetch(&store, &server, &body).unwrap().count, 1);
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(server.requests()[1].start(), Some(600_000));
}

/// Each byte comes in time, and all of them would take for ever.
#[test]
fn a_server_that_drips_is_given_up() {
    let (store, body) = (TestStore::new(), body());
    let server = Server::start({
        let body = body.clone();
        move |_, request| Reply::range(request, &body).drip(Duration::from_millis(50))
    });
    let (kind, message) = fetch(&store, &server, &body).unwrap_err();
    assert_eq!((kind, server.requests().len()), (Kind::Network, 2));
    assert!(message.contains(", less than 1 KiB/s (2 attempts)"), "{message}");
    let error = client(false).get(&at(&server.url("/page")), "*/*", 1 << 20).unwrap_err().to_string();
    assert!(error.contains(", less than 1 KiB/s (2 attempts)"), "{error}");
}

#[test]
fn missing_artifacts_are_listed_and_the_others_fetched() {
    let store = TestStore::new();
    let server = Server::start(|_, request| match request.path.as_str() {
        "/there" => Reply::ok(b"there"),
        _ => Reply::status("404 Not Found"),
    });
    let urls = || vec![at(&server.url("/gone")), at(&server.url("/there"))];
    let jobs = [
        Download { name: "b".into(), ..job(server.url("/b"), b"b") },
        Download { urls: Urls::Lazy(Box::new(|| Ok(urls()))), ..job("http://127.0.0.1:9".into(), b"there") },
        Download { name: "a".into(), urls: Urls::Known(vec![]), ..job("http://127.0.0.1:9".into(), b"aaa") },
    ];
    let fetched = store.run(&jobs).unwrap();
    assert_eq!(fetched.count, 1);
    assert!(store.has(b"there"));
    let error = fetched.complete("re-lock").unwrap_err();
    let failure = Failure::within(&error).unwrap();
    assert_eq!((failure.kind, failure.hint.as_deref()), (Kind::Network, Some("re-lock")));
    insta::assert_snapshot!(failure.message.replace(&server.url(""), "http://mirror.example"), @r"
    no server has these 2 files any more:
      a
      b (http://mirror.example/b)
    ");
}

#[test]
fn the_first_error_stops_all_downloads() {
    let store = TestStore::new();
    let server = Server::start(|_, request| match request.path.as_str() {
        "/bad" => Reply::status("403 Forbidden"),
        _ => Reply::ok(&[0; 100_000]).delay(Duration::from_secs(60)),
    });
    let slow = (0..8_u8).map(|n| Download { size: 100_000, ..job(server.url("/slow"), &[n; 100_000]) });
    let mut jobs: Vec<_> = slow.collect();
    jobs.push(Download { size: 100_001, ..job(server.url("/bad"), b"bad") });
    let timeouts = Timeouts { idle: Duration::from_secs(50), ..client(false).timeouts };
    let client = Client::with_timeouts(false, timeouts);
    let started = Instant::now();
    let ui = Ui::plain(io::sink());
    let error = download(&client, &jobs, &store.store, 4, &ui.phase("Fetching", 0)).unwrap_err();
    assert!(error.to_string().contains("403"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(server.requests().len() <= 4);
}

#[test]
fn connections_are_reused_and_equal_artifacts_fetched_once() {
    let store = TestStore::new();
    let server = Server::start(|_, request| Reply::ok(request.path.as_bytes()));
    let path = |n: usize| format!("/{}", n % 30);
    let jobs: Vec<_> = (0..60).map(|n| job(server.url(&path(n)), path(n).as_bytes())).collect();
    assert_eq!(store.run(&jobs).unwrap().count, 30);
    assert!((0..30).all(|n| store.has(path(n).as_bytes())));
    assert_eq!(server.requests().len(), 30);
    assert!(server.connections() <= 4, "{}", server.connections());
}

#[test]
fn runs_at_the_same_time_fetch_an_artifact_once() {
    let (store, body) = (TestStore::new(), body());
    let server = Server::start({
        let body = body.clone();
        move |_, request| Reply::range(request, &body).delay(Duration::from_millis(200))
    });
    std::thread::scope(|scope| {
        let runs = [0, 1, 2].map(|_| scope.spawn(|| fetch(&store, &server, &body)));
        runs.into_iter().for_each(|run| assert!(run.join().unwrap().is_ok()));
    });
    assert!(store.has(&body));
    assert_eq!(server.requests().len(), 1, "the others waited");
    assert!(!store.store.partial(&Digest::of(&body)).exists());
}

#[test]
fn offline_lists_the_files_that_are_not_in_the_store() {
    let store = TestStore::new();
    let jobs: Vec<_> =
        (0..12).map(|n| Download { name: format!("p{n:02}.deb"), ..job("http://127.0.0.1:9".into(), &[n]) }).collect();
    let ui = Ui::plain(io::sink());
    let error = download(&client(true), &jobs, &store.store, 4, &ui.phase("Fetching", 0)).unwrap_err();
    insta::assert_snapshot!(error.to_string(), @r"
    --offline is set, but these files are not in the store:
      p00.deb
      p01.deb
      p02.deb
      p03.deb
      p04.deb
      p05.deb
      p06.deb
      p07.deb
      p08.deb
      p09.deb
      and 2 more
    ");
    assert!(client(true).get(&at("http://127.0.0.1:9/"), "*/*", 10).unwrap_err().to_string().contains("--offline"));
}

#[test]
fn pages_follow_redirects_and_have_a_size_limit() {
    let server = Server::start(|number, request| match request.path.as_str() {
        "/flaky" if number == 0 => Reply::ok(b"a page").cut(3),
        "/flaky" => Reply::ok(b"a page").header("Content-Type: text/html; charset=utf-8"),
        "/moved" => Reply::status("301 Moved Permanently").header("Location: flaky"),
        "/loop" => Reply::status("302 Found").header("Location: /loop"),
        _ => Reply::status("404 Not Found"),
    });
    let client = client(false);
    let page = client.get(&at(&server.url("/flaky")), "text/html", 6).unwrap();
    assert_eq!((page.bytes.as_slice(), page.content_type.as_str()), (&b"a page"[..], "text/html; charset=utf-8"));
    assert_eq!(server.requests()[0].header("accept"), Some("text/html"));
    assert_eq!(client.get(&at(&server.url("/moved")), "*/*", 6).unwrap().address, at(&server.url("/flaky")));
    assert!(client.get(&at(&server.url("/flaky")), "*/*", 5).unwrap_err().to_string().ends_with("is longer than 5 B"));
    assert!(client.get(&at(&server.url("/loop")), "*/*", 5).unwrap_err().to_string().ends_with("too many redirects"));
    assert!(client.find(&at(&server.url("/none")), "*/*", 6).unwrap().is_none());
    let error = client.get(&at(&server.url("/none")), "*/*", 6).unwrap_err();
    assert_eq!(Failure::within(&error).unwrap().kind, Kind::Network);
}

#[test]
fn a_refused_connection_is_a_network_failure() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = client(false).get(&at(&format!("http://{gone}/")), "*/*", 5).unwrap_err();
    let failure = Failure::within(&error).unwrap();
    assert_eq!(failure.kind, Kind::Network);
    assert!(failure.message.contains("refused"), "{failure}");
}
