//! The output of containers and units, passed on to this program's own.

use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::process::{Command, ExitStatus, Stdio};

use sealift_layers::escape;

use crate::profile::model::Task;

/// What is passed on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raw {
    /// Nothing: logs are lines of text.
    Never,
    /// What does not go to a terminal: a task may print anything, such as a dump.
    UnlessTerminal,
    /// Everything: the program draws on the terminal itself.
    Always,
}

/// Runs a command. What a terminal would act on in its output is escaped. When the reader of this program's output closes
/// it, the command is a success.
///
/// # Errors
/// It cannot be started.
pub(super) fn run(command: &mut Command, raw: Raw) -> io::Result<ExitStatus> {
    let (stdout, stderr) = (io::stdout().is_terminal(), io::stderr().is_terminal());
    let stream = |terminal: bool| match raw {
        Raw::Always => Stdio::inherit(),
        Raw::UnlessTerminal if !terminal => Stdio::inherit(),
        Raw::UnlessTerminal | Raw::Never => Stdio::piped(),
    };
    let mut child = command.stdout(stream(stdout)).stderr(stream(stderr)).spawn()?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let is_closed = std::thread::scope(|scope| {
        let errors = scope.spawn(|| errors.map(|from| pass_on(from, io::stderr())));
        let output = output.map(|from| pass_on(from, io::stdout()));
        let closed = |result: Option<io::Result<()>>| {
            result.is_some_and(|result| result.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe))
        };
        closed(output) | closed(errors.join().expect("passing on does not panic"))
    });
    let status = child.wait()?;
    Ok(if is_closed { ExitStatus::default() } else { status })
}

/// What is passed on of a task: one for a terminal that has one draws on it.
pub(super) fn of_task(task: &Task) -> Raw {
    let has_terminal = task.terminal && io::stdin().is_terminal() && io::stdout().is_terminal();
    if has_terminal { Raw::Always } else { Raw::UnlessTerminal }
}

/// Copies text as it comes, and escapes it. Bytes that are not UTF-8 are escaped, too.
fn pass_on(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = [0; 8192];
    let mut pending = Vec::new();
    loop {
        let got = match from.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        };
        pending.extend_from_slice(&buffer[..got]);
        let left = write_escaped(&pending, got == 0, &mut to)?;
        pending.drain(..pending.len() - left);
        to.flush()?;
        if got == 0 {
            return Ok(());
        }
    }
}

/// Writes `bytes`, except the beginning of a character or of a line break at their end, unless they are `all`. Returns how
/// many bytes are left.
fn write_escaped(bytes: &[u8], all: bool, to: &mut impl Write) -> io::Result<usize> {
    let unfinished = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
        _ => usize::from(bytes.last() == Some(&b'\r')),
    };
    let left = if all { 0 } else { unfinished };
    for chunk in bytes[..bytes.len() - left].utf8_chunks() {
        to.write_all(escape::lines(&chunk.valid().replace("\r\n", "\n")).as_bytes())?;
        for byte in chunk.invalid() {
            write!(to, "\\x{byte:02x}")?;
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its parts one at a time.
    struct Parts<'a>(Vec<&'a [u8]>);

    impl Read for Parts<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            self.0.remove(0).read(buffer)
        }
    }

    fn passed_on(parts: &[&[u8]]) -> String {
        let mut out = Vec::new();
        pass_on(Parts(parts.to_vec()), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn log_lines_are_shown_and_not_obeyed() {
        assert_eq!(passed_on(&[b"a\r\nb\tc\n"]), "a\nb\tc\n");
        assert_eq!(passed_on(&[b"\x1b[2J\x9b1m\n"]), "\\u{1b}[2J\\x9b1m\n");
        // Characters and line breaks may be cut into parts.
        assert_eq!(passed_on(&[b"caf\xc3", b"\xa9\r", b"\nx"]), "caf\u{e9}\nx");
        assert_eq!(passed_on(&[b"\xc2", b"\x9b2J"]), "\\u{9b}2J");
        assert_eq!(passed_on(&[b"end\xc3"]), "end\\xc3");
    }

    #[test]
    fn the_exit_code_is_that_of_the_command() {
        let status = run(Command::new("sh").args(["-c", "exit 3"]), Raw::Never).unwrap();
        assert_eq!(status.code(), Some(3));
        assert!(run(&mut Command::new("/nowhere/at/all"), Raw::Never).is_err());
    }
}
