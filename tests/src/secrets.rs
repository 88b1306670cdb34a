//! Looks for the secrets of a site where they must not be.

use std::io::Read;
use std::path::Path;

use anyhow::{Result, ensure};
use flate2::read::MultiGzDecoder;
use memchr::memmem::Finder;
use sealift_deployment::files::sorted_dir;

/// Texts that only the site may hold.
#[derive(Debug)]
pub struct Secrets(Vec<(String, Finder<'static>)>);

impl Secrets {
    /// All of a site's folder: the values in `secrets/`, and the lines of its keys.
    ///
    /// # Errors
    /// When they cannot be read, or there are none.
    pub fn of(site: &Path) -> Result<Self> {
        let mut found = Vec::new();
        for path in sorted_dir(&site.join("secrets"))? {
            found.push((path.display().to_string(), fs_err::read_to_string(&path)?.trim().to_owned()));
        }
        for path in [sorted_dir(&site.join("tls"))?, vec![site.join("custom-ca.key")]].concat() {
            // No bundle has the authority's key.
            if path.extension().is_some_and(|extension| extension == "key") && path.exists() {
                let text = fs_err::read_to_string(&path)?;
                // The first line of a key is only its kind.
                let line = text.lines().filter(|line| !line.starts_with('-')).nth(1).unwrap_or_default();
                found.push((path.display().to_string(), line.to_owned()));
            }
        }
        ensure!(found.len() >= 3, "{} has too few secrets for a test", site.display());
        ensure!(found.iter().all(|(_, text)| text.len() >= 24), "a secret is too short to look for");
        Ok(Self(found.into_iter().map(|(name, text)| (name, Finder::new(text.as_bytes()).into_owned())).collect()))
    }

    /// Passes when `bytes` holds none.
    ///
    /// # Errors
    /// When it does: the secret's name, never its text.
    pub fn absent(&self, place: &str, bytes: &[u8]) -> Result<()> {
        for (name, finder) in &self.0 {
            ensure!(finder.find(bytes).is_none(), "{place} holds the secret of {name}");
        }
        Ok(())
    }

    /// Passes when no file below `folder` holds one, gzip files taken apart; `site/` is left out.
    ///
    /// # Errors
    /// When one does, or a file cannot be read.
    pub fn absent_below(&self, folder: &Path) -> Result<()> {
        for path in sorted_dir(folder)? {
            if path.is_dir() && !path.ends_with("site") {
                self.absent_below(&path)?;
            } else if path.is_file() {
                let bytes = fs_err::read(&path)?;
                self.absent(&path.display().to_string(), &bytes)?;
                if bytes.starts_with(&[0x1f, 0x8b]) {
                    let mut plain = Vec::new();
                    MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain)?;
                    self.absent(&path.display().to_string(), &plain)?;
                }
            }
        }
        Ok(())
    }
}
