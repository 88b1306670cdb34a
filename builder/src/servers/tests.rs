//! A mirror and an index on loopback.

use std::io::Read as _;
use std::path::Path;

use sealift_deployment::failure::{Failure, Kind};
use sealift_layers::digest::Digest;

use super::*;
use crate::debian::contents::Wanted;
use crate::fetch::Urls;
use crate::fetch::server::{Reply, Server};
use crate::lock::{self, Package, Wheel};
use crate::mirrors::ArchiveName;
use crate::python::pylock::Chosen;

fn servers<'m>(machine: &'m Machine, options: Options) -> Servers<'m> {
    Servers::new(machine, options).unwrap()
}

/// No file, and no program `uv`.
fn bare_machine(variables: &[(&str, &str)]) -> Machine {
    Machine::of(Path::new("/nonexistent"), &[variables, &[("SEALIFT_UV", "/nonexistent/uv")]].concat())
}

fn wheel() -> Wheel {
    Wheel {
        name: "words".into(),
        version: "0.3".into(),
        path: "p/ab/words-0.3-py3-none-any.whl".into(),
        size: 5,
        sha256: Digest::of(b"wheel"),
        uploaded: None,
        index: None,
        local: false,
    }
}

fn main(suite: &str) -> ArchiveName<'_> {
    ArchiveName { name: "debian", suite }
}

/// The index of a suite in a lock, of 14 November 2023.
fn locked() -> lock::Debian {
    lock::Debian {
        suite: "tiny".into(),
        date: 1_700_000_000,
        release: Digest::of(b""),
        signed_by: String::new(),
        origin: None,
        indexes: BTreeMap::new(),
    }
}

fn urls(download: &crate::fetch::Download<'_>) -> Result<Vec<String>> {
    let urls = match &download.urls {
        Urls::Known(urls) => urls.clone(),
        Urls::Lazy(look_up) => look_up()?,
    };
    Ok(urls.iter().map(ToString::to_string).collect())
}

#[test]
fn each_error_about_the_python_index_keeps_kind_and_hint() {
    let machine = bare_machine(&[]);
    let servers = servers(&machine, Options::default());
    for _ in 0..2 {
        let error = servers.python_indexes().unwrap_err();
        let failure = Failure::within(&error).unwrap();
        assert_eq!(failure.kind, Kind::Usage);
        assert!(failure.hint.as_ref().unwrap().contains("--python-index"), "{failure:?}");
    }
    let wrong = bare_machine(&[("PIP_INDEX_URL", "mirror.example")]);
    let error = self::servers(&wrong, Options::default()).python_indexes().unwrap_err();
    let failure = Failure::within(&error).unwrap();
    assert_eq!(failure.kind, Kind::Usage);
    insta::assert_snapshot!(format!("{error:#}"), @"cannot determine the Python index: the Python index `mirror.example` (from PIP_INDEX_URL) is not an http, https or file URL");
}

#[test]
fn a_package_has_the_same_path_on_every_mirror() {
    let machine = bare_machine(&[]);
    let options = Options { debian_mirrors: vec!["https://mirror.example/debian/".into()], ..Options::default() };
    let package = Package {
        name: "clock".into(),
        version: "1:4".into(),
        architecture: "all".into(),
        archive: None,
        path: "pool/main/c/clock/clock_4_all.deb".into(),
        size: 3,
        sha256: Digest::of(b"deb"),
    };
    let download = servers(&machine, options).package(&package, &locked()).unwrap();
    assert_eq!(download.name, "clock_4_all.deb");
    assert_eq!(urls(&download).unwrap(), ["https://mirror.example/debian/pool/main/c/clock/clock_4_all.deb"]);
}

#[test]
fn paths_of_packages_are_percent_encoded() {
    let machine = bare_machine(&[]);
    let options = Options { debian_mirrors: vec!["https://mirror.example".into()], ..Options::default() };
    let package = Package {
        name: "c++".into(),
        version: "5:1~2".into(),
        architecture: "all".into(),
        archive: None,
        path: "pool/c++_5%3a1~2_all.deb".into(),
        size: 3,
        sha256: Digest::of(b"deb"),
    };
    let download = servers(&machine, options).package(&package, &locked()).unwrap();
    assert_eq!(urls(&download).unwrap(), ["https://mirror.example/pool/c%2b%2b_5%253a1%7e2_all.deb"]);
}

