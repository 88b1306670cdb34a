//! Inputs that want much memory: as large, as many and as deep as the limits allow, or more. No run takes more than 256 MB.
//!
//! Some of them are accepted, as they are within the limits. Making them takes minutes: most run with `tests/chaos/run`.

use std::fmt::Write as _;
use std::io::Write as _;

use sealift_tests::archive::{Archive, INDEX, KNOWN_KEY, RELEASE};
use sealift_tests::chaos::orderly;
use sealift_tests::command::report;
use sealift_tests::lab::{Ended, Lab};
use sealift_tests::packed::{Member, ar, tar};
use sealift_tests::signing::Key;

use super::MEMORY;

const BUILD: [&str; 6] = ["build", "tiny", "--locked", "--quiet", "--output", "out.tar"];

/// Prints what a run took, and remembers whether that was too much.
#[derive(Default)]
struct Peaks(Vec<String>);

impl Peaks {
    fn judge(&mut self, name: &str, ended: &Ended) {
        orderly(name, ended);
        let message = ended.stderr.lines().find(|line| line.starts_with("error")).unwrap_or("accepted");
        let message: String = message.chars().take(150).collect();
        let line = format!("{name}: {} MB: {message}", ended.peak.div_ceil(1_000_000));
        report(&format!("memory: {line}"));
        // The message is for people.
        if ended.peak > MEMORY || ended.stderr.len() > 100_000 {
            self.0.push(line);
        }
    }

    fn finish(self) {
        assert!(self.0.is_empty(), "too much:\n{}", self.0.join("\n"));
    }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A package with this control file and these members.
fn deb(name: &str, control: &str, members: &[Member]) -> Vec<u8> {
    let control = format!("Package: {name}\nVersion: 1:4.2-1\nArchitecture: all\n{control}");
    ar(&[
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar", tar(&[Member::file("./control", &control)])),
        ("data.tar.gz", gz(&tar(members))),
    ])
}

/// A pax record (POSIX.1-2017): its length includes its own digits.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length.to_string().len() + rest.len() != length {
        length = length.to_string().len() + rest.len();
    }
    format!("{length}{rest}")
}

fn extended(text: &str) -> Member {
    Member::file("./PaxHeaders/x", text).kind(b'x')
}

/// Files with paths of this length, all in one folder.
fn files(count: usize, length: usize) -> Vec<Member> {
    let padding = "x".repeat(200);
    let folders = format!("{padding}/").repeat(length / 201);
    let mut members = vec![Member::file("./usr/bin/clock", "tick\n").mode(0o755)];
    for number in 0..count {
        if length > 100 {
            members.push(extended(&record("path", &format!("usr/{folders}{number}"))));
        }
        members.push(Member::file(&format!("./usr/share/{:x<1$}{number}", "", length.min(100) - 20), ""));
    }
    members
}

fn built(change: impl FnOnce(&mut Archive)) -> Ended {
    let mut archive = Archive::default();
    change(&mut archive);
    let lab = Lab::with(&archive);
    lab.lock();
    lab.run(&BUILD)
}

fn clock(control: &str, members: &[Member]) -> Ended {
    built(|archive| archive.package("clock").raw = Some(deb("clock", control, members)))
}

#[test]
#[ignore = "takes minutes: tests/chaos/run"]
fn large_packages() {
    let mut peaks = Peaks::default();
    peaks.judge("a package with 149,000 files", &clock("", &files(149_000, 80)));
    peaks.judge("a package with 7,900 paths of 4,000 bytes", &clock("", &files(7_900, 4_000)));
    let attributes = |count, size| -> Vec<Member> {
        let value = "v".repeat(size);
        let one = |number| {
            [extended(&record("SCHILY.xattr.user.x", &value)), Member::file(&format!("./usr/share/{number}"), "")]
        };
        [Member::file("./usr/bin/clock", "tick\n")].into_iter().chain((0..count).flat_map(one)).collect()
    };
    peaks.judge("a package with 30 MB of attributes", &clock("", &attributes(30, 1_000_000)));
    peaks.judge("a package with 30,000 attributes", &clock("", &attributes(30_000, 900)));
    peaks.judge("a control file of 15 MB", &clock(&format!("Depends: {}\n", "a, ".repeat(5_000_000)), &[]));
    peaks.judge(
        "a control file with a million fields",
        &clock(
            &(0..1_000_000).fold(String::new(), |mut text, number| {
                let _ = writeln!(text, "F{number}: x");
                text
            }),
            &[],
        ),
    );
    peaks.judge(
        "a package that unpacks to 300 MB",
        &clock("", &[Member::file("./usr/bin/clock", "").content(vec![0; 300 << 20])]),
    );
    peaks.finish();
}

