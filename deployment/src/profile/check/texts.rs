//! Characters that no text of a profile may have.
//!
//! Texts of a profile become lines of compose files, units, env files, READMEs and terminals. Control characters end up as
//! commands there, and characters that change the direction of text make a reviewer see another text than the engine.

use sealift_layers::escape;

use super::Check;

impl Check<'_> {
    /// Checks every key and every text.
    pub(super) fn texts(&mut self) {
        let forbidden = |text: &str| text.chars().find(|c| escape::is_unsafe(*c) && !matches!(c, '\n' | '\t' | '\r'));
        let found = self.document.texts().into_iter().filter_map(|(span, text)| Some((span, forbidden(&text)?)));
        let found: Vec<_> = found.collect();
        for (span, c) in found {
            let message = format!("the text has the character `{}`", c.escape_default());
            self.report(span, message, "leave it out: it is invisible, and terminals and other programs act on it");
        }
    }
}
