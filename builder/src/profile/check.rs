//! All that can be wrong in a profile.

use std::path::Path;

use super::diagnostic::Problem;
use super::model::Model;
use super::suggest;

/// What TOML or the model's types object to.
pub(super) fn of_syntax(text: &str, error: &toml::de::Error) -> Problem {
    let span = error.span().unwrap_or(0..text.len().min(1));
    Problem::new(span, error.message(), suggest::hint("", "", []))
}

/// What only a look at the whole finds.
pub(super) fn all(_directory: &Path, _text: &str, _model: &Model) -> Vec<Problem> {
    Vec::new()
}
