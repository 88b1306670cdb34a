//! The random secrets of a site.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::update::SiteUpdate;
use crate::failure::Failure;
use crate::profile::model::{Encoding, Secret};
use crate::profile::names::secret_path;
use crate::site::files;

impl SiteUpdate<'_> {
    /// The secrets, name to text. Existing ones are kept, missing ones are created at random.
    pub(super) fn secrets(&mut self) -> Result<BTreeMap<String, String>> {
        let (directory, model) = (self.request.directory, self.request.model);
        let mut texts = BTreeMap::new();
        if !model.site.secrets.is_empty() {
            files::directory(directory, "secrets", files::PRIVATE)?;
        }
        for (name, secret) in &model.site.secrets {
            let path = secret_path(name);
            let access = self.access(secret.mode.0, &secret.group);
            let text = match files::read_text(directory, &path)? {
                Some(text) => {
                    self.keep(&path, access)?;
                    text
                }
                None => {
                    let text = random(secret)?;
                    self.put(&path, text.as_bytes(), access, "")?;
                    text
                }
            };
            let text = secret_text(&text);
            texts.insert(
                name.clone(),
                text.map_err(|error| Failure::failed(format!("cannot use {path}")).because(error))?,
            );
        }
        Ok(texts)
    }
}

/// A secret without the newline that an editor may have added at its end.
///
/// # Errors
/// It is empty, or has several lines.
pub(in crate::site) fn secret_text(text: &str) -> Result<String, Failure> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.contains(['\r', '\n', '\0']) {
        return Err(Failure::failed("not a single line of text")
            .hint("restore the secret; if it was never used, remove the file to have a new one created"));
    }
    Ok(text.to_owned())
}

fn random(secret: &Secret) -> Result<String> {
    let mut bytes = vec![0; secret.bytes as usize];
    getrandom::fill(&mut bytes).context("cannot read random bytes from the system")?;
    let text = match secret.encoding {
        Encoding::Base64 => STANDARD.encode(bytes),
        Encoding::Hex => hex::encode(bytes),
    };
    Ok(format!("{}{text}", secret.prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newline_of_an_editor_is_not_part_of_a_secret() {
        assert_eq!(secret_text("token\r\n").unwrap(), "token");
        for text in ["", "\n", "a\nb", "a\0b"] {
            assert!(secret_text(text).is_err(), "{text:?}");
        }
    }
}
