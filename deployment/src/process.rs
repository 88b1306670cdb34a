//! Programs of others whose output is collected, within bounds of size and time.
//!
//! What an engine, a health check, an interpreter or a compiler prints is not in our hands: it may be endless, and the program
//! may not end. Each stream is read by a thread of its own, so that none waits for another, and only the bytes that
//! [`Keep`] allows are in memory.

use std::io::{self, ErrorKind, PipeReader, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer of another program is waited for. Slow machines and networks are served, too: this only ends waits that
/// would never end.
pub const ANSWER: Duration = Duration::from_secs(3600);
/// Bytes of messages that are kept.
pub const MESSAGES: usize = 64 << 10;
/// The largest output in bytes that is parsed, such as the description of all containers of a host.
const PARSED: usize = 64 << 20;
/// How long output is waited for after the program ended: what it started may hold the pipe open for ever.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// What is kept of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All; more bytes than this are an error, and end the program.
    Whole(usize),
    /// The first bytes; the rest is read, too.
    First(usize),
    /// The last bytes.
    Last(usize),
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// `None` when it took too long and was killed.
    pub status: Option<ExitStatus>,
    /// What is kept of its standard output; empty where that is no pipe.
    pub stdout: Vec<u8>,
    /// What is kept of its standard error; empty where that is no pipe.
    pub stderr: Vec<u8>,
    /// Whether all of the input was written.
    pub written: io::Result<()>,
}

/// Runs a command without input for its answer: all of its standard output, and the end of its standard error.
///
/// # Errors
/// It cannot be started, prints more than 64 MiB, or does not end within [`ANSWER`].
pub fn answer(command: &mut Command) -> io::Result<Output> {
    // Not what a task is to read.
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    finish(child, Vec::new(), Keep::Whole(PARSED), Keep::Last(MESSAGES), Some(ANSWER))?.output()
}

/// Runs a command without input, and keeps the end of what it prints. It may take as long as it takes.
///
/// # Errors
/// It cannot be started.
pub fn last(command: &mut Command) -> io::Result<Output> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    finish(child, Vec::new(), Keep::Last(MESSAGES), Keep::Last(MESSAGES), None)?.output()
}

impl Finished {
    /// The output of a program that ended.
    ///
    /// # Errors
    /// It was killed because it took too long.
    pub fn output(self) -> io::Result<Output> {
        let too_long = || io::Error::new(ErrorKind::TimedOut, "it took too long and was killed");
        Ok(Output { status: self.status.ok_or_else(too_long)?, stdout: self.stdout, stderr: self.stderr })
    }
}

/// Waits for the end of a program. `input` is written to its standard input, and those of its outputs that are pipes are
/// read. After `limit` it is killed.
///
/// # Errors
/// It prints more than [`Keep::Whole`] allows, or cannot be waited for.
pub fn finish(
    mut child: Child,
    input: Vec<u8>,
    stdout: Keep,
    stderr: Keep,
    limit: Option<Duration>,
) -> io::Result<Finished> {
    let written = write(&mut child, input);
    let (sender, ended) = channel();
    let stdout = Stream::new(child.stdout.take(), stdout, &sender);
    let stderr = Stream::new(child.stderr.take(), stderr, &sender);
    drop(sender);
    let status = wait_or_kill(child, &ended, limit)?;
    let late = || Err(ErrorKind::TimedOut.into());
    let written = written.recv_timeout(AFTERWARDS).unwrap_or_else(|_| late());
    Ok(Finished { status, stdout: stdout.kept(), stderr: stderr.kept(), written })
}

/// As [`finish`], for a program without input whose outputs are both `printed`.
///
/// # Errors
/// As there.
pub(crate) fn finish_joined(
    child: Child,
    printed: PipeReader,
    keep: Keep,
    limit: Duration,
) -> io::Result<(Option<ExitStatus>, Vec<u8>)> {
    let (sender, ended) = channel();
    let stream = Stream::new(Some(printed), keep, &sender);
    drop(sender);
    let status = wait_or_kill(child, &ended, Some(limit))?;
    Ok((status, stream.kept()))
}

/// Waits until a program ended and its outputs are read; `None` if it had to be killed.
fn wait_or_kill(
    mut child: Child,
    ended: &Receiver<io::Result<()>>,
    limit: Option<Duration>,
) -> io::Result<Option<ExitStatus>> {
    let status = wait(&mut child, ended, limit.map(|limit| Instant::now() + limit));
    if !matches!(status, Ok(Some(_))) {
        // It may have ended already.
        let _ = child.kill();
        child.wait()?;
        let _ = ended.recv_timeout(AFTERWARDS);
    }
    status
}

/// Writes the standard input of a program. That ends when the program does: its end of the pipe is closed then.
fn write(child: &mut Child, input: Vec<u8>) -> Receiver<io::Result<()>> {
    let (sender, written) = channel();
    let stdin = child.stdin.take();
    std::thread::spawn(move || sender.send(stdin.map_or(Ok(()), |mut stdin| stdin.write_all(&input))));
    written
}

