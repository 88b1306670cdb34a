//! The signatures in a bundle: `SHA256SUMS.KEY.minisig` beside `SHA256SUMS`, before the blobs.

use sealift_layers::escape::line;
use sealift_layers::tree::{Kind, Tree, TreePath};
use sealift_layers::validate::Violation;

use super::names::SUMS;
use super::read::{Bundle, content};
use super::verify::violate;
use crate::failure::Failure;
use crate::signature::{KeyId, Signature, Trust};

/// Largest size of a signature in bytes.
const LIMIT: u64 = 1 << 14;

/// The name of the signature that a key makes of a bundle.
#[must_use]
pub fn signature_name(key: KeyId) -> String {
    format!("{SUMS}.{key}.minisig")
}

/// Whether a file of a bundle is a signature, by its name.
#[must_use]
pub fn is_signature(name: &str) -> bool {
    let id = name.strip_prefix(SUMS).and_then(|name| name.strip_prefix('.')?.strip_suffix(".minisig"));
    id.is_some_and(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte)))
}

impl Bundle {
    /// The signatures in the bundle, in the order of their names. Only their form is checked: see [`check`] and
    /// [`Bundle::verify`].
    pub fn signatures(&self) -> impl Iterator<Item = Signature> {
        signatures(&self.files).filter_map(|(_, signature)| signature.ok())
    }

    /// The signatures must be in the form in which this program writes them, since `SHA256SUMS` does not list them.
    pub(super) fn verify_signatures(&self, violations: &mut Vec<Violation>) {
        for (name, signature) in signatures(&self.files) {
            match signature {
                Err(what) => violate(violations, &name, what),
                Ok(signature) if signature_name(signature.key) == name => {}
                Ok(signature) => violate(violations, &name, format!("is by the key {}", signature.key)),
            }
        }
    }
}

/// Checks that a trusted key has signed the `SHA256SUMS` of a bundle, and returns that signature. Nothing else of the bundle
/// is read.
///
/// # Errors
/// [`Failure::verification`]: none has, or its signature is wrong. `name` is the bundle's, for the message.
pub fn check(files: &Tree, trust: &Trust, name: &str) -> Result<Signature, Failure> {
    let mut others = Vec::new();
    let sums = content(files, SUMS);
    for (file, signature) in signatures(files) {
        let signature = signature.map_err(|what| Failure::verification(format!("{name}: {file} {what}")))?;
        let Some(trusted) = trust.keys.iter().find(|trusted| trusted.key.id == signature.key) else {
            others.push(signature.key.to_string());
            continue;
        };
        let good = match sums {
            Some(sums) => trusted.key.verify(&signature, sums.reader()),
            None => Ok(false),
        };
        if good.map_err(|error| Failure::verification(format!("cannot read {SUMS} of {name}")).because(error))? {
            return Ok(signature);
        }
        let message = format!("{name}: the signature by the key {} does not match {SUMS}", signature.key);
        return Err(Failure::verification(message).hint("do not use it: something was changed after it was signed"));
    }
    let keys = trust.names();
    Err(if others.is_empty() {
        Failure::verification(format!("{name} is not signed; this machine trusts {keys}"))
            .hint("ask for a signed bundle; --insecure-unsigned uses it as it is, once")
    } else {
        let others = others.join(", ");
        Failure::verification(format!("{name} is signed by {others}, and by no key that is trusted: {keys}")).hint(
            "if its maker has a new key, get it with a signature by the old one (NEW.pub.minisig) for `up --key NEW.pub`; \
             --insecure-unsigned uses the bundle without a check, once",
        )
    })
}

/// The files that are signatures by their names, with their contents.
fn signatures(files: &Tree) -> impl Iterator<Item = (String, Result<Signature, String>)> {
    let named = files.iter().filter(|(path, _)| is_signature(path.as_str()));
    named.map(|(path, entry)| (path.to_string(), read(path, &entry.kind)))
}

fn read(path: &TreePath, kind: &Kind) -> Result<Signature, String> {
    let Kind::File(content) = kind else { return Err("is not a file".to_owned()) };
    if content.len() > LIMIT {
        return Err(format!("has {} bytes", content.len()));
    }
    let bytes = content.read().map_err(|error| format!("cannot be read: {}", line(&error.to_string())))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{} is not text", line(path.as_str())))?;
    Signature::parse_own(&text)
}
