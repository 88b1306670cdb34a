//! The commands that have `sealift up` run at each boot: podman does not start containers by itself then.

use super::compose::quoted;

/// Whose systemd runs the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// That of root.
    System,
    /// That of an ordinary user, who has to linger: it then runs from boot on.
    User,
}

/// The commands, one or more lines each. `unit` is the unit's name, and `start` the word of the shell for its line
/// `ExecStart=`.
///
/// The unit is repeated until it succeeds: what the services need from other hosts may come later. It stays active, so that
/// stopping it has no effect on the services.
#[must_use]
pub fn commands(unit: &str, start: &str, manager: Manager) -> Vec<String> {
    let (folder, target) = match manager {
        Manager::System => ("/etc/systemd/system", "multi-user.target"),
        Manager::User => ("~/.config/systemd/user", "default.target"),
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
    // systemd.service(5), "Command lines": quotes, backslashes, specifiers and variables.
    let escaped = |path: &str| {
        let path = path.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
        format!("\"{}\"", path.replace('$', "$$"))
    };
    quoted(&format!("ExecStart={} up --directory {}", escaped(program), escaped(folder)))
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
