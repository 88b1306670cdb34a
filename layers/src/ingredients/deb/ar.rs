//! The `ar` archive of a Debian package (deb(5)), in the common format: names have at most 16 characters.

use std::io::{self, Read};

use crate::tree::SourceFile;

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: u64 = 60;

/// A member, and where its bytes are in the archive.
#[derive(Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, without the `/` that some tools write after it.
    pub name: String,
    /// Where its bytes start.
    pub offset: u64,
    /// How many they are.
    pub size: u64,
}

/// Largest number of members. Packages have three.
const MEMBERS: usize = 100;

/// The members in order. None of them reaches beyond the end of the file.
///
/// # Errors
/// It is not such an archive, is truncated, or has more than 100 members.
pub fn members(file: &SourceFile) -> io::Result<Vec<Member>> {
    let length = file.size()?;
    let mut magic = [0; 8];
    file.cursor().read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(invalid("it does not start like an ar archive"));
    }
    let mut members = Vec::new();
    let mut at = MAGIC.len() as u64;
    while at < length {
        let mut header = [0; HEADER as usize];
        let mut cursor = file.cursor();
        io::Seek::seek(&mut cursor, io::SeekFrom::Start(at))?;
        cursor.read_exact(&mut header)?;
        if header[58..] != *b"`\n" {
            return Err(invalid("the header of a member is damaged"));
        }
        // Only spaces fill a field, as for dpkg: `data.tar` with a line end is another name.
        let text = |range: std::ops::Range<usize>| {
            std::str::from_utf8(&header[range]).map(|text| text.trim_end_matches(' ')).ok()
        };
        let name = text(0..16).ok_or_else(|| invalid("the name of a member is not UTF-8"))?;
        let digits = text(48..58).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let size: u64 =
            digits.and_then(|text| text.parse().ok()).ok_or_else(|| invalid("the size of a member is not a number"))?;
        // At most ten digits: the sum cannot overflow.
        let offset = at + HEADER;
        if offset + size > length {
            return Err(invalid("it is truncated"));
        }
        if members.len() == MEMBERS {
            return Err(invalid("it has more than 100 members"));
        }
        members.push(Member { name: name.strip_suffix('/').unwrap_or(name).to_owned(), offset, size });
        at = offset + size + size % 2;
    }
    Ok(members)
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for (name, body) in members {
            bytes.extend_from_slice(
                format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", body.len()).as_bytes(),
            );
            bytes.extend_from_slice(body.as_bytes());
            if body.len() % 2 == 1 {
                bytes.push(b'\n');
            }
        }
        bytes
    }

    #[test]
    fn members_of_odd_size_are_padded() {
        let file = SourceFile::Memory(archive(&[("debian-binary", "2.0\n"), ("a/", "odd"), ("b", "x")]));
        let found = members(&file).unwrap();
        assert_eq!(found.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["debian-binary", "a", "b"]);
        assert_eq!((found[1].offset, found[1].size, found[2].offset), (132, 3, 196));
    }

    /// dpkg looks for `data.tar` and does not find it.
    #[test]
    fn only_spaces_end_a_name() {
        for name in ["data.tar\n", "data.tar\t"] {
            let found = members(&SourceFile::Memory(archive(&[(name, "x")]))).unwrap();
            assert_eq!(found[0].name, name);
        }
    }

    #[test]
    fn damaged_archives_are_rejected() {
        let good = archive(&[("a", "body!!")]);
        for bad in [&good[..good.len() - 1], &good[..30], b"!<arch>x".as_slice(), b"".as_slice()] {
            assert!(members(&SourceFile::Memory(bad.to_vec())).is_err());
        }
        let mut no_number = good.clone();
        for byte in [b'x', b'+', b'-', b' '] {
            no_number[8 + 48] = byte;
            assert!(members(&SourceFile::Memory(no_number.clone())).is_err());
        }
        assert!(members(&SourceFile::Memory(archive(&[("a", ""); 101]))).is_err());
    }
}
