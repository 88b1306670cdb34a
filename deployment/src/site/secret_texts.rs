//! The texts of a site that no image may have.

use anyhow::Result;

use super::load::Site;
use super::values::SiteParameters;
use crate::files;
use crate::profile::Sources;
use crate::profile::model::Model;
use crate::profile::template::{Reads, identifier, reads};

/// Shorter ones are not looked for: they are in any file by chance. In bytes.
const SHORTEST: usize = 8;

impl Site {
    /// Its secrets with their names: the secrets themselves, a line of each key, and settings that secret templates read and
    /// no other.
    ///
    /// # Errors
    /// A template cannot be read.
    pub fn secret_texts(&self, model: &Model, sources: &Sources) -> Result<Vec<(String, Vec<u8>)>> {
        let mut found = Vec::new();
        for file in &self.files {
            let text = String::from_utf8_lossy(&file.bytes);
            let text = if file.path.starts_with("secrets/") {
                text.trim()
            } else if file.path.starts_with("tls/") && file.path.ends_with(".key") {
                // The first line of a key tells only its kind.
                text.lines().filter(|line| !line.starts_with('-')).nth(1).unwrap_or_default()
            } else {
                continue;
            };
            found.push((format!("the secret site/{}", file.path), text.as_bytes().to_vec()));
        }
        for (name, texts) in secret_settings(model, sources, &self.parameters)? {
            found.extend(texts.into_iter().map(|text| (format!("the setting {name}"), text.into_bytes())));
        }
        found.retain(|(_, text)| text.len() >= SHORTEST);
        Ok(found)
    }
}

/// Secret settings, and others that only secret templates read, with their texts. What templates without secrets read is in images and bundles.
fn secret_settings<'m>(
    model: &'m Model,
    sources: &Sources,
    parameters: &SiteParameters,
) -> Result<Vec<(&'m str, Vec<String>)>> {
    let (mut secret, mut public) = (Reads::default(), Reads::default());
    for template in model.site.templates.values() {
        let source = template.source.get_ref();
        let found = reads("settings", source, &files::read_text(&sources.path(source))?)?;
        let into = if template.secret { &mut secret } else { &mut public };
        into.names.extend(found.names);
        into.all |= found.all;
    }
    let is_secret = |name: &str| {
        let name = identifier(name);
        (secret.all || secret.names.contains(&name)) && !public.all && !public.names.contains(&name)
    };
    let settings = model.site.settings.iter().filter(|(name, setting)| setting.secret || is_secret(name));
    Ok(settings
        .filter_map(|(name, setting)| {
            let value = parameters.settings.get(name)?;
            // Everybody knows the default.
            let is_set = *value != setting.unset();
            is_set.then(|| (name.as_str(), value.texts().into_iter().map(str::to_owned).collect()))
        })
        .collect())
}
