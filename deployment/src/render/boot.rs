//! The commands that make units of systemd on the host: one that runs `sealift up` at each boot, since podman does not start
//! containers by itself then, and timers of scheduled services.

use super::compose::quoted;

/// Whose systemd runs the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// That of root.
    System,
    /// That of an ordinary user, who has to linger: it then runs from boot on.
    User,
}

/// The folders of units.
const SYSTEM_UNITS: &str = "/etc/systemd/system";
const USER_UNITS: &str = "~/.config/systemd/user";

/// The command of the program that runs a scheduled service.
pub const RUN_SCHEDULED: &str = "run-scheduled";

/// The commands of the unit for each boot, one or more lines each. `unit` is the unit's name, and `start` the word of the shell for its line
/// `ExecStart=`.
///
/// The unit is repeated until it succeeds: what the services need from other hosts may come later. It stays active, so that
/// stopping it has no effect on the services.
#[must_use]
pub fn commands(unit: &str, start: &str, manager: Manager) -> Vec<String> {
    let (folder, target) = match manager {
        Manager::System => (SYSTEM_UNITS, "multi-user.target"),
        Manager::User => (USER_UNITS, "default.target"),
    };
    let write = format!(
        "printf '%s\\n' '[Unit]' 'Wants=network-online.target' 'After=network-online.target' \\\n    \
         '[Service]' 'Type=oneshot' 'RemainAfterExit=yes' 'Restart=on-failure' 'RestartSec=30' \\\n    \
         'TimeoutStartSec=600' {start} \\\n    \
         '[Install]' 'WantedBy={target}' >{folder}/{unit}.service"
    );
    match manager {
        Manager::System => vec![write, format!("systemctl enable {unit}")],
        Manager::User => vec![
            format!("mkdir -p {folder}"),
            write,
            format!("systemctl --user enable {unit}"),
            "loginctl enable-linger".to_owned(),
        ],
    }
}

/// The word of the shell for a unit that starts the deployment in `folder` with `program`, two absolute paths.
#[must_use]
pub fn start(program: &str, folder: &str) -> String {
    exec_start(program, "up", folder)
}

/// As [`start`], for a unit that runs the scheduled service `service` now.
#[must_use]
pub fn start_scheduled(program: &str, folder: &str, service: &str) -> String {
    exec_start(program, &format!("{RUN_SCHEDULED} {service}"), folder)
}

fn exec_start(program: &str, command: &str, folder: &str) -> String {
    // systemd.service(5), "Command lines": quotes, backslashes, specifiers and variables.
    let escaped = |path: &str| {
        let path = path.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
        format!("\"{}\"", path.replace('$', "$$"))
    };
    quoted(&format!("ExecStart={} {command} --directory {}", escaped(program), escaped(folder)))
}

/// A scheduled service whose timer is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Timer<'a> {
    /// The name of its unit and of the timer.
    pub unit: &'a str,
    /// The unit that starts all services at boot.
    pub after: &'a str,
    /// The calendar event.
    pub event: &'a str,
    /// The word of the shell for its line `ExecStart=`.
    pub start: &'a str,
}

/// The commands that make timers, one or more lines each. A run that was missed while the host was off is made up for.
#[must_use]
pub fn timers(timers: &[Timer<'_>], manager: Manager) -> Vec<String> {
    let (folder, systemctl) = match manager {
        Manager::System => (SYSTEM_UNITS, "systemctl"),
        Manager::User => (USER_UNITS, "systemctl --user"),
    };
    let mut commands = Vec::new();
    if manager == Manager::User {
        commands.push(format!("mkdir -p {folder}"));
    }
    for Timer { unit, after, event, start } in timers {
        commands.push(format!(
            "printf '%s\\n' '[Unit]' 'After={after}.service' '[Service]' 'Type=oneshot' \\\n    {start} \\\n    \
             >{folder}/{unit}.service"
        ));
        commands.push(format!(
            "printf '%s\\n' '[Timer]' 'OnCalendar={event}' 'Persistent=true' \\\n    \
             '[Install]' 'WantedBy=timers.target' >{folder}/{unit}.timer"
        ));
    }
    let units: Vec<String> = timers.iter().map(|timer| format!("{}.timer", timer.unit)).collect();
    commands.push(format!("{systemctl} daemon-reload"));
    commands.push(format!("{systemctl} enable {0} && {systemctl} restart {0}", units.join(" ")));
    if manager == Manager::User {
        commands.push("loginctl enable-linger".to_owned());
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_an_ordinary_user() {
        let commands = commands("shop-small", &start("/srv/a 100% b/sealift", "/srv/a 100% b"), Manager::User);
        insta::assert_snapshot!(commands.join("\n"), @r#"
        mkdir -p ~/.config/systemd/user
        printf '%s\n' '[Unit]' 'Wants=network-online.target' 'After=network-online.target' \
            '[Service]' 'Type=oneshot' 'RemainAfterExit=yes' 'Restart=on-failure' 'RestartSec=30' \
            'TimeoutStartSec=600' 'ExecStart="/srv/a 100%% b/sealift" up --directory "/srv/a 100%% b"' \
            '[Install]' 'WantedBy=default.target' >~/.config/systemd/user/shop-small.service
        systemctl --user enable shop-small
        loginctl enable-linger
        "#);
    }
}
