//! What is in the tar of a layer.

use std::collections::BTreeSet;
use std::io::{self, Read, Write as _};

use crate::codec::Codec;
use crate::digest::{Digest, Hasher};
use crate::escape::line;
use crate::limits::{Paths, Within};
use crate::tar::{MemberKind, Members, Stream};
use crate::tree::{Content, TreePath};

/// A layer whose tar was read.
pub(super) struct Unpacked {
    /// Bytes of its tar.
    pub(super) size: u64,
    pub(super) diff_id: Digest,
    /// A message for everything that is wrong with its tar.
    pub(super) wrong: Vec<String>,
    /// A message for each member as in [`Report::unusual`].
    pub(super) unusual: Vec<String>,
}

/// Most messages about one layer: a hostile one may have millions of members.
const MESSAGE_LIMIT: usize = 100;

/// Reads a layer to its end.
///
/// # Errors
/// It is damaged, or unpacks to more than `limit` bytes.
pub(super) fn unpacked(content: &Content, codec: Codec, limit: u64) -> io::Result<Unpacked> {
    let reader = Within::new(codec.decoder(content.reader())?, limit);
    let mut tee = Tee { reader, hasher: Hasher::default(), size: 0 };
    let (mut wrong, mut unusual) = (Vec::new(), Vec::new());
    let (mut paths, mut counted) = (BTreeSet::new(), Paths::default());
    let mut members = Members::new(Stream(&mut tee));
    while let Some(member) = members.next().map_err(io::Error::other)? {
        let name = &member.name;
        let path = match TreePath::new(name) {
            Ok(path) => path,
            Err(error) => {
                wrong.push(format!("its tar has a bad path: {error}"));
                wrong.truncate(MESSAGE_LIMIT);
                continue;
            }
        };
        counted.add(path.as_str())?;
        match &member.kind {
            MemberKind::Hardlink(target) => {
                let target = TreePath::new(target).ok();
                if target.is_none_or(|target| !paths.contains(&target)) {
                    wrong.push(format!("its hard link `{}` does not come after its target", line(name)));
                }
            }
            MemberKind::Device(_) => unusual.push(format!("its tar has the device `{}`", line(name))),
            _ => {}
        }
        if path.is_whiteout() {
            unusual.push(format!("its tar has `{}`, which removes files of the layers below", line(name)));
        }
        if !paths.insert(path) {
            wrong.push(format!("its tar has `{}` twice", line(name)));
        }
        wrong.truncate(MESSAGE_LIMIT);
        unusual.truncate(MESSAGE_LIMIT);
    }
    // The members were read to the end of the file: the diff ID covers the padding, too.
    Ok(Unpacked { size: tee.size, diff_id: tee.hasher.finish(), wrong, unusual })
}

/// A reader that hashes what is read.
struct Tee<R> {
    reader: R,
    hasher: Hasher,
    size: u64,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(buffer)?;
        self.hasher.write_all(&buffer[..got])?;
        self.size += got as u64;
        Ok(got)
    }
}
