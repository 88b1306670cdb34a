//! Deployments that systemd runs, without containers: the bundle has a unit for each service.

mod folder;
mod scheduled;
mod stop;
mod waiting;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::failure::Failure;
use crate::files::{self, write_atomically};
use crate::finding::Findings;
use crate::host::checks;
use crate::host::deployment::Deployment;
use crate::host::ending;
use crate::host::passed_on::{self, Raw};
use crate::host::repeated;
use crate::host::runtime::{Data, Deadline, KeyGroups, LogOptions, Ran, Runtime, Started, Stopped};
use crate::host::status::{HealthState, Outdated, ServiceState, ServiceStatus};
use crate::machine::Machine;
use crate::process::{self, Keep};
use crate::profile::model::Task;
use crate::render::systemd::{FOLDER, GENERATED, health_path, run_path, task_path, unit_path};
use crate::site;
use crate::ui::Ui;

/// The folder of an administrator's units.
const UNITS: &str = "/etc/systemd/system";
/// The folder of units in a bundle.
const UNITS_OF_BUNDLE: &str = "systemd";
/// How many last lines of a log are shown of a service that is not healthy.
const LAST_LINES: usize = 20;

/// A deployment and the systemd of its host.
#[derive(Debug)]
pub(super) struct Systemd<'a> {
    deployment: &'a Deployment,
    machine: &'a Machine,
    /// Whether this process may start units: systemd runs, and this is root.
    in_charge: bool,
}

impl<'a> Systemd<'a> {
    /// The systemd of `machine`, whether it runs or not.
    pub(super) fn new(deployment: &'a Deployment, machine: &'a Machine) -> Self {
        let in_charge = machine.path("/run/systemd/system").is_dir() && rustix::process::geteuid().is_root();
        Self { deployment, machine, in_charge }
    }
}

impl Runtime for Systemd<'_> {
    fn verify(&self) -> Result<()> {
        self.deployment.verify()
    }

    fn check_host(&self, _ports: &BTreeMap<String, u16>, now: i64) -> Result<Findings> {
        let mut findings = Findings::default();
        if self.in_charge {
            folder::check(&self.deployment.folder, &mut findings)?;
        } else {
            let hint = "run this as root on a host with systemd, or start the programs in bin/ by hand";
            findings.warn("systemd", "not available to this user: services cannot be started", hint);
        }
        checks::clock(self.deployment, now, &mut findings);
        Ok(findings)
    }

    /// The files are run from where they are.
    fn check_images(&self, _findings: &mut Findings) -> Result<()> {
        Ok(())
    }

    fn compare_images(&self, _ui: &Ui, _findings: &mut Findings) -> Result<()> {
        let failure = Failure::usage("a deployment without containers has no images");
        Err(failure.hint("`sealift verify FOLDER` checks its files").into())
    }

    fn key_groups(&self) -> Result<KeyGroups> {
        Ok(KeyGroups::Unused)
    }

    /// A unit of this folder, or of another one whose site has the same secrets.
    fn runs_with_site(&self) -> Result<bool> {
        let (own, model) = (&self.deployment.folder, &self.deployment.profile.model);
        let folders = self.deployment.order().into_iter().filter_map(|service| self.installed_folder(service));
        let has_site = |folder: PathBuf| {
            folder == *own || site::share_secrets(model, &self.deployment.site(), &folder.join("site"))
        };
        Ok(folders.into_iter().any(has_site))
    }

    fn set_key_groups(&self) -> Result<()> {
        Ok(())
    }

    fn load(&self, _ui: &Ui) -> Result<()> {
        Ok(())
    }

    fn start(&self, site: &site::SiteReport, deadline: Deadline, ui: &Ui) -> Result<Started> {
        if !self.in_charge {
            return Ok(Started::ByHand(self.commands_by_hand()));
        }
        let site_changed = site.changes.iter().any(|change| change.action != site::Action::Kept);
        self.start_units(site_changed, deadline, ui)?;
        let ports = site.ports.iter().map(|(name, port)| format!("{name}: {}:{port}", site.host));
        Ok(Started::Healthy(ports.collect()))
    }

    /// The units are removed.
    fn stop(&self, data: Data, ui: &Ui) -> Result<Stopped> {
        if data == Data::Delete {
            let failure = Failure::usage("a bundle without containers has no volumes to delete");
            return Err(failure.hint("leave out --volumes").into());
        }
        let mut stopped = Stopped::default();
        for service in self.deployment.order().into_iter().rev() {
            let installed = self.units(service).into_iter().filter(|unit| self.unit_file(unit).exists());
            let installed: Vec<String> = installed.collect();
            // The timer first.
            for unit in installed.iter().rev() {
                let begin = Instant::now();
                self.systemctl(&["disable", "--quiet", "--now", unit])?;
                self.tell_if_killed(service, unit, begin.elapsed(), ui);
                fs_err::remove_file(self.unit_file(unit))?;
            }
            stopped.services += usize::from(!installed.is_empty());
        }
        self.systemctl(&["daemon-reload"])?;
        Ok(stopped)
    }

    fn engine(&self) -> Option<&'static str> {
        None
    }

    fn place(&self) -> String {
        format!("systemd ({UNITS})")
    }

    /// The units are enabled.
    fn missing_boot_unit(&self) -> Option<Vec<String>> {
        None
    }

    /// `up` installs them.
    fn missing_timers(&self) -> Option<Vec<String>> {
        None
    }

    fn run_scheduled(&self, service: &str) -> Result<Ran> {
        self.run_now(service)
    }

    fn elsewhere(&self) -> Option<(String, String)> {
        None
    }

    fn status(&self) -> Result<Vec<ServiceStatus>> {
        self.deployment.order().into_iter().map(|service| self.service_status(service)).collect()
    }

    fn last_log_lines(&self, service: &str) -> Vec<String> {
        let tail = u32::try_from(repeated::SEARCHED).ok();
        let mut command = self.journalctl(service, "cat", LogOptions { follow: false, tail });
        let output = process::last(&mut command);
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        repeated::last(&text.lines().collect::<Vec<_>>(), LAST_LINES)
    }

    fn logs(&self, service: &str, options: LogOptions) -> Result<()> {
        let mut command = self.journalctl(service, "short-iso", options);
        let status = passed_on::run(&mut command, Raw::Never).context("cannot run journalctl")?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::failed(format!("journalctl has no log of {service}"))
            .hint("`sealift status` shows whether the service was started")
            .into())
    }

    fn run_task(&self, name: &str, task: &Task, arguments: &[String]) -> Result<()> {
        let program = self.deployment.folder.join(task_path(name));
        let mut command = Command::new(&program);
        let status = passed_on::run(command.args(arguments), passed_on::of_task(task));
        let status = status.with_context(|| format!("cannot run {}", program.display()))?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::failed(format!("the task {name} failed with {}", ending::of(status, None)))
            .hint("its output is above; `sealift status` shows the services that it needs")
            .into())
    }
}