#[test]
fn a_wheel_is_looked_up_on_its_project_page() {
    let index = Server::start(|_, request| match request.path.as_str() {
        "/simple/words/" => {
            Reply::ok(b"<a href='/files/words-0.3-py3-none-any.whl'>words</a>").header("Content-Type: text/html")
        }
        _ => Reply::status("404 Not Found"),
    });
    let machine = bare_machine(&[]);
    let options = Options { python_index: Some(index.url("/simple")), ..Options::default() };
    let servers = servers(&machine, options);
    let wheel = wheel();
    let found = servers.wheel(&wheel);
    assert_eq!(index.requests().len(), 0, "the page is read when the download starts");
    assert_eq!(urls(&found).unwrap(), [index.url("/files/words-0.3-py3-none-any.whl")]);
    let other = Wheel { name: "other".into(), ..self::wheel() };
    assert_eq!(urls(&servers.wheel(&other)).unwrap(), [""; 0]);
}

const CONTENTS: &[u8] = b"usr/bin/clock   utils/clock\nusr/lib/x86_64-linux-gnu/libz.so.1 libs/zlib1g,libs/zlib-ng1\n";

/// Serves a signed suite `tiny` with one component. By digest, too, if `by_hash`.
fn archive(by_hash: bool) -> Server {
    let answer = archived(by_hash);
    Server::start(move |_, request| answer(&request.path))
}

fn archived(by_hash: bool) -> impl Fn(&str) -> Reply + Send + Sync + 'static {
    let text = b"Package: clock\n";
    let mut packed = Vec::new();
    liblzma::read::XzEncoder::new(&text[..], 1).read_to_end(&mut packed).unwrap();
    let line =
        |name: &str, bytes: &[u8]| format!(" {} {} main/binary-amd64/{name}\n", Digest::of(bytes).hex(), bytes.len());
    let release = format!(
        "Suite: tiny\nDate: Tue, 14 Nov 2023 22:13:20 UTC\nAcquire-By-Hash: yes\nComponents: main\nSHA256:\n{}{}{}",
        line("Packages", text),
        line("Packages.xz", &packed),
        line("../Contents-amd64", CONTENTS).replace("binary-amd64/../", "")
    );
    let (release, _) = crate::debian::openpgp::tests::signed(&release);
    let hashed = format!("/debian/dists/tiny/main/binary-amd64/by-hash/SHA256/{}", Digest::of(&packed).hex());
    move |path| match path {
        "/debian/dists/tiny/InRelease" => Reply::ok(release.as_bytes()),
        "/debian/dists/tiny/main/binary-amd64/Packages.xz" => Reply::ok(&packed),
        // Without files by digest, this one is newer than the Release file.
        "/debian/dists/tiny/main/Contents-amd64" => Reply::ok(&CONTENTS[usize::from(!by_hash)..]),
        path if by_hash && path == hashed => Reply::ok(&packed),
        path if path.contains("/by-hash/") => Reply::status("403 Forbidden"),
        _ => Reply::status("404 Not Found"),
    }
}

#[test]
fn a_package_index_is_fetched_by_digest_and_else_by_name() {
    let place = tempfile::tempdir().unwrap();
    let keyring = place.path().join("keys.asc");
    fs_err::write(&keyring, crate::debian::openpgp::tests::armoured_key()).unwrap();
    for by_hash in [true, false] {
        let mirror = archive(by_hash);
        let machine = bare_machine(&[]);
        let options = Options { debian_mirrors: vec![mirror.url("/debian")], ..Options::default() };
        let servers = servers(&machine, options);
        let request =
            ReleaseRequest { archive: main("tiny"), keyring: Some(&keyring), now: 1_700_003_600, allow_expired: false };
        let signed = servers.release(&request).unwrap();
        let index = &servers.package_indexes(&signed, Some("main"), "amd64").unwrap()[0];
        assert_eq!((index.path.as_str(), index.text.as_str()), ("main/binary-amd64/Packages.xz", "Package: clock\n"));
        let paths: Vec<String> = mirror.requests().into_iter().map(|request| request.path).collect();
        assert!(paths[1].contains("/by-hash/SHA256/"), "{paths:?}");
        assert_eq!(paths.len(), if by_hash { 2 } else { 3 }, "{paths:?}");
    }
}

#[test]
fn the_index_of_files_names_packages_if_it_is_the_signed_one() {
    let place = tempfile::tempdir().unwrap();
    let keyring = place.path().join("keys.asc");
    fs_err::write(&keyring, crate::debian::openpgp::tests::armoured_key()).unwrap();
    for is_signed in [true, false] {
        let mirror = archive(is_signed);
        let machine = bare_machine(&[]);
        let options = Options { debian_mirrors: vec![mirror.url("/debian")], ..Options::default() };
        let servers = servers(&machine, options);
        let request =
            ReleaseRequest { archive: main("tiny"), keyring: Some(&keyring), now: 1_700_003_600, allow_expired: false };
        let signed = servers.release(&request).unwrap();
        let wanted = [Wanted::library("libz.so.1"), Wanted::program("clock"), Wanted::program("/bin/none")];
        let mut found = BTreeMap::new();
        let result = servers.contents(&signed, Some("main"), "amd64", &wanted.iter().collect(), &mut found);
        assert_eq!(result.is_ok(), is_signed);
        assert_eq!(found.len(), if is_signed { 2 } else { 0 }, "{found:?}");
        if is_signed {
            assert_eq!(found[&wanted[0]].iter().collect::<Vec<_>>(), ["zlib-ng1", "zlib1g"]);
        }
    }
}

