//! Writes bundles, and images as folders.
//!
//! A bundle is one tar that container engines load as it is, and that is a deployment directory once it is unpacked. For
//! deployments without containers it has the image's files instead of images.

mod bills;
mod contents;
mod crates;
mod describe;
mod digest_cache;
mod facts;
mod files;
mod layout;
pub mod program;
mod root;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::bundle::{LINKS, MANIFEST, SUMS, TABLE_LIMIT};
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{Pending, explain};
use sealift_deployment::profile::model::Deployed;
use sealift_layers::archive::{self, ArchiveError, Parts};
use sealift_layers::digest::{Digest, HashingWriter, Measured};
use sealift_layers::escape::line;
use sealift_layers::tar;
use sealift_layers::tree::{Content, Entry, Kind, Tree, TreePath};

pub use contents::Bundle;
use contents::ORIGIN;
use digest_cache::DigestCache;
use files::SitePart;
pub use layout::{check_absent, write_layout};

use crate::signing;
use crate::store::Store;

/// Size of the buffer in front of the output, in bytes.
const BUFFER: usize = 1 << 20;

impl Bundle<'_> {
    /// Writes the bundle to `output`, whole or not at all. Returns its digest and size.
    ///
    /// # Errors
    /// When a file of the profile or a blob of the store cannot be read or is damaged, or the disk is full.
    pub fn write(&self, store: &Store, output: &Path) -> Result<Measured> {
        let mut files = files::common(self, store)?;
        let parts = match self.plan.inputs.profile.model.deployment {
            Deployed::Compose => Some(archive::documents(self.images, |digest| store.blob(digest))?),
            Deployed::Systemd => {
                files::add_root(self, store, &mut files)?;
                None
            }
        };
        self.add_site(&mut files)?;
        check_names(&files)?;
        let sums = checksums(parts.as_ref(), &files)?;
        let epoch = self.plan.inputs.epoch;
        // A bundle with a site is built once.
        let comment = self.sign(&sums, &mut files)?;
        let is_cached = parts.is_some() && self.site.is_none() && self.key.is_none();
        let cache = is_cached.then(|| DigestCache::find(store, &sums, &files, epoch));
        files.insert(TreePath::new(SUMS)?, Entry::file(sums, 0o644, &Arc::from(ORIGIN)));
        check_tables(&files)?;

        // A site holds the installation's keys and secrets.
        let mut pending = if self.site.is_some() { Pending::private(output)? } else { Pending::create(output)? };
        let measured = match parts {
            Some(parts) => {
                let expected = cache.as_ref().and_then(|cache| cache.digest);
                ArchiveWriter { files: &files, epoch, expected, store, output }.write(parts, &mut pending)?
            }
            None => self.write_compressed(files, &mut pending).map_err(|error| explain(output, error))?,
        };
        pending.commit()?;
        if let Some(cache) = cache {
            cache.keep(measured.digest)?;
        }
        if let (Some(key), Some(comment)) = (self.key, comment) {
            signing::sign_file(output, key, &comment)?;
        }
        Ok(measured)
    }

    /// Adds the signature of `SHA256SUMS`, if there is a key. Returns what it says of the bundle.
    fn sign(&self, sums: &str, files: &mut Tree) -> Result<Option<String>> {
        let Some(key) = self.key else { return Ok(None) };
        let Some(Kind::File(manifest)) = files.get(&TreePath::new(MANIFEST)?).map(|entry| &entry.kind) else {
            return Ok(None);
        };
        let manifest = serde_json::from_slice(&manifest.read()?)?;
        let parts = signing::Parts { sums, manifest: &manifest, lock: self.lock.clone() };
        for (name, text) in parts.sign(key)? {
            files.insert(TreePath::new(&name)?, Entry::file(text, 0o644, &Arc::from(ORIGIN)));
        }
        Ok(Some(signing::comment(&manifest)))
    }

    /// Adds the site as `bundle.json` describes it: see [`files::site`].
    fn add_site(&self, files: &mut Tree) -> Result<()> {
        let origin: Arc<str> = ORIGIN.into();
        for SitePart { path, mode, group, bytes } in files::site(self) {
            let entry = match bytes {
                Some(bytes) => Entry::file(bytes.to_vec(), mode, &origin),
                None => Entry::directory(mode, &origin),
            };
            files.insert(TreePath::new(&path)?, entry.owned_by(0, group));
        }
        Ok(())
    }

    /// Writes a bundle without images, compressed as a whole.
    fn write_compressed(&self, mut files: Tree, out: impl Write) -> Result<Measured> {
        root::add_directories(&mut files)?;
        let mut out = HashingWriter::new(BufWriter::with_capacity(BUFFER, out));
        let mut encoder = self.plan.inputs.options.codec.encoder(&mut out, self.jobs)?;
        tar::write(&files, tar::Options { epoch: self.plan.inputs.epoch, file_digests: false }, &mut encoder)?;
        encoder.finish()?.flush()?;
        Ok(out.finish().1)
    }
}

/// Writes an archive of images.
struct ArchiveWriter<'a> {
    files: &'a Tree,
    epoch: u64,
    /// The digest that the archive had in an earlier build.
    expected: Option<Digest>,
    store: &'a Store,
    output: &'a Path,
}

