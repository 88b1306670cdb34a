//! Commands with a time limit, whose failure tells all that they said.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A command that is killed after `limit`, with no input.
#[must_use]
pub fn limited(limit: Duration, program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &limit.as_secs().max(1).to_string(), program]).stdin(Stdio::null());
    command
}

/// What running a command came to.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs it, whatever its exit code.
///
/// # Errors
/// When it cannot be started, or ran out of time.
pub fn run(command: &mut Command) -> Result<Ran> {
    let Output { status, stdout, stderr } = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let ran = Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) };
    // `timeout` exits with 124 itself, and with 137 when it had to kill.
    if matches!(ran.code, Some(124 | 137)) && command.get_program() == "timeout" {
        bail!("{command:?} ran out of time\n{}{}", ran.stdout, ran.stderr);
    }
    Ok(ran)
}

/// Runs it and gives its standard output.
///
/// # Errors
/// When it exits with anything but 0: the error has all it said.
pub fn output(command: &mut Command) -> Result<String> {
    let ran = run(command)?;
    if ran.code != Some(0) {
        bail!("{command:?} exited with {:?}\n{}{}", ran.code, ran.stdout, ran.stderr);
    }
    Ok(ran.stdout)
}

/// Prints one line of what a test saw, past the test runner's capture where it has none.
pub fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "      {line}");
}
