//! What commands ask of a container engine.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::context::Containers;
use super::kind::EngineKind;
use super::output::Container;
use super::{held, load, output, preflight};
use crate::failure::Failure;
use crate::finding::Findings;
use crate::host::ending;
use crate::host::passed_on::{self, Raw};
use crate::host::repeated;
use crate::host::runtime::{Data, Deadline, KeyGroups, LogOptions, Ran, Runtime, Started, Stopped};
use crate::host::status::{MANY_RESTARTS, ServiceStatus};
use crate::process;
use crate::profile::model::{Run, Task};
use crate::render::container::{self, Networks};
use crate::render::network;
use crate::site::{self, PublicHost};
use crate::ui::{self, Ui};

/// How long podman may take to tell what happened.
const EVENTS: Duration = Duration::from_secs(5);

impl Runtime for Containers<'_> {
    /// The engine is asked about itself at the same time: podman needs as long for that.
    fn verify(&self) -> Result<()> {
        std::thread::scope(|scope| {
            // What fails here fails again, and is reported, when the information is used.
            scope.spawn(|| self.engine.info());
            self.deployment.verify()
        })
    }

    fn check_host(&self, ports: &BTreeMap<String, u16>, now: i64) -> Result<Findings> {
        preflight::check(self, ports, now)
    }

    fn check_images(&self, findings: &mut Findings) -> Result<()> {
        let images = ui::count(self.deployment.manifest.images.len(), "image");
        match load::missing(self)?.len() {
            0 => findings.ok("images", format!("{images} loaded")),
            missing => findings.error("images", format!("{missing} of {images} not loaded"), "./sealift up"),
        }
        Ok(())
    }

    fn compare_images(&self, ui: &Ui, findings: &mut Findings) -> Result<()> {
        held::compare(self, ui, findings)
    }

    fn key_groups(&self) -> Result<KeyGroups> {
        Ok(if self.engine.info()?.rootless { KeyGroups::Mapped } else { KeyGroups::SameAsServices })
    }

    fn runs_with_site(&self) -> Result<bool> {
        self.has_containers_of_site()
    }

    fn set_key_groups(&self) -> Result<()> {
        self.give_key_groups()
    }

    fn load(&self, ui: &Ui) -> Result<()> {
        load::load(self, ui)
    }

    fn check_start(&self, deadline: Deadline, ui: &Ui) -> Result<()> {
        let mut findings = Findings::default();
        self.check_host_paths(&mut findings)?;
        findings.refuse("folders of this host are missing:", "no service was started or stopped")?;
        self.await_runs(deadline, ui)
    }

    fn start(&self, site: &site::SiteReport, deadline: Deadline, ui: &Ui) -> Result<Started> {
        self.start_all(deadline, ui)?;
        let host: PublicHost = site.host.parse()?;
        if host.as_str() == "::1" && !self.publishes_on_ipv6_loopback()? {
            ui.warn(
                "podman as root publishes no ports on ::1, so nobody reaches the services there: use another --host",
            );
        }
        Ok(Started::Healthy(self.deployment.addresses(&host)?))
    }

    fn explain(&self, service: &str, findings: &mut Findings) -> Result<()> {
        self.explain_by_volumes(service, findings)
    }

    fn check_published(&self, services: &[&str], patience: Duration, findings: &mut Findings) -> Result<()> {
        self.check_listening(services, patience, findings)
    }

    fn check_running(&self, findings: &mut Findings) -> Result<()> {
        self.tell_memory_kills(findings)?;
        self.check_written(findings)
    }

    /// Each service gets time to end by itself. Containers and networks are removed.
    fn stop(&self, data: Data, ui: &Ui) -> Result<Stopped> {
        self.refuse_other_folder()?;
        let mut stopped = Stopped { services: self.remove_containers(ui)?, volumes: 0 };
        if data == Data::Delete {
            for volume in self.existing_volumes()? {
                self.engine.run(&["volume", "rm", &volume])?;
                stopped.volumes += 1;
            }
            // Nobody agreed to the loss of what this version does not know.
            for volume in self.left_volumes()? {
                ui.warn(&format!(
                    "the volume {volume} of an earlier version stays: {} volume rm {volume}",
                    self.engine.program()
                ));
            }
        }
        Ok(stopped)
    }

    fn engine(&self) -> Option<&'static str> {
        Some(self.engine.program())
    }

    fn place(&self) -> String {
        self.shown_place()
    }

    fn missing_boot_unit(&self) -> Option<Vec<String>> {
        Containers::missing_boot_unit(self)
    }

    fn missing_timers(&self) -> Option<Vec<String>> {
        Containers::missing_timers(self)
    }

    fn unscheduled(&self) -> Vec<String> {
        Containers::unscheduled(self)
    }

    fn run_scheduled(&self, service: &str) -> Result<Ran> {
        self.run_now(service)
    }

    fn elsewhere(&self) -> Option<(String, String)> {
        self.other_engine()
    }

    fn status(&self) -> Result<Vec<ServiceStatus>> {
        self.statuses()
    }

    fn last_log_lines(&self, service: &str) -> Vec<String> {
        let container = self.inspected().ok().and_then(|mut found| found.remove(service));
        match container {
            Some(container) if container.restarts >= MANY_RESTARTS => self.lines_of_last_run(service, &container),
            _ => self.log_lines(service, &[]),
        }
    }

    fn logs(&self, service: &str, options: LogOptions) -> Result<()> {
        self.refuse_other_folder()?;
        let mut command = self.engine.command(&["logs"]);
        if options.follow {
            command.arg("--follow");
        }
        if let Some(lines) = options.tail {
            command.args(["--tail", &lines.to_string()]);
        }
        command.arg(self.container(service)?);
        // Without a container, the engine would say so with names that operators do not know.
        let exists = self.inspected()?.contains_key(service);
        if exists && passed_on::run(&mut command, Raw::Never).with_context(|| self.engine.cannot_run())?.success() {
            return Ok(());
        }
        let (place, elsewhere) = (self.shown_place(), self.other_engine());
        let hint = elsewhere.map(|(found, option)| format!("{found}: add {option}"));
        Err(Failure::failed(format!("{place}, has no log of {service}"))
            .hint(hint.unwrap_or_else(|| "`sealift status` shows whether the service was started".to_owned()))
            .into())
    }

    fn run_task(&self, name: &str, task: &Task, arguments: &[String]) -> Result<()> {
        self.refuse_other_folder()?;
        self.check_ready_for(task)?;
        let raw = passed_on::of_task(task);
        let input = if raw == Raw::Always { &["--interactive", "--tty"][..] } else { &["--interactive"] };
        let mut command = match task.run {
            Run::Once => self.run_once(task, arguments, input)?,
            Run::Exec => {
                let mut command = self.engine.command(&["exec"]);
                let first = self.deployment.instances_of(task.service.get_ref())[0];
                command.args(input).arg(self.container(first)?).args(task.words(arguments));
                command
            }
        };
        let status = passed_on::run(command.stdin(Stdio::inherit()), raw).with_context(|| self.engine.cannot_run())?;
        if status.success() {
            return Ok(());
        }
        let memory = self.deployment.profile.model.service(task.service.get_ref()).memory;
        Err(Failure::failed(format!("the task {name} failed with {}", ending::of(status, memory)))
            .hint("its output is above; `sealift status` shows the services that it needs")
            .into())
    }
}

