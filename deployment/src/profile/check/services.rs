//! Checks of `[services.*]`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use sealift_layers::tree::TreePath;
use toml::Spanned;

use super::super::calendar;
use super::super::model::{Condition, Dependency, Health, Restart, Running, Service};
use super::super::setting::Kind;
use super::super::{names, readable, suggest, words};
use super::{Check, FIRST_PORT, HIGH_PORT, TemplateUser, has_low_ports, needs_root};

/// Seconds that a service may get to end: an engine that waits longer looks as if it hangs.
const STOP_GRACE: RangeInclusive<u32> = 1..=3600;

/// Containers of a service: one host runs them all.
const REPLICAS: RangeInclusive<u32> = 1..=32;

/// Most services of a profile: chains of dependencies are followed with a stack.
const SERVICE_LIMIT: usize = 1000;

impl Check<'_> {
    pub(super) fn service(&mut self, key: &Spanned<String>, service: &Service) {
        let model = self.model;
        let name = key.get_ref().as_str();
        self.name(key.span(), name, "a service");
        if !model.images.contains_key(&service.image) {
            let wanted = service.image.get_ref();
            let hint = suggest::hint(wanted, "images", model.images.keys().map(|name| name.get_ref().as_str()));
            self.report(service.image.span(), format!("there is no image `{wanted}`"), hint);
        }
        self.variables(&["services", name, "environment"], &service.environment);
        self.distinct(&service.env_files, "template");
        for template in service.env_files.iter().chain(service.config_files.keys()) {
            self.template(template, TemplateUser::Service);
        }
        self.secrets(service);
        self.mounts(name, service);
        for (port, inside) in &service.publish {
            if !model.site.ports.contains_key(port.get_ref()) {
                let hint = suggest::hint(port.get_ref(), "site.ports", model.site.ports.keys().map(String::as_str));
                self.report(port.span(), format!("there is no site port `{}`", port.get_ref()), hint);
            }
            let count = model.site.ports.get(port.get_ref()).map_or(1, |port| port.count);
            let span = self.document.value(&["services", name, "publish", port.get_ref()]);
            match *inside {
                0 => self.report(span, "0 is not a port", "use 1024 to 65535"),
                1..FIRST_PORT if !has_low_ports(service) => self.report(span, needs_root(*inside), HIGH_PORT),
                first if u32::from(first) + u32::from(count) > 65_536 => {
                    self.report(span, format!("there are no {count} ports from {first} on"), "the last port is 65535");
                }
                _ => {}
            }
        }
        self.dependencies(name, service);
        self.service_networks(key, service);
        if !STOP_GRACE.contains(&service.stop_grace) {
            let span = self.document.value(&["services", name, "stop-grace"]);
            let message = format!("{} seconds are not possible for `stop-grace`", service.stop_grace);
            self.report(span, message, "use 1 to 3600 seconds");
        }
        if let Some(health) = &service.health {
            self.health(name, health);
        }
        self.running(name, service);
        self.replicas(name, service);
        self.limits(name, service);
        self.privileges(key, service);
    }

    /// Checks `run`, and that a service that ends has nothing of those that do not.
    fn running(&mut self, name: &str, service: &Service) {
        let (how, hint) = match &service.run {
            Running::Always => return,
            Running::Once => ("once", "remove it, or `run`: others wait with `depends-on` until it has completed"),
            Running::Schedule(event) => {
                if let Err(message) = calendar::check(event.get_ref()) {
                    let hint = "such as \"daily\", \"03:30\", \"Mon..Fri 22:00\" or \"*-*-01 04:00\": systemd.time(7), Calendar events";
                    self.report(event.span(), message, hint);
                }
                ("at times", "remove it, or `run`: `sealift status` shows how its last run ended")
            }
        };
        let conflicts = [("health", service.health.is_some()), ("restart", service.restart != Restart::UnlessStopped)];
        for (key, _) in conflicts.into_iter().filter(|(_, set)| *set) {
            let span = self.document.key(&["services", name, key]);
            self.report(span, format!("a service that runs {how} has no `{key}`"), hint);
        }
    }

    /// Checks that the containers of a service can be beside each other.
    fn replicas(&mut self, name: &str, service: &Service) {
        let span = self.document.value(&["services", name, "replicas"]);
        if !REPLICAS.contains(&service.replicas) {
            let message = format!("a service cannot have {} containers", service.replicas);
            self.report(span, message, "use 1 to 32");
            return;
        }
        if !service.is_replicated() {
            return;
        }
        let conflicts = [
            (
                "publish",
                service.publish.is_empty(),
                "a port leads to one container: let a proxy publish it, which finds all by the service's name",
            ),
            (
                "volumes",
                service.volumes.is_empty(),
                "programs seldom share their data: keep it in another service; for files that all may use, take `paths`",
            ),
            ("host-network", service.host_network.is_none(), "all would listen on the same ports of the host"),
            ("run", service.run == Running::Always, "it does its work once: let its program do it in parallel"),
        ];
        for (key, _, hint) in conflicts.into_iter().filter(|(_, free, _)| !free) {
            let span = self.document.key(&["services", name, key]);
            self.report(span, format!("a service with replicas has no `{key}`"), hint);
        }
        for instance in self.model.instances(name) {
            if let Some((other, _)) = self.model.services.get_key_value(instance.as_str()) {
                let message = format!("`{instance}` is also the name of a container of `{name}`, which has replicas");
                self.report(other.span(), message, "choose another name");
            }
        }
    }

    fn dependencies(&mut self, name: &str, service: &Service) {
        let model = self.model;
        let listed: Vec<_> = service.depends_on.services().cloned().collect();
        self.distinct(&listed, "service");
        for Dependency { service: other, condition } in &service.depends_on.0 {
            let Some(spec) = model.services.get(other) else {
                let services = model.services.keys().map(|name| name.get_ref().as_str());
                let hint = suggest::hint(other.get_ref(), "services", services.filter(|other| *other != name));
                self.report(other.span(), format!("there is no service `{}`", other.get_ref()), hint);
                continue;
            };
            if spec.schedule().is_some() {
                let message = format!("`{}` runs at times: no service can wait for it", other.get_ref());
                self.report(other.span(), message, "remove it from `depends-on`");
                continue;
            }
            let at = |check: &Self| check.document.value(&["services", name, "depends-on", other.get_ref()]);
            if *condition == Some(Condition::Completed) && !spec.runs_once() {
                let message = format!("`{}` does not end by itself", other.get_ref());
                let hint = format!("add run = \"once\" to [services.{}], or write \"started\"", other.get_ref());
                self.report(at(self), message, hint);
            }
            if *condition == Some(Condition::Healthy) && spec.runs_once() {
                let message = format!("`{}` runs once, and is never healthy", other.get_ref());
                self.report(at(self), message, "write \"completed\"");
            } else if *condition == Some(Condition::Healthy) && spec.health.is_none() {
                let span = at(self);
                let message = format!("`{}` has no health check to wait for", other.get_ref());
                let hint = format!("add [services.{}.health], or write \"started\"", other.get_ref());
                self.report(span, message, hint);
            }
        }
    }

    fn secrets(&mut self, service: &Service) {
        let site = &self.model.site;
        let mut known: Vec<String> = site.secrets.keys().cloned().collect();
        known.extend(site.certificates.keys().flat_map(|name| [format!("{name}.key"), format!("{name}.crt")]));
        known.extend(site.trusted.keys().map(|name| format!("{name}.crt")));
        known.extend(site.authority.iter().map(|_| "custom-ca.crt".to_owned()));
        self.distinct(&service.secrets, "secret");
        for secret in &service.secrets {
            if !known.contains(secret.get_ref()) {
                let hint = suggest::hint(secret.get_ref(), "secrets of the site", known.iter().map(String::as_str));
                self.report(secret.span(), format!("the site has no secret `{}`", secret.get_ref()), hint);
                continue;
            }
            let path = names::mounted_path(self.model, secret.get_ref()).unwrap_or_default();
            self.readable(secret, &path, service);
        }
    }

    /// Checks that the program of a service can read the file of the site at `path`. Where its groups are known in its image
    /// only, the build does.
    fn readable(&mut self, name: &Spanned<String>, path: &str, service: &Service) {
        if let Some(own) = names::groups_of_service(self.model, service) {
            self.diagnostics.extend(readable::problem(
                self.model,
                (name, path),
                service,
                &own,
                &own[..own.len().min(1)],
            ));
        }
    }

    /// Checks that each container path is mounted once.
    fn mounts(&mut self, name: &str, service: &Service) {
        let mut mounts = Vec::new();
        for (template, path) in &service.config_files {
            self.readable(template, template.get_ref(), service);
            mounts.push((self.document.value(&["services", name, "config-files", template.get_ref()]), path.as_str()));
        }
        for (volume, path) in &service.volumes {
            self.name(self.document.key(&["services", name, "volumes", volume]), volume, "a volume");
            mounts.push((self.document.value(&["services", name, "volumes", volume]), path.as_str()));
        }
        for (setting, path) in &service.paths {
            let known = &self.model.site.settings;
            let span = setting.span();
            match known.get(setting.get_ref()) {
                None => {
                    let hint = suggest::hint(setting.get_ref(), "site.settings", known.keys().map(String::as_str));
                    self.report(span, format!("there is no setting `{}`", setting.get_ref()), hint);
                }
                Some(found) if found.kind != Kind::Folder => {
                    let message = format!("the setting `{}` is not a folder", setting.get_ref());
                    self.report(span, message, "write kind = \"folder\" in the setting");
                }
                Some(found) if !found.required && found.default.is_none() => {
                    let message = format!("the setting `{}` may be missing", setting.get_ref());
                    self.report(span, message, "add `required = true` or a `default` to the setting");
                }
                Some(_) => {}
            }
            let place = self.document.value(&["services", name, "paths", setting.get_ref()]);
            mounts.push((place, path.path()));
        }
        for (folder, path) in &service.site_files {
            let known = &self.model.site.files;
            if !known.contains_key(folder.get_ref()) {
                let hint = suggest::hint(folder.get_ref(), "site.files", known.keys().map(String::as_str));
                self.report(folder.span(), format!("there is no folder `{}`", folder.get_ref()), hint);
            }
            mounts.push((self.document.value(&["services", name, "site-files", folder.get_ref()]), path.as_str()));
        }
        for (index, path) in service.tmpfs.iter().enumerate() {
            mounts.push((self.document.value(&["services", name, "tmpfs", &index.to_string()]), path.as_str()));
        }
        let mut seen: BTreeSet<TreePath> = BTreeSet::new();
        for (span, path) in mounts {
            let Some(path) = self.image_path(span.clone(), path) else { continue };
            if path.as_str().contains(':') {
                let message = format!("nothing can be mounted at `/{path}`: `:` is followed by options of a mount");
                self.report(span.clone(), message, "use a path without `:`");
            }
            if seen.contains(&path) {
                let message = format!("something else is mounted at `/{path}`");
                self.report(
                    span,
                    message,
                    "`config-files`, `volumes`, `paths`, `site-files` and `tmpfs` need different paths",
                );
            }
            seen.insert(path);
        }
    }

    fn health(&mut self, name: &str, health: &Health) {
        let at = |check: &Self, key| check.document.value(&["services", name, "health", key]);
        let written = [!health.command.is_empty(), health.http.is_some(), health.tcp.is_some()];
        match written.into_iter().filter(|written| *written).count() {
            0 => self.report(
                at(self, "command"),
                "the command of the health check is empty",
                "set a program of the image and its arguments; or `http` or `tcp`, which need none",
            ),
            1 => {}
            _ => {
                let span = self.document.key(&["services", name, "health"]);
                self.report(span, "a service has one health check", "keep one of `command`, `http` and `tcp`");
            }
        }
        for (kind, port) in
            [("http", health.http.as_ref().map(|http| http.port)), ("tcp", health.tcp.as_ref().map(|tcp| tcp.port))]
        {
            if port == Some(0) {
                let span = self.document.value(&["services", name, "health", kind, "port"]);
                self.report(span, "0 is not a port", "use 1 to 65535");
            }
        }
        if let Some(http) = &health.http {
            if !words::is_request_path(&http.path) {
                let span = self.document.value(&["services", name, "health", "http", "path"]);
                let hint = "begin with `/`, without blanks; percent-encode what is not ASCII";
                self.report(span, format!("`{}` is not the path of a request", http.path), hint);
            }
            if http.status.is_some_and(|status| !(100..=599).contains(&status)) {
                let span = self.document.value(&["services", name, "health", "http", "status"]);
                self.report(span, "this is no status of HTTP", "use 100 to 599");
            }
        }
        let numbers = [("interval", health.interval), ("timeout", health.timeout), ("retries", health.retries)];
        for (key, value) in numbers {
            if value == 0 {
                self.report(at(self, key), format!("`{key}` must not be 0"), "use 1 or more");
            }
        }
    }

    /// Checks that services do not wait for each other in a circle.
    pub(super) fn cycles(&mut self) {
        if self.model.services.len() > SERVICE_LIMIT {
            let message = format!("the profile has more than {SERVICE_LIMIT} services");
            let span = self.document.key(&["services"]);
            return self.report(span, message, "a bundle runs on one host: make several profiles of it");
        }
        let mut done = BTreeSet::new();
        for name in self.model.services.keys() {
            self.follow(name.get_ref(), &mut Vec::new(), &mut done);
        }
    }

    /// Depth first; `path` are the services that wait for this one.
    fn follow<'m>(&mut self, name: &'m str, path: &mut Vec<&'m str>, done: &mut BTreeSet<&'m str>)
    where
        Self: 'm,
    {
        let Some(service) = self.model.services.get(name) else { return };
        if done.contains(name) {
            return;
        }
        path.push(name);
        for other in service.depends_on.services() {
            let other_name = other.get_ref().as_str();
            if let Some(start) = path.iter().position(|waiting| *waiting == other_name) {
                let circle = [&path[start..], &[other_name]].concat().join(" -> ");
                let message = format!("services wait for each other: {circle}");
                self.report(other.span(), message, "remove one of them from `depends-on`");
            } else {
                self.follow(other_name, path, done);
            }
        }
        path.pop();
        done.insert(name);
    }

    /// Checks that a port of the site is published by one service.
    pub(super) fn published_twice(&mut self) {
        let mut by: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, service) in &self.model.services {
            for port in service.publish.keys() {
                if let Some(other) = by.insert(port.get_ref(), name.get_ref()) {
                    let message = format!("`{other}` also publishes the site port `{}`", port.get_ref());
                    self.report(port.span(), message, "add another port to [site.ports]");
                }
            }
        }
    }
}