#[test]
#[ignore = "takes minutes: tests/chaos/run"]
fn large_wheels() {
    let mut peaks = Peaks::default();
    let words = |files: &[(String, String)]| {
        built(|archive| {
            let wheel = archive.wheel("words");
            wheel.files.extend_from_slice(files);
        })
    };
    let many: Vec<_> = (0..60_000).map(|number| (format!("words/{:x<100}{number}.py", ""), String::new())).collect();
    peaks.judge("a wheel with 60,000 files", &words(&many));
    let long: Vec<_> = (0..7_900)
        .map(|number| (format!("words/{}{number}.py", format!("{}/", "x".repeat(200)).repeat(19)), String::new()))
        .collect();
    peaks.judge("a wheel with 7,900 paths of 4,000 bytes", &words(&long));
    let info = "words-0.3.dist-info";
    let points = (0..300_000).fold("[console_scripts]\n".to_owned(), |mut text, number| {
        let _ = writeln!(text, "command-{number} = words:main");
        text
    });
    peaks.judge("a wheel with 300,000 commands", &words(&[(format!("{info}/entry_points.txt"), points)]));
    peaks.judge("a wheel with one file of 60 MB", &words(&[("words/large.py".to_owned(), "x".repeat(60 << 20))]));
    peaks.finish();
}

/// Every package at once.
#[test]
#[ignore = "takes minutes: tests/chaos/run"]
fn several_large_inputs_in_one_build() {
    let mut peaks = Peaks::default();
    let many = |archive: &mut Archive, count: usize, length: usize| {
        for package in &mut archive.packages {
            let name = package.name.clone();
            let folder = format!("{}/", "x".repeat(200)).repeat(length / 201);
            for number in 0..count {
                if length > 100 {
                    package.members.push(extended(&record("path", &format!("usr/{name}/{folder}{number}"))));
                }
                package.members.push(Member::file(&format!("./usr/share/{name}/{:x<50}{number}", ""), ""));
            }
        }
    };
    peaks.judge("six packages with 40,000 files each", &built(|archive| many(archive, 40_000, 80)));
    peaks.judge("six packages with 7,000 paths of 4,000 bytes each", &built(|archive| many(archive, 7_000, 4_000)));
    peaks.finish();
}

#[test]
#[ignore = "takes minutes: tests/chaos/run"]
fn large_indexes() {
    let mut peaks = Peaks::default();
    let locked = |index: &str| {
        let lab = Lab::new();
        let text = String::from_utf8(lab.mirror.file(RELEASE)).unwrap();
        let (_, text) = text.split_once("\n\n").unwrap();
        let (text, _) = text.split_once("SHA256:").unwrap();
        let packed = gz(index.as_bytes());
        let digest = |bytes: &[u8]| sealift_layers::digest::Digest::of(bytes).hex().to_string();
        let text = format!(
            "{text}SHA256:\n {} {} main/binary-amd64/Packages\n {} {} main/binary-amd64/Packages.gz",
            digest(index.as_bytes()),
            index.len(),
            digest(&packed),
            packed.len()
        );
        lab.mirror.remove(INDEX);
        lab.mirror.set(&INDEX.replace(".xz", ".gz"), sealift_tests::mirror::Reply::Whole(packed));
        let release = Key::new(KNOWN_KEY).clearsign(&text).into_bytes();
        lab.mirror.set(RELEASE, sealift_tests::mirror::Reply::Whole(release));
        lab.run(&["lock", "tiny"])
    };
    let of = |more: &dyn Fn(usize) -> String, size: usize| {
        let mut text = String::new();
        let mut number = 0;
        while text.len() < size {
            let _ = write!(
                text,
                "Package: p{number}\nVersion: 1\nArchitecture: all\n{}Filename: p\nSize: 1\nSHA256: {:064x}\n\n",
                more(number),
                number
            );
            number += 1;
        }
        text
    };
    peaks.judge("an index of 100 MB with small packages", &locked(&of(&|_| String::new(), 100 << 20)));
    peaks.judge("an index of 250 MB with small packages", &locked(&of(&|_| String::new(), 250 << 20)));
    peaks.judge(
        "an index of 100 MB with many dependencies",
        &locked(&of(&|_| format!("Depends: {}\n", "p1, ".repeat(1000)), 100 << 20)),
    );
    peaks.judge(
        "an index of 100 MB with many provided names",
        &locked(&of(
            &|number| {
                format!("Provides: {}\n", (0..200).fold(String::new(), |text, n| text + &format!("v{number}-{n}, ")))
            },
            100 << 20,
        )),
    );
    peaks.judge("an index of 100 MB with one field", &locked(&format!("Package: {}\n", "p".repeat(100 << 20))));
    peaks.finish();
}

