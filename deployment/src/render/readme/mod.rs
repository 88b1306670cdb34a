//! The operator's README of a bundle.
//!
//! It is read on a host with no network, perhaps at two in the morning: every step is a command that can be typed as it
//! is, and the result that shows its success.

mod networks;
mod scheduled;
mod settings;

use sealift_layers::codec::Codec;

use super::boot::{self, Manager};
use super::{compose, markdown};
use crate::profile::model::{Model, Run};
use crate::profile::names::{bundle_file, image_name, project_name};

/// The text of `README.md` (Markdown).
///
/// `platform` is as OCI writes it (`linux/amd64`); `images` are the profile's names of the images in the bundle; `program`
/// is whether the bundle contains the program, `host` whether an installation needs its public host; `notes` is the text of
/// the profile's own readme file, or empty.
#[must_use]
pub fn render(model: &Model, platform: &str, images: &[&str], program: bool, host: bool, notes: &str) -> String {
    let mut parts = vec![head(model, platform), start(model, platform), commands(model), tasks(model), reach(model)];
    parts.extend([scheduled::chapter(model), networks::chapter(model), privileges(model)]);
    parts.extend([site(model), data(model), upgrade(model), troubleshooting(model), by_hand(model, platform)]);
    parts.push(contents(model, images));
    parts.push(notes.trim().to_owned());
    parts.retain(|part| !part.is_empty());
    let text = parts.join("\n\n") + "\n";
    let text = if host { text } else { HOST_TEXTS.iter().fold(text, |text, part| text.replace(part, "")) };
    if program { text } else { text.replace(PROGRAM_ROW, "").replace("./sealift ", "sealift ") }
}

/// What is left out for profiles that do not use the public host.
const HOST_TEXTS: [&str; 3] =
    [HOST_SENTENCE, " If the bundle contains a directory `site`, leave out `--host HOST`.", " --host HOST"];

/// How to replace the placeholder of the public host.
const HOST_SENTENCE: &str = " Replace `HOST` with the name or address that users
connect to, without `https://` and without a port.";

/// The line about the program in the table of contents.
const PROGRAM_ROW: &str = "| `sealift` | the program for the commands above: `./sealift help` |\n";

fn head(model: &Model, platform: &str) -> String {
    let title = markdown::text(model.title.lines().next().unwrap_or_default());
    let mut text = format!("# {title}, version {}\n\n", model.version.get_ref());
    if !model.description.trim().is_empty() {
        text += &format!("{}\n\n", model.description.trim());
    }
    text += &format!(
        "This is the bundle `{}` for {platform}. The host needs podman or Docker, and nothing else: no compose and no \
         network.\n\n\
         With podman, run all commands as the same user, root or not: each user has separate images and data.",
        bundle_file(model, platform, Codec::None)
    );
    text
}

fn contents(model: &Model, images: &[&str]) -> String {
    let mut text = "\
## Contents

| file | content |
| --- | --- |
| `compose.yaml` | the services for compose, to run them by hand; do not edit it |
| `.env` | addresses and ports on this host |
| `site/` | certificates, secrets and settings of this installation, after the first start |
| `profile/` | the description of this deployment, and the templates of `site/` |
| `sealift` | the program for the commands above: `./sealift help` |
| `sbom/` | what is in the images, for scanners: packages with versions and licenses; the texts of the licenses |
| `SHA256SUMS` | digests of all files |
| other folders, configuration files | what the images have, with the defaults: nothing reads them; those of this installation are in `site/` |
| `blobs/`, `index.json`, `manifest.json`, `oci-layout` | the images, which podman and Docker load from the bundle |

Images:
"
    .to_owned();
    for name in images {
        let title = model.images.iter().find(|(key, _)| key.get_ref() == name).map_or("", |(_, image)| &image.title);
        text += &format!("\n- `{}`: {}", image_name(model, name), markdown::text(title));
    }
    text += "\n\nServices:\n";
    for (name, service) in &model.services {
        let title =
            if service.title.is_empty() { String::new() } else { format!(": {}", markdown::text(&service.title)) };
        text += &format!("\n- `{}`{title}", name.get_ref());
    }
    text
}