impl Systemd<'_> {
    /// The commands that start the deployment by hand, in the foreground.
    fn commands_by_hand(&self) -> Vec<String> {
        let tasks = self.deployment.profile.model.tasks.iter().filter(|(_, task)| task.on.is_some());
        let tasks = tasks.map(|(name, _)| task_path(name.get_ref()));
        let services = self.deployment.order().into_iter().filter(|service| !self.is_scheduled(service)).map(run_path);
        tasks.chain(services).map(|path| self.deployment.folder.join(path).display().to_string()).collect()
    }

    /// Installs the units, starts them, and waits until all services are healthy. Services that run are restarted when
    /// their unit or the site changed.
    fn start_units(&self, site_changed: bool, deadline: Deadline, ui: &Ui) -> Result<()> {
        let mut changed = Vec::new();
        for service in self.deployment.order() {
            if self.install(service)? {
                changed.push(service);
            }
        }
        if !changed.is_empty() {
            self.systemctl(&["daemon-reload"])?;
        }
        for service in self.deployment.order() {
            let verb = if site_changed || changed.contains(&service) { "restart" } else { "start" };
            if self.is_scheduled(service) {
                self.start_timer(service, verb)?;
                continue;
            }
            self.systemctl(&["enable", "--quiet", &unit_name(service)])?;
            // Without waiting: what the service needs, such as the database, may not be there yet.
            self.systemctl(&[verb, "--no-block", &unit_name(service)])?;
            self.wait(service, deadline, ui)?;
        }
        self.settle(deadline, ui)
    }

    fn service_status(&self, service: &str) -> Result<ServiceStatus> {
        if self.is_scheduled(service) {
            return self.scheduled_status(service);
        }
        let mut command = self.command("systemctl");
        let output = process::answer(command.args(["is-active", &unit_name(service)]));
        let word = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        let installed = files::read_text(&self.unit_file(&unit_name(service))).ok();
        let state = match (word.as_str(), &installed) {
            ("active", _) => ServiceState::Running,
            (_, None) => ServiceState::Absent,
            (other, _) => ServiceState::Other(other.to_owned()),
        };
        let health = match state {
            ServiceState::Running => self.health(service)?,
            _ => HealthState::Down,
        };
        let outdated = self.is_changed(service).then_some(Outdated::Unit);
        let absent = ServiceStatus::absent(service, unit_name(service));
        Ok(ServiceStatus { state, health, outdated, ..absent })
    }

    fn health(&self, service: &str) -> Result<HealthState> {
        let Some(check) = &self.deployment.profile.model.services[service].health else {
            return Ok(HealthState::Healthy);
        };
        let program = self.deployment.folder.join(health_path(service));
        let child = Command::new(&program).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.with_context(|| format!("cannot run {}", program.display()))?;
        let limit = Duration::from_secs(check.timeout.into());
        let finished = process::finish(child, Vec::new(), Keep::Last(0), Keep::Last(0), Some(limit))?;
        let healthy = finished.status.is_some_and(|status| status.success());
        Ok(if healthy { HealthState::Healthy } else { HealthState::Unhealthy })
    }

    /// Whether a unit of a service that is installed is another one than the bundle's.
    fn is_changed(&self, service: &str) -> bool {
        let is_other = |unit: &String| {
            let installed = files::read_text(&self.unit_file(unit));
            installed.is_ok_and(|text| self.unit_text(unit).is_ok_and(|own| own != text))
        };
        self.units(service).iter().any(is_other)
    }

    /// Where systemd reads a unit.
    fn unit_file(&self, unit: &str) -> PathBuf {
        self.machine.path(UNITS).join(unit)
    }

    /// A unit of the bundle, for the folder that the bundle is in.
    fn unit_text(&self, unit: &str) -> Result<String> {
        let text = files::read_text(&self.deployment.folder.join(UNITS_OF_BUNDLE).join(unit))?;
        Ok(text.replace(FOLDER, &self.deployment.folder.display().to_string()))
    }

    /// The folder whose `up` installed the unit of a service.
    fn installed_folder(&self, service: &str) -> Option<PathBuf> {
        let own = files::read_text(&self.deployment.folder.join(unit_path(service))).ok()?;
        let installed = files::read_text(&self.unit_file(&unit_name(service))).ok()?;
        let parts =
            own.lines().filter(|line| line.matches(FOLDER).count() == 1).find_map(|line| line.split_once(FOLDER));
        let (before, after) = parts?;
        let folder = |line: &str| Some(line.strip_prefix(before)?.strip_suffix(after)?.to_owned());
        installed.lines().find_map(folder).map(PathBuf::from)
    }

    /// Installs the units of a service. Returns whether that changed anything.
    fn install(&self, service: &str) -> Result<bool> {
        let mut changed = false;
        for unit in self.units(service) {
            changed |= self.install_unit(&unit)?;
        }
        Ok(changed)
    }

    fn install_unit(&self, unit: &str) -> Result<bool> {
        let path = self.unit_file(unit);
        let text = self.unit_text(unit)?;
        if let Ok(installed) = files::read_text(&path) {
            if installed == text {
                return Ok(false);
            }
            if !installed.contains(GENERATED) {
                return Err(Failure::failed(format!("{} exists, but does not come from a bundle", path.display()))
                    .hint("it was not replaced; remove or rename it if it is not needed")
                    .into());
            }
        }
        write_atomically(&path, |file| Ok(std::io::Write::write_all(file, text.as_bytes())?))?;
        fs_err::set_permissions(&path, Permissions::from_mode(0o644))?;
        Ok(true)
    }

    fn journalctl(&self, service: &str, format: &str, options: LogOptions) -> Command {
        let mut command = self.command("journalctl");
        command.arg(format!("--unit={}", unit_name(service))).args(["--no-pager", &format!("--output={format}")]);
        if options.follow {
            command.arg("--follow");
        }
        if let Some(lines) = options.tail {
            command.arg(format!("--lines={lines}"));
        }
        command
    }

    fn systemctl(&self, arguments: &[&str]) -> Result<()> {
        let output = process::last(self.command("systemctl").args(arguments)).context("cannot run systemctl")?;
        if output.status.success() {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(Failure::failed(format!("`systemctl {}` failed: {}", arguments.join(" "), stderr.trim())).into())
    }

    /// A program of the machine, with an empty standard input.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).envs(self.machine.var("PATH").map(|path| ("PATH", path)));
        command
    }
}