impl ArchiveWriter<'_> {
    /// Writes the archive. Blobs that this process has not written itself are verified: each on its own, or all of them
    /// together by the digest of the archive, if that is known.
    fn write(&self, parts: Parts, out: impl Write) -> Result<Measured> {
        let mut out = HashingWriter::new(BufWriter::with_capacity(BUFFER, out));
        let blobs = self.expected.map(|_| parts.blobs.clone()).unwrap_or_default();
        let is_trusted = |digest: &Digest| self.expected.is_some() || self.store.wrote(digest);
        archive::write(parts, self.files, self.epoch, is_trusted, &mut out).map_err(|error| self.explain(error))?;
        let measured = out.finish().1;
        if self.expected.is_some_and(|expected| expected != measured.digest) {
            self.verify(&blobs)?;
        }
        Ok(measured)
    }

    fn verify(&self, blobs: &BTreeMap<Digest, Content>) -> Result<()> {
        for (digest, content) in blobs {
            if content.digest()? != *digest {
                return Err(self.store.damaged_blob(digest).into());
            }
        }
        Ok(())
    }

    fn explain(&self, error: ArchiveError) -> anyhow::Error {
        match error {
            ArchiveError::Blob(digest) => self.store.damaged_blob(&digest).into(),
            ArchiveError::Io(error) => explain(self.output, error.into()),
            error => error.into(),
        }
    }
}

/// Checks that `SHA256SUMS` and `LINKS`, which have a line for each file and link, can name all of them.
fn check_names(files: &Tree) -> Result<()> {
    let is_unfit = |text: &str| text.chars().any(char::is_control);
    for (path, entry) in files.iter() {
        let what = match &entry.kind {
            _ if is_unfit(path.as_str()) => "the name",
            Kind::Symlink(target) if is_unfit(target) => "the target of the link",
            _ => continue,
        };
        let path = line(path.as_str());
        let message = format!("{what} `{path}` of {} has a control character, such as a line break", entry.origin);
        let hint = "a bundle without containers lists its files by lines: leave it out, with `drop` in the profile";
        return Err(Failure::failed(message).hint(hint).into());
    }
    Ok(())
}

/// Checks that hosts can read the tables of the bundle: they refuse larger ones.
fn check_tables(files: &Tree) -> Result<()> {
    for name in [MANIFEST, SUMS, LINKS] {
        let Some(Kind::File(table)) = files.get(&TreePath::new(name)?).map(|entry| &entry.kind) else { continue };
        if table.len() > TABLE_LIMIT {
            let message =
                format!("the bundle has too many files: {name} would have more than {} MiB", TABLE_LIMIT >> 20);
            let hint = "leave out what is not needed, with `drop` in the profile";
            return Err(Failure::failed(message).hint(hint).into());
        }
    }
    Ok(())
}

/// The text of `SHA256SUMS`: all files of the bundle but itself.
fn checksums(parts: Option<&Parts>, files: &Tree) -> io::Result<String> {
    let mut sums: BTreeMap<String, Digest> = BTreeMap::new();
    if let Some(Parts { layout, index, manifest, blobs }) = parts {
        for (name, bytes) in [(archive::LAYOUT, layout), (archive::INDEX, index), (archive::MANIFEST, manifest)] {
            sums.insert(name.to_owned(), Digest::of(bytes));
        }
        sums.extend(blobs.keys().map(|digest| (archive::blob_path(*digest), *digest)));
    }
    for (path, entry) in files.iter() {
        if let Kind::File(content) = &entry.kind {
            sums.insert(path.to_string(), content.digest()?);
        }
    }
    Ok(sums.iter().map(|(path, digest)| format!("{}  {path}\n", digest.hex())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The host refused such a bundle, and the build had said nothing.
    #[test]
    fn tables_that_no_host_reads_are_refused() {
        let mut files = Tree::new();
        let mut check = |length: u64| {
            let table = vec![b'a'; usize::try_from(length).unwrap()];
            files.insert(TreePath::new(SUMS).unwrap(), Entry::file(table, 0o644, &Arc::from(ORIGIN)));
            check_tables(&files).map_err(|error| error.to_string())
        };
        assert_eq!(check(TABLE_LIMIT), Ok(()));
        let error = check(TABLE_LIMIT + 1).unwrap_err();
        insta::assert_snapshot!(error, @"the bundle has too many files: SHA256SUMS would have more than 16 MiB");
    }

    /// `SHA256SUMS` had two lines for such a file, neither of them right.
    #[test]
    fn names_that_the_tables_cannot_list_are_refused() {
        let origin: Arc<str> = "package odd 1".into();
        let check = |name: &str, entry: Entry| {
            let mut files = Tree::new();
            files.insert(TreePath::new(name).unwrap(), entry);
            check_names(&files).map_err(|error| error.to_string())
        };
        assert_eq!(check("usr/a b\u{e9}", Entry::file("", 0o644, &origin)), Ok(()));
        let error = check("usr/a\nb", Entry::file("", 0o644, &origin)).unwrap_err();
        insta::assert_snapshot!(error, @r"the name `usr/a\nb` of package odd 1 has a control character, such as a line break");
        let error = check("usr/a", Entry::symlink("b\r", &origin)).unwrap_err();
        insta::assert_snapshot!(error, @"the target of the link `usr/a` of package odd 1 has a control character, such as a line break");
    }
}