fn start(model: &Model, platform: &str) -> String {
    let (bundle, project) = (bundle_file(model, platform, Codec::None), project_name(model));
    let mut text = format!(
        "\
## First start

Unpack the bundle into a directory of its own, and run all commands there.{HOST_SENTENCE}

       mkdir {project} && cd {project} && tar xf ../{bundle}
       ./sealift up --host HOST

`up` checks the bundle and the host, makes certificates and secrets in `site/`, loads the images, and starts the services. It
ends when all services are healthy, and prints their addresses. If a check fails, it reports every problem with a hint, and
changes nothing: mend the problems and run it again. A directory `site` that neither this host made nor `SHA256SUMS` names is
such a problem: somebody may have added it. It is always safe to run `./sealift up` again; it restarts only services
that changed, and those that depend on them.

If the bundle is signed, `{bundle}.minisig` comes with it. Check it before anything in the bundle runs, with the
maker's public key, which must have come on another way. `up --key` keeps the key, and later commands take no bundles but
those that it signed.

       minisign -Vm ../{bundle} -p NAME.pub
       ./sealift up --host HOST --key NAME.pub"
    );
    let ports = &model.site.ports;
    if let Some((name, _)) = ports.get_key_value("https").or_else(|| ports.first_key_value()) {
        text += &format!(
            "\n\nTo use another port, for example because ordinary users cannot use ports below 1024:\n\n       \
             ./sealift up --host HOST --port {name}=NUMBER"
        );
    }
    text
}

fn commands(model: &Model) -> String {
    let service = model.services.keys().next().map(|service| model.instances(service.get_ref()).swap_remove(0));
    let service = service.as_deref().unwrap_or("SERVICE");
    let project = project_name(model);
    let ports: String = model.site.ports.keys().map(|name| format!(" --port {name}=NUMBER")).collect();
    let start = r#""ExecStart=\"$PWD/sealift\" up --directory \"$PWD\"""#;
    let unit = |manager| format!("    {}", boot::commands(&project, start, manager).join("\n").replace('\n', "\n    "));
    let tasks = if model.tasks.is_empty() { "" } else { "| `./sealift task` | list the tasks: see below |\n" };
    let (system, user) = (unit(Manager::System), unit(Manager::User));
    format!(
        "\
## Daily operation

| command | purpose |
| --- | --- |
| `./sealift status` | show the services, their health, and whether they are up to date |
| `./sealift doctor` | check services, certificates, disk space, ports and secrets; print hints |
| `./sealift logs {service}` | print the log of a service; `--follow` follows new output |
| `./sealift up` | start services that do not run; apply changes in `.env` and `site/` |
| `./sealift down` | stop all services; the data stays |
| `./sealift site renew` | renew certificates that expire soon |
{tasks}
### After a reboot

Docker starts the services again, all at once; those that end because another one is not ready yet are restarted until all work.

podman does not (`podman-restart` only starts containers with another restart policy). Install a unit that runs `up` at each
boot, which starts the services in their order: once, as root, in this directory:

{system}

With podman as an ordinary user, as that user; the last command also keeps the services running after the user logs out, and may
need root (`loginctl enable-linger USER`):

{user}

### A second deployment

For a second deployment on this host, unpack the bundle into another directory, and give it a name and ports of its own:

    ./sealift up --host HOST --project {project}-2{ports}"
    )
}

/// The tasks, each with the command of the engine that does the same.
fn tasks(model: &Model) -> String {
    if model.tasks.is_empty() {
        return String::new();
    }
    let mut text = "## Tasks\n\n| command | purpose | by hand |\n| --- | --- | --- |\n".to_owned();
    for (name, task) in &model.tasks {
        let values: Vec<String> = task.arguments.iter().map(|argument| argument.get_ref().usage()).collect();
        let (usage, service, command) =
            (task.usage(name.get_ref()), task.service.get_ref(), task.words(&values).join(" "));
        let hand = match task.run {
            _ if task.request.is_some() => "-".to_owned(),
            Run::Once => markdown::code(&format!("podman-compose run --rm {}", task.by_hand(&values))),
            Run::Exec => markdown::code(&format!(
                "podman exec -i {}_{} {command}",
                project_name(model),
                model.instances(service)[0]
            )),
        };
        let note = if task.on.is_some() { " (`up` runs it automatically)" } else { "" };
        let title = markdown::text(&task.title);
        text += &format!("| `./sealift task {usage}` | {title}{note} | {hand} |\n");
    }
    text.trim_end().to_owned()
}

/// What services may do beyond what all may; empty when none may.
fn privileges(model: &Model) -> String {
    let rows = model.services.iter().flat_map(|(name, service)| {
        let rows = service.privileges().into_iter();
        rows.map(move |(what, why)| format!("| `{}` | {what} | {} |\n", name.get_ref(), markdown::text(why)))
    });
    let rows: String = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let text = "\
## What services may do on this host

Services run as users of their own, without any right of root. These have more:

| service | may use | why |
| --- | --- | --- |
";
    format!("{text}{rows}").trim_end().to_owned()
}

