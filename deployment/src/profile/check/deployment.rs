//! Checks of profiles for deployments without containers.

use std::collections::BTreeMap;

use super::super::model::{Deployed, Log, Run};
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
                ("paths", service.paths.is_empty(), "set the path in an env file of the program: {{ settings.NAME }}"),
                ("site-files", service.site_files.is_empty(), "use a setting of the kind folder in an env file"),
                ("config-files", service.config_files.is_empty(), "use env files, or files of the image"),
            ];
            let container = "the unit's own sandbox applies: use containers";
            let fixed = "set it in the unit with systemctl edit";
            let more = [
                ("run", !service.runs_once(), "write a task with on = \"up\""),
                ("replicas", !service.is_replicated(), "let the program start more processes"),
                ("user", service.user.is_none(), "systemd gives each service a user of its own"),
                ("entrypoint", service.entrypoint.is_none(), "change the image's `entrypoint`"),
                ("shm-size", service.shm_size.is_none(), "the host decides"),
                ("sysctls", service.sysctls.is_empty(), "they are the host's: its administrator sets them"),
                ("extra-hosts", service.extra_hosts.is_empty(), "add them to the host's /etc/hosts"),
                ("labels", service.labels.is_empty(), "units have none"),
                ("capabilities", service.capabilities.is_empty(), container),
                ("devices", service.devices.is_empty(), container),
                ("privileged", service.privileged.is_none(), container),
                ("host-network", service.host_network.is_none(), "services use the host's network"),
                ("log", service.log == Log::default(), "journald limits all logs"),
                ("groups", service.groups.is_empty(), fixed),
            ];
            for (key, empty, hint) in of_containers.into_iter().chain(more) {
                if !empty {
                    let span = self.document.key(&["services", name, key]);
                    self.report(span, format!("without containers, services cannot have `{key}`"), hint);
                }
            }
            if let Some(health) = service.health.as_ref().filter(|health| !health.is_probe()) {
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
            if let Some(service) = model.services.get(&task.service).filter(|_| task.request.is_none()) {
                let (key, words) = match task.run {
                    Run::Exec => ("command", &task.command),
                    Run::Once => ("entrypoint", &task.entrypoint),
                };
                self.program(&["tasks", name, key], service.image.get_ref(), words);
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
