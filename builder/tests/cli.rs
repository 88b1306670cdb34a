//! The command line: streams, exit codes and colours.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::{Command, Output};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deployment/tests/profiles");

fn sealift(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealift"));
    command.current_dir(directory).env("SEALIFT_PROFILES", "").env_remove("CLICOLOR_FORCE").env_remove("NO_COLOR");
    command
}

fn text(output: &Output) -> (String, String) {
    (String::from_utf8(output.stdout.clone()).unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

#[test]
fn profiles_are_listed_as_text_and_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let valid = Path::new(SAMPLES).join("valid");
    let mut command = sealift(folder.path());
    let output = command.arg("profiles").env("SEALIFT_PROFILES", &valid).output().unwrap();
    let (stdout, stderr) = text(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(stdout, @r"
    full 1.0-rc.1
      Every key there is
      images:   db, web
      services: db, report, web

    small 1.0
      The least that is a profile
      images:   web
      services: web
    ");
    let output = command.arg("--json").output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json[1]["name"], "small");
    assert_eq!(json[1]["directory"], valid.join("small").to_str().unwrap());
    assert_eq!(json[0]["images"], serde_json::json!(["db", "web"]));
}

#[test]
fn without_profiles_there_is_a_note_and_an_empty_list() {
    let empty = tempfile::tempdir().unwrap();
    let output = sealift(empty.path()).args(["profiles", "--json"]).output().unwrap();
    assert_eq!(text(&output).0, "[]\n");
    let output = sealift(empty.path()).arg("profiles").output().unwrap();
    assert!(text(&output).1.starts_with("there are no profiles here"));
    let output = sealift(empty.path()).args(["profiles", "--quiet"]).output().unwrap();
    assert_eq!((output.status.code(), text(&output)), (Some(0), (String::new(), String::new())));
}

#[test]
fn an_invalid_profile_is_reported_and_the_others_are_listed() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("profiles");
    for (name, sample) in [("bad", "invalid/root.toml"), ("small", "valid/small/profile.toml")] {
        fs_err::create_dir_all(root.join(name)).unwrap();
        fs_err::copy(Path::new(SAMPLES).join(sample), root.join(name).join("profile.toml")).unwrap();
    }
    // Parents of the current directory are searched, too.
    let output = sealift(&root.join("small")).arg("profiles").output().unwrap();
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout.starts_with("small 1.0\n"), "{stdout}");
    assert!(stderr.starts_with("error: the image would run as root\n"), "{stderr}");
    let output = sealift(place.path()).args(["profiles", "--color=always"]).output().unwrap();
    assert!(text(&output).1.contains("\u{1b}["));
    assert!(text(&output).1.contains("profiles/bad/profile.toml"), "paths are relative to the current directory");
}

#[test]
fn usage_errors_exit_with_2() {
    let place = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["no-such-command"], &["profiles", "--no-such-option"]] {
        assert_eq!(sealift(place.path()).args(arguments).output().unwrap().status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_closed_standard_output_is_not_an_error() {
    let place = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = sealift(place.path()).args(["completions", "bash"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), text(&output).1), (Some(0), String::new()));
}
