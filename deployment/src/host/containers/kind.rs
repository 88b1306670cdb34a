//! The two container engines.

/// A container engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EngineKind {
    /// podman, as root or as an ordinary user.
    Podman,
    /// Docker.
    Docker,
}

impl EngineKind {
    /// The name of its program.
    #[must_use]
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }
}
