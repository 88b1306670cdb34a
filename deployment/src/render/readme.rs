//! The operator's README of a bundle.
//!
//! It is read on a host with no network, perhaps at two in the morning: every step is a command that can be typed as it
//! stands, and what is seen when it has worked.

use sealift_layers::codec::Codec;

use crate::profile::model::{Model, Run};
use crate::profile::names::{bundle_file, image_name, project_name};

/// The text of `README.md` (Markdown).
///
/// `platform` is as OCI writes it (`linux/amd64`); `images` are the names of those in the bundle, as the profile has
/// them; `program` tells whether it brings the program along; `notes` is the text of the profile's own readme file, or
/// nothing.
#[must_use]
pub fn render(model: &Model, platform: &str, images: &[&str], program: bool, notes: &str) -> String {
    let mut parts = vec![head(model, platform), start(model, platform), commands(model), tasks(model), reach(model)];
    parts.extend([site(model), data(model), upgrade(model), trouble(model), by_hand(model, platform)]);
    parts.push(contents(model, images));
    parts.push(notes.trim().to_owned());
    parts.retain(|part| !part.is_empty());
    let text = parts.join("\n\n") + "\n";
    if program { text } else { text.replace(PROGRAM_ROW, "").replace("./sealift ", "sealift ") }
}

/// The line about the program in the table of contents.
const PROGRAM_ROW: &str = "| `sealift` | the program that does all of this: `./sealift help` |\n";

fn head(model: &Model, platform: &str) -> String {
    let title = model.title.lines().next().unwrap_or_default();
    let mut text = format!("# {title}, version {}\n\n", model.version.get_ref());
    if !model.description.trim().is_empty() {
        text += &format!("{}\n\n", model.description.trim());
    }
    text += &format!(
        "This comes from the bundle `{}`, made for {platform}. The host needs podman or Docker, and nothing else: \
         no compose, no network.\n\n\
         Under podman, run all commands as the same user, root or not: each user has its own images and data.",
        bundle_file(model, platform, Codec::None)
    );
    text
}

fn contents(model: &Model, images: &[&str]) -> String {
    let mut text = "\
## What is inside

| file | what it is |
| --- | --- |
| `compose.yaml` | how the services run together, for the way by hand with compose; not to be edited |
| `.env` | addresses and ports on this host |
| `site/` | certificates, secrets and settings of this installation, once they are made |
| `profile/` | what `site/` is made from |
| `sealift` | the program that does all of this: `./sealift help` |
| `SHA256SUMS` | digests of all files |
| the rest | the images, which podman and Docker load from the bundle itself |

The images:
"
    .to_owned();
    for name in images {
        let title = model.images.iter().find(|(key, _)| key.get_ref() == name).map_or("", |(_, image)| &image.title);
        text += &format!("\n- `{}`: {title}", image_name(model, name));
    }
    text += "\n\nThe services:\n";
    for (name, service) in &model.services {
        text += &format!("\n- `{}`: {}", name.get_ref(), service.title);
    }
    text
}

fn start(model: &Model, platform: &str) -> String {
    let (bundle, project) = (bundle_file(model, platform, Codec::None), project_name(model));
    let mut text = format!(
        "\
## First start

Unpack the bundle in a directory of its own, and stay there for all that follows. In the place of `HOST` write the name or
the address that users reach this host by, without `https://` and without a port.

       mkdir {project} && cd {project} && tar xf ../{bundle}
       ./sealift up --host HOST

This checks the bundle and the host, makes certificates and secrets in `site/`, loads the images, and starts the services
one after another. When it ends, all of them are healthy, and it prints where they are reached. When something stands in the
way, it says all of it, with a hint each, and nothing is changed. `./sealift up` again goes on from where it was; it never
does harm, and restarts only what has changed."
    );
    let ports = &model.site.ports;
    if let Some((name, _)) = ports.get_key_value("https").or_else(|| ports.first_key_value()) {
        text += &format!(
            "\n\nOther ports, for instance because an ordinary user may not take those below 1024:\n\n       \
             ./sealift up --host HOST --port {name}=NUMBER"
        );
    }
    text
}

fn commands(model: &Model) -> String {
    let service = model.services.keys().next().map_or("SERVICE", |service| service.get_ref().as_str());
    format!(
        "\
## Day by day

| command | what it does |
| --- | --- |
| `./sealift status` | shows the services, their health, and whether they are what is here |
| `./sealift doctor` | examines everything: services, certificates, disk, ports, secrets; says what to do |
| `./sealift logs {service}` | shows the log of a service; `--follow` goes on |
| `./sealift up` | starts what is not running; takes changes in `.env` and `site/` into use |
| `./sealift down` | stops all; the data stays |
| `./sealift site renew` | renews certificates that end soon |
| `./sealift task` | lists what else it can do: below |

After a reboot, Docker starts the services by itself. podman does not: run `./sealift up`, or have root run \
         `systemctl enable podman-restart`. Under podman as an ordinary user, `loginctl enable-linger` keeps the services \
         running when that user logs out."
    )
}

