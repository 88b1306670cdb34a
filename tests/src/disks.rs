//! Small and read-only file systems for a run of the program, in a user namespace: no root is needed.

use std::process::{Command, Output, Stdio};

use crate::lab::{Ended, Lab};

/// A command in mount and user namespaces of its own.
fn namespace(script: &str) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    unshare
}

/// Whether this user may mount file systems in a namespace.
#[must_use]
pub fn possible() -> bool {
    let status = namespace("mount -t tmpfs none /tmp").stderr(Stdio::null()).status();
    let possible = status.is_ok_and(|status| status.success());
    if !possible {
        eprintln!("skipped: this user is not allowed to mount a file system in a user namespace");
    }
    possible
}

/// Runs `script` in a namespace; its arguments are those of `program`, whose environment it has.
///
/// # Panics
/// It cannot be started.
pub fn run(lab: &Lab, script: &str, arguments: &[&str], program: &Command) -> Output {
    let mut command = namespace(script);
    command.arg("sh").args(arguments).arg(program.get_program()).args(program.get_args());
    command.current_dir(lab.path("")).env_clear();
    for (name, value) in program.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.output().expect("unshare can be run")
}

/// Runs the program twice with a file system of its own in `folder`: with the mount options `bad`, and after it has been
/// remounted with `good`. What the first run leaves, the second one finds.
///
/// # Panics
/// The program cannot be started.
#[must_use]
pub fn bad_then_good(lab: &Lab, folder: &str, [bad, good]: [&str; 2], program: &Command) -> [Ended; 2] {
    const SCRIPT: &str = "bad=$1 good=$2 folder=$3; shift 3
        mount -t tmpfs none \"$folder\" || exit 99
        if [ -d \"$folder-content\" ]; then cp -a \"$folder-content/.\" \"$folder\"; fi
        mount -o \"remount,$bad\" \"$folder\" || exit 98
        \"$@\"; code=$?
        mount -o \"remount,$good\" \"$folder\" || exit 97
        printf '\\n=== %s\\n' $code; printf '\\n=== %s\\n' $code >&2
        exec \"$@\"";
    fs_err::create_dir_all(lab.path(folder)).expect("a folder");
    let output = run(lab, SCRIPT, &[bad, good, &lab.path(folder).display().to_string()], program);
    let second = lab.ended(&output);
    let parted = |text: &str| {
        let (first, rest) = text.split_once("\n=== ").unwrap_or_else(|| panic!("the script failed: {second:?}"));
        let (code, rest) = rest.split_once('\n').unwrap_or((rest, ""));
        (first.to_owned(), code.parse().ok(), rest.to_owned())
    };
    let ((out, code, out_again), (err, _, err_again)) = (parted(&second.stdout), parted(&second.stderr));
    [
        Ended { code, stdout: out, stderr: err, peak: 0 },
        Ended { code: second.code, stdout: out_again, stderr: err_again, peak: 0 },
    ]
}
