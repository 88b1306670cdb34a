//! The keys that a machine trusts: files `NAME.pub` in folders that its administrator, its user or the site has.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_layers::limits::MESSAGES;

use super::format::{LIMIT, PublicKey, Signature};
use crate::failure::Failure;
use crate::files;
use crate::machine::Machine;

/// The administrator's folder.
const SYSTEM: &str = "/etc/sealift/keys.d";
/// The user's, in the folder for settings.
const USER: &str = "sealift/keys.d";
/// The installation's, in its site. `up --key` puts keys there.
const SITE: &str = "trusted-keys";

/// A key, and the file that says so.
#[derive(Clone, Debug)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// Its file.
    pub file: PathBuf,
}

/// Which bundles a machine takes.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// One of these must have signed a bundle. Without any, bundles need no signature.
    pub keys: Vec<TrustedKey>,
}

/// The public key in a file, and its bytes.
///
/// # Errors
/// It cannot be read, or has no public key in it.
pub fn read_key(file: &Path) -> Result<(PublicKey, Vec<u8>)> {
    let bytes = files::read_within(file, LIMIT)
        .map_err(|error| Failure::usage(format!("cannot read the key {}", file.display())).because(error))?;
    let key = PublicKey::parse(&String::from_utf8_lossy(&bytes)).map_err(|what| {
        Failure::usage(format!("{} is not a public key: {what}", file.display()))
            .hint("give the file NAME.pub that `sealift key new NAME` or minisign wrote")
    })?;
    Ok((key, bytes))
}

impl Trust {
    /// The keys of a machine; if it has none, those of the site in the folder `site`.
    ///
    /// # Errors
    /// A file cannot be read, or has no key in it: nothing is trusted less because a file is damaged.
    pub fn of(machine: &Machine, site: Option<&Path>) -> Result<Self> {
        let folders = [
            Some(machine.path(SYSTEM)),
            machine.config_home().map(|folder| folder.join(USER)),
            site.map(|folder| folder.join(SITE)),
        ];
        let mut keys = Vec::new();
        let last = folders.len() - 1;
        for (at, folder) in folders.into_iter().enumerate() {
            let Some(folder) = folder.filter(|folder| folder.is_dir()) else { continue };
            // A bundle's tar can bring a folder `site`, and with it keys: they never count beside those of the machine.
            if at == last && !keys.is_empty() {
                break;
            }
            for file in files::sorted_dir(&folder)? {
                if file.extension().is_some_and(|extension| extension == "pub") {
                    keys.push(Self::read(&file)?);
                }
            }
        }
        Ok(Self { keys })
    }

    /// The keys in these files, and no others.
    ///
    /// # Errors
    /// As [`Trust::of`].
    pub fn in_files(paths: &[PathBuf]) -> Result<Self> {
        Ok(Self { keys: paths.iter().map(|path| Self::read(path)).collect::<Result<_>>()? })
    }

    fn read(file: &Path) -> Result<TrustedKey> {
        Ok(TrustedKey { key: read_key(file)?.0, file: file.to_owned() })
    }

