//! Key pairs in minisign's format.

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};
use ed25519_dalek::Signer as _;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{self, Pending};
use sealift_deployment::signature::{Attestation, KeyId, PublicKey, Signature, beside, read_key};

/// Largest size of a file with a key in bytes.
const LIMIT: u64 = 1 << 14;

/// The terminal of a process, which passwords are asked for on.
const TERMINAL: &str = "/dev/tty";

/// Where the password of a private key comes from.
#[derive(Clone, Debug)]
pub enum Password {
    /// It is asked for on the terminal.
    Ask,
    /// The first line of this file.
    File(PathBuf),
    /// The key has none.
    None,
}

impl Password {
    /// The password; `None` if it is to be asked for.
    fn read(&self) -> Result<Option<String>> {
        let Self::File(path) = self else {
            // Before anything is asked for.
            fs_err::File::open(TERMINAL).map_err(|error| {
                let hint = "give --password-file; for a key that a machine uses alone, make one with --no-password";
                Failure::usage("there is no terminal to ask for the private key's password on")
                    .hint(hint)
                    .because(error)
            })?;
            return Ok(None);
        };
        let text = files::read_text(path)
            .map_err(|error| Failure::usage(format!("cannot read {}", path.display())).because(error))?;
        let password = text.lines().next().unwrap_or_default();
        if password.is_empty() {
            let message = format!("the first line of {} is empty, where the password should be", path.display());
            let hint = "a key that a machine uses alone needs none: sealift key new NAME --no-password";
            return Err(Failure::usage(message).hint(hint).into());
        }
        Ok(Some(password.to_owned()))
    }
}

/// A private key that can sign.
pub struct SigningKey {
    id: KeyId,
    key: ed25519_dalek::SigningKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

impl SigningKey {
    /// Opens the private key in the file `path`, which `sealift key new` or minisign wrote. The password of a key that has
    /// one is asked for on the terminal, unless there is a file with it.
    ///
    /// # Errors
    /// It cannot be read or is no private key, or the password is wrong.
    pub fn open(path: &Path, password: &Password) -> Result<Self> {
        let shown = path.display();
        let bytes = files::read_within(path, LIMIT)
            .map_err(|error| Failure::usage(format!("cannot read the key {shown}")).because(error))?;
        let text = String::from_utf8_lossy(&bytes);
        let wrong = |error: minisign::PError| {
            let hint = "give the file NAME.key that `sealift key new NAME` wrote, and its password";
            Failure::usage(format!("cannot open the private key {shown}: {error}")).hint(hint)
        };
        if PublicKey::parse(&text).is_ok() {
            let hint = "its private key is in NAME.key; keep that file secret";
            return Err(Failure::usage(format!("{shown} is a public key, which cannot sign")).hint(hint).into());
        }
        // minisign 0.11 writes no checksum where there is no password, and the crate wants one.
        let plain = STANDARD.decode(text.lines().nth(1).unwrap_or_default().trim()).unwrap_or_default();
        if plain.get(2..4) == Some(&[0, 0]) {
            return Self::from_bytes(&plain);
        }
        let boxed = minisign::SecretKeyBox::from_string(&text).map_err(wrong)?;
        Self::from_bytes(&boxed.into_secret_key(password.read()?).map_err(wrong)?.to_bytes())
    }

    /// A private key without its password: algorithms, salt and costs, the number, the key pair, and a checksum
    /// (minisign(1), "Secret key format").
    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
        let damaged = || Failure::usage("the private key is damaged");
        let id = <[u8; 8]>::try_from(part(54, 62)).map_err(|_| damaged())?;
        let pair = <[u8; 64]>::try_from(part(62, 126)).map_err(|_| damaged())?;
        let key = ed25519_dalek::SigningKey::from_keypair_bytes(&pair).map_err(|_| damaged())?;
        Ok(Self { id: KeyId(u64::from_le_bytes(id)), key })
    }

    /// A signed statement.
    #[must_use]
    pub(crate) fn attest(&self, statement: String) -> Attestation {
        let signature = self.key.sign(&Attestation::signed(&statement)).to_bytes();
        Attestation { key: self.id, statement, signature }
    }

