//! How errors are told: `error:`, its causes, a `hint:`; and the exit code.

use std::fmt::Write;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Style};
use sealift_deployment::failure::{Failure, Kind};
use sealift_deployment::profile::diagnostic::Problems;

use super::output;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Prints `error` to stderr (coloured where that is wanted) and returns the exit code of its kind.
///
/// A reader of standard output that went away is no failure: nothing is printed.
#[must_use]
pub fn failure(error: &anyhow::Error) -> ExitCode {
    if output::reader_is_gone(error) {
        return ExitCode::SUCCESS;
    }
    anstream::eprint!("{}", render(error));
    ExitCode::from(Kind::of(error).exit_code())
}

/// The whole text, with ANSI colours.
fn render(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for (depth, cause) in error.chain().enumerate() {
        if let Some(problems) = cause.downcast_ref::<Problems>() {
            text.push_str(&problems.styled());
            break;
        }
        let message = cause.to_string();
        let message = message.trim_end();
        let _infallible = if depth == 0 {
            writeln!(text, "{ERROR}error:{ERROR:#} {message}")
        } else {
            writeln!(text, "  caused by: {}", message.replace('\n', "\n    "))
        };
    }
    if let Some(hint) = Failure::within(error).and_then(|failure| failure.hint.as_ref()) {
        let _infallible = writeln!(text, "{HINT}hint:{HINT:#} {hint}");
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;
    use sealift_deployment::profile::diagnostic::Problem;

    fn plain(error: &anyhow::Error) -> String {
        anstream::adapter::strip_str(&render(error)).to_string()
    }

    #[test]
    fn causes_follow_the_error_and_the_hint_comes_last() {
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

    #[test]
    fn what_is_wrong_in_a_profile_is_shown_below_its_context() {
        let problem = Problem::new(0..3, "no such thing", "say what there is");
        let error =
            anyhow::Error::new(Problems::new("p/profile.toml", "abc = 1\n", vec![problem])).context("cannot lock");
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
