//! The signatures in a bundle, beside `SHA256SUMS`, before the blobs: `SHA256SUMS.KEY.minisig`, and `SHA256SUMS.KEY.sigstore.json`
//! with a statement of where the bundle comes from.

use sealift_layers::escape::line;
use sealift_layers::limits::MESSAGES;
use sealift_layers::tree::{Kind, Tree, TreePath};
use sealift_layers::validate::Violation;

use super::names::SUMS;
use super::read::{Bundle, content};
use super::verify::violate;
use crate::failure::Failure;
use crate::signature::{Attestation, KeyId, LIMIT, PublicKey, Signature, Trust};

/// Largest size of a statement in bytes, which lists all packages.
const STATEMENT_LIMIT: u64 = 1 << 24;
/// Most signatures, and most statements: all of them are listed.
const MOST: usize = 100;

const MINISIG: &str = ".minisig";
const STATEMENT: &str = ".sigstore.json";

/// The name of the signature that a key makes of a bundle.
#[must_use]
pub fn signature_name(key: KeyId) -> String {
    format!("{SUMS}.{key}{MINISIG}")
}

/// The name of the signed statement that a key makes of a bundle.
#[must_use]
pub fn statement_name(key: KeyId) -> String {
    format!("{SUMS}.{key}{STATEMENT}")
}

/// Whether a file of a bundle is a signature or a signed statement, by its name.
#[must_use]
pub fn is_signature(name: &str) -> bool {
    is_named(name, MINISIG) || is_named(name, STATEMENT)
}

fn is_named(name: &str, end: &str) -> bool {
    let id = name.strip_prefix(SUMS).and_then(|name| name.strip_prefix('.')?.strip_suffix(end));
    id.is_some_and(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte)))
}

impl Bundle {
    /// The signatures in the bundle, in the order of their names. Only their form is checked: see [`check`] and
    /// [`Bundle::verify`].
    pub fn signatures(&self) -> impl Iterator<Item = Signature> {
        signatures(&self.files).take(MOST).filter_map(|(_, signature)| signature.ok())
    }

    /// The signatures must be in the form in which this program writes them, since `SHA256SUMS` does not list them.
    pub(super) fn verify_signatures(&self, violations: &mut Vec<Violation>) {
        for end in [MINISIG, STATEMENT] {
            let count = self.files.iter().filter(|(path, _)| is_named(path.as_str(), end)).count();
            if count > MOST {
                violate(violations, SUMS, format!("has {count} files `{SUMS}.KEY{end}`: at most {MOST} are read"));
            }
        }
        for (name, signature) in signatures(&self.files).take(MOST) {
            match signature {
                Err(what) => violate(violations, &name, what),
                Ok(signature) if signature_name(signature.key) == name => {}
                Ok(signature) => violate(violations, &name, format!("is by the key {}", signature.key)),
            }
        }
        for (name, statement) in statements(&self.files).take(MOST) {
            match statement {
                Err(what) => violate(violations, &name, what),
                Ok(statement) if statement_name(statement.key) == name => {}
                Ok(statement) => violate(violations, &name, format!("is by the key {}", statement.key)),
            }
        }
    }
}

/// Checks that a trusted key has signed the `SHA256SUMS` of a bundle, and the statement that goes with the signature, if
/// there is one. Returns that signature. Nothing else of the bundle is read.
///
/// # Errors
/// [`Failure::verification`]: none has, or its signature is wrong. `name` is the bundle's, for the message.
pub fn check(files: &Tree, trust: &Trust, name: &str) -> Result<Signature, Failure> {
    let mut others = Vec::new();
    let sums = content(files, SUMS);
    for (file, signature) in signatures(files) {
        let signature = signature.map_err(|what| Failure::verification(format!("{name}: {file} {what}")))?;
        let Some(trusted) = trust.keys.iter().find(|trusted| trusted.key.id == signature.key) else {
            if others.len() < MESSAGES {
                others.push(signature.key.to_string());
            }
            continue;
        };
        let good = match sums {
            Some(sums) => trusted.key.verify(&signature, sums.reader()),
            None => Ok(false),
        };
        if good.map_err(|error| Failure::verification(format!("cannot read {SUMS} of {name}")).because(error))? {
            check_statement(files, &trusted.key, name)?;
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

/// Checks the statement by `key` in a bundle, if there is one.
fn check_statement(files: &Tree, key: &PublicKey, bundle: &str) -> Result<(), Failure> {
    let own = statement_name(key.id);
    let Some((name, statement)) = statements(files).find(|(name, _)| *name == own) else { return Ok(()) };
    let sums = content(files, SUMS).and_then(|sums| sums.digest().ok());
    let good = statement.and_then(|statement| {
        let is_by = sums.is_some_and(|sums| statement.is_by(key, sums));
        if is_by { Ok(()) } else { Err(format!("is not what the key {} signed for {SUMS}", key.id)) }
    });
    good.map_err(|what| {
        Failure::verification(format!("{bundle}: {name} {what}"))
            .hint("do not use it: something was changed after it was signed")
    })
}

/// The files that are signatures by their names, with their contents.
fn signatures(files: &Tree) -> impl Iterator<Item = (String, Result<Signature, String>)> {
    let named = files.iter().filter(|(path, _)| is_named(path.as_str(), MINISIG));
    named.map(|(path, entry)| {
        (path.to_string(), read(path, &entry.kind, LIMIT).and_then(|text| Signature::parse_own(&text)))
    })
}

/// The files that are signed statements by their names, with their contents.
fn statements(files: &Tree) -> impl Iterator<Item = (String, Result<Attestation, String>)> {
    let named = files.iter().filter(|(path, _)| is_named(path.as_str(), STATEMENT));
    named.map(|(path, entry)| {
        (path.to_string(), read(path, &entry.kind, STATEMENT_LIMIT).and_then(|text| Attestation::parse(&text)))
    })
}

fn read(path: &TreePath, kind: &Kind, limit: u64) -> Result<String, String> {
    let Kind::File(content) = kind else { return Err("is not a file".to_owned()) };
    if content.len() > limit {
        return Err(format!("has {} bytes: at most {limit} are read", content.len()));
    }
    let bytes = content.read().map_err(|error| format!("cannot be read: {}", line(&error.to_string())))?;
    String::from_utf8(bytes).map_err(|_| format!("{} is not text", line(path.as_str())))
}
