//! The operator's README of a bundle without containers. Every step is a command that can be typed as it is.

use super::paths::{FOLDER, health_path, one_line, run_path, task_path, timer_path, unit_path};
use crate::profile::model::{Model, On};
use crate::profile::names::project_name;
use crate::render::markdown;

/// The text of `README.md` (Markdown). `bundle` is the bundle's file name; `program` is whether the bundle contains the
/// program; `notes` is the text of the profile's own readme file, or empty.
#[must_use]
pub fn render(model: &Model, bundle: &str, program: bool, notes: &str) -> String {
    let mut parts = vec![head(model, bundle), contents(model), start(model, bundle), by_hand(model), site(model)];
    parts.extend([operation(model), troubleshooting(model), notes.trim().to_owned()]);
    parts.retain(|part| !part.is_empty());
    let text = parts.join("\n\n") + "\n";
    if program { text } else { text.replace(PROGRAM_ROW, "").replace("./sealift ", "sealift ") }
}

/// The line about the program in the table of contents.
const PROGRAM_ROW: &str = "| `sealift` | the program that makes `site/` and starts the services |\n";

fn head(model: &Model, bundle: &str) -> String {
    let mut text = format!("# {}, version {}\n\n", markdown::text(one_line(&model.title)), model.version.get_ref());
    if !model.description.trim().is_empty() {
        text += &format!("{}\n\n", model.description.trim());
    }
    text += &format!(
        "This is the bundle `{bundle}`. The host needs no network, no container engine and no Python: the programs are in\n\
         `root/` with all their libraries, including the C library. They run on any Linux of the same architecture. To run\n\
         them as services, the host needs systemd 247 or newer."
    );
    text
}

fn contents(model: &Model) -> String {
    let mut text = "\
## Contents

| file | content |
| --- | --- |
"
    .to_owned();
    for (name, service) in &model.services {
        let name = name.get_ref();
        text += &format!(
            "| `{}` | {}: runs it in the foreground |\n",
            run_path(name),
            markdown::text(one_line(&service.title))
        );
        if let Some(event) = service.schedule() {
            text += &format!("| `{}` | runs it at these times: `{}` |\n", timer_path(name), event.get_ref());
        }
        if service.health.is_some() {
            text += &format!("| `{}` | health check: exits with 0 when the service is healthy |\n", health_path(name));
        }
        text += &format!("| `{}` | its systemd unit |\n", unit_path(name));
    }
    for (name, task) in model.tasks.iter().filter(|(_, task)| task.request.is_none()) {
        text += &format!("| `{}` | {} |\n", task_path(name.get_ref()), markdown::text(one_line(&task.title)));
    }
    text + "\
| `lib/` | shared parts of these programs |
| `root/` | Python, the libraries and the program |
| `site/` | certificates, secrets and settings of this installation, after the first start |
| `profile/` | the description of this deployment, and the templates of `site/` |
" + PROGRAM_ROW
        + "\
| `sbom/` | what is in it, for scanners: packages with versions and licenses; the texts of the licenses |
| `SHA256SUMS`, `LINKS` | digests of all files; targets of all symbolic links |"
}

fn start(model: &Model, bundle: &str) -> String {
    let project = project_name(model);
    let migrations = match model.tasks.values().any(|task| task.on == Some(On::Up)) {
        true => "; each start first runs the start tasks, such as database migrations",
        false => "",
    };
    format!(
        "\
## First start

Run these steps as root, on a host with systemd:

1. Unpack the bundle into a directory of its own that all users may enter, and run all commands there. `/home`, `/root` and
   `/tmp` are hidden from the services.

       mkdir -p /opt/{project}
       cd /opt/{project}
       tar xf PATH/{bundle}

2. Check the files. The output is `whole`; if there is other output, copy the bundle again. `./sealift verify .` also finds
   files that were added.

       sha256sum --quiet -c SHA256SUMS && echo whole

3. Start the services. Replace `HOST` with the name or address that users connect to, without `https://` and without a port.

       ./sealift up --host HOST

   `up` makes the certificates and secrets of this installation in `site/`, installs the units in `/etc/systemd/system`, and
   starts the services{migrations}.
   If it reports missing settings, edit them and run it again. It ends when all services are healthy.

It is always safe to run `./sealift up` again: it applies changes."
    )
}

fn by_hand(model: &Model) -> String {
    let mut text = "\
## By hand

As any user, without systemd. The programs find their files relative to themselves, so the directory may be anywhere.

       ./sealift site new site --host HOST
"
    .to_owned();
    for (name, task) in &model.tasks {
        if task.on == Some(On::Up) {
            text += &format!("       {}\n", task_path(name.get_ref()));
        }
    }
    for name in model.services.keys() {
        text += &format!("       {}\n", run_path(name.get_ref()));
    }
    text += "
Ctrl-C or SIGTERM stops a service. Run all these commands as the same user, who has to be able to read `site/`.

With systemd, these commands do the same as `up`, as root:

       ./sealift site new site --host HOST
";
    for name in model.services.keys() {
        let (name, unit) = (name.get_ref(), unit_path(name.get_ref()));
        text += &format!("       sed \"s|{FOLDER}|$PWD|g\" {unit} > /etc/systemd/system/{name}.service\n");
    }
    text += "       systemctl daemon-reload\n";
    for name in model.services.keys() {
        text += &format!("       systemctl enable --now {}\n", name.get_ref());
    }
    text.trim_end().to_owned()
}