/// The steps without the program: with the engine and compose.
fn by_hand(model: &Model, platform: &str) -> String {
    let bundle = bundle_file(model, platform, Codec::None);
    let text = format!(
        "\
## By hand

The same can be done with the engine and compose (`podman-compose`, `docker compose`). Compose finds the containers that `up`
created, and the reverse. Of two commands in a step, the first is for podman and the second for Docker. If `docker compose` is
an unknown command, use `docker-compose`.

1. Check the files. The output is `whole`; if there is other output, copy the bundle again. `./sealift verify .` also finds files
   that were added.

       sha256sum --quiet -c SHA256SUMS && echo whole

2. Load the images. podman unpacks them to `/var/tmp` first: if there is too little space for the whole bundle, it reports an
   unsupported format.

       podman load -i ../{bundle}
       docker load -i ../{bundle}

3. Make the certificates and secrets. If the bundle contains a directory `site`, leave out `--host HOST`.

       ./sealift site new site --host HOST

   Follow the hints of its warnings. A common one: an ordinary user cannot set the group of a key, so that its service cannot
   read it.

4. Start the services"
    );
    text + &start_tasks_by_hand(model) + &operation_by_hand(model)
}

/// The end of the sentence that begins the step of the start, and the commands of the tasks that `up` runs.
fn start_tasks_by_hand(model: &Model) -> String {
    let before: Vec<_> = model.tasks.values().filter(|task| task.on.is_some()).collect();
    if before.is_empty() {
        return ".".to_owned();
    }
    let mut text =
        ": first the services that the start tasks need, then the tasks, then all services. If a task cannot connect,\n   \
                    wait until the service that it needs has started, and run it again.\n"
            .to_owned();
    for task in before {
        let service = task.service.get_ref();
        for other in model.services.get(service.as_str()).iter().flat_map(|service| service.depends_on.services()) {
            text += &format!("\n       podman-compose up -d {}", other.get_ref());
        }
        text += &format!("\n       podman-compose run --rm {}", task.by_hand(&[]));
    }
    text
}

/// The commands after the tasks, and those of daily operation.
fn operation_by_hand(model: &Model) -> String {
    let service = model.services.keys().next().map(|service| model.instances(service.get_ref()).swap_remove(0));
    let container = format!("{}_{}", project_name(model), service.as_deref().unwrap_or("SERVICE"));
    let services = compose::services_for_podman(model);
    format!(
        "

       podman-compose up -d{services}
       docker compose up -d

5. Check the state. Each service is `Up` within a minute.

       podman ps -a
       docker ps -a

Show a log (Ctrl-C ends it), restart a service, and stop all services. Never use `down -v`: it deletes the data.

       podman logs -f {container}
       podman restart {container}
       podman-compose down -t {grace}

After a change in `.env` or `site/`, stop all services and start them again. The next `./sealift up` recreates services that
were created by hand.{networks}",
        grace = model.services.values().map(|service| service.stop_grace).max().unwrap_or_default(),
        networks = networks::by_hand(model),
    )
}

fn reach(model: &Model) -> String {
    if model.site.ports.is_empty() {
        return String::new();
    }
    let mut text = "## Addresses and ports\n\n| name | address | port |\n| --- | --- | --- |\n".to_owned();
    for (name, port) in &model.site.ports {
        let address = match port.address.as_str() {
            "0.0.0.0" => "all addresses of this host",
            "::" => "all IPv6 addresses of this host",
            "127.0.0.1" => "127.0.0.1: from this host only",
            other => other,
        };
        text += &format!("| {name} | {address} | {} |\n", port.shown(port.default));
    }
    text += "\n\
These are the defaults; `.env` has the values for this host. To use another port:

       ./sealift up --port NAME=NUMBER

To use one address of the host only, edit `SEALIFT_NAME_ADDRESS` in `.env`, with IPv6 addresses in brackets, and run
`./sealift up`. `0.0.0.0` stands for all addresses, those of IPv6 included where this host has it. No other port is open to
other hosts.";
    text
}

