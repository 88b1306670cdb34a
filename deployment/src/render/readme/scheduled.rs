//! The chapter about scheduled services of the operator's README.

use super::super::boot::{self, Manager, RUN_SCHEDULED, Timer};
use crate::profile::model::Model;
use crate::profile::names::project_name;

/// The scheduled services, their times, and the timers that the host needs; empty for a profile that has none.
pub(super) fn chapter(model: &Model) -> String {
    let scheduled = model.scheduled();
    if scheduled.is_empty() {
        return String::new();
    }
    let rows: String = scheduled
        .iter()
        .map(|(name, event)| {
            format!(
                "| `{name}` | `{event}` | `./sealift {RUN_SCHEDULED} {name}` | `podman-compose run --rm {name}` |\n"
            )
        })
        .collect();
    let project = project_name(model);
    let names: Vec<(String, String)> = scheduled
        .iter()
        .map(|(name, _)| {
            let start = format!(r#""ExecStart=\"$PWD/sealift\" {RUN_SCHEDULED} {name} --directory \"$PWD\"""#);
            (format!("{project}-{name}"), start)
        })
        .collect();
    let timers = scheduled.iter().zip(&names);
    let timers = timers.map(|((_, event), (unit, start))| Timer { unit, after: &project, event, start });
    let timers: Vec<Timer<'_>> = timers.collect();
    let shell = |manager| format!("    {}", boot::timers(&timers, manager).join("\n").replace('\n', "\n    "));
    format!(
        "\
## Services that run at times

| service | times (systemd.time(7)) | run it now | by hand |
| --- | --- | --- | --- |
{rows}
`up` makes their containers. Timers of systemd start them: once, as root, in this directory:

{}

With podman as an ordinary user, as that user:

{}

On a host without systemd, have cron run `./sealift {RUN_SCHEDULED} NAME --directory $PWD` with the path of this directory.
`./sealift status` and `./sealift doctor` show how the last run ended; `doctor` also finds missing timers.",
        shell(Manager::System),
        shell(Manager::User)
    )
}

#[cfg(test)]
mod tests {
    use toml::Spanned;

    use super::*;
    use crate::profile::model::Running;
    use crate::profile::sample;

    #[test]
    fn operators_see_the_times_and_how_to_make_timers() {
        let mut model = sample();
        assert_eq!(chapter(&model), "");
        model.services.get_mut("shop-database").unwrap().run =
            Running::Schedule(Spanned::new(0..0, "Mon 03:00".into()));
        assert_eq!(crate::render::compose::services_for_podman(&model), " shop-web");
        insta::assert_snapshot!(chapter(&model), @r#"
        ## Services that run at times

        | service | times (systemd.time(7)) | run it now | by hand |
        | --- | --- | --- | --- |
        | `shop-database` | `Mon 03:00` | `./sealift run-scheduled shop-database` | `podman-compose run --rm shop-database` |

        `up` makes their containers. Timers of systemd start them: once, as root, in this directory:

            printf '%s\n' '[Unit]' 'After=shop-small.service' '[Service]' 'Type=oneshot' \
                "ExecStart=\"$PWD/sealift\" run-scheduled shop-database --directory \"$PWD\"" \
                >/etc/systemd/system/shop-small-shop-database.service
            printf '%s\n' '[Timer]' 'OnCalendar=Mon 03:00' 'Persistent=true' \
                '[Install]' 'WantedBy=timers.target' >/etc/systemd/system/shop-small-shop-database.timer
            systemctl daemon-reload
            systemctl enable shop-small-shop-database.timer && systemctl restart shop-small-shop-database.timer

        With podman as an ordinary user, as that user:

            mkdir -p ~/.config/systemd/user
            printf '%s\n' '[Unit]' 'After=shop-small.service' '[Service]' 'Type=oneshot' \
                "ExecStart=\"$PWD/sealift\" run-scheduled shop-database --directory \"$PWD\"" \
                >~/.config/systemd/user/shop-small-shop-database.service
            printf '%s\n' '[Timer]' 'OnCalendar=Mon 03:00' 'Persistent=true' \
                '[Install]' 'WantedBy=timers.target' >~/.config/systemd/user/shop-small-shop-database.timer
            systemctl --user daemon-reload
            systemctl --user enable shop-small-shop-database.timer && systemctl --user restart shop-small-shop-database.timer
            loginctl enable-linger

        On a host without systemd, have cron run `./sealift run-scheduled NAME --directory $PWD` with the path of this directory.
        `./sealift status` and `./sealift doctor` show how the last run ended; `doctor` also finds missing timers.
        "#);
    }
}
