//! Several archives in one profile, packages that are files, and locks that outlive mirrors.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::Command;

use sealift_tests::archive::Archive;
use sealift_tests::bundle;
use sealift_tests::command;
use sealift_tests::lab::{Ended, Lab};
use sealift_tests::mirror::Reply;
use sealift_tests::packed::{Member, Package, static_program};
use sealift_tests::signing::Key;

const BUILD: [&str; 5] = ["build", "tiny", "--output", "out.tar", "--locked"];

/// Seed of the key of the other archive.
const VENDOR_KEY: u64 = 2;

/// A later version of `clock`, which needs a later `libc6`, and a package that only this archive has.
fn vendor() -> Archive {
    let program = String::from_utf8(static_program()).unwrap();
    let file = |path: &str| [Member::file(path, &format!("{program}by the vendor\n")).mode(0o755)];
    let packages = vec![
        Package::new("clock", "1:5.0-1", "Depends: libc6 (>= 2.44)\n", &file("./usr/bin/clock")),
        Package::new("libc6", "2.50-1", "", &file("./lib/libc.so.6")),
        Package::new("mongo_exporter", "1", "", &file("./usr/bin/exporter")),
    ];
    Archive { packages, wheels: Vec::new(), key: VENDOR_KEY, ..Archive::default() }
}

/// A lab whose server has the vendor's archive in `vendor/`, and whose profile has `tables` below `[debian]`.
fn lab(tables: &str) -> Lab {
    let lab = Lab::new();
    for (path, bytes) in vendor().publish() {
        lab.mirror.set(&format!("vendor/{path}"), Reply::Whole(bytes));
    }
    fs_err::write(lab.path("tiny/files/vendor.asc"), Key::new(VENDOR_KEY).certificate()).unwrap();
    let config = lab.path("home/.config/sealift");
    fs_err::create_dir_all(&config).unwrap();
    let url = lab.mirror.url();
    let text = format!("debian-mirror = 'vendor={url}/vendor'\ndebian-snapshots = '{url}/past/{{time}}/'\n");
    fs_err::write(config.join("config.toml"), text).unwrap();
    lab.edit("tiny/profile.toml", "[debian.exclude]", &format!("{tables}\n[debian.exclude]"));
    lab
}

const VENDOR: &str = "[debian.archives.vendor]\nsuite = \"tiny\"\nkeyring = \"files/vendor.asc\"\n";