impl Containers<'_> {
    /// Checks that what `task` needs is there: engines say it with names that operators do not know.
    pub(super) fn check_ready_for(&self, task: &Task) -> Result<()> {
        let service = task.service.get_ref().as_str();
        let containers = self.inspected()?;
        let first = self.deployment.instances_of(service)[0];
        let message = match (task.run, containers.get(first)) {
            _ if containers.is_empty() => "this deployment is down".to_owned(),
            (Run::Exec, None) => format!("the service {service} has no container"),
            (Run::Exec, Some(found)) if !found.is_running() => {
                format!("the service {service} does not run ({})", found.state)
            }
            _ => return Ok(()),
        };
        let elsewhere = self.other_engine().map(|(found, option)| format!("{found}: add {option}"));
        let hint = "start it with ./sealift up; ./sealift status shows what runs".to_owned();
        Err(Failure::failed(format!("{message}, and the task needs it")).hint(elsewhere.unwrap_or(hint)).into())
    }

    /// The command that runs `task` in a container of its own. `input` are options for its input.
    pub(super) fn run_once(&self, task: &Task, arguments: &[String], input: &[&str]) -> Result<Command> {
        let words = task.words(arguments);
        let model = &self.deployment.profile.model;
        let (service, layout) = (task.service.get_ref().as_str(), self.layout()?);
        let networks = self.networks_at_creation();
        let arguments = container::run_once(model, task, &layout, networks, &words);
        if networks == Networks::All || network::of_service(model, &model.services[service]).len() <= 1 {
            let mut command = self.engine.command(&["run", "--rm"]);
            command.args(input).args(arguments);
            return Ok(command);
        }
        let create: Vec<String> =
            ["create", "--rm"].iter().chain(input).map(|word| (*word).to_owned()).chain(arguments).collect();
        let created = self.engine.run(&create)?;
        let id = created.trim();
        self.connect(&layout, service, id, None)?;
        Ok(self.engine.command(&["start", "--attach", "--interactive", id]))
    }

    /// The last lines of each stream that `logs` prints with these options. `--tail` of podman 4 puts the parts of long lines, and of
    /// those that were written in pieces, together in the wrong order.
    fn log_lines(&self, service: &str, options: &[&str]) -> Vec<String> {
        let Ok(container) = self.container(service) else { return Vec::new() };
        let result = process::last(self.engine.command(&["logs"]).args(options).arg(&container));
        // Each stream of the container comes out of the same stream of the engine.
        let texts = result.iter().flat_map(|result| [&result.stdout, &result.stderr]);
        // Colours would be shown as escaped characters.
        let plain = |text: &Vec<u8>| anstream::adapter::strip_str(&String::from_utf8_lossy(text)).to_string();
        let texts: Vec<String> = texts.map(plain).collect();
        let last = |text: &String| repeated::last(&text.lines().collect::<Vec<_>>(), output::LAST_LINES);
        texts.iter().flat_map(last).collect()
    }

    /// How a service ended last that runs again: podman starts it so fast that nobody sees its exit code. `None` where podman
    /// does not remember it, and for Docker, which waits between the starts.
    pub(super) fn last_end(&self, service: &str) -> Option<String> {
        if self.engine.kind != EngineKind::Podman {
            return None;
        }
        let container = format!("container={}", self.container(service).ok()?);
        let ends = ["events", "--stream=false", "--since", "10m", "--format", "json", "--filter", &container];
        let ends = [&ends[..], &["--filter", "event=died"]].concat();
        let code = output::last_exit_code(&self.engine.run_within(&ends, EVENTS).ok()?.printed)?;
        let memory = self.deployment.profile.model.service(service).memory;
        Some(ending::told(code, ending::cause(code, false, memory).as_deref()))
    }

    /// The last log lines of a service that ends again and again: those since the start of its last run that was seen, if it is
    /// known.
    fn lines_of_last_run(&self, service: &str, container: &Container) -> Vec<String> {
        let mut lines = Vec::new();
        if !container.is_running() && !container.started.is_empty() {
            lines = self.log_lines(service, &["--since", &container.started]);
        }
        if lines.is_empty() { self.log_lines(service, &[]) } else { lines }
    }

    /// The volumes: their names in the profile, and those that the engine has them under.
    pub(super) fn volumes(&self) -> Result<BTreeMap<String, String>> {
        let layout = self.layout()?;
        let services = self.deployment.profile.model.services.values();
        let names: BTreeSet<&String> = services.flat_map(|service| service.volumes.keys()).collect();
        Ok(names.into_iter().map(|name| (name.clone(), layout.resource_name(name))).collect())
    }
}
