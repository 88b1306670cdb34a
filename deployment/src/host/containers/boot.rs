//! The units of systemd that start services: all of them at a reboot of the host, scheduled ones at their times.

use std::path::{Path, PathBuf};

use super::context::Containers;
use super::kind::EngineKind;
use crate::files::{self, sorted_dir};
use crate::render::boot::{self, Manager, RUN_SCHEDULED, Timer};

impl Containers<'_> {
    /// The commands after which the services start at each boot; `None` where they do, or where systemd does not run.
    ///
    /// Docker starts them itself. podman's `podman-restart` starts only containers with the policy `always`, which would
    /// also start those that an operator has stopped.
    pub(super) fn missing_boot_unit(&self) -> Option<Vec<String>> {
        if self.engine.kind == EngineKind::Docker {
            return None;
        }
        let (manager, units) = self.manager()?;
        let folder = self.deployment.folder.to_str()?;
        if units_of(&units, folder).iter().any(|(_, text)| !text.contains(RUN_SCHEDULED)) {
            return None;
        }
        let start = boot::start(self.program().to_str()?, folder);
        Some(boot::commands(&self.layout().ok()?.project, &start, manager))
    }

    /// The commands that make the timers of scheduled services that have none, or one for other times; `None` where all have
    /// theirs, or where systemd does not run.
    pub(super) fn missing_timers(&self) -> Option<Vec<String>> {
        let (manager, units) = self.manager()?;
        let (folder, layout) = (self.deployment.folder.to_str()?, self.layout().ok()?);
        let found = units_of(&units, folder);
        let has_timer = |service: &str, event: &str| {
            let command = format!(" {RUN_SCHEDULED} {service} ");
            found.iter().filter(|(_, text)| text.contains(&command)).any(|(path, _)| {
                let timer = files::read_text(&path.with_extension("timer")).unwrap_or_default();
                timer.lines().any(|line| line.strip_prefix("OnCalendar=") == Some(event))
            })
        };
        let scheduled = self.deployment.profile.model.scheduled().into_iter();
        let missing: Vec<(&str, &str)> = scheduled.filter(|(service, event)| !has_timer(service, event)).collect();
        let program = self.program();
        let program = program.to_str()?;
        let names = missing.iter().map(|(service, _)| {
            (format!("{}-{service}", layout.project), boot::start_scheduled(program, folder, service))
        });
        let names: Vec<(String, String)> = names.collect();
        let timers = missing.iter().zip(&names).map(|((_, event), (unit, start))| Timer {
            unit,
            after: &layout.project,
            event,
            start,
        });
        let timers: Vec<Timer<'_>> = timers.collect();
        (!timers.is_empty()).then(|| boot::timers(&timers, manager))
    }

    /// The commands of scheduled services where no systemd can run them, each with its times.
    pub(super) fn unscheduled(&self) -> Vec<String> {
        if self.machine.path("/run/systemd/system").is_dir() {
            return Vec::new();
        }
        let Some(folder) = self.deployment.folder.to_str() else { return Vec::new() };
        let program = self.program().display().to_string();
        let scheduled = self.deployment.profile.model.scheduled().into_iter();
        let line = |(service, event)| format!("{event}: '{program}' {RUN_SCHEDULED} {service} --directory '{folder}'");
        scheduled.map(line).collect()
    }

    /// The systemd that runs units for the user of the engine, and the folder of its units; `None` where none runs.
    fn manager(&self) -> Option<(Manager, PathBuf)> {
        if !self.machine.path("/run/systemd/system").is_dir() {
            return None;
        }
        Some(match self.engine.info().ok()?.rootless {
            true => (Manager::User, self.machine.config_home()?.join("systemd/user")),
            false => (Manager::System, self.machine.path("/etc/systemd/system")),
        })
    }

    /// The program for units: that of the bundle, else this one.
    fn program(&self) -> PathBuf {
        let beside = self.deployment.folder.join("sealift");
        if beside.is_file() { beside } else { self.machine.program().map_or(beside, Path::to_owned) }
    }
}

