//! The program's errors: a few kinds with fixed exit codes, each with a message, a hint and its cause.

use std::error::Error;
use std::fmt;

use crate::diagnostic::Diagnostics;

/// A kind of failure and its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The build or a check failed.
    Failed = 1,
    /// The command line or the profile is wrong.
    Usage = 2,
    /// A server cannot be reached, or does not have the requested file.
    Network = 3,
    /// A digest or a signature does not match.
    Verification = 4,
    /// Everything worked, and an audit found what it was to fail on.
    Found = 5,
}

impl Kind {
    /// The kind of `error`: that of the outermost [`Failure`] in its chain; [`Kind::Usage`] for errors in a profile;
    /// otherwise [`Kind::Failed`].
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        match Failure::within(error) {
            Some(failure) => failure.kind,
            None if Diagnostics::within(error).is_some() => Self::Usage,
            None => Self::Failed,
        }
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}

/// An error with a kind, an optional hint and an optional cause.
///
/// It travels inside `anyhow::Error`: context or another failure may be wrapped around it. [`Kind::of`] and
/// [`Failure::hint_in`] search the whole chain, so a hint never has to be copied to an outer error.
#[derive(Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    /// What happened and where, without the cause.
    pub message: String,
    /// What to do about it; printed after `hint: `.
    pub hint: Option<String>,
    /// The cause. `anyhow::Error`, because it can still be downcast and takes any error, with or without context.
    source: Option<anyhow::Error>,
}

impl Failure {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// The build or a check failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// The command line or the profile is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// A server cannot be reached or lacks something.
    pub fn network(message: impl Into<String>) -> Self {
        Self::new(Kind::Network, message)
    }

    /// A digest or signature does not match.
    pub fn verification(message: impl Into<String>) -> Self {
        Self::new(Kind::Verification, message)
    }

    /// An audit found what it was to fail on.
    pub fn found(message: impl Into<String>) -> Self {
        Self::new(Kind::Found, message)
    }

    /// Changes the kind.
    #[must_use]
    pub fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds what to do about it. Without one, the hint of the cause is shown.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps the cause: it is printed below the message, and its hint is found through it.
    #[must_use]
    pub fn because(mut self, cause: impl Into<anyhow::Error>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// The outermost failure in the chain of `error`, if there is one.
    #[must_use]
    pub fn within(error: &anyhow::Error) -> Option<&Self> {
        // The first finds one that is the context of another error: the chain shows anyhow's wrapper in its place.
        error.downcast_ref().or_else(|| error.chain().find_map(|cause| cause.downcast_ref()))
    }

    /// The hint to show for `error`: the outermost one in its chain.
    #[must_use]
    pub fn hint_in(error: &anyhow::Error) -> Option<&str> {
        let outermost = Self::within(error).and_then(|failure| failure.hint.as_deref());
        outermost.or_else(|| error.chain().find_map(|cause| cause.downcast_ref::<Self>()?.hint.as_deref()))
    }
}

/// The messages of `error` and its causes, outermost first, trimmed.
///
/// A cause whose text is already part of a message above it is left out: many errors print their cause themselves.
#[must_use]
pub fn messages<'a>(error: &'a (dyn Error + 'static)) -> Vec<(String, &'a (dyn Error + 'static))> {
    let mut messages: Vec<(String, &(dyn Error + 'static))> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let message = cause.to_string().trim_end().to_owned();
        if !messages.iter().any(|(above, _)| above.contains(&message)) {
            messages.push((message, cause));
        }
        next = cause.source();
    }
    messages
}

/// `error` and its causes in one line, separated by `: `, see [`messages`].
#[must_use]
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    messages(error).into_iter().map(|(message, _)| message).collect::<Vec<_>>().join(": ")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::{Context, Result, anyhow};

    use super::*;

    fn refused() -> Failure {
        Failure::network("mirror.example does not answer").hint("try another mirror")
    }

    #[test]
    fn inner_kind_and_hint_show_through_context() {
        let error = Result::<()>::Err(refused().into()).context("cannot lock").unwrap_err();
        assert_eq!(Kind::of(&error), Kind::Network);
        assert_eq!(Failure::hint_in(&error), Some("try another mirror"));
    }

    #[test]
    fn inner_hint_shows_through_another_failure() {
        let error = anyhow!(Failure::failed("cannot lock").because(refused()));
        assert_eq!(Kind::of(&error), Kind::Failed);
        assert_eq!(Failure::hint_in(&error), Some("try another mirror"));
    }

    #[test]
    fn outer_kind_and_hint_win() {
        let error = anyhow!(Failure::usage("cannot lock").hint("name a mirror").because(refused()));
        assert_eq!((Kind::of(&error), Failure::hint_in(&error)), (Kind::Usage, Some("name a mirror")));
    }

    #[test]
    fn failure_is_found_as_the_context_of_another_error() {
        let error = Result::<()>::Err(refused().into()).context(Failure::usage("cannot lock")).unwrap_err();
        assert_eq!((Kind::of(&error), Failure::hint_in(&error)), (Kind::Usage, Some("try another mirror")));
    }

    #[test]
    fn cause_can_still_be_downcast() {
        let cause = Result::<()>::Err(io::Error::from(io::ErrorKind::StorageFull).into()).context("x").unwrap_err();
        let error = anyhow!(Failure::failed("cannot write").because(cause));
        let found = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).unwrap();
        assert_eq!(found.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn errors_without_a_failure_are_of_the_kind_failed() {
        let error = anyhow!("no");
        assert_eq!((Kind::of(&error), Failure::hint_in(&error)), (Kind::Failed, None));
    }

    #[test]
    fn messages_leave_out_repeated_causes() {
        let error =
            Failure::failed("cannot read a: no such file").because(anyhow!("no such file").context("cannot open"));
        assert_eq!(one_line(&error), "cannot read a: no such file: cannot open");
        let error = Failure::failed("cannot read a").because(anyhow!("no such file\n"));
        assert_eq!(one_line(&error), "cannot read a: no such file");
    }
}
