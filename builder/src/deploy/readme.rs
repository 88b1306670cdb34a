//! The operator's README of a bundle.
//!
//! It is read on a host with no network, perhaps at two in the morning: every step is a command that can be typed as it
//! stands, and what is seen when it has worked.

use super::{bundle_name, image_name, project_name};
use crate::profile::model::Model;

/// The text of `README.md` (Markdown).
///
/// `platform` is as OCI writes it (`linux/amd64`); `images` are the names of those in the bundle, as the profile has
/// them; `program` tells whether it brings the program along; `notes` is the text of the profile's own readme file, or
/// nothing.
#[must_use]
pub fn render(model: &Model, platform: &str, images: &[&str], program: bool, notes: &str) -> String {
    let mut parts = vec![head(model, platform), contents(model, images), start(model, platform), reach(model)];
    parts.extend([site(model), data(model), operation(model), trouble(model)]);
    parts.push(notes.trim().to_owned());
    parts.retain(|part| !part.is_empty());
    let text = parts.join("\n\n") + "\n";
    if program { text } else { text.replace(PROGRAM_ROW, "").replace("./sealift ", "sealift ") }
}

/// The line about the program in the table of contents.
const PROGRAM_ROW: &str = "| `sealift` | the program that makes `site/` |\n";

fn head(model: &Model, platform: &str) -> String {
    let title = model.title.lines().next().unwrap_or_default();
    let mut text = format!("# {title}, version {}\n\n", model.version.get_ref());
    if !model.description.trim().is_empty() {
        text += &format!("{}\n\n", model.description.trim());
    }
    text += &format!(
        "This comes from the bundle `{}`, made for {platform}. The host needs podman with podman-compose, or Docker \
         with compose. It needs no network.\n\n\
         Where two commands stand below each other, the first is podman's and the second Docker's. Under podman, run \
         all of them as the same user: each user has its own images and data. Where `docker compose` is not known, \
         write `docker-compose`.",
        bundle_name(model, platform)
    );
    text
}

fn contents(model: &Model, images: &[&str]) -> String {
    let mut text = "\
## What is inside

| file | what it is |
| --- | --- |
| `compose.yaml` | how the services run together; not to be edited |
| `.env` | addresses and ports on this host, read by compose |
| `site/` | certificates, secrets and settings of this installation, once they are made |
| `profile/` | what `site/` is made from |
| `sealift` | the program that makes `site/` |
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
    let bundle = bundle_name(model, platform);
    let project = project_name(model);
    format!(
        "\
## First start

1. Unpack the bundle in a directory of its own, and stay there for all that follows.

       mkdir {project}
       cd {project}
       tar xf ../{bundle}

2. Check that it is whole. This prints `whole` and nothing else; otherwise copy the bundle again.

       sha256sum --quiet -c SHA256SUMS && echo whole

3. Load the images. podman first unpacks to `/var/tmp`: without room for the whole bundle there, it complains of an
   unsupported format.

       podman load -i ../{bundle}
       docker load -i ../{bundle}

4. Make the certificates and secrets of this installation. In the place of `HOST` write the name or the address that
   users reach this host by, without `https://` and without a port. When the bundle came with a directory `site`, leave
   out `--host HOST`: then it is only checked.

       ./sealift site new site --host HOST

   Do what its warnings say. One that is common: an ordinary user may not give a key to the group of its service, and
   the service cannot read it.

5. Start.

       podman-compose up -d
       docker compose up -d

6. Look. Within a minute each service is `Up`.

       podman ps -a
       docker ps -a"
    )
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

       ./sealift site new site --port NAME=NUMBER

and then start again as below. Nothing else is reachable from outside.";
    text
}

fn site(model: &Model) -> String {
    let mut text = "\
## Certificates and secrets

`site/` is this installation: without it, what is stored may be of no use any more. Keep a copy in a safe place. Making
it again keeps all that is there and valid:

       ./sealift site new site
"
    .to_owned();
    if model.site.authority.is_some() {
        text += "
- `site/custom-ca.crt` is the authority that signs the certificates. Give it to users: their programs have to trust it.
- `site/custom-ca.key` can sign in its name. It is needed only for that, so it can be kept elsewhere in between.
- A certificate is renewed by that same command when less than a fifth of its life is left. Run it each month, with
  `site/custom-ca.key` in its place, and restart the services when it has replaced something.
- Certificates of your own go into `site/tls/` under the same names; they are not replaced. They end on these days:

       for f in site/tls/*.crt; do echo $f; openssl x509 -noout -enddate -in $f; done
";
    }
    text += "
- Settings are in the files that compose.yaml names below `site/`. One that was edited stays as it is from then on.";
    text
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

fn operation(model: &Model) -> String {
    let service =
        model.services.keys().next().map_or_else(|| "SERVICE".to_owned(), |service| service.get_ref().clone());
    let container = format!("{}_{service}", project_name(model));
    format!(
        "\
## Day by day

Logs of a service, here of `{service}` (end with Ctrl-C):

       podman logs -f {container}
       docker logs -f {container}

Restart a service:

       podman restart {container}
       docker restart {container}

Stop all. The data stays.

       podman-compose down
       docker compose down

Start again:

       podman-compose up -d
       docker compose up -d

After a change in `.env` or `site/`, stop all and start again.

After a reboot, Docker starts the services by itself. podman does not: run `podman-compose up -d`. Under podman as an ordinary
user, `loginctl enable-linger` keeps the services running when that user logs out.

A new version: unpack its bundle in another directory, check and load it, stop the old one in its directory, copy `.env`
and `site/` over, run `./sealift site new site`, and start the new one. The volumes are found by name."
    )
}

fn trouble(model: &Model) -> String {
    let mut text = "\
## When it does not work

- A service that is not `Up` says why in its logs. It is started again by itself until it works.
- `no such image`, `image not known`: the images are not loaded, or another user loaded them.
- `site/...` is not found: step 4 is missing. If an engine made empty directories in its place, remove `site` first,
  unless it holds secrets already.
- `permission denied` on a key or a secret: the group of the file, see step 4; under SELinux also
  `chcon -R -t container_file_t site`."
        .to_owned();
    if !model.site.ports.is_empty() {
        text += "\n- `address already in use`, `permission denied` on a port: choose another one, see above.";
    }
    if model.site.authority.is_some() {
        text += "\n- Users see a warning about the certificate: they lack `site/custom-ca.crt`, or use another name \
                 than HOST.\n  `./sealift site new site --host NAME` changes it.";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::sample;

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
        let text = render(&model, "linux/amd64", &[], false, "");
        assert!(!text.contains("custom-ca") && !text.contains("Where it is reached"), "{text}");
        assert!(text.contains("No service keeps data"), "{text}");
        assert!(
            text.contains("sealift site new") && !text.contains("./sealift") && !text.contains(PROGRAM_ROW),
            "{text}"
        );
    }
}