/// The densest TOML that there is: a value for every two bytes.
fn dense(size: usize) -> String {
    format!("x = [{}]\n", "[],".repeat(size / 3))
}

fn keys(size: usize) -> String {
    let mut text = String::new();
    let mut number = 0;
    while text.len() < size {
        let _ = writeln!(text, "k{number}=1");
        number += 1;
    }
    text
}

#[test]
fn large_documents() {
    let mut peaks = Peaks::default();
    let lab = Lab::locked();
    let site = lab.run(&["site", "new", "site", "--profile", "tiny", "--host", "greeter.example"]);
    assert_eq!(site.code, Some(0), "{site:?}");
    lab.without_containers();
    let config = "home/.config/sealift/config.toml";
    fs_err::create_dir_all(lab.path("home/.config/sealift")).unwrap();
    let new = ["site", "new", "site", "--profile", "tiny"];
    let documents: [(&str, &[&str]); 7] = [
        ("tiny/profile.toml", &["plan", "tiny"]),
        ("tiny/sealift.lock", &BUILD),
        (config, &["lock", "tiny"]),
        ("home/.netrc", &["lock", "tiny"]),
        ("site/settings.toml", &new),
        ("site/site.toml", &new),
        (".env", &new),
    ];
    for (file, command) in documents {
        let before = fs_err::read_to_string(lab.path(file)).ok();
        let start = before.clone().unwrap_or_default();
        for (what, text) in [
            ("3 MB", dense(3 << 20)),
            ("2 MB of arrays", dense((2 << 20) - start.len() - 100)),
            ("2 MB of keys", keys((2 << 20) - start.len() - 100)),
        ] {
            fs_err::write(lab.path(file), format!("{text}{start}")).unwrap();
            peaks.judge(&format!("{file}, {what}"), &lab.run(command));
        }
        // Nothing waits for the other end of a pipe.
        fs_err::remove_file(lab.path(file)).unwrap();
        let made = std::process::Command::new("mkfifo").arg(lab.path(file)).status();
        assert!(made.unwrap().success());
        peaks.judge(&format!("{file}, a named pipe"), &lab.run(command));
        fs_err::remove_file(lab.path(file)).unwrap();
        if let Some(before) = before {
            fs_err::write(lab.path(file), before).unwrap();
        }
    }
    peaks.finish();
}