/// The tasks, with the way by hand.
fn tasks(model: &Model) -> String {
    if model.tasks.is_empty() {
        return String::new();
    }
    let mut text = "## Tasks\n\n| command | what it does | by hand |\n| --- | --- | --- |\n".to_owned();
    for (name, task) in &model.tasks {
        let arguments: String =
            task.arguments.iter().map(|argument| format!(" {}", argument.get_ref().to_uppercase())).collect();
        let (name, service, command) = (name.get_ref(), task.service.get_ref(), task.command.join(" "));
        let hand = match task.run {
            Run::Once => format!("podman-compose run --rm {service} {command}{arguments}"),
            Run::Exec => format!("podman exec {}_{service} {command}{arguments}", project_name(model)),
        };
        let note = if task.on.is_some() { "; `up` does it by itself" } else { "" };
        text += &format!("| `./sealift task {name}{arguments}` | {}{note} | `{hand}` |\n", task.title);
    }
    text.trim_end().to_owned()
}

/// The same without the program: with the engine and compose.
fn by_hand(model: &Model, platform: &str) -> String {
    let bundle = bundle_file(model, platform, Codec::None);
    let service = model.services.keys().next().map_or("SERVICE", |service| service.get_ref().as_str());
    let container = format!("{}_{service}", project_name(model));
    let mut text = format!(
        "\
## By hand

All of this can also be done with the engine and compose (`podman-compose`, `docker compose`), which finds what `up` made, and
the other way round. Where two commands stand below each other, the first is podman's
and the second Docker's. Where `docker compose` is not known, write `docker-compose`.

1. Check that the bundle is whole. This prints `whole` and nothing else; otherwise copy the bundle again.

       sha256sum --quiet -c SHA256SUMS && echo whole

2. Load the images. podman first unpacks to `/var/tmp`: without room for the whole bundle there, it complains of an
   unsupported format.

       podman load -i ../{bundle}
       docker load -i ../{bundle}

3. Make the certificates and secrets. When the bundle came with a directory `site`, leave out `--host HOST`: then it is
   only checked.

       ./sealift site new site --host HOST

   Do what its warnings say. One that is common: an ordinary user may not give a key to the group of its service, and
   the service cannot read it.

4. Start"
    );
    // What `up` runs by itself needs what its service depends on.
    let before: Vec<_> = model.tasks.values().filter(|task| task.on.is_some()).collect();
    if before.is_empty() {
        text += ".";
    } else {
        text += ": first what must be there, then the tasks that belong to a start, then all. When a task says that it \
                 cannot connect, what it needs is still starting: repeat it.\n";
        for task in before {
            let service = task.service.get_ref();
            for other in model.services.get(service.as_str()).iter().flat_map(|service| &service.depends_on) {
                text += &format!("\n       podman-compose up -d {}", other.get_ref());
            }
            text += &format!("\n       podman-compose run --rm {service} {}", task.command.join(" "));
        }
    }
    text += &format!(
        "

       podman-compose up -d
       docker compose up -d

5. Look. Within a minute each service is `Up`.

       podman ps -a
       docker ps -a

Logs (end with Ctrl-C), a restart, and the end of all of them. Never `down -v`: it deletes the data.

       podman logs -f {container}
       podman restart {container}
       podman-compose down

After a change in `.env` or `site/`, stop all and start again. A service that was made by hand is made anew by the next
`./sealift up`."
    );
    text
}

fn reach(model: &Model) -> String {
    if model.site.ports.is_empty() {
        return String::new();
    }
    let mut text = "## Where it is reached\n\n| name | address | port |\n| --- | --- | --- |\n".to_owned();
    for (name, port) in &model.site.ports {
        let address = match port.address.as_str() {
            "0.0.0.0" => "all of this host's",
            "127.0.0.1" => "127.0.0.1: only from this host",
            other => other,
        };
        text += &format!("| {name} | {address} | {} |\n", port.default);
    }
    text += "\n\
These are the defaults; `.env` says what holds here. Another number, for instance because rootless podman may not take
ports below 1024:

       ./sealift up --port NAME=NUMBER

Nothing else is reachable from outside.";
    text
}

