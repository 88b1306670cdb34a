//! Standard output, for data.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use sealift_layers::escape;

/// Standard output, buffered. Texts of outside origin are escaped, see [`sealift_layers::escape`]: no command writes anything
/// that a terminal should act on. When its reader closes it (`sealift ... | head`), the error can be recognized, so that the
/// program ends without a message.
#[derive(Debug)]
pub struct Output(BufWriter<Stdout>);

impl Output {
    pub(super) fn stdout() -> Self {
        Self(BufWriter::new(io::stdout()))
    }

    /// Writes the buffer.
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
        serde_json::to_writer_pretty(Json(self), value).map_err(io::Error::from)?;
        Ok(writeln!(self)?)
    }

    /// Writes the text of a JSON document.
    ///
    /// # Errors
    /// Any error of the write.
    pub fn json_text(&mut self, text: &str) -> io::Result<()> {
        pieces(text).try_for_each(|piece| self.write_all(escape::json(piece).as_bytes()))
    }
}

impl Write for Output {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        for chunk in data.utf8_chunks() {
            for piece in pieces(chunk.valid()) {
                self.0.write_all(escape::lines(piece).as_bytes()).map_err(mark)?;
            }
            for byte in chunk.invalid() {
                write!(self.0, "\\x{byte:02x}").map_err(mark)?;
            }
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(mark)
    }
}

/// Takes the pieces of a JSON document as they are made, which end where characters end.
struct Json<'a>(&'a mut Output);

impl Write for Json<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(data).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        self.0.json_text(text).map(|()| data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A text in pieces: what is escaped takes up to six times its size.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let piece;
        (piece, text) = text.split_at(text.floor_char_boundary(1 << 16));
        (!piece.is_empty()).then_some(piece)
    })
}

fn mark(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::BrokenPipe { io::Error::new(ErrorKind::BrokenPipe, Closed) } else { error }
}

/// The reader of standard output closed it.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output is closed")
    }
}

impl std::error::Error for Closed {}

/// Whether `error` is that standard output was closed.
pub(super) fn is_closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<Closed>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_sum_of_its_pieces() {
        for text in [String::new(), "\u{e9}".repeat(100_000), format!("a{}", "\u{1f980}".repeat(70_000))] {
            assert_eq!(pieces(&text).collect::<String>(), text);
        }
    }

    #[test]
    fn only_a_closed_standard_output_is_recognized() {
        let broken = || io::Error::from(ErrorKind::BrokenPipe);
        assert!(is_closed(&anyhow::Error::new(mark(broken())).context("listing")));
        assert!(!is_closed(&anyhow::Error::new(broken()).context("fetching")));
        assert!(!is_closed(&mark(io::Error::from(ErrorKind::StorageFull)).into()));
    }
}