fn site(model: &Model) -> String {
    let mut text = "\
## Certificates and secrets

`site/` holds the secrets of this installation: without it, stored data may be unreadable. Keep a copy in a safe place.
Existing secrets are never replaced.
"
    .to_owned();
    if !model.site.settings.is_empty() {
        text += "
- `site/settings.toml` has all settings with comments; the required ones come first. It is never overwritten.
  `./sealift up` checks it, reports every problem, and applies changes.";
    }
    for (name, _) in model.site.certificates.iter().filter(|(_, certificate)| certificate.provided) {
        text += &format!(
            "
- `site/tls/{name}.crt` (the certificate, then intermediate ones) and `site/tls/{name}.key` are provided and renewed by you.
  `./sealift up` checks them. For trials, `./sealift up --self-signed` makes them."
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
- `site/custom-ca.crt` is the authority of the certificates between the services. Users need it only if a certificate was
  made with `--self-signed`."
            }
        };
        text += "
  It may sign for the names and addresses of this site only.
- `site/custom-ca.key` is the key of the authority. It is needed only to sign certificates, and can be kept elsewhere:
  `--authority-key FILE` of `up` and `site renew` names it.
- `./sealift site renew` and every `up` renew certificates with less than a fifth of their lifetime left. Run
  `./sealift site renew`, with `site/custom-ca.key` in its place, and then `./sealift up` every month. `./sealift doctor`
  shows how many days are left. Before the authority itself ends, `./sealift site renew --authority` makes a new one: give it to
  users in time.
- To use certificates of your own, put them into `site/tls/` under the same names; they are not replaced.
";
    }
    text += &settings::required(model);
    text += &settings::folders(model);
    text += "
- The services read the files in `site/` that `compose.yaml` names. Edited files are not overwritten; `./sealift up` applies the\n  changes.";
    text
}

/// Whether users connect to a certificate that the site's own authority signed.
fn users_trust_authority(model: &Model) -> bool {
    model.site.authority.is_some()
        && model.site.certificates.values().any(|certificate| certificate.host && !certificate.provided)
}

fn data(model: &Model) -> String {
    let volumes: Vec<String> = model
        .services
        .iter()
        .flat_map(|(service, spec)| spec.volumes.iter().map(move |(volume, path)| (service.get_ref(), volume, path)))
        .map(|(service, volume, path)| format!("\n- `{}_{volume}`: `{path}` of `{service}`", project_name(model)))
        .collect();
    if volumes.is_empty() {
        return "## Data\n\nNo service keeps data on the host.".to_owned();
    }
    format!(
        "## Data\n\nThe data is in volumes, which stay when containers are removed and versions change:\n{}\n\n\
         `podman volume inspect NAME` (`docker volume inspect NAME`) shows the folder of a volume. Never use `down -v`: it \
         deletes the volumes.",
        volumes.concat()
    )
}

fn upgrade(model: &Model) -> String {
    let mut text = "\
## Upgrade and backup

Unpack the new bundle into a directory of its own. Copy `.env` and `site/` from the old directory, and start the new version.
It uses the same volumes, and recreates the containers.

       cp -a ../OLD/.env ../OLD/site .
       ./sealift up

In the old directory, commands that change something are refused then; to go back, use `up --take-over` there, if the old version
can read the data. Units of systemd name the directory: `up` prints the commands that make them for the new one.

On another host, or as another user, add `--accept-site` to the first `up`: it then takes a site that it does not know.

Before an upgrade, and every day, back up `.env`, `site/`"
        .to_owned();
    let volumes: Vec<&String> = model.services.values().flat_map(|service| service.volumes.keys()).collect();
    text += match volumes.len() {
        0 => ".",
        _ => {
            " and the data. Copy volumes only while all services
are stopped; to back up a running database, use its own tools."
        }
    };
    text
}

fn troubleshooting(model: &Model) -> String {
    let mut text = "\
## Troubleshooting

Run `./sealift doctor` first: it reports problems with hints.

- A service is not `Up`: its log has the reason. The engine restarts it until it works.
- `no such image`, `image not known`: the images are not loaded, or another user loaded them.
- `site/...` is not found: it has not been made. If an engine created empty directories instead, remove `site` first, unless
  it already holds secrets.
- `permission denied` for a key or a secret: the file has the wrong group. `./sealift up` sets it; with SELinux, also run
  `chcon -R -t container_file_t site`."
        .to_owned();
    if !model.site.ports.is_empty() {
        text += "\n- `address already in use`, `permission denied` for a port: use another port, see above.";
    }
    if users_trust_authority(model) {
        text += "\n- Users see a certificate warning: their programs do not trust `site/custom-ca.crt`, or they use another \
                 name than HOST.\n  `./sealift up --host NAME` changes the name.";
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
        insta::assert_snapshot!(render(&sample(), "linux/amd64", &["shop-database", "web"], true, true, notes));
    }

    #[test]
    fn a_profile_without_a_site_has_no_chapters_about_it() {
        let mut model = sample();
        model.site = Default::default();
        model.services.clear();
        model.tasks.clear();
        let text = render(&model, "linux/amd64", &[], false, false, "");
        assert!(!text.contains("custom-ca") && !text.contains("Addresses and ports"), "{text}");
        assert!(text.contains("No service keeps data"), "{text}");
        assert!(
            text.contains("sealift up\n")
                && !text.contains("HOST")
                && !text.contains("./sealift")
                && !text.contains(PROGRAM_ROW),
            "{text}"
        );
    }
}
