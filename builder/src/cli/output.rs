//! Standard output, for data.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

/// Standard output, buffered. A reader that goes away (`sealift ... | head`) is told apart from all other errors, so that
/// the program can end quietly.
#[derive(Debug)]
pub struct Output(BufWriter<Stdout>);

impl Output {
    pub(super) fn stdout() -> Self {
        Self(BufWriter::new(io::stdout()))
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// Any error of the write.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        Ok(self.flush()?)
    }

    /// Writes `value` as indented JSON and a newline.
    ///
    /// # Errors
    /// Any error of the write.
    pub fn json(&mut self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        Ok(writeln!(self, "{text}")?)
    }
}

impl Write for Output {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(data).map_err(mark)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(mark)
    }
}

fn mark(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::BrokenPipe { io::Error::new(ErrorKind::BrokenPipe, ReaderGone) } else { error }
}

/// The reader of standard output is gone.
#[derive(Debug)]
struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads standard output any more")
    }
}

impl std::error::Error for ReaderGone {}

/// Whether `error` only says that nobody reads standard output any more.
pub(super) fn reader_is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<ReaderGone>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_broken_pipe_of_standard_output_is_quiet() {
        let broken = || io::Error::from(ErrorKind::BrokenPipe);
        assert!(reader_is_gone(&anyhow::Error::new(mark(broken())).context("listing")));
        assert!(!reader_is_gone(&anyhow::Error::new(broken()).context("fetching")));
        assert!(!reader_is_gone(&mark(io::Error::from(ErrorKind::StorageFull)).into()));
    }
}
