//! Servers that reset connections, lie about lengths, or change their files between a lock and a build.

use sealift_tests::archive::Archive;
use sealift_tests::chaos::{Chance, Tally, orderly, rounds};
use sealift_tests::lab::Lab;
use sealift_tests::mirror::Reply;

use super::{BUILD, expected_bundle, is_expected, store_is_sound, succeeds};

/// The paths of all files that a build fetches.
fn fetched(archive: &mut Archive) -> Vec<String> {
    let packages = archive.packages.iter().filter(|package| package.name != "left-out").map(|package| package.path());
    packages.chain(archive.wheels.iter().map(|wheel| format!("files/{}", wheel.file_name()))).collect()
}

/// The build is told about it, or the fault passes unnoticed because a second try succeeds; then the server behaves, and
/// the bundle has the expected bytes.
#[test]
fn a_server_that_misbehaves() {
    let lab = Lab::locked();
    expected_bundle(&lab);
    let files = fetched(&mut Archive::default());
    let (mut chance, mut tally) = (Chance::new("server"), Tally::default());
    let start = std::time::Instant::now();
    for round in 0..rounds(5) {
        let _ = fs_err::remove_dir_all(lab.path("store"));
        let _ = fs_err::remove_file(lab.path("out.tar"));
        let path = &files[chance.below(files.len())];
        let whole = lab.mirror.file(path);
        let at = chance.below(whole.len());
        let (what, reply) = match round % 5 {
            0 => ("closes the connection early", Reply::Cut(whole.clone(), at)),
            1 => ("resets the connection", Reply::Reset(whole.clone(), at)),
            2 => ("claims a length that is too small", Reply::Claims(whole.clone(), at)),
            3 => ("claims a length that is too large", Reply::Claims(whole.clone(), whole.len() + 1 + at)),
            _ => {
                let mut other = whole.clone();
                other[at] ^= 1;
                ("has other content than the lock", Reply::Whole(other))
            }
        };
        lab.mirror.set(path, reply);
        let built = lab.run(&BUILD);
        lab.mirror.set(path, Reply::Whole(whole));
        let name = path.rsplit('/').next().unwrap();
        let which = format!("round {round}: {name}, {at}: a server {what}");
        orderly(&which, &built);
        if built.code == Some(0) {
            is_expected(&lab, &which);
            tally.count(&format!("{what}: the expected bytes"));
        } else {
            assert!(matches!(built.code, Some(3 | 4)), "{which}: {built:?}");
            assert!(built.stderr.contains(name) && built.stderr.contains("hint: "), "{which}: {}", built.stderr);
            assert!(!lab.path("out.tar").exists(), "{which}");
            tally.count(&format!("{what}: refused, with the file's name"));
        }
        store_is_sound(&lab, &which);
        succeeds(&lab, &BUILD);
        is_expected(&lab, &which);
    }
    tally.print("servers", start);
}

/// A server that stops sending is given up after the time without data, and the file is named.
#[test]
#[ignore = "takes minutes: tests/chaos/run"]
fn a_server_that_stalls() {
    let lab = Lab::locked();
    expected_bundle(&lab);
    let path = Archive::default().package("clock").path();
    let whole = lab.mirror.file(&path);
    lab.mirror.set(&path, Reply::Stuck(whole.clone()));
    let start = std::time::Instant::now();
    let built = lab.run(&BUILD);
    orderly("a server that stalls", &built);
    assert_eq!(built.code, Some(3), "{built:?}");
    assert!(built.stderr.contains("clock_") && built.stderr.contains("hint: "), "{}", built.stderr);
    let mut tally = Tally::default();
    tally.count(&format!("given up after {} s, with the file's name", start.elapsed().as_secs()));
    lab.mirror.set(&path, Reply::Whole(whole));
    succeeds(&lab, &BUILD);
    is_expected(&lab, "after a server that stalled");
    tally.print("a server that stalls", start);
}
