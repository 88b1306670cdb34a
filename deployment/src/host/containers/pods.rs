//! Pods that podman-compose left over.

use std::path::Path;

use anyhow::Result;

use super::context::Containers;
use super::kind::EngineKind;
use super::output;
use crate::render::container::HostLayout;
use crate::ui::Ui;

impl Containers<'_> {
    /// Removes the pods that podman-compose made for this deployment, once they are empty: `pod_` and the project's name or,
    /// by older versions, the folder's. Others are reported.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn remove_empty_pods(&self, layout: &HostLayout, ui: &Ui) -> Result<()> {
        if self.engine.kind != EngineKind::Podman {
            return Ok(());
        }
        let folder = Path::new(&layout.folder).file_name().map(|name| name.to_string_lossy().to_lowercase());
        let mut names: Vec<String> =
            folder.into_iter().chain([layout.project.clone()]).map(|name| format!("pod_{name}")).collect();
        names.dedup();
        for name in names {
            match self.engine.query(&["pod", "inspect", &name])? {
                None => {}
                Some(json) if output::is_empty_pod(&json)? => drop(self.engine.run(&["pod", "rm", "--force", &name])?),
                Some(_) => {
                    ui.note(&format!("The pod {name}, which podman-compose made, has other containers: it stays."))
                }
            }
        }
        Ok(())
    }
}
