//! Signatures in a bundle, and beside a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::bundle::signatures::{is_signature, signature_name, statement_name};
use sealift_deployment::bundle::{self, Bundle, Form, Manifest, SUMS, plain};
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{self, Pending};
use sealift_deployment::signature::beside;
use sealift_layers::digest::{Digest, HashingWriter};
use sealift_layers::limits::Limits;
use sealift_layers::tar::{Members, Stream, Writer};
use sealift_layers::tree::{Entry, Kind, TreePath};
use sealift_layers::validate::Depth;

use super::key::SigningKey;
use super::provenance::{Facts, statement};
use crate::lock::Lock;

/// Size of a block of a tar in bytes.
const BLOCK: u64 = 512;
/// Size of the buffer in front of the output, in bytes.
const BUFFER: usize = 1 << 20;

/// What the signatures of a bundle say of it.
pub(crate) fn comment(manifest: &Manifest) -> String {
    let Manifest { product, profile, version, platform, .. } = manifest;
    format!("sealift bundle: {product} {profile} {version} {platform}")
}

/// What a bundle's signatures are made of.
pub(crate) struct Parts<'a> {
    /// Its `SHA256SUMS`.
    pub(crate) sums: &'a str,
    /// Its `bundle.json`.
    pub(crate) manifest: &'a Manifest,
    /// Its lock.
    pub(crate) lock: Lock,
}

impl Parts<'_> {
    /// The files that `key` adds to the bundle: a signature, and a signed statement.
    pub(crate) fn sign(&self, key: &SigningKey) -> Result<BTreeMap<String, String>> {
        let lines = self.sums.lines().filter_map(|line| line.split_once("  "));
        let files = lines.filter_map(|(hex, name)| Some((name.to_owned(), hex.parse().ok()?))).collect();
        let subjects = [(SUMS.to_owned(), Digest::of(self.sums.as_bytes()))];
        let statement =
            statement(&Facts { manifest: self.manifest, lock: &self.lock, subjects: &subjects, files: &files });
        Ok(BTreeMap::from([
            (signature_name(key.id()), key.sign(self.sums.as_bytes(), &comment(self.manifest))?),
            (statement_name(key.id()), key.attest(statement).text()),
        ]))
    }
}

/// The lock in a bundle.
fn lock(bundle: &Bundle) -> Result<Lock> {
    let path = TreePath::new("profile/sealift.lock")?;
    let Some(Kind::File(content)) = bundle.files.get(&path).map(|entry| &entry.kind) else {
        return Err(Failure::verification(format!("the bundle has no {path}")).into());
    };
    if content.len() > files::DOCUMENT_LIMIT {
        return Err(Failure::verification(format!("{path} in the bundle has {} bytes", content.len())).into());
    }
    Ok(toml::from_str(&String::from_utf8_lossy(&content.read()?))?)
}

/// Adds the signature by `key` to the bundle in the file `path`, instead of an earlier one by that key, and signs the whole
/// file beside it. All other bytes stay as they are. Returns the signature of the file, and whether other keys have signed the
/// bundle.
///
/// # Errors
/// It is not a sound bundle in one file, or cannot be written.
pub fn sign(path: &Path, key: &SigningKey, jobs: usize) -> Result<(PathBuf, bool)> {
    let bundle = bundle::open(path)?;
    let (Form::Archive, Some(manifest)) = (bundle.form, &bundle.manifest) else {
        let message = format!("{} is not the file of a bundle", path.display());
        return Err(Failure::usage(message).hint("sign the file that `sealift build` wrote, not a folder").into());
    };
    refuse_damaged(path, &bundle)?;
    let (mut input, codec) = plain(path, Limits::default())?;
    let place = Place::find(&mut input)?;
    let comment = comment(manifest);
    let mut signatures = place.signatures;
    let parts = Parts { sums: &String::from_utf8(place.sums)?, manifest, lock: lock(&bundle)? };
    let own = parts.sign(key)?;
    let by_others = signatures.keys().any(|name| !own.contains_key(name));
    signatures.extend(own);

    let private = !manifest.site.is_empty();
    let mut pending = if private { Pending::private(path)? } else { Pending::create(path)? };
    let out = BufWriter::with_capacity(BUFFER, &mut pending);
    let mut out = codec.encoder(out, jobs)?;
    let copied = (|| {
        copy(&mut input, 0, Some(place.from), &mut out)?;
        let mut members = Writer::new(&mut out, manifest.epoch);
        for (name, text) in signatures {
            members.append(&TreePath::new(&name)?, &Entry::file(text, 0o644, &"signature".into()))?;
        }
        copy(&mut input, place.to, None, &mut out)?;
        Ok(out.finish()?.flush()?)
    })();
    copied.map_err(|error: anyhow::Error| files::explain(path, error))?;
    pending.commit()?;
    Ok((sign_file(path, key, &comment)?, by_others))
}

