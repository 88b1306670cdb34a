//! What goes wrong, in the few kinds that a caller can tell apart, each with its exit code.

use std::fmt;

use crate::profile::diagnostic::Problems;

/// A kind of failure and its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The build or a check failed.
    Failed = 1,
    /// The command line or the profile is wrong.
    Usage = 2,
    /// A server cannot be reached, or does not have what was asked for.
    Network = 3,
    /// A digest or a signature is not what it must be.
    Verification = 4,
}

impl Kind {
    /// The kind of `error`: its [`Failure`]'s; [`Kind::Usage`] for what is wrong in a profile; else [`Kind::Failed`].
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        match Failure::within(error) {
            Some(failure) => failure.kind,
            None if Problems::within(error).is_some() => Self::Usage,
            None => Self::Failed,
        }
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}

/// An error with a kind and, where there is one, a hint at the way out.
///
/// It travels inside `anyhow::Error`: context may be wrapped around it, and `main` finds it in the chain.
#[derive(Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    /// What happened and where.
    pub message: String,
    /// What to do about it; printed after `hint: `.
    pub hint: Option<String>,
}

impl Failure {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
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

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The failure within `error`, if there is one.
    #[must_use]
    pub fn within(error: &anyhow::Error) -> Option<&Self> {
        error.chain().find_map(|cause| cause.downcast_ref())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
