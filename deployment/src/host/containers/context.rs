//! A deployment together with the engine that runs it.

use anyhow::Result;

use super::engine::Engine;
use super::kind::EngineKind;
use crate::host::deployment::Deployment;
use crate::machine::Machine;
use crate::render::container::{Dialect, HostLayout};

/// A deployment and the container engine of its host.
#[derive(Debug)]
pub(in crate::host) struct Containers<'a> {
    /// The unpacked bundle.
    pub(super) deployment: &'a Deployment,
    /// podman or Docker.
    pub(super) engine: Engine,
    /// The machine whose environment and files the checks read.
    pub(super) machine: &'a Machine,
}

impl<'a> Containers<'a> {
    /// Finds the engine: see [`Engine::find`].
    pub(in crate::host) fn find(
        deployment: &'a Deployment,
        wanted: Option<&str>,
        machine: &'a Machine,
    ) -> Result<Self> {
        Ok(Self { deployment, engine: Engine::find(&deployment.folder, wanted, machine)?, machine })
    }

    /// As [`Deployment::layout`]; `.env` is read again, since the site may have been made in between.
    pub(super) fn layout(&self) -> Result<HostLayout> {
        let dialect = match self.engine.kind {
            EngineKind::Podman => Dialect::Podman,
            EngineKind::Docker => Dialect::Docker,
        };
        Ok(HostLayout { dialect, ..self.deployment.layout()? })
    }

    /// The name of a service's container.
    pub(super) fn container(&self, service: &str) -> Result<String> {
        Ok(self.layout()?.resource_name(service))
    }
}
