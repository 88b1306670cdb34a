//! Env files: `KEY=VALUE` lines, read alike by every engine or refused.
//!
//! The tools that read these files disagree: some take quotes off and some keep them, some expand `$NAME`, some end a
//! value at ` #`. A file that all of them read as written has none of that, so only such a file is accepted.

use anyhow::Result;

use crate::failure::Failure;

/// The variables of an env file, in its order.
///
/// Empty lines and lines that start with `#` are skipped; every other line is `KEY=VALUE`, where the key is
/// `[A-Za-z_][A-Za-z0-9_]*` and the value is everything behind the `=` as it stands.
///
/// # Errors
/// [`Failure::usage`] that starts with `line N:` for the first line that is none of these, whose key was there before,
/// or whose value would mean different things to different tools.
pub fn parse_env(text: &str) -> Result<Vec<(String, String)>> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let refuse = |what: &str| Failure::usage(format!("line {number}: {what}"));
        let Some((key, value)) = line.split_once('=') else {
            return Err(refuse("no `=`").hint("write KEY=VALUE; a variable of the host cannot be passed on").into());
        };
        if key.starts_with("export ") {
            return Err(refuse("`export` is the shell's, not an env file's").hint("write KEY=VALUE").into());
        }
        if !is_key(key) {
            return Err(refuse(&format!("`{key}` is not the name of a variable"))
                .hint("letters, digits and `_`, no digit first, no space around the `=`")
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

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && !key.starts_with(|c: char| c.is_ascii_digit())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Why tools read `value` differently; `None` when they do not.
fn ambiguous(value: &str) -> Option<&'static str> {
    if value.trim() != value {
        return Some("has blanks at its start or end, which some tools drop");
    }
    if value.starts_with(['"', '\'', '`']) {
        return Some("starts with a quote, which some tools take off and some keep: write it without");
    }
    if value.contains('$') {
        return Some("holds a `$`, which some tools expand");
    }
    if value.contains(" #") || value.contains("\t#") || value.starts_with('#') {
        return Some("holds ` #`, where some tools start a comment");
    }
    value.contains(char::is_control).then_some("holds a control character")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_stand_as_they_are() {
        let text = "# comment\n\nA=1\n  # more\nB=\nC=s3:host\\:9000:a=b#c\r\n";
        let pairs = [("A", "1"), ("B", ""), ("C", "s3:host\\:9000:a=b#c")];
        assert_eq!(parse_env(text).unwrap(), pairs.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn what_tools_disagree_on_is_refused_with_its_line() {
        let message = |text: &str| parse_env(text).unwrap_err().to_string();
        insta::assert_snapshot!(message("A=1\nB"), @"line 2: no `=`");
        insta::assert_snapshot!(message("export A=1"), @"line 1: `export` is the shell's, not an env file's");
        insta::assert_snapshot!(message("A =1"), @"line 1: `A ` is not the name of a variable");
        insta::assert_snapshot!(message("A=1\n\nA=2"), @"line 3: A is set twice");
        for value in ["\"x\"", "'x'", "a$b", "a #b", "#b", " a", "a ", "a\tb"] {
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
