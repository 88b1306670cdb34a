//! The operator's README of a bundle without containers. As the other one, every step is a command that can be typed as
//! it stands.

use super::{FOLDER, health_path, one_line, run_path, task_path, unit_path};
use crate::profile::model::{Model, On};
use crate::profile::names::project_name;

/// The text of `README.md` (Markdown). `bundle` is the bundle's file name; `program` tells whether it brings the program
/// along; `notes` is the text of the profile's own readme file, or nothing.
#[must_use]
pub fn render(model: &Model, bundle: &str, program: bool, notes: &str) -> String {
    let mut parts = vec![head(model, bundle), contents(model), start(model, bundle), by_hand(model), site(model)];
    parts.extend([operation(model), trouble(model), notes.trim().to_owned()]);
    parts.retain(|part| !part.is_empty());
    let text = parts.join("\n\n") + "\n";
    if program { text } else { text.replace(PROGRAM_ROW, "").replace("./sealift ", "sealift ") }
}

/// The line about the program in the table of contents.
const PROGRAM_ROW: &str = "| `sealift` | the program that makes `site/` and starts the services |\n";

fn head(model: &Model, bundle: &str) -> String {
    let mut text = format!("# {}, version {}\n\n", one_line(&model.title), model.version.get_ref());
    if !model.description.trim().is_empty() {
        text += &format!("{}\n\n", model.description.trim());
    }
    text += &format!(
        "This comes from the bundle `{bundle}`. The host needs no network, no container engine, and no Python: what runs \
         is\nbelow `root/`, with its own libraries down to the C library, so that any Linux of the same architecture \
         will do. To run\nit as a service it needs systemd 247 or newer."
    );
    text
}

fn contents(model: &Model) -> String {
    let mut text = "\
## What is inside

| file | what it is |
| --- | --- |
"
    .to_owned();
    for (name, service) in &model.services {
        let name = name.get_ref();
        text += &format!("| `{}` | {}: runs in the foreground |\n", run_path(name), one_line(&service.title));
        if service.health.is_some() {
            text += &format!("| `{}` | exits with 0 when it is well |\n", health_path(name));
        }
        text += &format!("| `{}` | the same as a service of systemd |\n", unit_path(name));
    }
    for (name, task) in &model.tasks {
        text += &format!("| `{}` | {} |\n", task_path(name.get_ref()), one_line(&task.title));
    }
    text + "\
| `lib/` | what these programs have in common |
| `root/` | Python, the libraries and the program |
| `site/` | certificates, secrets and settings of this installation, once they are made |
| `profile/` | what `site/` is made from |
" + PROGRAM_ROW
        + "\
| `SHA256SUMS`, `LINKS` | digests of all files; where all symbolic links lead |"
}

fn start(model: &Model, bundle: &str) -> String {
    let project = project_name(model);
    let migrations = match model.tasks.values().any(|task| task.on == Some(On::Up)) {
        true => ", which at each start first bring up to date what they need",
        false => "",
    };
    format!(
        "\
## First start

As root, with systemd:

1. Unpack the bundle in a directory of its own that everybody may enter, and stay there for all that follows. Services see
   neither `/home` nor `/root` nor `/tmp`.

       mkdir -p /opt/{project}
       cd /opt/{project}
       tar xf PATH/{bundle}

2. Check that it is whole. This prints `whole` and nothing else; otherwise copy the bundle again.

       sha256sum --quiet -c SHA256SUMS && echo whole

3. Start. In the place of `HOST` write the name or the address that users reach this host by, without `https://` and
   without a port.

       ./sealift up --host HOST

   This makes the certificates and secrets of this installation in `site/`, puts the units into `/etc/systemd/system`, and
   starts the services{migrations}. When it says that something is still missing, fill that in and run it again. It ends
   when all is well.

Running it again does no harm, and is what brings changes about."
    )
}

fn by_hand(model: &Model) -> String {
    let mut text = "\
## By hand

As anybody, without systemd: the programs find everything from their own place, so the directory may be anywhere.

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
A service ends with Ctrl-C, or when it is sent SIGTERM. Whoever runs it must be able to read `site/`: run all of these as
the same user.

With systemd, what `up` does is this, as root:

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

`site/` is this installation: without it, what is stored may be of no use any more. Keep a copy in a safe place. Making
it again keeps all that is there and valid:

       ./sealift site new site

Settings are the files `site/env/*.env`. A service reads them when it starts; one that was edited stays as it is from then
on. In their values, `/run/secrets/NAME` stands for the file of that name of the site, wherever the service finds it.
systemd reads `site/` as root and hands each service copies of the files that are its own: so all of it may belong to
root alone."
        .to_owned();
    if model.site.authority.is_some() {
        text += "

- `site/custom-ca.crt` is the authority that signs the certificates. Give it to users: their programs have to trust it.
- `site/custom-ca.key` can sign in its name. It is needed only for that, so it can be kept elsewhere in between.
- A certificate is renewed by that same command when less than a fifth of its life is left. Run it each month, with
  `site/custom-ca.key` in its place, and restart the services when it has replaced something.
- Certificates of your own go into `site/tls/` under the same names; they are not replaced.";
    }
    if !model.site.ports.is_empty() {
        text += "\n\nPorts:\n";
        for (name, port) in &model.site.ports {
            text += &format!("\n- `{name}`: {}", port.default);
        }
        text += "\n\nAnother one is chosen with `./sealift up --port NAME=NUMBER`.";
        if let Some(name) = model.services.keys().next() {
            text += &format!(
                " Below 1024 a service needs one more permission:\n`systemctl edit {}`, and there\n
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
    format!(
        "\
## Day by day

| | |
| --- | --- |
| how it is | `./sealift status`, `systemctl status {service}` |
| its log | `./sealift logs {service}`, `journalctl -u {service}` |
| restart, after a change in `site/` | `systemctl restart {service}` |
| stop, and not start again at boot | `./sealift down` |
| start again | `./sealift up` |
| what else can be done | `./sealift task` |

A new version: unpack its bundle in another directory, check it, copy `site/` over, and run `./sealift up` there. The
units then lead to the new directory; the old one can be removed, or be gone back to in the same way as long as what the
services keep elsewhere allows that. A directory that is moved is started by `./sealift up` from its new place.

Changes to a unit belong into a drop-in (`systemctl edit {service}`): `up` writes the unit itself anew. Each service has a
user of its own only while it runs, and may do nothing but use the network and write to its log:
`systemd-analyze security {service}` tells all of it."
    )
}

fn trouble(model: &Model) -> String {
    let service =
        model.services.keys().next().map_or_else(|| "SERVICE".to_owned(), |service| service.get_ref().clone());
    format!(
        "\
## When it does not work

- A service that does not become well says why in its log. systemd starts it again until it works.
- `... of the site cannot be read`: there is no `site/` yet, or it belongs to somebody else.
- `status=203/EXEC`: the directory was moved, or is on a file system that is mounted `noexec`. Run `./sealift up` again.
- `status=243/CREDENTIALS`: a file of `site/` is missing; `./sealift site new site` makes it again.
- `address already in use`: another program has the port; see above for another one, or
  `ss -ltnp` for which it is.
- `Operation not permitted` in a service only: its sandbox. `systemctl edit {service}` can loosen it; running
  `{}` by hand shows whether it is that.
- Names of hosts are looked up as the host's `/etc/nsswitch.conf` and `/etc/resolv.conf` say.",
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
    fn without_the_program_another_one_is_called() {
        let text = render(&sample(), "x.tar.gz", false, "");
        assert!(text.contains("sealift up --host HOST") && !text.contains("./sealift"), "{text}");
    }
}