    /// Whether bundles must be signed.
    #[must_use]
    pub fn is_required(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Adds a key that a person gives, if it may be added: no key is trusted yet, it is trusted already, or one that is has
    /// signed it, in a file beside it (`NAME.pub.minisig`).
    ///
    /// # Errors
    /// [`Failure::verification`] for a key that nobody vouches for.
    pub fn admit(&mut self, file: &Path) -> Result<()> {
        let new = Self::read(file)?;
        let is_known = self.keys.iter().any(|known| known.key == new.key);
        if is_known || self.keys.is_empty() || self.vouches(file)? {
            self.keys.push(new);
            return Ok(());
        }
        let message = format!("the key {} is not one that this machine trusts: {}", new.key.id, self.names());
        let hint = "a new key needs a signature by an old one beside it, NAME.pub.minisig: `sealift key vouch` makes it; \
                    else the administrator of this machine has to replace the file of the old key";
        Err(Failure::verification(message).hint(hint).into())
    }

    /// Whether one of the keys has signed the key in `file`.
    fn vouches(&self, file: &Path) -> Result<bool> {
        let path = beside(file);
        if !path.exists() {
            return Ok(false);
        }
        let text = files::read_within(&path, LIMIT)?;
        let Ok(signature) = Signature::parse(&String::from_utf8_lossy(&text)) else { return Ok(false) };
        let bytes = files::read_within(file, LIMIT)?;
        let good = |key: &TrustedKey| key.key.verify(&signature, &bytes[..]).unwrap_or(false);
        Ok(self.keys.iter().any(good))
    }

    /// Checks the signature `FILE.minisig` of a whole file, if there is one by a trusted key.
    ///
    /// # Errors
    /// [`Failure::verification`] when it is wrong; when a file cannot be read.
    pub fn check_beside(&self, path: &Path) -> Result<()> {
        let beside = beside(path);
        if !self.is_required() || !beside.exists() || !path.is_file() {
            return Ok(());
        }
        let wrong = |what: String| {
            Failure::verification(format!("{}: {what}", beside.display()))
                .hint("do not use it: something was changed after it was signed")
        };
        let text = files::read_within(&beside, LIMIT)?;
        let signature = Signature::parse(&String::from_utf8_lossy(&text)).map_err(wrong)?;
        for trusted in self.keys.iter().filter(|trusted| trusted.key.id == signature.key) {
            if !trusted.key.verify(&signature, files::open(path)?)? {
                return Err(wrong(format!("the signature does not match {}", path.display())).into());
            }
        }
        Ok(())
    }

    /// The keys and their files, for messages.
    #[must_use]
    pub fn names(&self) -> String {
        let name = |key: &TrustedKey| format!("{} ({})", key.key.id, key.file.display());
        let more = self.keys.len().saturating_sub(MESSAGES);
        let more = (more > 0).then(|| format!("and {more} more"));
        self.keys.iter().take(MESSAGES).map(name).chain(more).collect::<Vec<_>>().join(", ")
    }

    /// Puts the keys that a person gave into the site, so that later commands require them.
    ///
    /// # Errors
    /// The site cannot be written.
    pub fn pin(keys: &[PublicKey], site: &Path) -> Result<()> {
        let folder = site.join(SITE);
        if !keys.is_empty() {
            fs_err::create_dir_all(&folder)?;
        }
        for key in keys {
            let text = key.to_text();
            let path = folder.join(format!("{}.pub", key.id));
            if files::read_within(&path, LIMIT).ok().as_deref() != Some(text.as_bytes()) {
                files::write_atomically(&path, |file| Ok(std::io::Write::write_all(file, text.as_bytes())?))?;
            }
        }
        Ok(())
    }
}

/// The file with the signature of a whole file: `FILE.minisig`.
#[must_use]
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "RWRmCjfkS302cz6vZmt0l72q+CJdYCPZyg6bSkRzFe6es819f32QWvSv\n";

    /// A tar with a key in `site/` made that key trusted on a machine that trusts another one.
    #[test]
    fn keys_of_a_site_do_not_count_beside_those_of_the_machine() {
        let place = tempfile::tempdir().unwrap();
        let (root, site) = (place.path().join("root"), place.path().join("site"));
        let put = |folder: &Path| {
            fs_err::create_dir_all(folder).unwrap();
            fs_err::write(folder.join("a.pub"), KEY).unwrap();
        };
        put(&site.join(SITE));
        let files = || {
            let trust = Trust::of(&Machine::of(&root, &[]), Some(&site)).unwrap();
            trust.keys.into_iter().map(|key| key.file).collect::<Vec<_>>()
        };
        assert_eq!(files(), [site.join("trusted-keys/a.pub")]);
        put(&root.join("etc/sealift/keys.d"));
        assert_eq!(files(), [root.join("etc/sealift/keys.d/a.pub")]);
        fs_err::write(root.join("etc/sealift/keys.d/a.pub"), "no key").unwrap();
        assert!(Trust::of(&Machine::of(&root, &[]), Some(&site)).is_err());
    }
}
