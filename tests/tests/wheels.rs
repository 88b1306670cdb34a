//! Wheels of the user, wheels that installers accept, and stores that nothing can be run from.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Command;

use sealift_tests::archive::Archive;
use sealift_tests::command::report;
use sealift_tests::lab::{Ended, Lab};
use sealift_tests::packed::Wheel;

const BUILD_LOCKED: [&str; 5] = ["build", "tiny", "--output", "out.tar", "--locked"];
const VENV: &str = "application = [\"greeter\"]\n";

#[track_caller]
fn succeeds(lab: &Lab, arguments: &[&str]) -> Ended {
    let ended = lab.run(arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended
}

#[track_caller]
fn fails_with(lab: &Lab, arguments: &[&str], message: &str) {
    let ended = lab.run(arguments);
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains(message), "{}", ended.stderr);
}

/// Builds `out.tar` and returns its digest. The file is removed.
fn digest(lab: &Lab, arguments: &[&str]) -> String {
    let ended = succeeds(lab, arguments);
    fs_err::remove_file(lab.path("out.tar")).unwrap();
    ended.stderr.rsplit("sha256:").next().unwrap().trim().to_owned()
}

/// The wheel of a project beside the profile, in `dist`.
fn build_wheel(lab: &Lab, text: &str) {
    let mut wheel = Archive::default().wheel("words").clone();
    wheel.files.retain(|(path, _)| path != "words.py");
    wheel.files.push(("words.py".into(), text.into()));
    fs_err::create_dir_all(lab.path("dist")).unwrap();
    fs_err::write(lab.path("dist").join(wheel.file_name()), wheel.bytes()).unwrap();
}

#[test]
fn a_wheel_of_the_user_is_locked_and_found_again() {
    let lab = Lab::new();
    lab.edit("tiny/profile.toml", VENV, &format!("{VENV}wheels = [\"../dist\"]\n"));
    fails_with(&lab, &["lock", "tiny"], "`../dist` does not exist");
    build_wheel(&lab, "word = 1\n");
    lab.lock();
    let first = digest(&lab, &BUILD_LOCKED);
    let asked = lab.mirror.requests();
    assert!(!asked.iter().any(|path| path.contains("words")), "the index is not asked for it: {asked:?}");

    // Without the folder, the store has it; without both, a folder that is named.
    fs_err::rename(lab.path("dist"), lab.path("elsewhere")).unwrap();
    assert_eq!(digest(&lab, &BUILD_LOCKED), first);
    succeeds(&lab, &["store", "clean"]);
    fails_with(&lab, &BUILD_LOCKED, "words-0.3-py3-none-any.whl is not where the profile's `wheels` are");
    assert_eq!(digest(&lab, &[&BUILD_LOCKED[..], &["--artifacts", "elsewhere"]].concat()), first);

    // A wheel that is built anew makes the lock stale.
    build_wheel(&lab, "word = 2\n");
    fails_with(&lab, &BUILD_LOCKED, "words-0.3-py3-none-any.whl was built anew");
    assert_ne!(digest(&lab, &BUILD_LOCKED[..4]), first);
}

/// pip and uv install such wheels; the build refused them.
#[test]
fn a_wheel_whose_record_is_incomplete_is_used_with_a_warning() {
    let mut archive = Archive::default();
    archive.wheel("words").unlisted = Some("words.py".into());
    let lab = Lab::with(&archive);
    lab.lock();
    let warning = "warning: the wheel `words-0.3-py3-none-any.whl`: the member `words.py`: RECORD does not list it";
    for _ in 0..2 {
        // The second time, the layer comes from the store.
        let ended = succeeds(&lab, &BUILD_LOCKED);
        assert!(ended.stderr.contains(warning), "{}", ended.stderr);
    }
    lab.edit("tiny/profile.toml", VENV, &format!("{VENV}accept = {{ words = \"known\" }}\n"));
    let ended = succeeds(&lab, &BUILD_LOCKED);
    assert!(!ended.stderr.contains("RECORD"), "{}", ended.stderr);
    let described = succeeds(&lab, &["inspect", "out.tar", "--json"]).stdout;
    assert!(described.contains("\"accepted\": \"known\""), "{described}");
}

#[test]
fn a_wheel_whose_record_is_wrong_must_be_accepted() {
    let mut archive = Archive::default();
    archive.wheel("words").lie = Some("words.py".into());
    let lab = Lab::with(&archive);
    lab.lock();
    fails_with(&lab, &BUILD_LOCKED, "accept = { words = \"REASON\" }");
    lab.edit("tiny/profile.toml", VENV, &format!("{VENV}accept = {{ Words = \"known\" }}\n"));
    succeeds(&lab, &BUILD_LOCKED);
}

/// Wheels that have the same test helpers, for example.
#[test]
fn two_wheels_with_other_contents_at_one_path_need_the_drop_that_the_error_names() {
    let mut archive = Archive::default();
    archive.wheels[1] = Wheel::new("words", "0.3", &[("words.py", ""), ("greeter/__init__.py", "")]);
    let lab = Lab::with(&archive);
    lab.lock();
    let path = "/opt/greeter/lib/python3.14/site-packages/greeter/__init__.py";
    fails_with(&lab, &BUILD_LOCKED, &format!("drop = [\"{path}\"]"));
    lab.edit(
        "tiny/profile.toml",
        "packages = [\"python3.14\"]\n",
        &format!("packages = [\"python3.14\"]\ndrop = [\"{path}\"]\n"),
    );
    succeeds(&lab, &BUILD_LOCKED);
}

/// The hardened machines of release engineers mount `/tmp` so. The image's Python failed there without a word about it.
#[test]
fn a_store_on_a_file_system_without_programs_is_named() {
    let lab = Lab::new();
    lab.edit("tiny/profile.toml", "bytecode = false\n", "");
    lab.lock();
    fs_err::create_dir_all(lab.path("noexec")).unwrap();
    let inner = lab.command(&BUILD_LOCKED);
    let mut command = Command::new("unshare");
    let mount = "mount -t tmpfs -o noexec none noexec && export SEALIFT_STORE=$PWD/noexec && exec \"$0\" \"$@\"";
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", mount]);
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(lab.path("")).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = lab.ended(&command.output().unwrap());
    if ended.stderr.starts_with("unshare: ") {
        report("this machine does not allow user namespaces: a store without programs was not tried");
        return;
    }
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let message = "no program can be run from the store [LAB]/noexec: [LAB]/noexec is mounted with `noexec`";
    assert!(ended.stderr.contains(message), "{}", ended.stderr);
    assert!(ended.stderr.contains("SEALIFT_STORE"), "{}", ended.stderr);
}