#[test]
fn a_suite_that_no_mirror_has_is_a_network_failure() {
    let mirror = Server::start(|_, _| Reply::status("404 Not Found"));
    let machine = bare_machine(&[]);
    let options = Options { debian_mirrors: vec![mirror.url("/debian")], ..Options::default() };
    let place = tempfile::tempdir().unwrap();
    let keyring = place.path().join("keys.asc");
    fs_err::write(&keyring, crate::debian::openpgp::tests::armoured_key()).unwrap();
    let request = ReleaseRequest { archive: main("trixie"), keyring: Some(&keyring), now: 0, allow_expired: false };
    let Err(error) = servers(&machine, options).release(&request) else { panic!("there is no such suite") };
    let failure = Failure::within(&error).unwrap();
    assert_eq!(failure.kind, Kind::Network);
    assert!(failure.message.contains("no Debian mirror has the suite trixie"), "{failure}");
    assert_eq!(mirror.requests()[0].path, "/debian/dists/trixie/InRelease");
}

#[test]
fn a_machine_without_a_keyring_is_a_usage_failure() {
    let machine = bare_machine(&[]);
    let options = Options { debian_mirrors: vec!["https://mirror.example".into()], ..Options::default() };
    let request = ReleaseRequest { archive: main("trixie"), keyring: None, now: 0, allow_expired: false };
    let Err(error) = servers(&machine, options).release(&request) else { panic!("there is no keyring") };
    let failure = Failure::within(&error).unwrap();
    assert_eq!(failure.kind, Kind::Usage);
    assert!(failure.hint.as_ref().unwrap().contains("debian-archive-keyring"));
}

#[test]
fn any_failure_of_one_mirror_leads_to_the_next() {
    let place = tempfile::tempdir().unwrap();
    let keyring = place.path().join("keys.asc");
    fs_err::write(&keyring, crate::debian::openpgp::tests::armoured_key()).unwrap();
    let request =
        ReleaseRequest { archive: main("tiny"), keyring: Some(&keyring), now: 1_700_003_600, allow_expired: false };
    let forbidding = Server::start(|_, _| Reply::status("403 Forbidden"));
    let unsigned = Server::start(|_, _| Reply::ok(b"Suite: tiny"));
    // Delivers the release, and fails from then on.
    let answer = archived(true);
    let failing = Server::start(move |number, request| match number {
        0 => answer(&request.path),
        _ => Reply::status("404 Not Found"),
    });
    let closed = "http://127.0.0.1:1".to_owned();
    for bad in [forbidding.url(""), unsigned.url(""), closed, failing.url("/debian")] {
        let good = archive(true);
        let machine = bare_machine(&[]);
        let options = Options { debian_mirrors: vec![bad.clone(), good.url("/debian")], ..Options::default() };
        let servers = servers(&machine, options);
        let signed = servers.release(&request).unwrap();
        assert_eq!(
            servers.package_indexes(&signed, Some("main"), "amd64").unwrap()[0].text,
            "Package: clock\n",
            "{bad}"
        );
    }
    let machine = bare_machine(&[]);
    let both = vec![unsigned.url(""), forbidding.url("")];
    let Err(error) = servers(&machine, Options { debian_mirrors: both, ..Options::default() }).release(&request) else {
        panic!("neither has a valid release")
    };
    assert_eq!(Kind::of(&error), Kind::Verification);
}

#[test]
fn a_list_of_mirrors_may_be_on_a_server() {
    let list = Server::start(|_, _| {
        Reply::ok(b"http://two.example/debian priority:2\nhttp://one.example/debian priority:1\n")
    });
    let root = tempfile::tempdir().unwrap();
    fs_err::create_dir_all(root.path().join("etc/apt")).unwrap();
    let source = format!("deb mirror+{} tiny main\n", list.url("/list"));
    fs_err::write(root.path().join("etc/apt/sources.list"), source).unwrap();
    let machine = Machine::of(root.path(), &[]);
    let servers = servers(&machine, Options::default());
    let urls: Vec<String> =
        servers.archive_mirrors(main("tiny")).unwrap().iter().map(|mirror| mirror.address.to_string()).collect();
    assert_eq!(urls, ["http://one.example/debian", "http://two.example/debian"]);
}