fn unit_name(service: &str) -> String {
    format!("{service}.service")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing;
    use crate::render::systemd::TextFile;

    /// A root directory with a `systemctl` that takes every unit for active, and the unpacked bundle in `bundle/`.
    pub(super) struct Fixture {
        pub(super) root: tempfile::TempDir,
        pub(super) deployment: Deployment,
        machine: Machine,
    }

    impl Fixture {
        pub(super) fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let model = crate::render::systemd::tests::sample();
            let deployment = testing::of_model(&root.path().join("bundle"), model);
            let bin = root.path().join("usr/bin");
            for folder in [&bin, &root.path().join(&UNITS[1..])] {
                fs_err::create_dir_all(folder).unwrap();
            }
            let systemctl = bin.join("systemctl");
            fs_err::write(&systemctl, "#!/bin/sh\n[ $1 = is-active ] && echo active\nexit 0\n").unwrap();
            fs_err::set_permissions(&systemctl, Permissions::from_mode(0o755)).unwrap();
            for (path, TextFile { text, mode }) in crate::render::systemd::files(&deployment.profile.model) {
                let path = deployment.folder.join(path);
                fs_err::create_dir_all(path.parent().unwrap()).unwrap();
                let text = if path.starts_with(deployment.folder.join("bin")) { "#!/bin/sh\n" } else { &text };
                fs_err::write(&path, text).unwrap();
                fs_err::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            }
            let machine = Machine::of(root.path(), &[("PATH", bin.to_str().unwrap())]);
            Self { root, deployment, machine }
        }

        pub(super) fn systemd(&self) -> Systemd<'_> {
            Systemd { deployment: &self.deployment, machine: &self.machine, in_charge: true }
        }

        fn unit(&self) -> PathBuf {
            self.root.path().join(&UNITS[1..]).join("shop-web.service")
        }

        fn outdated(&self) -> Option<Outdated> {
            self.systemd().service_status("shop-web").unwrap().outdated
        }
    }

    #[test]
    fn a_changed_unit_is_reported_as_that_and_not_as_another_image() {
        let fixture = Fixture::new();
        let systemd = fixture.systemd();
        assert!(systemd.install("shop-web").unwrap() && !systemd.install("shop-web").unwrap());
        assert_eq!(fixture.outdated(), None);
        let installed = fs_err::read_to_string(fixture.unit()).unwrap();
        fs_err::write(fixture.unit(), installed.replace("UMask=0077", "UMask=0022")).unwrap();
        assert_eq!(fixture.outdated().unwrap().to_string(), "its unit file changed");
        assert!(systemd.install("shop-web").unwrap());
        assert_eq!(fixture.outdated(), None);
    }

    #[test]
    fn the_folder_of_an_installed_unit_is_found() {
        let fixture = Fixture::new();
        let systemd = fixture.systemd();
        assert!(!systemd.runs_with_site().unwrap());
        systemd.install("shop-web").unwrap();
        assert_eq!(systemd.installed_folder("shop-web"), Some(fixture.deployment.folder.clone()));
        assert!(systemd.runs_with_site().unwrap());
        let text = fs_err::read_to_string(fixture.unit()).unwrap();
        let folder = fixture.deployment.folder.display().to_string();
        fs_err::write(fixture.unit(), text.replace(&folder, "/srv/other")).unwrap();
        assert_eq!(systemd.installed_folder("shop-web"), Some("/srv/other".into()));
        assert!(!systemd.runs_with_site().unwrap());
    }

    #[test]
    fn a_unit_that_somebody_wrote_is_not_replaced() {
        let fixture = Fixture::new();
        fs_err::write(fixture.unit(), "[Service]\nExecStart=/bin/true\n").unwrap();
        let error = fixture.systemd().install("shop-web").unwrap_err();
        assert!(error.to_string().ends_with("exists, but does not come from a bundle"), "{error}");
        assert!(fs_err::read_to_string(fixture.unit()).unwrap().contains("/bin/true"));
    }

    #[test]
    fn without_root_the_commands_are_printed_in_their_order() {
        let fixture = Fixture::new();
        let commands = fixture.systemd().commands_by_hand();
        let folder = fixture.deployment.folder.display().to_string();
        let names: Vec<&str> = commands.iter().map(|command| command.strip_prefix(&folder).unwrap()).collect();
        assert_eq!(names.first(), Some(&"/bin/migrate"), "{names:?}");
        assert!(names.contains(&"/bin/run-shop-web"), "{names:?}");
    }

    #[test]
    fn volumes_cannot_be_deleted_and_nothing_is_stopped() {
        let fixture = Fixture::new();
        let systemd = fixture.systemd();
        systemd.install("shop-web").unwrap();
        let ui = Ui::plain(std::io::sink());
        assert!(systemd.stop(Data::Delete, &ui).is_err() && fixture.unit().exists());
        systemd.stop(Data::Keep, &ui).unwrap();
        assert!(!fixture.unit().exists());
    }
}