#[track_caller]
fn succeeds(lab: &Lab, arguments: &[&str]) -> Ended {
    let ended = lab.run(arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended
}

/// Locks the profile; gives version and archive of some packages.
#[track_caller]
fn locked(lab: &Lab, names: &[&str]) -> Vec<String> {
    succeeds(lab, &["lock", "tiny"]);
    let lock: toml::Table = fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap().parse().unwrap();
    let packages = lock["platforms"]["linux/amd64"]["package"].as_array().unwrap().clone();
    let text = |package: &toml::Value, key: &str| package.get(key).and_then(|v| v.as_str()).unwrap_or("-").to_owned();
    let chosen = packages.iter().filter(|package| names.contains(&text(package, "name").as_str()));
    chosen.map(|p| format!("{} {} {}", text(p, "name"), text(p, "version"), text(p, "archive"))).collect()
}

#[test]
fn the_highest_version_of_the_highest_priority_is_locked_with_its_archive() {
    let both = ["clock", "libc6"];
    assert_eq!(locked(&lab(VENDOR), &both), ["clock 1:5.0-1 vendor", "libc6 2.50-1 vendor"]);
    let low = format!("{VENDOR}priority = 100\n");
    assert_eq!(locked(&lab(&low), &both), ["clock 1:4.2-1 -", "libc6 2.43-1 -"]);
    let pinned = format!("{low}\n[debian.pins]\nclock = \"vendor\"\n");
    assert_eq!(locked(&lab(&pinned), &both), ["clock 1:5.0-1 vendor", "libc6 2.50-1 vendor"]);
}

#[test]
fn a_package_that_is_requested_from_an_archive_is_built_from_it() {
    let lab = lab(&format!("{VENDOR}priority = -1\n"));
    let requested = "packages = [\"clock\", { name = \"mongo_exporter\", from = \"vendor\" }]";
    lab.edit("tiny/profile.toml", "packages = [\"clock\"]", requested);
    assert_eq!(locked(&lab, &["clock", "mongo_exporter"]), ["clock 1:4.2-1 -", "mongo_exporter 1 vendor"]);
    let text = fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap();
    assert!(text.contains("schema = 2\n") && text.contains("[platforms.\"linux/amd64\".archives.vendor]\n"), "{text}");
    assert!(!text.contains("127.0.0.1"), "a lock names no host: {text}");
    succeeds(&lab, &BUILD);
    let shown = succeeds(&lab, &["inspect", "out.tar", "--packages"]);
    assert!(shown.stdout.contains("package mongo_exporter 1, from vendor\n"), "{}", shown.stdout);
}

/// Also when another archive has a newer version, of the same priority; what depends on the newer one comes from there, too.
#[test]
fn a_package_of_one_version_is_locked_and_built() {
    let lab = lab(VENDOR);
    lab.edit("tiny/profile.toml", "packages = [\"clock\"]", "packages = [\"clock (= 1:4.2-1)\"]");
    assert_eq!(locked(&lab, &["clock", "libc6"]), ["clock 1:4.2-1 -", "libc6 2.50-1 vendor"]);
    succeeds(&lab, &BUILD);
    lab.edit("tiny/profile.toml", "\"clock (= 1:4.2-1)\"", "\"clock (= 1:5.0-1)\"");
    let stale = lab.run(&BUILD);
    assert_ne!(stale.code, Some(0), "the lock is of another version: {}", stale.stderr);
    assert_eq!(locked(&lab, &["clock", "libc6"]), ["clock 1:5.0-1 vendor", "libc6 2.50-1 vendor"]);
    lab.edit("tiny/profile.toml", "clock (= 1:5.0-1)", "clock (= 1:4.9-1)");
    let ended = lab.run(&["lock", "tiny"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let wanted = [
        "no archive has clock (= 1:4.9-1)",
        "tiny/profile.toml:",
        "^^^",
        "hint: there is 1:5.0-1 in vendor (tiny), 1:4.2-1 in debian (tiny);",
    ];
    for wanted in wanted {
        assert!(ended.stderr.contains(wanted), "{wanted}: {}", ended.stderr);
    }
}

/// The vendor's packages in the forms in which other programs lay out an archive: the index of each architecture alone, in
/// one compression, and a signature in a file of its own.
#[test]
fn archives_of_other_layouts_are_read() {
    let vendor = vendor();
    let key = Key::new(VENDOR_KEY);
    let index: String = vendor.packages.iter().map(Package::stanza).collect();
    let list = |path: &str, bytes: &[u8]| {
        let digest = sealift_layers::digest::Digest::of(bytes).hex();
        format!(
            "Date: Thu, 01 Jan 2026 00:00:00 +0000\nArchitectures: all amd64\nComponents: main\nSHA256:\n {digest} {} {path}\n",
            bytes.len()
        )
    };
    let mut packed = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    std::io::Write::write_all(&mut packed, index.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let layouts = [
        ("tiny", "dists/tiny", "main/binary-all/Packages.bz2", packed.as_slice()),
        ("./", "", "./Packages", index.as_bytes()),
        ("flat/deep/", "flat/deep", "Packages.bz2", packed.as_slice()),
    ];
    for (suite, folder, path, bytes) in layouts {
        let lab = lab(&VENDOR.replace("tiny", suite));
        lab.mirror.remove("vendor/dists/tiny/InRelease");
        let release = list(path, bytes);
        let place = |file: &str| format!("vendor/{folder}/{}", file.trim_start_matches("./")).replace("//", "/");
        lab.mirror.set(&place(path), Reply::Whole(bytes.to_vec()));
        lab.mirror.set(&place("Release"), Reply::Whole(release.clone().into_bytes()));
        let unsigned = lab.run(&["lock", "tiny"]);
        assert_eq!(unsigned.code, Some(4), "{suite}: {}", unsigned.stderr);
        assert!(unsigned.stderr.contains("is not signed"), "{suite}: {}", unsigned.stderr);
        lab.mirror.set(&place("Release.gpg"), Reply::Whole(key.detached(release.as_bytes()).into_bytes()));
        assert_eq!(locked(&lab, &["clock"]), ["clock 1:5.0-1 vendor"], "{suite}");
        succeeds(&lab, &BUILD);
    }
}

#[test]
fn each_archive_is_verified_with_its_own_keyring() {
    let ended = lab("[debian.archives.vendor]\nsuite = \"tiny\"\n").run(&["lock", "tiny"]);
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot read the archive vendor"), "{}", ended.stderr);
    let lab = lab(&format!("{VENDOR}priority = 100\n"));
    lab.edit("tiny/profile.toml", "packages = [\"clock\"]", "packages = [{ name = \"clokc\", from = \"vendor\" }]");
    let ended = lab.run(&["lock", "tiny"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("the archive vendor has no package clokc"), "{}", ended.stderr);
    assert!(ended.stderr.contains("profile.toml:"), "{}", ended.stderr);
}

#[test]
fn deb_files_of_the_profile_are_an_archive() {
    let lab = lab("[debian.archives.own]\nfiles = [\"packages\"]\n");
    let program = String::from_utf8(static_program()).unwrap();
    let clock = |text: &str| Member::file("./usr/bin/clock", &format!("{program}{text}\n")).mode(0o755);
    let package = Package::new("clock", "1:6-1", "", &[clock("own")]);
    fs_err::create_dir_all(lab.path("tiny/packages/deep")).unwrap();
    fs_err::write(lab.path("tiny/packages/deep/clock.deb"), package.bytes()).unwrap();
    assert_eq!(locked(&lab, &["clock"]), ["clock 1:6-1 own"]);
    succeeds(&lab, &BUILD);
    // Another file is another lock.
    let other = Package::new("clock", "1:6-1", "", &[clock("another")]);
    fs_err::write(lab.path("tiny/packages/deep/clock.deb"), other.bytes()).unwrap();
    fs_err::remove_dir_all(lab.path("store")).unwrap();
    let ended = lab.run(&BUILD);
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("clock.deb has changed since the lock was made"), "{}", ended.stderr);
}

/// A pool forgets versions; a snapshot of it does not. It is taken some hours after the date of the Release file.
#[test]
fn what_the_mirrors_have_no_more_is_fetched_from_the_past() {
    let lab = lab("");
    succeeds(&lab, &["lock", "tiny"]);
    let path = Archive::default().package("clock").path();
    lab.mirror.set(&format!("past/20260101T060000Z/{path}"), Reply::Whole(lab.mirror.file(&path)));
    lab.mirror.remove(&path);
    succeeds(&lab, &BUILD);
    for (path, bytes) in Archive::default().publish() {
        lab.mirror.set(&format!("past/20260203T000000Z/{path}"), Reply::Whole(bytes));
    }
    lab.mirror.remove("dists/tiny/InRelease");
    succeeds(&lab, &["lock", "tiny", "--at", "2026-02-03"]);
}

#[test]
fn kept_files_suffice_for_a_build() {
    let lab = lab(VENDOR);
    succeeds(&lab, &["lock", "tiny"]);
    succeeds(&lab, &["fetch", "tiny", "--output", "kept"]);
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--quiet", "SHA256SUMS"]).current_dir(lab.path("kept"));
    command::output(&mut check).unwrap();
    let kept = lab.below("kept");
    assert!(kept.iter().any(|path| path.starts_with("packages/vendor/clock_")), "{kept:?}");
    assert!(kept.iter().any(|path| path.starts_with("wheels/")), "{kept:?}");
    // What is there is not fetched again.
    fs_err::remove_dir_all(lab.path("store")).unwrap();
    let _ = lab.mirror.requests();
    succeeds(&lab, &[&BUILD[..], &["--offline", "--artifacts", "kept"]].concat());
    assert_eq!(lab.mirror.requests(), [""; 0]);
}

#[test]
fn patterns_that_match_nothing_are_warnings() {
    let lab = lab("");
    lab.edit(
        "tiny/profile.toml",
        "drop = [\"/usr/share/doc/*/*\"]",
        "drop = [\"/usr/share/doc/*/*\", \"/usr/share/dco\"]",
    );
    succeeds(&lab, &["lock", "tiny"]);
    // Also when all layers are in the store.
    for _ in 0..2 {
        let ended = succeeds(&lab, &BUILD);
        let warnings: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("the pattern")).collect();
        assert_eq!(warnings.len(), 1, "{}", ended.stderr);
        assert!(warnings[0].contains("`/usr/share/dco` in `drop` of the base"), "{}", ended.stderr);
    }
}

/// An archive by `reprepro` beside Debian's own and its security updates, each with its key. Then a build from kept files,
/// where there is no network.
#[test]
#[ignore = "needs reprepro and a Debian mirror: tests/run"]
fn a_vendors_archive_beside_debian_and_its_security_updates() {
    let lab = Lab::new();
    let (gnupg, archive) = (lab.path("gnupg"), lab.path("archive"));
    for folder in ["gnupg", "archive/conf", "source/DEBIAN", "source/usr/bin", "real"] {
        fs_err::create_dir_all(lab.path(folder)).unwrap();
    }
    fs_err::set_permissions(&gnupg, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let run = |program: &str, arguments: &[&str], folder: &Path| {
        let mut made = Command::new(program);
        made.args(arguments).current_dir(folder).env("GNUPGHOME", &gnupg).env("LC_ALL", "C");
        command::output(&mut made).unwrap()
    };
    run(
        "gpg",
        &["--batch", "--passphrase", "", "--quick-gen-key", "Vendor <v@example.org>", "rsa3072", "sign"],
        &gnupg,
    );
    let key = lab.path("real/vendor.gpg");
    run("gpg", &["--batch", "--output", key.to_str().unwrap(), "--export"], &gnupg);
    let control = "Package: vendor-tool\nVersion: 1.0\nArchitecture: all\nMaintainer: V <v@example.org>\nSection: utils\nPriority: optional\n\
                   Depends: busybox-static\nDescription: x\n";
    fs_err::write(lab.path("source/DEBIAN/control"), control).unwrap();
    fs_err::write(lab.path("source/usr/bin/vendor-tool"), "#!/bin/busybox sh\n").unwrap();
    run("dpkg-deb", &["--root-owner-group", "--build", "source", "tool.deb"], lab.path("").as_path());
    let distributions = "Origin: Vendor\nSuite: stable\nCodename: stable\nArchitectures: amd64\nComponents: main\n\
                         SignWith: yes\nDebIndices: Packages Release . .gz .bz2\n";
    fs_err::write(lab.path("archive/conf/distributions"), distributions).unwrap();
    let deb = lab.path("tool.deb");
    run("reprepro", &["--basedir", ".", "includedeb", "stable", deb.to_str().unwrap()], &archive);
    for path in lab.below("archive") {
        lab.mirror.set(&format!("vendor/{path}"), Reply::Whole(fs_err::read(archive.join(&path)).unwrap()));
    }
    let profile = "schema = 1\nname = \"real\"\nproduct = \"real\"\nversion = \"1\"\ntitle = \"Archives\"\n
[debian]\nsuite = \"bookworm\"\ncomponents = [\"main\"]\n
[debian.archives.security]\nsuite = \"bookworm-security\"\n
[debian.archives.backports]\nsuite = \"bookworm-backports\"\n
[debian.archives.vendor]\nsuite = \"stable\"\nkeyring = \"vendor.gpg\"\n
[images.one]\ntitle = \"One\"\npackages = [\"vendor-tool\", \"libssl3\", { name = \"curl\", from = \"backports\" }]
user = \"1000:1000\"\nentrypoint = [\"/bin/busybox\", \"true\"]\n
[services.one]\nimage = \"one\"\n";
    fs_err::write(lab.path("real/profile.toml"), profile).unwrap();
    let sealift = |arguments: &[&str]| {
        let mut command = lab.command(arguments);
        // The machine's own apt sources name Debian's mirrors.
        command.env_remove("SEALIFT_DEBIAN_MIRROR");
        command::output(&mut command).unwrap()
    };
    sealift(&["lock", "real", "--debian-mirror", &format!("vendor={}/vendor", lab.mirror.url())]);
    let lock = fs_err::read_to_string(lab.path("real/sealift.lock")).unwrap();
    for archive in ["security", "backports", "vendor"] {
        assert!(lock.contains(&format!("archive = \"{archive}\"\n")), "no package is from {archive}:\n{lock}");
    }
    assert!(!lock.contains("://"), "a lock names no host:\n{lock}");
    sealift(&["fetch", "real", "--output", "kept", "--debian-mirror", &format!("vendor={}/vendor", lab.mirror.url())]);
    let mut alone = Command::new("unshare");
    alone.args(["--net", "--"]).arg(bundle::program().unwrap());
    alone.args([
        "build",
        "real",
        "--locked",
        "--offline",
        "--artifacts",
        "kept",
        "--output",
        "real.tar",
        "--store",
        "new",
    ]);
    alone.arg("--program").arg(lab.path("program")).current_dir(lab.path("")).env("SEALIFT_PROFILES", lab.path(""));
    command::output(&mut alone).unwrap();
    let shown = sealift(&["inspect", "real.tar", "--packages"]);
    assert!(shown.contains("package vendor-tool 1.0, from vendor"), "{shown}");
}
