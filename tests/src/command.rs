//! Commands with a time limit. Errors contain their output.

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

/// The result of a command.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a command. Any exit code is a success.
///
/// # Errors
/// It cannot be started, or exceeds its time limit.
pub fn run(command: &mut Command) -> Result<Ran> {
    let Output { status, stdout, stderr } = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let ran = Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) };
    // `timeout` exits with 124, or with 137 if it had to kill the command.
    if matches!(ran.code, Some(124 | 137)) && command.get_program() == "timeout" {
        bail!("{command:?} ran out of time\n{}{}", ran.stdout, ran.stderr);
    }
    Ok(ran)
}

/// Runs a command and returns its standard output.
///
/// # Errors
/// Its exit code is not 0; the error contains its output.
pub fn output(command: &mut Command) -> Result<String> {
    let ran = run(command)?;
    if ran.code != Some(0) {
        bail!("{command:?} exited with {:?}\n{}{}", ran.code, ran.stdout, ran.stderr);
    }
    Ok(ran.stdout)
}

/// Prints a line about the progress of a test.
pub fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "      {line}");
}
