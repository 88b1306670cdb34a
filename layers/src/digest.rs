//! SHA-256 digests, as OCI writes them (image-spec 1.1, "Descriptors: Digests").
//!
//! ```
//! use sealift_layers::digest::Digest;
//!
//! let digest = Digest::of(b"hello");
//! assert_eq!(digest.to_string(), format!("sha256:{}", digest.hex()));
//! assert_eq!(digest.to_string().parse(), Ok(digest));
//! ```

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest. Displays as `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest and the size of everything that `reader` yields.
    ///
    /// # Errors
    /// Any error of `reader`.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Measured> {
        let mut hasher = Hasher::default();
        let size = io::copy(&mut reader, &mut hasher)?;
        Ok(Measured { digest: hasher.finish(), size })
    }

    /// The 64 lower-case hex digits, without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

/// The digest and the size of a stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Number of bytes.
    pub size: u64,
}

/// A sink that hashes what is written to it.
#[derive(Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// The digest of everything written so far.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sink that hashes like [`Hasher`], but long inputs on a thread of its own, so that the caller can read and write at the
/// same time.
pub struct BackgroundHasher(State);

enum State {
    /// Hashes in the caller's thread; counts the bytes so far.
    Inline(Hasher, usize),
    Thread(HashingThread),
}

/// Bytes that are hashed before a thread is started: starting one costs more than hashing fewer.
const INLINE_LIMIT: usize = 2 * 1024 * 1024;
/// Bytes that the thread receives at a time.
const CHUNK: usize = 128 * 1024;
/// Chunks that may wait for the thread.
const QUEUE: usize = 4;

struct HashingThread {
    chunk: Vec<u8>,
    full_chunks: SyncSender<Vec<u8>>,
    /// Empty chunks that the thread returns for reuse.
    empty_chunks: Receiver<Vec<u8>>,
    thread: JoinHandle<Hasher>,
}

impl BackgroundHasher {
    /// The digest of everything written so far.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Inline(hasher, _) => hasher.finish(),
            State::Thread(mut thread) => {
                thread.send(Vec::new());
                drop(thread.full_chunks);
                thread.thread.join().expect("hashing does not panic").finish()
            }
        }
    }
}

impl Default for BackgroundHasher {
    fn default() -> Self {
        Self(State::Inline(Hasher::default(), 0))
    }
}

impl HashingThread {
    fn start(mut hasher: Hasher) -> Self {
        let (full_chunks, input) = sync_channel::<Vec<u8>>(QUEUE);
        let (returned, empty_chunks) = channel();
        let thread = std::thread::spawn(move || {
            for mut chunk in input {
                hasher.0.update(&chunk);
                chunk.clear();
                // Fails at the end, when the receiver is gone.
                let _ = returned.send(chunk);
            }
            hasher
        });
        Self { chunk: Vec::with_capacity(CHUNK), full_chunks, empty_chunks, thread }
    }

    /// Sends the current chunk and continues with `next`.
    fn send(&mut self, next: Vec<u8>) {
        let full = std::mem::replace(&mut self.chunk, next);
        self.full_chunks.send(full).expect("the thread receives until the sender is dropped");
    }

    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == CHUNK {
                let next = self.empty_chunks.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
                self.send(next);
            }
        }
    }
}

impl Write for BackgroundHasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            State::Inline(hasher, count) if *count < INLINE_LIMIT => {
                hasher.0.update(bytes);
                *count += bytes.len();
            }
            State::Inline(hasher, _) => {
                let mut thread = HashingThread::start(std::mem::take(hasher));
                thread.write(bytes);
                self.0 = State::Thread(thread);
            }
            State::Thread(thread) => thread.write(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sink that passes bytes on to another one and measures them.
pub struct HashingWriter<W> {
    out: W,
    hasher: BackgroundHasher,
    size: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Passes bytes on to `out`.
    pub fn new(out: W) -> Self {
        Self { out, hasher: BackgroundHasher::default(), size: 0 }
    }

    /// Returns the inner sink, and the digest and size of what passed through.
    pub fn finish(self) -> (W, Measured) {
        (self.out, Measured { digest: self.hasher.finish(), size: self.size })
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.write_all(&bytes[..written])?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A reader that measures what is read from another one.
pub struct HashingReader<R> {
    from: R,
    hasher: BackgroundHasher,
    size: u64,
}

impl<R: Read> HashingReader<R> {
    /// Reads from `from`.
    pub fn new(from: R) -> Self {
        Self { from, hasher: BackgroundHasher::default(), size: 0 }
    }

    /// The digest and size of what was read.
    pub fn finish(self) -> Measured {
        Measured { digest: self.hasher.finish(), size: self.size }
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.from.read(buffer)?;
        self.hasher.write_all(&buffer[..got])?;
        self.size += got as u64;
        Ok(got)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a SHA-256 digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a SHA-256 digest (64 lower-case hex digits, with an optional prefix `sha256:`)")]
pub struct ParseDigestError(String);

impl FromStr for Digest {
    type Err = ParseDigestError;

    /// Takes `sha256:HEX`, and `HEX` alone as in Debian's and Python's indexes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let mut bytes = [0; 32];
        if digits.bytes().any(|b| b.is_ascii_uppercase()) || hex::decode_to_slice(digits, &mut bytes).is_err() {
            return Err(ParseDigestError(text.to_owned()));
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_with_and_without_its_prefix() {
        let empty = Digest::of(b"");
        assert_eq!(empty.to_string(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(empty.to_string().parse(), Ok(empty));
        assert_eq!(empty.hex().parse(), Ok(empty));
        assert_eq!(Digest::of_reader(&b""[..]).unwrap(), Measured { digest: empty, size: 0 });
    }

    #[test]
    fn write_sizes_do_not_change_the_digest_of_a_long_input() {
        let input: Vec<u8> = (0..INLINE_LIMIT + 9 * CHUNK + 5).map(|i| (i % 251) as u8).collect();
        for cut in [input.len(), CHUNK, INLINE_LIMIT, 100_003, 8 * CHUNK + 1] {
            let mut hasher = BackgroundHasher::default();
            for piece in input.chunks(cut) {
                hasher.write_all(piece).unwrap();
            }
            assert_eq!(hasher.finish(), Digest::of(&input), "{cut}");
        }
    }

    #[test]
    fn texts_that_are_not_sha256_are_rejected() {
        for text in ["", "sha256:", "md5:00", "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_hashing_writer_measures_what_the_sink_accepted() {
        /// Accepts three bytes at a time.
        struct Slow(Vec<u8>);

        impl Write for Slow {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let count = bytes.len().min(3);
                self.0.extend_from_slice(&bytes[..count]);
                Ok(count)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let mut writer = HashingWriter::new(Slow(Vec::new()));
        writer.write_all(b"hello world").unwrap();
        let (sink, measured) = writer.finish();
        assert_eq!(sink.0, b"hello world");
        assert_eq!(measured, Measured { digest: Digest::of(b"hello world"), size: 11 });
    }
}