fn site(model: &Model) -> String {
    let mut text = "\
## Certificates and secrets

`site/` is this installation: without it, what is stored may be of no use any more. Keep a copy in a safe place. No secret
is ever made anew while it is there.
"
    .to_owned();
    if !model.site.settings.is_empty() {
        text += "
- `site/settings.toml` has all that can be chosen, and first what has to be given, each with a comment. It is yours: no
  version writes it again. `./sealift up` checks it, says all that is missing or wrong, and takes changes into use.";
    }
    for (name, _) in model.site.certificates.iter().filter(|(_, certificate)| certificate.provided) {
        text += &format!(
            "
- `site/tls/{name}.crt` (the certificate, then intermediate ones) and `site/tls/{name}.key` are yours to bring and to renew.
  `./sealift up` checks them; `--self-signed` has them made instead, for trials."
        );
    }
    if model.site.authority.is_some() {
        text += match users_trust_authority(model) {
            true => {
                "
- `site/custom-ca.crt` is the authority that signs the certificates. Give it to users: their programs have to trust it."
            }
            false => {
                "
- `site/custom-ca.crt` is the authority of the certificates that the services show each other. Users need it only for a
  certificate that was made for trials."
            }
        };
        text += "
- `site/custom-ca.key` can sign in its name. It is needed only for that, so it can be kept elsewhere in between.
- Certificates are renewed by `./sealift site renew`, and by every `up`, when less than a fifth of their life is left.
  Run it each month, with `site/custom-ca.key` in its place, and `./sealift up` afterwards. `./sealift doctor` tells how
  many days are left.
- Certificates of your own go into `site/tls/` under the same names; they are not replaced.
";
    }
    text += "
- The services read files below `site/`; `compose.yaml` has which. One that was edited stays as it is from then on;\n  `./sealift up` takes it into use.";
    text
}

/// Whether users meet a certificate that the site's own authority signed.
fn users_trust_authority(model: &Model) -> bool {
    model.site.authority.is_some()
        && model.site.certificates.values().any(|certificate| certificate.host && !certificate.provided)
}

fn data(model: &Model) -> String {
    let volumes: Vec<String> = model
        .services
        .iter()
        .flat_map(|(service, spec)| spec.volumes.iter().map(move |(volume, path)| (service.get_ref(), volume, path)))
        .map(|(service, volume, path)| {
            format!("\n- `{}_{volume}`: of `{service}`, where it is `{path}`", project_name(model))
        })
        .collect();
    if volumes.is_empty() {
        return "## Data\n\nNo service keeps data on the host.".to_owned();
    }
    format!(
        "## Data\n\nIt is kept in volumes, which outlive containers and versions:\n{}\n\n\
         Their place on the disk is told by `podman volume inspect NAME` (`docker volume inspect NAME`). Never use \
         `down -v`: it deletes them.",
        volumes.concat()
    )
}

fn upgrade(model: &Model) -> String {
    let mut text = "\
## A new version, and backups

Unpack the new bundle in a directory of its own. Copy `.env` and `site/` over from the old one, and start it there. The
volumes are found by name; the old containers are stopped and made anew, and the old directory is no longer used.

       cp -a ../OLD/.env ../OLD/site .
       ./sealift up

Before that, and every day, keep a copy elsewhere of `.env`, `site/`"
        .to_owned();
    let volumes: Vec<&String> = model.services.values().flat_map(|service| service.volumes.keys()).collect();
    text += match volumes.len() {
        0 => ".",
        _ => {
            " and the data. A volume may only be copied while everything
is stopped; a database is dumped by its own tools while it runs."
        }
    };
    text
}

fn trouble(model: &Model) -> String {
    let mut text = "\
## When it does not work

`./sealift doctor` first: it says what is wrong, and mostly what to do.

- A service that is not `Up` says why in its logs. It is started again by itself until it works.
- `no such image`, `image not known`: the images are not loaded, or another user loaded them.
- `site/...` is not found: it has not been made. If an engine made empty directories in its place, remove `site` first,
  unless it holds secrets already.
- `permission denied` on a key or a secret: the group of the file, which `./sealift up` sets; under SELinux also
  `chcon -R -t container_file_t site`."
        .to_owned();
    if !model.site.ports.is_empty() {
        text += "\n- `address already in use`, `permission denied` on a port: choose another one, see above.";
    }
    if users_trust_authority(model) {
        text += "\n- Users see a warning about the certificate: they lack `site/custom-ca.crt`, or use another name \
                 than HOST.\n  `./sealift up --host NAME` changes it.";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::sample;

    #[test]
    fn the_sample_as_operators_read_it() {
        let notes = "## First steps in the shop\n\nOpen it.\n\n";
        insta::assert_snapshot!(render(&sample(), "linux/amd64", &["shop-database", "web"], true, notes));
    }

    #[test]
    fn a_profile_without_a_site_is_spared_its_chapters() {
        let mut model = sample();
        model.site = Default::default();
        model.services.clear();
        model.tasks.clear();
        let text = render(&model, "linux/amd64", &[], false, "");
        assert!(!text.contains("custom-ca") && !text.contains("Where it is reached"), "{text}");
        assert!(text.contains("No service keeps data"), "{text}");
        assert!(
            text.contains("sealift up --host") && !text.contains("./sealift") && !text.contains(PROGRAM_ROW),
            "{text}"
        );
    }
}
