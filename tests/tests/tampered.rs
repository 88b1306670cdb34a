//! `verify` and `inspect` with changed and truncated bundles, and with other files.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Command;

use sealift_tests::lab::{Lab, without_digests};
use sealift_tests::packed::members;

/// A lab with a bundle, `out.tar`.
fn lab_with_bundle() -> Lab {
    let lab = Lab::locked();
    let ended = lab.run(&["build", "tiny", "--output", "out.tar"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    lab
}

#[test]
fn a_changed_byte_of_any_file_is_found() {
    let lab = lab_with_bundle();
    let whole = fs_err::read(lab.path("out.tar")).unwrap();
    let mut text = String::new();
    for (name, offset, size) in members(&whole) {
        for at in [0, size / 2, size - 1] {
            let mut bytes = whole.clone();
            bytes[offset + at] ^= 1;
            fs_err::write(lab.path("bad.tar"), bytes).unwrap();
            let ended = lab.run(&["verify", "bad.tar"]);
            assert_eq!(ended.code, Some(4), "byte {at} of {name}: {}{}", ended.stdout, ended.stderr);
            assert!(format!("{}{}", ended.stdout, ended.stderr).contains(&name), "{name} is not named: {ended:?}");
            if at == size / 2 && !name.starts_with("blobs/") && !name.starts_with("profile/files/") {
                text.push_str(&format!("--- {name}\n{}{}", ended.stdout, ended.transcript()));
            }
        }
    }
    insta::assert_snapshot!("changed", without_digests(&text));
}

/// Links have no digest: the file LINKS has their targets.
#[test]
fn a_changed_link_of_a_bundle_without_containers_is_found() {
    let lab = Lab::locked();
    lab.without_containers();
    let ended = lab.run(&["build", "bare", "--output", "out.tar.gz"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let script = "mkdir out && tar xf out.tar.gz -C out && cd out && sha256sum --quiet -c SHA256SUMS && \
                  ls -A && cat LINKS && rm -r root/usr/share/doc && rm root/bin root/lib && ln -s /tmp root/bin && \
                  ln -s here root/new && echo x >>root/opt/greeter/bin/python && chmod 644 bin/run-greeter";
    let output = Command::new("sh").args(["-c", script]).current_dir(lab.path("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!("bare", String::from_utf8(output.stdout).unwrap());
    let ended = lab.run(&["verify", "out"]);
    assert_eq!(ended.code, Some(4), "{}", ended.stdout);
    insta::assert_snapshot!("bare-changed", without_digests(&ended.stdout));
}

#[test]
fn a_truncated_bundle_is_found() {
    let lab = lab_with_bundle();
    let whole = fs_err::read(lab.path("out.tar")).unwrap();
    // Of the two blocks of zeros at its end, one is enough. A cut within the zeros after the last file is found, too.
    let lengths = (0..whole.len() - 1024).step_by(3331).chain([whole.len() - 1024 - 1, whole.len() - 1024]);
    for length in lengths {
        fs_err::write(lab.path("cut.tar"), &whole[..length]).unwrap();
        for command in ["verify", "inspect"] {
            let ended = lab.run(&[command, "cut.tar"]);
            // If only the end is missing, bundle.json can still be read.
            let right = ended.code == Some(4) || (length < 1024 && ended.code == Some(2)) || command == "inspect";
            assert!(right, "{command} of {length} bytes: {ended:?}");
            assert!(command == "inspect" || ended.code != Some(0), "{length}");
            assert!(!ended.stderr.contains("panicked"), "{length}: {}", ended.stderr);
        }
    }
    let mut text = String::new();
    for length in [0, 100, 4000, whole.len() / 2] {
        fs_err::write(lab.path("cut.tar"), &whole[..length]).unwrap();
        for command in ["verify", "inspect"] {
            let ended = lab.run(&[command, "cut.tar"]);
            text.push_str(&format!(
                "--- {command} of the first {length} bytes\n{}{}",
                ended.stdout,
                ended.transcript()
            ));
        }
    }
    insta::assert_snapshot!("cut-off", without_digests(&text));
}

#[test]
fn other_files_are_not_bundles() {
    let lab = Lab::new();
    fs_err::write(lab.path("text"), "no tar\n".repeat(1000)).unwrap();
    fs_err::create_dir(lab.path("folder")).unwrap();
    let packed = Command::new("tar").args(["cf", "other.tar", "home"]).current_dir(lab.path("")).status();
    assert!(packed.unwrap().success());
    let mut text = String::new();
    for name in ["text", "folder", "other.tar", "nowhere.tar"] {
        for command in ["verify", "inspect"] {
            let ended = lab.run(&[command, name]);
            text.push_str(&format!("--- {command} {name}\n{}{}", ended.stdout, ended.transcript()));
        }
    }
    insta::assert_snapshot!("no-bundle", text);
}

#[test]
fn an_unpacked_bundle_with_missing_or_additional_files_is_found() {
    let lab = lab_with_bundle();
    fs_err::create_dir(lab.path("unpacked")).unwrap();
    let unpack = || {
        let status = Command::new("tar").args(["xf", "../out.tar"]).current_dir(lab.path("unpacked")).status();
        assert!(status.unwrap().success());
    };
    unpack();
    let sound = lab.run(&["verify", "unpacked"]);
    assert_eq!(sound.code, Some(0), "{}{}", sound.stdout, sound.stderr);
    let mut text = String::new();
    for file in lab.below("unpacked") {
        fs_err::remove_file(lab.path("unpacked").join(&file)).unwrap();
        let ended = lab.run(&["verify", "unpacked"]);
        assert_eq!(ended.code, Some(4), "{file} is gone: {}{}", ended.stdout, ended.stderr);
        if !file.starts_with("profile/files") && !file.starts_with("blobs/") {
            text.push_str(&format!("--- without {file}\n{}{}", ended.stdout, ended.transcript()));
        }
        unpack();
    }
    for file in ["more", "env/more.env", "blobs/sha256/more"] {
        fs_err::write(lab.path("unpacked").join(file), "").unwrap();
        let ended = lab.run(&["verify", "unpacked"]);
        text.push_str(&format!("--- with {file}\n{}{}", ended.stdout, ended.transcript()));
        assert_eq!(ended.code, Some(4), "{file}");
        fs_err::remove_file(lab.path("unpacked").join(file)).unwrap();
    }
    insta::assert_snapshot!("unpacked", without_digests(&text));
}