#[test]
fn what_an_index_does_not_say_about_a_wheel_is_found_out() {
    let url = |server: &Server, path: &str| server.url(path).parse().unwrap();
    let known = |url| Chosen {
        name: "words".into(),
        version: "0.3".into(),
        url,
        path: "words-0.3-py3-none-any.whl".into(),
        size: None,
        sha256: Some(Digest::of(b"wheel")),
        uploaded: None,
        index: None,
        local: false,
    };
    let index = Server::start(|_, request| match request.path.as_str() {
        "/dated" => Reply::ok(b"wheel").header("Last-Modified: Fri, 02 Jan 2026 03:04:05 GMT"),
        _ => Reply::ok(b"wheel"),
    });
    let machine = bare_machine(&[]);
    let servers = servers(&machine, Options { python_index: Some(index.url("/simple")), ..Options::default() });
    let complete = |chosen: &Chosen| servers.complete(chosen).map(|wheel| (wheel.size, wheel.sha256, wheel.uploaded));
    assert_eq!(complete(&known(url(&index, "/dated"))).unwrap(), (5, Digest::of(b"wheel"), Some(1_767_323_045)));
    assert_eq!(complete(&known(url(&index, "/f"))).unwrap(), (5, Digest::of(b"wheel"), None));
    // Without a digest, the file itself is fetched.
    let bare = Chosen { sha256: None, ..known(url(&index, "/f")) };
    assert_eq!(complete(&bare).unwrap(), (5, Digest::of(b"wheel"), None));
    let complete_page = Chosen { size: Some(5), uploaded: Some(1), ..known(url(&index, "/f")) };
    let before = index.requests().len();
    assert_eq!(complete(&complete_page).unwrap(), (5, Digest::of(b"wheel"), Some(1)));
    assert_eq!(index.requests().len(), before, "nothing is asked that is known");
}

#[test]
fn a_wheel_is_looked_up_on_all_indexes() {
    let page = b"<a href='/files/words-0.3-py3-none-any.whl'>words</a>";
    let main = Server::start(|_, _| Reply::status("404 Not Found"));
    let own = Server::start(|_, _| Reply::ok(page).header("Content-Type: text/html"));
    let folder = tempfile::tempdir().unwrap();
    let gpu = format!("gpu={}", own.url("/simple").replace("http://", "http://u:secret@"));
    let variables = [("UV_INDEX", gpu.as_str()), ("UV_FIND_LINKS", folder.path().to_str().unwrap())];
    let machine = bare_machine(&variables);
    let servers = servers(&machine, Options { python_index: Some(main.url("/simple")), ..Options::default() });
    let found = |index: Option<&str>| {
        let wheel = Wheel { index: index.map(str::to_owned), ..wheel() };
        urls(&servers.wheel(&wheel)).unwrap()
    };
    assert_eq!(found(None), [own.url("/files/words-0.3-py3-none-any.whl")]);
    assert_eq!(main.requests().len(), 1, "the default index comes first");
    assert_eq!(found(Some("gpu")), [own.url("/files/words-0.3-py3-none-any.whl")]);
    assert_eq!(main.requests().len(), 1, "the index in the lock comes first");
    assert_eq!(own.requests()[0].header("authorization"), Some("Basic dTpzZWNyZXQ="));
    fs_err::write(folder.path().join("other-1-py3-none-any.whl"), "").unwrap();
    let other = Wheel { name: "other".into(), path: "other-1-py3-none-any.whl".into(), ..wheel() };
    let linked = format!("file://{}/other%2D1%2Dpy3%2Dnone%2Dany%2Ewhl", folder.path().display());
    assert_eq!(urls(&servers.wheel(&other)).unwrap(), [linked]);
}

/// "No server has these files any more", although nobody had named a server: there were links only, and no uv.
#[test]
fn a_missing_default_index_is_told_where_only_links_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let links = ("UV_FIND_LINKS", folder.path().to_str().unwrap());
    let machine = bare_machine(&[links]);
    let error = urls(&servers(&machine, Options::default()).wheel(&wheel())).unwrap_err();
    assert!(error.to_string().starts_with("the default Python index is not known"), "{error}");
    assert!(Failure::hint_in(&error).unwrap().contains("install uv"));
    // Whoever wants no index has said so.
    let machine = bare_machine(&[links, ("UV_NO_INDEX", "1")]);
    assert_eq!(urls(&servers(&machine, Options::default()).wheel(&wheel())).unwrap(), [""; 0]);
}