/// Signs the whole file at `path`, beside it.
///
/// # Errors
/// It cannot be read, or its signature not be written.
pub fn sign_file(path: &Path, key: &SigningKey, comment: &str) -> Result<PathBuf> {
    let text = key.sign(BufReader::with_capacity(BUFFER, files::open(path)?), comment)?;
    let signature = beside(path);
    files::write_atomically(&signature, |file| Ok(file.write_all(text.as_bytes())?))?;
    Ok(signature)
}

fn refuse_damaged(path: &Path, bundle: &Bundle) -> Result<()> {
    let found = bundle.verify(Depth::Digests).violations;
    let Some(first) = found.first() else { return Ok(()) };
    let message = format!("{} is damaged: {first}", path.display());
    Err(Failure::verification(message)
        .hint("only sound bundles are signed: `sealift verify` tells what is wrong")
        .into())
}

/// Where the signatures of a bundle stand: right after `SHA256SUMS`.
struct Place {
    /// The bytes of `SHA256SUMS`.
    sums: Vec<u8>,
    /// The signatures that are there, by name.
    signatures: BTreeMap<String, String>,
    /// Offset of their first byte, or where it would be.
    from: u64,
    /// Offset of the byte after them.
    to: u64,
}

impl Place {
    fn find(input: &mut File) -> Result<Self> {
        let mut members = Members::new(Stream(BufReader::with_capacity(BUFFER, input)));
        let mut found: Option<Self> = None;
        while let Some(member) = members.next()? {
            let end = (member.offset + member.size).next_multiple_of(BLOCK);
            match &mut found {
                None if member.name == SUMS => {
                    let mut sums = Vec::new();
                    members.read_to_end(&mut sums)?;
                    found = Some(Self { sums, signatures: BTreeMap::new(), from: end, to: end });
                }
                None => {}
                Some(place) if is_signature(&member.name) => {
                    let mut text = String::new();
                    members.read_to_string(&mut text)?;
                    place.signatures.insert(member.name, text);
                    place.to = end;
                }
                Some(_) => break,
            }
        }
        found.ok_or_else(|| Failure::verification(format!("the bundle has no {SUMS}")).into())
    }
}

/// Whether the bundle in the file `signed` has the bytes of the one in the file `unsigned`, apart from its signatures and from
/// the compression of the whole.
///
/// # Errors
/// One of them cannot be read, or is not a bundle.
pub(crate) fn is_same_unsigned(signed: &Path, unsigned: &Path) -> Result<bool> {
    let mut file = plain(signed, Limits::default())?.0;
    let Place { from, to, .. } = Place::find(&mut file)?;
    let mut digest = HashingWriter::new(io::sink());
    copy(&mut file, 0, Some(from), &mut digest)?;
    copy(&mut file, to, None, &mut digest)?;
    let other = Digest::of_reader(BufReader::with_capacity(BUFFER, plain(unsigned, Limits::default())?.0))?;
    Ok(digest.finish().1 == other)
}

/// Copies the bytes from one offset to another, or to the end.
fn copy(input: &mut File, from: u64, to: Option<u64>, out: &mut impl Write) -> io::Result<()> {
    input.seek(SeekFrom::Start(from))?;
    let length = to.map_or(u64::MAX, |to| to - from);
    io::copy(&mut BufReader::with_capacity(BUFFER, input.take(length)), out).map(drop)
}
