//! What the operator gives, looked at before anything is made.

use anyhow::Result;

use super::create::{SiteRequest, Work};
use super::faults::Faults;
use super::files::{self, Access};
use super::templates::is_env_file;
use super::{parse_env, provided, record, secret_path, settings};
use crate::failure::Failure;

/// Fewest characters of a secret: what the fewest random bytes that a profile may ask for come to.
const SECRET_LENGTH: usize = 16;

impl Work<'_> {
    /// Looks at what the operator gives; the error tells all that is missing or wrong.
    pub(super) fn given(&mut self) -> Result<()> {
        let SiteRequest { directory, model, sources, self_signed, now, .. } = *self.request;
        let site = &model.site;
        if !site.certificates.is_empty() || !site.trusted.is_empty() {
            files::directory(&directory.join("tls"), 0o700)?;
        }
        settings::offer(directory, model, &self.old.settings, &mut self.report)?;
        self.new.settings = site.settings.keys().cloned().collect();
        let mut faults = Faults::default();
        self.parameters.settings = settings::read(directory, model, Some(sources), &mut faults)?;
        self.parameters.trusted = provided::trusted(directory, model, now, &mut faults, &mut self.report)?;
        for (name, wanted) in site.certificates.iter().filter(|(_, wanted)| wanted.provided) {
            let place = provided::Place { directory, name, wanted, host: &self.parameters.host, record: &self.old };
            if !provided::is_ours(&place, self_signed)? {
                provided::check(&place, now, &mut faults, &mut self.report)?;
                self.theirs.insert(name.clone());
            }
        }
        for name in site.secrets.keys() {
            let path = secret_path(name);
            if let Some(text) = files::read_text(&directory.join(&path))? {
                weak_secret(&path, &text, &mut faults);
            }
        }
        // Those that were edited, and are kept: what is rendered is looked at before it is written.
        for path in site.templates.keys().map(|path| path.get_ref()).filter(|path| is_env_file(model, path)) {
            let text = files::read_text(&directory.join(path))?.unwrap_or_default();
            if let Err(error) = parse_env(&text) {
                let hint = Failure::within(&error).and_then(|inner| inner.hint.clone());
                faults.add(format!("{path}: {error}"), hint.unwrap_or_default());
            }
        }
        if faults.is_empty() {
            return Ok(());
        }
        if self.old.rendered.is_empty() {
            // So that the next run has to be told nothing again.
            let text = self.new.text()?;
            self.put(record::FILE, text.as_bytes(), Access::mode(0o644), "it records what changed")?;
        }
        Err(faults.failure(directory).into())
    }
}

/// A secret that somebody chose: one of ours is never that short.
pub(super) fn weak_secret(path: &str, text: &str, faults: &mut Faults) {
    let length = text.trim().chars().count();
    if (1..SECRET_LENGTH).contains(&length) {
        let hint = format!("{SECRET_LENGTH} at least: openssl rand -hex 32");
        faults.add(format!("{path} is too weak: {length} characters"), hint);
    }
}
