//! Compressed files as packages and their indexes have them, by the ending of their names.

use std::io::{self, BufRead, Read};

use lz4_flex::frame::FrameDecoder;

use crate::codec::zstd_decoder;
use crate::limits::DICTIONARY;

/// The endings that [`by_ending`] knows, the preferred one first. The empty one is that of a file without compression.
pub const ENDINGS: [&str; 7] = ["xz", "zst", "gz", "bz2", "lz4", "lzma", ""];

/// The decompressed content of a file with this ending, without its dot; `None` for other endings. Dictionaries are bounded:
/// the header of a stream of xz may ask for 4 GiB.
///
/// # Errors
/// A decoder cannot be made: there is too little memory.
pub fn by_ending<'a>(ending: &str, compressed: impl BufRead + 'a) -> io::Result<Option<Box<dyn Read + 'a>>> {
    Ok(Some(match ending {
        "" => Box::new(compressed),
        "gz" => Box::new(flate2::bufread::MultiGzDecoder::new(compressed)),
        "xz" => {
            let stream = liblzma::stream::Stream::new_stream_decoder(DICTIONARY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(compressed, stream))
        }
        "lzma" => {
            let stream = liblzma::stream::Stream::new_lzma_decoder(DICTIONARY)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(compressed, stream))
        }
        "zst" => Box::new(zstd_decoder(compressed)?),
        "bz2" => Box::new(bzip2::bufread::MultiBzDecoder::new(compressed)),
        "lz4" => Box::new(Lz4Frames(Some(FrameDecoder::new(compressed)))),
        _ => return Ok(None),
    }))
}

/// Reads all frames of an lz4 file: the decoder reads one.
struct Lz4Frames<R: Read>(Option<FrameDecoder<R>>);

impl<R: BufRead> Read for Lz4Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(decoder) = &mut self.0 else { return Ok(0) };
            let got = decoder.read(buffer)?;
            if got > 0 || buffer.is_empty() {
                return Ok(got);
            }
            if decoder.get_mut().fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.0 = self.0.take().map(|decoder| FrameDecoder::new(decoder.into_inner()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn packed(ending: &str, text: &[u8]) -> Vec<u8> {
        match ending {
            "" => text.to_vec(),
            "gz" => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                out.write_all(text).unwrap();
                out.finish().unwrap()
            }
            "xz" => {
                let mut out = liblzma::write::XzEncoder::new(Vec::new(), 1);
                out.write_all(text).unwrap();
                out.finish().unwrap()
            }
            "lzma" => {
                let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
                let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
                let mut out = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
                out.write_all(text).unwrap();
                out.finish().unwrap()
            }
            "zst" => zstd::encode_all(text, 1).unwrap(),
            "bz2" => {
                let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                out.write_all(text).unwrap();
                out.finish().unwrap()
            }
            "lz4" => {
                let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
                out.write_all(text).unwrap();
                out.finish().unwrap()
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_ending_is_read() {
        let text = b"Package: clock\n".repeat(5000);
        for ending in ENDINGS {
            let packed = packed(ending, &text);
            let mut read = Vec::new();
            by_ending(ending, &packed[..]).unwrap().unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, text, "{ending}");
            let cut = &packed[..packed.len() / 2];
            let result = by_ending(ending, cut).unwrap().unwrap().read_to_end(&mut Vec::new());
            assert_eq!(result.is_err(), !ending.is_empty(), "{ending}: truncated");
        }
        assert!(by_ending("rar", &b""[..]).unwrap().is_none());
    }

    /// A tar with many extended headers ends each of them with such a read: zstd called that an endless loop, and `verify` called
    /// sound bundles damaged.
    #[test]
    fn empty_buffers_may_be_read_into_at_any_time() {
        for ending in ENDINGS {
            let packed = packed(ending, b"text");
            let mut decoder = by_ending(ending, &packed[..]).unwrap().unwrap();
            for _ in 0..100 {
                assert_eq!(decoder.read(&mut []).unwrap(), 0, "{ending}");
            }
            let mut read = String::new();
            decoder.read_to_string(&mut read).unwrap();
            assert_eq!(read, "text", "{ending}");
        }
    }

    /// `pigz`, `pbzip2`, `pxz` and the like write several streams one after the other.
    #[test]
    fn several_streams_are_one_content() {
        for ending in ["gz", "xz", "zst", "bz2", "lz4"] {
            let packed = [packed(ending, b"one "), packed(ending, b"two")].concat();
            let mut read = String::new();
            by_ending(ending, &packed[..]).unwrap().unwrap().read_to_string(&mut read).unwrap();
            assert_eq!(read, "one two", "{ending}");
        }
    }
}
