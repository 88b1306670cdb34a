//! Compression of layers. The compressed bytes depend only on the input and the version of the codec.
//!
//! A layer is identified by its diff ID, the digest before compression; registries and bundles refer to it by the digest
//! after compression. So `Cargo.toml` pins the codecs, tests record digests of their output, and [`Codec::recipe`] is part
//! of the keys of stored layers.
//!
//! ```
//! use std::io::{Read, Write};
//!
//! use sealift_layers::codec::Codec;
//!
//! let mut encoder = Codec::Gzip.encoder(Vec::new(), 2)?;
//! encoder.write_all(b"hello")?;
//! let compressed = encoder.finish()?;
//!
//! let mut text = String::new();
//! Codec::Gzip.decoder(&compressed[..])?.read_to_string(&mut text)?;
//! assert_eq!(text, "hello");
//! # Ok::<(), std::io::Error>(())
//! ```

mod gzip;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::str::FromStr;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// No compression.
    None,
    /// gzip (RFC 1952). All engines load it.
    #[default]
    Gzip,
    /// Zstandard (RFC 8878). Smaller and faster; Docker supports it since version 23.
    Zstd,
}

impl Codec {
    /// The layer's media type (image-spec 1.1, "Image Layer Filesystem Changeset").
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// The codec of a layer's media type; `None` if it is unknown.
    #[must_use]
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Zstd].into_iter().find(|codec| codec.media_type() == media_type)
    }

    /// A description of everything that determines the compressed bytes: codec, version, level and block size. The versions
    /// are those that `Cargo.toml` pins.
    #[must_use]
    pub fn recipe(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip members of 1 MiB, libdeflate 1.26.1 level 2",
            Self::Zstd => "zstd 0.13.5 level 3, multithreaded",
        }
    }

    /// A sink that compresses into `out` with `jobs` threads (at least one). The bytes depend neither on `jobs` nor on the
    /// sizes of the writes.
    ///
    /// # Errors
    /// If the compressor cannot be initialized.
    pub fn encoder<W: Write>(self, out: W, jobs: usize) -> io::Result<Encoder<W>> {
        let jobs = jobs.max(1);
        Ok(match self {
            Self::None => Encoder::None(out),
            Self::Gzip => Encoder::Gzip(gzip::Members::new(out, jobs)),
            Self::Zstd => {
                let mut encoder = zstd::Encoder::new(out, 3)?;
                encoder.include_checksum(true)?;
                // One worker and many give the same bytes; without workers (the default) they are different.
                encoder.multithread(u32::try_from(jobs).unwrap_or(1))?;
                Encoder::Zstd(encoder)
            }
        })
    }

    /// A reader of the uncompressed bytes of `input`.
    ///
    /// # Errors
    /// If the decompressor cannot be initialized.
    pub fn decoder<'a>(self, input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
            Self::Zstd => Box::new(zstd_decoder(BufReader::new(input))?),
        })
    }
}

/// A reader of the uncompressed bytes of zstd frames.
///
/// # Errors
/// If the decompressor cannot be initialized.
pub(crate) fn zstd_decoder(input: impl BufRead) -> io::Result<impl Read> {
    Ok(NonEmpty(zstd::Decoder::with_buffer(input)?))
}

/// Reads nothing into an empty buffer. zstd takes many such reads, which the contract of `Read` allows, for an endless loop.
struct NonEmpty<R>(R);

impl<R: Read> Read for NonEmpty<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() { Ok(0) } else { self.0.read(buffer) }
    }
}

/// The text is not the name of a codec.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a supported compression (supported: gzip, zstd, none)")]
pub struct ParseCodecError(String);

impl FromStr for Codec {
    type Err = ParseCodecError;

    /// Takes the names of the command line: `none`, `gzip`, `zstd`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(ParseCodecError(text.to_owned())),
        }
    }
}

/// A compressing sink. [`Encoder::finish`] must be called at the end.
pub enum Encoder<W: Write> {
    /// Passes bytes on unchanged.
    None(W),
    /// Writes gzip members.
    Gzip(gzip::Members<W>),
    /// Writes one zstd frame.
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// Writes the end of the stream and returns the inner sink.
    ///
    /// # Errors
    /// Any error of compressing or writing.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::None(out) => Ok(out),
            Self::Gzip(members) => members.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(out) => out.write(bytes),
            Self::Gzip(members) => members.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    /// More than three blocks of bytes that compress, but not to almost nothing.
    fn sample() -> Vec<u8> {
        let mut state = 1u32;
        (0..3 * 1024 * 1024 + 17)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b"sealift bundles "[(state >> 28) as usize]
            })
            .collect()
    }

    fn encode(codec: Codec, input: &[u8], jobs: usize, write_size: usize) -> Vec<u8> {
        let mut encoder = codec.encoder(Vec::new(), jobs).unwrap();
        for piece in input.chunks(write_size) {
            encoder.write_all(piece).unwrap();
        }
        encoder.finish().unwrap()
    }

    #[test]
    fn neither_threads_nor_write_sizes_change_the_bytes() {
        let input = sample();
        for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
            let expected = encode(codec, &input, 1, input.len());
            for (jobs, write_size) in [(2, 512), (3, 65_536), (8, 1_000_003)] {
                assert!(encode(codec, &input, jobs, write_size) == expected, "{codec:?} {jobs} {write_size}");
            }
            let mut back = Vec::new();
            codec.decoder(&expected[..]).unwrap().read_to_end(&mut back).unwrap();
            assert!(back == input, "{codec:?}");
        }
    }

    #[test]
    fn empty_input_gives_a_valid_stream() {
        for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
            let mut back = Vec::new();
            codec.decoder(&encode(codec, &[], 2, 1)[..]).unwrap().read_to_end(&mut back).unwrap();
            assert!(back.is_empty());
        }
    }

    /// No compressor promises equal bytes across versions. If one of these changes, [`Codec::recipe`] has to change, too.
    #[test]
    fn the_bytes_do_not_change() {
        let digest = |codec| Digest::of(&encode(codec, &sample(), 2, 4096));
        insta::assert_snapshot!(digest(Codec::Gzip), @"sha256:d1059d6827ad57810f1bec6aaebd4543d7b5d16f1d298090f5962af15ee44f88");
        insta::assert_snapshot!(digest(Codec::Zstd), @"sha256:65b28eeb72df52ed0e94b36c3ea700a512924bffc15bb992b61c8feb37c5999d");
    }

    #[test]
    fn names_and_media_types_are_parsed() {
        for (name, codec) in [("none", Codec::None), ("gzip", Codec::Gzip), ("zstd", Codec::Zstd)] {
            assert_eq!(name.parse(), Ok(codec));
            assert_eq!(Codec::of_media_type(codec.media_type()), Some(codec));
        }
        let error = "lz4".parse::<Codec>().unwrap_err();
        assert_eq!(error.to_string(), "`lz4` is not a supported compression (supported: gzip, zstd, none)");
        assert_eq!(Codec::of_media_type("text/plain"), None);
    }
}
