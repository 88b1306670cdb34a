//! Compression whose bytes depend on the input and the codec's version alone.
//!
//! A layer's identity is its diff ID, before compression; its digest, after it, is what registries and bundles name. So
//! the codecs are pinned in `Cargo.toml`, golden tests hold their bytes, and [`Codec::recipe`] is part of layer keys.

mod gzip;

use std::io::{self, Read, Write};
use std::str::FromStr;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    None,
    /// gzip (RFC 1952): loads everywhere.
    #[default]
    Gzip,
    /// Zstandard (RFC 8878): smaller and faster; Docker reads it from 23 on.
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

    /// The codec of a media type.
    #[must_use]
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Zstd].into_iter().find(|codec| codec.media_type() == media_type)
    }

    /// Everything that decides the compressed bytes: codec, its version, level and blocks. The versions are those that
    /// `Cargo.toml` pins.
    #[must_use]
    pub fn recipe(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip members of 1 MiB, libdeflate 1.26.1 level 2",
            Self::Zstd => "zstd 0.13.5 level 3, multithreaded",
        }
    }

    /// A sink that compresses into `out`, on at most `jobs` threads (at least one). The bytes do not depend on `jobs`
    /// or on how the input is cut into writes.
    ///
    /// # Errors
    /// When the compressor cannot be set up.
    pub fn encoder<W: Write>(self, out: W, jobs: usize) -> io::Result<Encoder<W>> {
        let jobs = jobs.max(1);
        Ok(match self {
            Self::None => Encoder::None(out),
            Self::Gzip => Encoder::Gzip(gzip::Members::new(out, jobs)),
            Self::Zstd => {
                let mut encoder = zstd::Encoder::new(out, 3)?;
                encoder.include_checksum(true)?;
                // One worker and many give the same bytes; no worker (the default) gives others.
                encoder.multithread(u32::try_from(jobs).unwrap_or(1))?;
                Encoder::Zstd(encoder)
            }
        })
    }

    /// Reads back what [`Codec::encoder`] wrote.
    ///
    /// # Errors
    /// When the decompressor cannot be set up.
    pub fn decoder<'a>(self, input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
            Self::Zstd => Box::new(zstd::Decoder::new(input)?),
        })
    }
}

/// The names that the command line knows.
impl FromStr for Codec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(format!("`{text}` is not a compression: gzip, zstd or none")),
        }
    }
}

/// A compressing sink; [`Encoder::finish`] must be called.
pub enum Encoder<W: Write> {
    /// Passes on.
    None(W),
    /// Compresses in gzip members.
    Gzip(gzip::Members<W>),
    /// Compresses in one zstd frame.
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// Writes the end and gives the sink back.
    ///
    /// # Errors
    /// Whatever writing gives.
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

    /// Three blocks and a bit of something that compresses, but not to nothing.
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
    fn nothing_compresses_to_a_valid_stream() {
        for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
            let mut back = Vec::new();
            codec.decoder(&encode(codec, &[], 2, 1)[..]).unwrap().read_to_end(&mut back).unwrap();
            assert!(back.is_empty());
        }
    }

    /// No compressor promises equal bytes across versions: when one of these changes, [`Codec::recipe`] must too.
    #[test]
    fn the_bytes_are_golden() {
        let digest = |codec| Digest::of(&encode(codec, &sample(), 2, 4096));
        insta::assert_snapshot!(digest(Codec::Gzip), @"sha256:d1059d6827ad57810f1bec6aaebd4543d7b5d16f1d298090f5962af15ee44f88");
        insta::assert_snapshot!(digest(Codec::Zstd), @"sha256:65b28eeb72df52ed0e94b36c3ea700a512924bffc15bb992b61c8feb37c5999d");
    }
}