/// The units in `directory` that name this folder, and their texts.
fn units_of(directory: &Path, folder: &str) -> Vec<(PathBuf, String)> {
    let escaped = folder.replace('%', "%%");
    // Not a folder whose name only begins like this one's.
    let ends = ['/', '"', ' ', '\n'].map(|end| format!("{escaped}{end}"));
    let files = sorted_dir(directory).unwrap_or_default().into_iter();
    let units = files.filter(|path| path.extension().is_some_and(|extension| extension == "service"));
    let texts = units.filter_map(|path| Some((files::read_text(&path).ok()?, path)));
    let named = texts.filter(|(text, _)| ends.iter().any(|end| text.contains(end)));
    named.map(|(text, path)| (path, text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing;
    use crate::machine::Machine;

    #[test]
    fn podman_needs_a_unit_that_names_the_folder() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["run/systemd/system", "etc/systemd/system", "shop"] {
            fs_err::create_dir_all(root.path().join(folder)).unwrap();
        }
        let deployment = testing::deployment(&root.path().join("shop"));
        let podman = testing::Podman::new("");
        let machine = Machine::of(root.path(), &[]);
        let containers = Containers { machine: &machine, ..podman.containers(&deployment) };
        let commands = containers.missing_boot_unit().unwrap();
        assert_eq!(commands[1], "systemctl enable shop-small");
        // The commands, as a shell runs them.
        let unit = root.path().join("etc/systemd/system/shop-small.service");
        let script = commands[0].replace("/etc/systemd/system/shop-small.service", unit.to_str().unwrap());
        assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success());
        let text = fs_err::read_to_string(&unit).unwrap();
        let folder = deployment.folder.display();
        assert!(text.contains(&format!("\nExecStart=\"{folder}/sealift\" up --directory \"{folder}\"\n")), "{text}");
        assert_eq!(containers.missing_boot_unit(), None);
    }
    #[test]
    fn scheduled_services_need_a_timer_for_their_times() {
        let root = tempfile::tempdir().unwrap();
        let units = root.path().join("etc/systemd/system");
        for folder in ["run/systemd/system", "etc/systemd/system", "a 100% b"] {
            fs_err::create_dir_all(root.path().join(folder)).unwrap();
        }
        let mut deployment = testing::deployment(&root.path().join("a 100% b"));
        let podman = testing::Podman::new("");
        let machine = Machine::of(root.path(), &[]);
        let schedule = |deployment: &mut crate::host::Deployment, event: &str| {
            let services = &mut deployment.profile.model.services;
            services.get_mut("shop-database").unwrap().run =
                crate::profile::model::Running::Schedule(toml::Spanned::new(0..0, event.to_owned()));
        };
        let commands = |deployment: &crate::host::Deployment| {
            Containers { machine: &machine, ..podman.containers(deployment) }.missing_timers()
        };
        assert_eq!(commands(&deployment), None);
        schedule(&mut deployment, "Mon *-*-* 03:00");
        // Without systemd, something else has to run it: nobody said so.
        let without = Machine::of(&root.path().join("etc"), &[]);
        let unscheduled = Containers { machine: &without, ..podman.containers(&deployment) }.unscheduled();
        assert!(
            unscheduled[0].starts_with("Mon *-*-* 03:00: ") && unscheduled[0].contains("run-scheduled shop-database")
        );
        assert!(Containers { machine: &machine, ..podman.containers(&deployment) }.unscheduled().is_empty());
        let wanted = commands(&deployment).unwrap();
        // The commands, as a shell runs them.
        let script = wanted[..2].join("\n").replace("/etc/systemd/system", units.to_str().unwrap());
        assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success());
        assert_eq!(commands(&deployment), None);
        // Its unit is not the one for each boot.
        assert!(Containers { machine: &machine, ..podman.containers(&deployment) }.missing_boot_unit().is_some());
        schedule(&mut deployment, "daily");
        assert!(commands(&deployment).is_some());
        let shown = wanted.join("\n").replace(root.path().to_str().unwrap(), "/srv");
        insta::assert_snapshot!(shown, @r#"
        printf '%s\n' '[Unit]' 'After=shop-small.service' '[Service]' 'Type=oneshot' \
            'ExecStart="/srv/a 100%% b/sealift" run-scheduled shop-database --directory "/srv/a 100%% b"' \
            >/etc/systemd/system/shop-small-shop-database.service
        printf '%s\n' '[Timer]' 'OnCalendar=Mon *-*-* 03:00' 'Persistent=true' \
            '[Install]' 'WantedBy=timers.target' >/etc/systemd/system/shop-small-shop-database.timer
        systemctl daemon-reload
        systemctl enable shop-small-shop-database.timer && systemctl restart shop-small-shop-database.timer
        "#);
    }
}
