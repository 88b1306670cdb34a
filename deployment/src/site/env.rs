//! Env files: `KEY=VALUE` lines that every engine reads in the same way; others are refused.
//!
//! The tools that read these files disagree: some remove quotes and some keep them, some expand `$NAME`, some end a
//! value at ` #`. Only files without any of that are accepted.

use anyhow::Result;
use sealift_layers::escape::is_unsafe;

use crate::failure::Failure;
use crate::profile::model::Model;

/// The variables of an env file, in its order.
///
/// Empty lines and lines that start with `#` are skipped; every other line is `KEY=VALUE`, where the key is
/// `[A-Za-z_][A-Za-z0-9_]*` and the value is everything after the `=`, unchanged.
///
/// # Errors
/// [`Failure::usage`] that starts with `line N:` for the first line that is none of these, that repeats a key, or whose
/// value tools read differently.
pub fn parse_env(text: &str) -> Result<Vec<(String, String)>> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let refuse = |what: &str| Failure::usage(format!("line {number}: {what}"));
        let Some((key, value)) = line.split_once('=') else {
            return Err(refuse("no `=`").hint("write KEY=VALUE; variables of the host are not passed on").into());
        };
        if key.starts_with("export ") {
            return Err(refuse("`export` is shell syntax").hint("write KEY=VALUE").into());
        }
        if !is_key(key) {
            return Err(refuse(&format!("`{key}` is not the name of a variable"))
                .hint("use letters, digits and `_`, not starting with a digit, and no space around the `=`")
                .into());
        }
        if let Some(reason) = ambiguous(value) {
            return Err(refuse(&format!("the value of {key} {reason}")).into());
        }
        if variables.iter().any(|(known, _)| known == key) {
            return Err(refuse(&format!("{key} is set twice")).into());
        }
        variables.push((key.to_owned(), value.to_owned()));
    }
    Ok(variables)
}

/// Whether an image or a service reads the rendered template as an env file.
pub(super) fn is_env_file(model: &Model, path: &str) -> bool {
    let of_images = model.images.values().flat_map(|image| &image.env_files);
    let of_services = model.services.values().flat_map(|service| &service.env_files);
    of_images.chain(of_services).any(|name| name.get_ref() == path)
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && !key.starts_with(|c: char| c.is_ascii_digit())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Why tools read `value` differently; `None` when they do not.
fn ambiguous(value: &str) -> Option<&'static str> {
    if value.trim() != value {
        return Some("has blanks at its start or end, which some tools remove");
    }
    if value.starts_with(['"', '\'', '`']) {
        return Some("starts with a quote, which some tools remove and some keep: write it without quotes");
    }
    if value.contains('$') {
        return Some("contains `$`, which some tools expand");
    }
    if value.contains(" #") || value.contains("\t#") || value.starts_with('#') {
        return Some("contains ` #`, where some tools start a comment");
    }
    if value.ends_with('\\') {
        return Some("ends with `\\`, after which some tools read on in the next line");
    }
    value.contains(is_unsafe).then_some("contains a control character, or one that is not seen")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_kept_unchanged() {
        let text = "# comment\n\nA=1\n  # more\nB=\nC=s3:host\\:9000:a=b#c\r\n";
        let pairs = [("A", "1"), ("B", ""), ("C", "s3:host\\:9000:a=b#c")];
        assert_eq!(parse_env(text).unwrap(), pairs.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn lines_that_tools_read_differently_are_refused() {
        let message = |text: &str| parse_env(text).unwrap_err().to_string();
        insta::assert_snapshot!(message("A=1\nB"), @"line 2: no `=`");
        insta::assert_snapshot!(message("export A=1"), @"line 1: `export` is shell syntax");
        insta::assert_snapshot!(message("A =1"), @"line 1: `A ` is not the name of a variable");
        insta::assert_snapshot!(message("A=1\n\nA=2"), @"line 3: A is set twice");
        for value in ["\"x\"", "'x'", "a$b", "a #b", "#b", " a", "a ", "a\tb", "a\\", "a\u{2028}b"] {
            assert!(parse_env(&format!("A={value}\n")).is_err(), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn accepted_variables_read_back(text in "([A-C_]{0,2}[= ]?[a-z0-9$#'\" =]{0,6}\n){0,5}") {
            if let Ok(variables) = parse_env(&text) {
                let again: String = variables.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
                prop_assert_eq!(parse_env(&again).unwrap(), variables);
            }
        }
    }
}
