//! Checks of profiles for deployments without containers.

use std::collections::BTreeMap;

use super::super::model::{Deployed, Run};
use super::super::names;
use super::Check;

impl Check<'_> {
    /// Refuses what needs containers, if the deployment has none.
    pub(super) fn deployment(&mut self) {
        let model = self.model;
        if model.deployment != Deployed::Systemd {
            return;
        }
        for (name, image) in &model.images {
            if model.images.len() > 1 {
                let hint = "keep the image with the program; deploy the others separately";
                self.report(name.span(), "without containers there can be only one image", hint);
            }
            if let Some(nix) = &image.nix {
                let hint = "store paths refer to each other by `/nix/store`: use containers";
                self.report(nix.closure.span(), "without containers there is no `/nix/store`", hint);
            }
            if image.venv.is_none() {
                let message = format!("without containers, the image `{}` needs a venv", name.get_ref());
                self.report(name.span(), message, "add a table `venv`: its Python is relocatable");
            }
        }
        for name in model.networks.keys() {
            let hint = "services use the host's own network: limit it with the host's firewall";
            self.report(name.span(), "without containers there are no networks", hint);
        }
        for (name, service) in &model.services {
            let name = name.get_ref().as_str();
            let of_containers = [
                ("publish", service.publish.is_empty(), "set the port in an env file of the program: {{ ports.NAME }}"),
                ("volumes", service.volumes.is_empty(), "programs cannot keep data: store it elsewhere"),
                ("config-files", service.config_files.is_empty(), "use env files, or files of the image"),
            ];
            for (key, empty, hint) in of_containers {
                if !empty {
                    let span = self.document.key(&["services", name, key]);
                    self.report(span, format!("without containers, services cannot have `{key}`"), hint);
                }
            }
            if let Some(health) = &service.health {
                self.program(&["services", name, "health", "command"], service.image.get_ref(), &health.command);
            }
            let mut seen: BTreeMap<String, &str> = BTreeMap::new();
            for file in service.env_files.iter().chain(&service.secrets) {
                if let Some(other) = seen.insert(names::credential(file.get_ref()).to_owned(), file.get_ref()) {
                    let message =
                        format!("`{}` and `{other}` would have the same name for the service", file.get_ref());
                    self.report(file.span(), message, "without containers, the last parts of their paths must differ");
                }
            }
        }
        for (name, image) in &model.images {
            self.program(&["images", name.get_ref(), "entrypoint"], name.get_ref(), &image.entrypoint);
        }
        for (name, task) in &model.tasks {
            let name = name.get_ref().as_str();
            if let (Run::Exec, Some(service)) = (task.run, model.services.get(&task.service)) {
                self.program(&["tasks", name, "command"], service.image.get_ref(), &task.command);
            }
        }
    }

    /// Checks that the program of a command is in the image's venv.
    fn program(&mut self, path: &[&str], image: &str, command: &[String]) {
        let venv = self.model.images.get(image).and_then(|image| image.venv.as_ref());
        if let (Some(venv), Some(word)) = (venv, command.first())
            && names::program(venv, word).is_none()
        {
            let hint = format!("such as \"{}/bin/python\"", venv.path.get_ref());
            let span = self.document.value(&[path, &["0"]].concat());
            self.report(span, format!("without containers, `{word}` cannot be run: it is not in the venv"), hint);
        }
    }
}