#[test]
#[ignore = "takes minutes: tests/chaos/run"]
fn large_bundles() {
    let mut peaks = Peaks::default();
    let lab = Lab::locked();
    let ended = lab.run(&["build", "tiny", "--output", "out.tar"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let good = fs_err::read(lab.path("out.tar")).unwrap();
    let end = good.len() - good.iter().rev().take_while(|byte| **byte == 0).count();
    let good = &good[..end.next_multiple_of(512)];
    let mut more = |name: &str, members: &[Member]| {
        fs_err::write(lab.path("bad.tar"), [good, &tar(members)].concat()).unwrap();
        for command in [&["verify", "bad.tar"][..], &["inspect", "bad.tar"]] {
            peaks.judge(&format!("{}: {name}", command[0]), &lab.run(command));
        }
    };
    more("a bundle with 149,000 more files", &files(149_000, 80));
    more("a bundle with 7,900 paths of 4,000 bytes", &files(7_900, 4_000));
    let odd: Vec<Member> = (0..7_900)
        .flat_map(|number| {
            let path = format!("./{}{number}", format!("{}/", "\u{1b}".repeat(200)).repeat(19));
            [extended(&record("path", &path)), Member::file("x", "")]
        })
        .collect();
    more("a bundle with 7,900 odd paths of 4,000 bytes", &odd);
    let mut replaced = |file: &str, text: &str| {
        let name = format!("{file} of {} MB", text.len() >> 20);
        let script = format!("rm -rf folder; mkdir folder && tar xpf out.tar -C folder && cp big folder/{file}");
        fs_err::write(lab.path("big"), text).unwrap();
        let status = std::process::Command::new("sh").args(["-c", &script]).current_dir(lab.path("")).status();
        assert!(status.unwrap().success());
        for command in [&["verify", "folder"][..], &["inspect", "folder"]] {
            peaks.judge(&format!("{}: {name}", command[0]), &lab.run(command));
        }
    };
    for megabytes in [30, 15] {
        let size = megabytes << 20;
        let sums = |number: usize| format!("{:064x}  f{number}\n", 0);
        replaced("SHA256SUMS", &(0..size / 74).map(sums).collect::<String>());
        replaced("bundle.json", &format!("{{\"a\":[{}[]]}}", "[],".repeat(size / 3)));
        let names = (0..size / 12).fold(String::new(), |mut text, number| {
            let _ = write!(text, "\"{number:06}\":\"\",");
            text
        });
        replaced("bundle.json", &format!("{{\"excluded\":{{{names}\"\":\"\"}}}}"));
        replaced("index.json", &format!("{{\"a\":[{}[]]}}", "[],".repeat(size / 3)));
        replaced(
            "manifest.json",
            &format!("[{}{{}}]", "{\"Config\":\"\",\"RepoTags\":[],\"Layers\":[]},".repeat(size / 43)),
        );
    }
    peaks.finish();
}

/// As small as they are, they took gigabytes or hours.
#[test]
fn snapshots_and_licences() {
    let mut peaks = Peaks::default();
    // The tracker is read for releases of Debian only.
    let mut archive = Archive::default();
    archive.package("base-files").members[3] = Member::file("./usr/lib/os-release", "ID=debian\nVERSION_ID=13\n");
    let lab = Lab::new();
    lab.publish(&archive);
    lab.lock();
    let ended = lab.run(&["build", "tiny", "--output", "out.tar"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let repeated = |unit: &str| unit.repeat((8 << 20) / unit.len() - 100);
    let affected = |name: &str| {
        let package = format!("{{\"ecosystem\":\"PyPI\",\"name\":\"{name}\"}}");
        format!(
            "{{\"package\":{package},\"ranges\":[{{\"type\":\"ECOSYSTEM\",\"events\":[{{\"introduced\":\"0\"}}]}}]}}"
        )
    };
    let both = [affected("greeter"), affected("words")].join(",");
    let aliases: String = (0..60_000).map(|n| format!("\"X-{n:0120}\",")).collect();
    let vex = "{\"@context\":\"https://openvex.dev/ns\",\"statements\":[{\"status\":\"fixed\",\"vulnerability\":\"X\",";
    for (option, name, text) in [
        (
            "--osv",
            "objects in what the database adds",
            format!("{{\"id\":\"X\",\"database_specific\":[{}0]}}", repeated("{\"\":0},")),
        ),
        (
            "--osv",
            "events",
            format!(
                "{{\"id\":\"X\",\"affected\":[{{\"ranges\":[{{\"type\":\"SEMVER\",\"events\":[{}{{}}]}}]}}]}}",
                repeated("{},")
            ),
        ),
        ("--osv", "aliases", format!("{{\"id\":\"X\",\"aliases\":[{aliases}\"\"],\"affected\":[{both}]}}")),
        ("--osv", "a summary", format!("{{\"id\":\"X\",\"summary\":\"{}\",\"affected\":[{both}]}}", repeated("x"))),
        ("--vex", "products", format!("{vex}\"products\":[{}\"\"]}}]}}", repeated("\"\","))),
        ("--vex", "notes", format!("{vex}\"status_notes\":\"{}\"}}]}}", repeated("x"))),
        ("--debian-tracker", "brackets", format!("{{\"a\":{}", repeated("["))),
        ("--debian-tracker", "a name", format!("{{\"{}\":{{}}}}", repeated("x"))),
    ] {
        fs_err::write(lab.path("snapshot"), text).unwrap();
        peaks.judge(
            &format!("{option}: {name}"),
            &lab.run(&["audit", "out.tar", "--offline", "--json", option, "snapshot"]),
        );
    }
    let script = "mkdir folder && tar xpf out.tar -C folder";
    let status = std::process::Command::new("sh").args(["-c", script]).current_dir(lab.path("")).status();
    assert!(status.unwrap().success());
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs_err::read(lab.path("folder/bundle.json")).unwrap()).unwrap();
    let references: String = (0..3000).map(|n| format!("LicenseRef-{n} OR ")).collect();
    for (name, expression, package) in [
        ("exceptions", "a WITH ".repeat(9000), "clock".to_owned()),
        ("licences with a long name", references + "MIT", "n".repeat(60_000)),
    ] {
        let mut manifest = manifest.clone();
        manifest["packages"][0]["license"] = serde_json::json!({ "expression": expression });
        manifest["packages"][0]["name"] = package.into();
        fs_err::write(lab.path("folder/bundle.json"), manifest.to_string()).unwrap();
        for command in [&["licenses", "folder"][..], &["sbom", "folder", "--format", "spdx"]] {
            peaks.judge(&format!("{}: {name}", command[0]), &lab.run(command));
        }
    }
    peaks.finish();
}
