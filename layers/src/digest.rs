//! SHA-256 digests, as OCI writes them (image-spec 1.1, "Descriptors: Digests").

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

    /// The digest and the length in bytes of all that `reader` gives.
    ///
    /// # Errors
    /// Whatever reading gives.
    pub fn of_reader(mut reader: impl Read) -> io::Result<(Self, u64)> {
        let mut hasher = Hasher::default();
        let length = io::copy(&mut reader, &mut hasher)?;
        Ok((hasher.finish(), length))
    }

    /// The 64 lower-case hex digits, without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

/// Hashes what is written to it.
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

/// Hashes what is written to it as [`Hasher`] does, but long inputs on a thread of its own, so that reading and writing go
/// on meanwhile.
pub struct Background(State);

enum State {
    /// With the number of bytes so far.
    Here(Hasher, usize),
    Aside(Aside),
}

/// A thread costs more than hashing less than this many bytes.
const ALONE: usize = 2 * 1024 * 1024;
/// Bytes that the thread is given at a time, and how many such pieces may wait for it.
const PIECE: usize = 128 * 1024;
const WAITING: usize = 4;

struct Aside {
    piece: Vec<u8>,
    give: SyncSender<Vec<u8>>,
    /// Pieces that were hashed, to be filled again.
    used: Receiver<Vec<u8>>,
    thread: JoinHandle<Hasher>,
}

impl Background {
    /// The digest of everything written so far.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Here(hasher, _) => hasher.finish(),
            State::Aside(mut aside) => {
                aside.send(Vec::new());
                drop(aside.give);
                aside.thread.join().expect("hashing does not panic").finish()
            }
        }
    }
}

impl Default for Background {
    fn default() -> Self {
        Self(State::Here(Hasher::default(), 0))
    }
}

impl Aside {
    fn start(mut hasher: Hasher) -> Self {
        let (give, take) = sync_channel::<Vec<u8>>(WAITING);
        let (give_back, used) = channel();
        let thread = std::thread::spawn(move || {
            for mut piece in take {
                hasher.0.update(&piece);
                piece.clear();
                // Nobody takes it back at the end.
                let _ = give_back.send(piece);
            }
            hasher
        });
        Self { piece: Vec::with_capacity(PIECE), give, used, thread }
    }

    fn send(&mut self, next: Vec<u8>) {
        let full = std::mem::replace(&mut self.piece, next);
        self.give.send(full).expect("the thread takes all until this is dropped");
    }

    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.piece.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == PIECE {
                let next = self.used.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE));
                self.send(next);
            }
        }
    }
}

impl Write for Background {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            State::Here(hasher, count) if *count < ALONE => {
                hasher.0.update(bytes);
                *count += bytes.len();
            }
            State::Here(hasher, _) => {
                let mut aside = Aside::start(std::mem::take(hasher));
                aside.write(bytes);
                self.0 = State::Aside(aside);
            }
            State::Aside(aside) => aside.write(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes and counts what passes.
pub struct Meter<W> {
    out: W,
    hasher: Background,
    count: u64,
}

impl<W: Write> Meter<W> {
    /// Passes on to `out`.
    pub fn new(out: W) -> Self {
        Self { out, hasher: Background::default(), count: 0 }
    }

    /// The sink, the digest and the number of bytes of what passed.
    pub fn finish(self) -> (W, Digest, u64) {
        (self.out, self.hasher.finish(), self.count)
    }
}

impl<W: Write> Write for Meter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.hasher.write_all(&bytes[..taken])?;
        self.count += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
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

/// Why a text is not a digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a SHA-256 digest (64 lower-case hex digits, with or without `sha256:` before them)")]
pub struct ParseDigestError(String);

impl FromStr for Digest {
    type Err = ParseDigestError;

    /// Takes `sha256:HEX` and the bare `HEX` that Debian's and Python's indexes write.
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
    fn known_digest_reads_back() {
        let empty = Digest::of(b"");
        assert_eq!(empty.to_string(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(empty.to_string().parse(), Ok(empty));
        assert_eq!(empty.hex().parse(), Ok(empty));
        assert_eq!(Digest::of_reader(&b""[..]).unwrap(), (empty, 0));
    }

    #[test]
    fn long_inputs_are_hashed_alike_however_they_are_cut() {
        let input: Vec<u8> = (0..ALONE + 9 * PIECE + 5).map(|i| (i % 251) as u8).collect();
        for cut in [input.len(), PIECE, ALONE, 100_003, 8 * PIECE + 1] {
            let mut hasher = Background::default();
            for piece in input.chunks(cut) {
                hasher.write_all(piece).unwrap();
            }
            assert_eq!(hasher.finish(), Digest::of(&input), "{cut}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "sha256:", "md5:00", "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