    /// The number of the key pair.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Signs the bytes of `data`, and `comment`. The same bytes and comment have the same signature (RFC 8032).
    ///
    /// # Errors
    /// When `data` cannot be read.
    pub fn sign(&self, mut data: impl Read, comment: &str) -> io::Result<String> {
        let mut hasher = Blake2b512::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match data.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => hasher.update(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let signature = self.key.sign(&hasher.finalize()).to_bytes();
        let global = self.key.sign(&[&signature[..], comment.as_bytes()].concat()).to_bytes();
        Ok(Signature::text(self.id, &signature, comment, &global))
    }
}

/// The public half of a key as a PEM file, for tools other than minisign (RFC 8410, "SubjectPublicKeyInfo").
fn pem(key: &[u8]) -> String {
    const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    let text = STANDARD.encode([&ED25519[..], key].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
}

/// Makes a key pair: the files `NAME.key` (private), `NAME.pub` and `NAME.pem` (public). Files that exist stay. Returns the
/// public key and its file.
///
/// # Errors
/// One of the files exists or cannot be written, or no password can be asked for.
pub fn create(name: &Path, password: &Password) -> Result<(PublicKey, PathBuf)> {
    let file = |extension: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(format!(".{extension}"));
        PathBuf::from(path)
    };
    let (private, public, other) = (file("key"), file("pub"), file("pem"));
    for path in [&private, &public, &other] {
        if path.symlink_metadata().is_ok() {
            let failure = Failure::usage(format!("{} exists already", path.display()));
            return Err(failure.hint("choose another name").into());
        }
    }
    let failed = |error: minisign::PError| Failure::usage(format!("cannot make a key: {error}"));
    let pair = match password {
        Password::None => minisign::KeyPair::generate_unencrypted_keypair(),
        other => minisign::KeyPair::generate_encrypted_keypair(other.read()?),
    };
    let pair = pair.map_err(failed)?;
    let bytes = pair.pk.to_bytes();
    let key = PublicKey::parse(&STANDARD.encode(&bytes)).map_err(Failure::failed)?;
    let text = pair.sk.to_box(Some("sealift private key")).map_err(failed)?.into_string();
    write(Pending::private(&private)?, &text)?;
    write(Pending::create(&other)?, &pem(bytes.get(10..).unwrap_or_default()))?;
    write(Pending::create(&public)?, &key.to_text())?;
    Ok((key, public))
}

/// Signs the public key in the file `new`, so that machines that trust `old` can trust it, too. Returns the file of the
/// signature.
///
/// # Errors
/// `new` is no public key, or that of `old`, or the signature cannot be written.
pub fn vouch(new: &Path, old: &SigningKey) -> Result<PathBuf> {
    let (key, bytes) = read_key(new)?;
    if key.id == old.id() {
        let message = format!("{} is the public half of the very key that is to vouch for it", new.display());
        return Err(Failure::usage(message).hint("sign the new public key with the old private one").into());
    }
    let comment = format!("sealift: who trusts {} may trust {}", old.id(), key.id);
    let path = beside(new);
    write(Pending::create(&path)?, &old.sign(&bytes[..], &comment)?)?;
    Ok(path)
}

fn write(mut file: Pending, text: &str) -> Result<()> {
    file.write_all(text.as_bytes())?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use sealift_deployment::signature::Trust;

    use super::*;

    #[test]
    fn a_new_key_signs_what_its_public_half_checks() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("release");
        let (public, file) = create(&name, &Password::None).unwrap();
        let key = SigningKey::open(&name.with_extension("key"), &Password::Ask).unwrap();
        let text = key.sign(&b"hello"[..], "a file").unwrap();
        assert_eq!(text, key.sign(&b"hello"[..], "a file").unwrap());
        let signature = Signature::parse_own(&text).unwrap();
        assert_eq!((signature.key, public.id), (key.id(), key.id()));
        assert!(public.verify(&signature, &b"hello"[..]).unwrap());
        assert!(!public.verify(&signature, &b"hellp"[..]).unwrap());
        assert_eq!(PublicKey::parse(&fs_err::read_to_string(&file).unwrap()).unwrap(), public);
        assert!(create(&name, &Password::None).unwrap_err().to_string().ends_with("release.key exists already"));
    }

    #[test]
    fn a_key_with_a_password_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("k");
        let password = |text: &str| {
            let path = folder.path().join(text.trim());
            fs_err::write(&path, text).unwrap();
            Password::File(path)
        };
        create(&name, &password("secret\n")).unwrap();
        let open = |text: &str| SigningKey::open(&name.with_extension("key"), &password(text)).map(|key| key.id());
        open("secret").unwrap();
        assert!(open("other").unwrap_err().to_string().contains("cannot open the private key"));
        // Such a key was made, and anybody who guessed that could sign.
        let empty = Password::File(folder.path().join("empty"));
        fs_err::write(folder.path().join("empty"), "\nsecret\n").unwrap();
        let error = create(&folder.path().join("e"), &empty).unwrap_err().to_string();
        assert!(error.ends_with("empty is empty, where the password should be"), "{error}");
        assert!(!folder.path().join("e.key").exists());
    }

    #[test]
    fn a_new_key_is_admitted_when_an_old_one_vouches_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let key = |name: &str| {
            let (_, public) = create(&folder.path().join(name), &Password::None).unwrap();
            (SigningKey::open(&public.with_extension("key"), &Password::None).unwrap(), public)
        };
        let ((old, old_file), (_, new_file), (third, _)) = (key("old"), key("new"), key("third"));
        let trust = || Trust::in_files(std::slice::from_ref(&old_file)).unwrap();
        assert!(trust().admit(&new_file).unwrap_err().to_string().contains("is not one that this machine trusts"));
        let error = vouch(&old_file, &old).unwrap_err().to_string();
        assert!(error.contains("the very key that is to vouch for it"), "{error}");
        vouch(&new_file, &third).unwrap();
        assert!(trust().admit(&new_file).is_err());
        vouch(&new_file, &old).unwrap();
        let mut both = trust();
        both.admit(&new_file).unwrap();
        assert_eq!(both.keys.len(), 2);
        assert!(Trust::default().admit(&new_file).is_ok());
    }
}
