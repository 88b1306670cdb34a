//! How errors are printed: `error:`, its causes, a `hint:`; and the exit code.

use std::borrow::Cow;
use std::fmt::Write;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Style};
use sealift_deployment::diagnostic::Diagnostics;
use sealift_deployment::failure::{Failure, Kind, messages};
use sealift_layers::escape;

use super::output;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Prints `error` to stderr (in color if enabled) and returns the exit code of its kind.
///
/// When the reader of standard output closed it, as `head` does, nothing is printed and the exit code is 0.
#[must_use]
pub fn failure(error: &anyhow::Error) -> ExitCode {
    if output::is_closed(error) {
        return ExitCode::SUCCESS;
    }
    anstream::eprint!("{}", render(error));
    ExitCode::from(Kind::of(error).exit_code())
}

/// The whole text, with ANSI colours.
fn render(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for (depth, (message, cause)) in messages(error.as_ref()).into_iter().enumerate() {
        if let Some(diagnostics) = cause.downcast_ref::<Diagnostics>() {
            text.push_str(&diagnostics.styled());
            break;
        }
        let _infallible = if depth == 0 {
            writeln!(text, "{ERROR}error:{ERROR:#} {}", escape::lines(&clipped(&message)))
        } else {
            writeln!(text, "  caused by: {}", escape::lines(&clipped(&message)).replace('\n', "\n    "))
        };
    }
    if let Some(hint) = Failure::hint_in(error) {
        let _infallible = writeln!(text, "{HINT}hint:{HINT:#} {}", escape::lines(hint));
    }
    text
}

/// Bytes of a line that are shown: some messages quote a line of a file, which may have megabytes.
const LINE: usize = 8 << 10;

/// A message without the ends of its long lines.
fn clipped(message: &str) -> Cow<'_, str> {
    if message.lines().all(|line| line.len() <= LINE) {
        return Cow::Borrowed(message);
    }
    let clip = |line: &str| match line.len() {
        ..=LINE => line.to_owned(),
        _ => line.chars().take(LINE / 4).chain(['\u{2026}']).collect(),
    };
    Cow::Owned(message.lines().map(clip).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;
    use sealift_deployment::diagnostic::Diagnostic;

    fn plain(error: &anyhow::Error) -> String {
        anstream::adapter::strip_str(&render(error)).to_string()
    }

    #[test]
    fn causes_follow_the_error_and_the_hint_is_last() {
        let cause = Failure::network("mirror.example does not answer").hint("try another mirror");
        let error = anyhow::Result::<()>::Err(cause.into()).context("cannot read the index").unwrap_err();
        insta::assert_snapshot!(plain(&error), @r"
        error: cannot read the index
          caused by: mirror.example does not answer
        hint: try another mirror
        ");
        assert_eq!(Kind::of(&error), Kind::Network);
        assert!(render(&error).contains("\u{1b}[1m"));
    }

    /// The title of a bundle, or a name in a package, changed the title of the window.
    #[test]
    fn nothing_in_an_error_reaches_the_terminal_as_a_command() {
        let cause = Failure::failed("has `../\x1b]0;x\x07`").hint("see \u{202e}log");
        let diagnostic = Diagnostic::new(5..9, "no \x1b[2J such", "say \u{9b}2J");
        let diagnostics = Diagnostics::new("p/\x1b[1m.toml", "a = \"\x1b[31m\u{9b}\u{202e}\"\n", vec![diagnostic]);
        for error in [anyhow::Error::new(cause), anyhow::Error::new(diagnostics)] {
            let shown = anstream::adapter::strip_str(&render(&error)).to_string();
            let raw = render(&error);
            assert!(!shown.chars().any(|c| escape::is_unsafe(c) && c != '\n'), "{shown:?}");
            assert!(
                !raw.contains("]0;x\x07") && !raw.contains("\x1b[2J") && !raw.contains("\x1b[31m\u{9b}"),
                "{raw:?}"
            );
        }
    }

    /// The line of a hostile `config.toml` had two megabytes.
    #[test]
    fn long_lines_are_cut() {
        let error = Failure::usage(format!("line one\n{}\nthe end", "x".repeat(2 << 20)));
        let text = plain(&error.into());
        assert!(
            text.len() < LINE && text.starts_with("error: line one\nxxx") && text.ends_with("x\u{2026}\nthe end\n")
        );
    }

    #[test]
    fn hint_of_a_cause_is_shown_and_no_cause_twice() {
        let cause = Failure::network("mirror.example: timed out").hint("try another mirror");
        let error = Failure::usage("cannot lock").because(cause.because(std::io::Error::other("timed out")));
        insta::assert_snapshot!(plain(&error.into()), @r"
        error: cannot lock
          caused by: mirror.example: timed out
        hint: try another mirror
        ");
    }

    #[test]
    fn diagnostics_are_shown_below_their_context() {
        let diagnostic = Diagnostic::new(0..3, "no such thing", "say what there is");
        let error = anyhow::Error::new(Diagnostics::new("p/profile.toml", "abc = 1\n", vec![diagnostic]))
            .context("cannot lock");
        insta::assert_snapshot!(plain(&error), @r"
        error: cannot lock
        error: no such thing
         --> p/profile.toml:1:1
          |
        1 | abc = 1
          | ^^^
          |
          = hint: say what there is
        ");
        assert_eq!(Kind::of(&error), Kind::Usage);
    }
}
