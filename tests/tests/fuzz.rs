//! The properties of `sealift_tests::fuzz` for the seeds and for thousands of changes of them, the same in every run.
//!
//! `fuzz/run` looks further, with libFuzzer. What it finds becomes a test beside the code.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use sealift_tests::fuzz::mutation::{Numbers, change};
use sealift_tests::fuzz::{TARGETS, Target};

/// Changed inputs of each target.
const ROUNDS: u64 = 2000;
/// Largest size of an input in bytes.
const SIZE: usize = 16 << 10;
/// A single input takes milliseconds at most; the machine may be busy.
const SLOW: Duration = Duration::from_secs(10);

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz"))
}

fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap()
}

/// Checks one input. A failure shows it, so that it can become a test.
fn check(target: &Target, data: &[u8]) {
    let start = std::time::Instant::now();
    if catch_unwind(AssertUnwindSafe(|| (target.check)(data))).is_err() {
        panic!("{}: b\"{}\"", target.name, data.escape_ascii());
    }
    assert!(start.elapsed() < SLOW, "{}: slow: b\"{}\"", target.name, data.escape_ascii());
}

fn holds(name: &str) {
    let target = target(name);
    let seeds = (target.seeds)();
    check(target, b"");
    seeds.iter().for_each(|seed| check(target, seed));
    for round in 0..ROUNDS {
        let mut numbers = Numbers::new(round + 1);
        let mut data = seeds[numbers.below(seeds.len())].clone();
        let other = &seeds[numbers.below(seeds.len())];
        change(&mut data, other, &mut numbers);
        data.truncate(SIZE);
        check(target, &data);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        mod holds_for {
            $(#[test] fn $name() { super::holds(stringify!($name)); })*
        }
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! {
    ar deb control tar wheel wheel_members record entry_points closure
    decompress programs scripts ldconf ldcache
    versions relations stanzas packages release clearsign signature
    requirements pylock index_page wheel_name
    lock profile settings env bundle manifest sums
    paths numbers
    certificate site_record apt_sources python_settings nar
    licenses advisories
}

#[test]
fn every_kind_of_input_has_a_test_and_a_program() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, NAMES);
    let manifest: toml::Table = fs_err::read_to_string(folder().join("Cargo.toml")).unwrap().parse().unwrap();
    let programs = manifest["bin"].as_array().unwrap().iter().map(|bin| bin["name"].as_str().unwrap());
    let programs = programs.filter(|name| *name != "unguided");
    assert_eq!(programs.collect::<Vec<_>>(), NAMES);
    for name in NAMES {
        let text = fs_err::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(text.contains(&format!("::{name}(data)")), "{text}");
    }
}

/// libFuzzer stops at a line that it cannot read.
#[test]
fn dictionaries_are_those_of_targets_and_can_be_read() {
    for path in sealift_deployment::files::sorted_dir(&folder().join("dictionaries")).unwrap() {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(NAMES.contains(&&*name), "{name}");
        for line in fs_err::read_to_string(&path).unwrap().lines() {
            let word = line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).unwrap_or_default();
            // What is left without its escapes: \\\\, \\" and \\xAB.
            let plain = word.replace(r"\\", "").replace(r#"\""#, "");
            let is_hex = |text: &str| text.len() >= 2 && text.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
            let is_read = plain.split('\\').skip(1).all(|rest| rest.strip_prefix('x').is_some_and(is_hex));
            assert!(!word.is_empty() && !plain.contains('"') && plain.is_ascii() && is_read, "{name}: {line}");
        }
    }
}

/// With `UPDATE` in the environment they are written anew.
#[test]
fn seeds_are_those_of_the_code() {
    #[allow(clippy::disallowed_methods, reason = "a test")]
    let update = std::env::var_os("UPDATE").is_some();
    for target in TARGETS {
        for (number, seed) in (1..).zip((target.seeds)()) {
            let path = folder().join("seeds").join(target.name).join(number.to_string());
            if update {
                fs_err::create_dir_all(path.parent().unwrap()).unwrap();
                fs_err::write(&path, &seed).unwrap();
            }
            assert!(fs_err::read(&path).unwrap() == seed, "{}: run with UPDATE=1 to write it", path.display());
        }
    }
}