/// Waits until a program ended and its outputs are read; `None` at the deadline.
fn wait(
    child: &mut Child,
    ended: &Receiver<io::Result<()>>,
    deadline: Option<Instant>,
) -> io::Result<Option<ExitStatus>> {
    let mut status = None;
    let mut until = deadline;
    let mut pause = Duration::from_millis(1);
    loop {
        // As soon as the outputs are closed, the program ends in most cases.
        match ended.recv_timeout(pause) {
            Ok(result) => {
                result?;
                pause = Duration::from_millis(1);
                continue;
            }
            Err(RecvTimeoutError::Disconnected) if status.is_some() => return Ok(status),
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(pause),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let is_late = until.is_some_and(|until| Instant::now() >= until);
        match status {
            Some(_) if is_late => return Ok(status),
            Some(_) => {}
            None => {
                status = child.try_wait()?;
                if status.is_some() {
                    until = Some(Instant::now() + AFTERWARDS);
                } else if is_late {
                    return Ok(None);
                }
            }
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// A pipe that is read to its end.
struct Stream(Arc<Mutex<Vec<u8>>>);

impl Stream {
    /// Starts to read. Its end, or an error, is sent.
    fn new(pipe: Option<impl Read + Send + 'static>, keep: Keep, ended: &Sender<io::Result<()>>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        if let Some(pipe) = pipe {
            let (kept, ended) = (Arc::clone(&kept), ended.clone());
            // Nobody receives it when the wait is over.
            std::thread::spawn(move || drop(ended.send(read(pipe, keep, &kept))));
        }
        Self(kept)
    }

    fn kept(self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The last bytes of what can be read.
pub(crate) fn end_of(from: impl Read, most: usize) -> Vec<u8> {
    let kept = Mutex::new(Vec::new());
    // What was read before an error is the end.
    let _ = read(from, Keep::Last(most), &kept);
    kept.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn read(mut from: impl Read, keep: Keep, kept: &Mutex<Vec<u8>>) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let got = match from.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        };
        if got == 0 {
            return Ok(());
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let start = match keep {
            Keep::Whole(most) if kept.len() + got > most => {
                return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it printed more than {most} bytes")));
            }
            Keep::Whole(_) => 0,
            Keep::First(most) => {
                let room = most.saturating_sub(kept.len()).min(got);
                kept.extend_from_slice(&buffer[..room]);
                continue;
            }
            Keep::Last(most) => {
                let too_many = (kept.len() + got).saturating_sub(most);
                let of_kept = too_many.min(kept.len());
                kept.drain(..of_kept);
                too_many - of_kept
            }
        };
        kept.extend_from_slice(&buffer[start..got]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// The log of a container was read into memory as a whole, however long its last line was.
    #[test]
    fn the_end_of_what_a_command_prints_is_kept() {
        let script = "head -c 9000000 /dev/zero; echo end; echo error >&2; exit 3";
        let output = last(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!((output.stdout.len(), output.status.code()), (MESSAGES, Some(3)));
        assert!(output.stdout.ends_with(b"\0end\n"));
        assert_eq!(output.stderr, b"error\n");
    }

    #[test]
    fn the_first_bytes_are_kept_and_the_rest_is_read() {
        let keep = Keep::First(10);
        let finished = finish(start("head -c 9000000 /dev/zero; exit 4"), Vec::new(), keep, keep, None).unwrap();
        assert_eq!((finished.stdout.as_slice(), finished.status.unwrap().code()), (&[0; 10][..], Some(4)));
    }

    /// An engine's answer had no bound.
    #[test]
    fn an_answer_without_end_is_an_error() {
        let child = start("while :; do echo more; done");
        let error = finish(child, Vec::new(), Keep::Whole(100_000), Keep::Last(10), None).unwrap_err();
        assert_eq!(error.to_string(), "it printed more than 100000 bytes");
        assert_eq!(answer(Command::new("sh").args(["-c", "echo all; exit 2"])).unwrap().stdout, b"all\n");
    }

    /// What a health check prints filled a temporary file.
    #[test]
    fn a_program_that_prints_for_ever_is_killed_after_its_time() {
        let (keep, limit) = (Keep::Last(7), Some(Duration::from_millis(200)));
        let finished = finish(start("while :; do echo again; done"), Vec::new(), keep, keep, limit).unwrap();
        assert!(finished.status.is_none());
        assert_eq!(finished.stdout.len(), 7);
        assert_eq!(finished.output().unwrap_err().kind(), ErrorKind::TimedOut);
    }

    /// One with closed outputs is not waited for without end, nor is what a program left behind.
    #[test]
    fn closed_and_inherited_outputs_do_not_matter() {
        let (keep, limit) = (Keep::Last(100), Some(Duration::from_millis(200)));
        let closed = "exec >&- 2>&-; sleep 60";
        assert!(finish(start(closed), Vec::new(), keep, keep, limit).unwrap().status.is_none());
        let left = finish(start("echo out; sleep 20 & exit 5"), Vec::new(), keep, keep, None).unwrap();
        assert_eq!((left.stdout.as_slice(), left.status.unwrap().code()), (b"out\n".as_slice(), Some(5)));
    }

    #[test]
    fn input_is_written_while_output_is_read() {
        let input = vec![b'x'; 3 << 20];
        let finished = finish(start("cat"), input.clone(), Keep::Whole(4 << 20), Keep::Last(10), None).unwrap();
        assert!(finished.stdout == input && finished.written.is_ok());
        let finished = finish(start("exit 0"), input, Keep::Last(1), Keep::Last(1), None).unwrap();
        assert!(finished.status.unwrap().success() && finished.written.is_err());
    }
}