fn site(model: &Model) -> String {
    let mut text = "\
## Certificates, secrets, settings

`site/` holds the secrets of this installation: without it, stored data may be unreadable. Keep a copy in a safe place. This
command makes missing files, and keeps all valid ones:

       ./sealift site new site

Settings are in the files `site/env/*.env`, which a service reads when it starts. Edited files are not overwritten. In their
values, `/run/secrets/NAME` is the file NAME of the site. systemd reads `site/` as root and passes copies of its files to each
service, so all files can belong to root with no permissions for others."
        .to_owned();
    if model.site.authority.is_some() {
        text += "

- `site/custom-ca.crt` is the authority that signs the certificates. Give it to users: their programs have to trust it.
  It may sign for the names and addresses of this site only.
- `site/custom-ca.key` is the key of the authority. It is needed only to sign certificates, and can be kept elsewhere:
  `--authority-key FILE` names it.
- The same command renews certificates with less than a fifth of their lifetime left. Run it every month, with
  `site/custom-ca.key` in its place, and restart the services when it replaced a file. Before the authority itself ends,
  `./sealift site renew --authority` makes a new one: give it to users in time.
- To use certificates of your own, put them into `site/tls/` under the same names; they are not replaced.";
    }
    if !model.site.ports.is_empty() {
        text += "\n\nPorts:\n";
        for (name, port) in &model.site.ports {
            text += &format!("\n- `{name}`: {}", port.default);
        }
        text += "\n\nTo use another port: `./sealift up --port NAME=NUMBER`.";
        if let Some(name) = model.services.keys().next() {
            text += &format!(
                " For a port below 1024, the service needs one more permission:\n`systemctl edit {}`, with these lines:\n
       [Service]
       CapabilityBoundingSet=CAP_NET_BIND_SERVICE
       AmbientCapabilities=CAP_NET_BIND_SERVICE
       PrivateUsers=no",
                name.get_ref()
            );
        }
    }
    text
}

fn operation(model: &Model) -> String {
    let service =
        model.services.keys().next().map_or_else(|| "SERVICE".to_owned(), |service| service.get_ref().clone());
    let tasks = if model.tasks.is_empty() { "" } else { "| list the tasks | `./sealift task` |\n" };
    format!(
        "\
## Daily operation

| purpose | command |
| --- | --- |
| show the state | `./sealift status`, `systemctl status {service}` |
| check everything | `./sealift doctor` |
| print the log | `./sealift logs {service}`, `journalctl -u {service}` |
| restart, after a change in `site/` | `systemctl restart {service}` |
| stop, and do not start at boot | `./sealift down` |
| start | `./sealift up` |
{tasks}
To upgrade, unpack the new bundle into another directory, check it, copy `site/` from the old directory, and run
`./sealift up` in the new one. The units then use the new directory. The old one can be removed, or be started again in the same
way if the data allows it. After moving a directory, run `./sealift up` in its new place.

To change a unit, use a drop-in (`systemctl edit {service}`): `up` overwrites the unit itself. Each service runs as a temporary
user of its own, which may only use the network and write to its log: `systemd-analyze security {service}` shows the details."
    )
}

fn troubleshooting(model: &Model) -> String {
    let service =
        model.services.keys().next().map_or_else(|| "SERVICE".to_owned(), |service| service.get_ref().clone());
    format!(
        "\
## Troubleshooting

- A service does not become healthy: its log has the reason. systemd restarts it until it works.
- `cannot read ... of the site`: there is no `site/` yet, or it belongs to another user.
- `status=203/EXEC`: the directory was moved, or its file system is mounted with `noexec`. Run `./sealift up` again.
- `status=243/CREDENTIALS`: a file of `site/` is missing. `./sealift site new site` makes it.
- `address already in use`: another program uses the port. `ss -ltnp` shows which one; to use another port, see above.
- `Operation not permitted` in a service: its sandbox may be the cause. If `{}` works by hand, relax the sandbox with
  `systemctl edit {service}`.
- The host's `/etc/nsswitch.conf` and `/etc/resolv.conf` decide how host names are resolved.",
        run_path(&service)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::systemd::tests::sample;

    #[test]
    fn the_sample_as_operators_read_it() {
        let notes = "## First steps in the shop\n\nOpen it.\n\n";
        insta::assert_snapshot!(render(&sample(), "shop-bare-1.2.0-linux-amd64.tar.gz", true, notes));
    }

    #[test]
    fn without_the_program_commands_use_the_one_in_the_path() {
        let text = render(&sample(), "x.tar.gz", false, "");
        assert!(text.contains("sealift up --host HOST") && !text.contains("./sealift"), "{text}");
    }
}
