//! `sealift profiles show`

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use sealift_deployment::profile::Profile;
use sealift_deployment::profile::model::{ArchiveFile, Model, On};
use sealift_deployment::profile::setting::{Kind, Setting};
use serde::Serialize;

use super::super::Context;

/// Show a profile: images, archives, services, ports, volumes, tasks, settings, and files of a site
///
/// The operator has to provide the settings and files marked with *.
///
/// Examples:
///   sealift profiles show production
///   sealift profiles show production --json | jq -r '.settings[] | select(.required) | .name'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Show {
    /// Name of a profile, or path of its folder
    profile: String,
    /// Print as a JSON object
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let profile = Profile::find(&self.profile)?;
        let shown = Shown::new(&profile);
        if self.json { context.out.json(&shown) } else { Ok(write!(context.out, "{shown}")?) }
    }
}

/// The output of the command.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    product: &'a str,
    version: &'a str,
    title: &'a str,
    description: &'a str,
    directory: &'a Path,
    images: Vec<Image<'a>>,
    services: Vec<Service<'a>>,
    ports: Vec<Port<'a>>,
    volumes: Vec<Volume<'a>>,
    tasks: Vec<Task<'a>>,
    settings: Vec<Shape<'a>>,
    /// Messages of the rules between settings.
    rules: Vec<&'a str>,
    certificates: Vec<Certificate<'a>>,
    trusted: Vec<Named<'a>>,
    /// Folders of files that the operator may provide.
    files: Vec<Named<'a>>,
    secrets: Vec<&'a str>,
}

#[derive(Serialize)]
struct Image<'a> {
    name: &'a str,
    title: &'a str,
    user: &'a str,
    archives: Vec<Archive<'a>>,
}

#[derive(Serialize)]
struct Archive<'a> {
    name: &'a str,
    version: &'a str,
    file: &'a str,
    path: &'a str,
    /// `path` is of a folder that it is unpacked into, not of the file.
    unpack: bool,
    /// Only builds that are given it have it.
    optional: bool,
}

#[derive(Serialize)]
struct Service<'a> {
    name: &'a str,
    title: &'a str,
    image: &'a str,
    depends_on: Vec<&'a str>,
    /// Name of the site's port to port of the container.
    publish: BTreeMap<&'a str, u16>,
    /// Number of its containers.
    replicas: u32,
    /// The times at which it runs, where it does so at times.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<&'a str>,
}

#[derive(Serialize)]
struct Port<'a> {
    name: &'a str,
    address: &'a str,
    default: u16,
}

#[derive(Serialize)]
struct Volume<'a> {
    name: &'a str,
    service: &'a str,
    path: &'a str,
}

#[derive(Serialize)]
struct Task<'a> {
    name: &'a str,
    title: &'a str,
    arguments: Vec<String>,
    #[serde(skip)]
    usage: String,
    on_up: bool,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    title: &'a str,
}

#[derive(Serialize)]
struct Certificate<'a> {
    name: &'a str,
    names: &'a [String],
    host: bool,
    /// The operator provides it.
    provided: bool,
}

/// A setting, or a field of one.
#[derive(Serialize)]
struct Shape<'a> {
    name: &'a str,
    title: &'a str,
    kind: Kind,
    required: bool,
    secret: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'a toml::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<&'a toml::Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    choices: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Shape<'a>>,
}

fn shapes(settings: &BTreeMap<String, Setting>) -> Vec<Shape<'_>> {
    let shapes = settings.iter().map(|(name, setting)| Shape {
        name,
        title: setting.title.trim(),
        kind: setting.kind,
        required: setting.required,
        secret: setting.secret,
        default: setting.default.as_ref(),
        example: setting.example.as_ref(),
        choices: &setting.choices,
        fields: shapes(&setting.fields),
    });
    shapes.collect()
}

impl<'a> Shown<'a> {
    fn new(profile: &'a Profile) -> Self {
        let model = &profile.model;
        let site = &model.site;
        Self {
            name: model.name.get_ref(),
            product: model.product.get_ref(),
            version: model.version.get_ref(),
            title: &model.title,
            description: model.description.trim(),
            directory: &profile.directory,
            images: images(model),
            services: services(model),
            ports: site
                .ports
                .iter()
                .map(|(name, port)| Port { name, address: &port.address, default: port.default })
                .collect(),
            volumes: volumes(model),
            tasks: tasks(model),
            settings: shapes(&site.settings),
            rules: site.rules.values().map(|rule| rule.message.as_str()).collect(),
            certificates: site
                .certificates
                .iter()
                .map(|(name, certificate)| Certificate {
                    name,
                    names: &certificate.names,
                    host: certificate.host,
                    provided: certificate.provided,
                })
                .collect(),
            files: site.files.iter().map(|(name, folder)| Named { name, title: folder.title.trim() }).collect(),
            trusted: site.trusted.iter().map(|(name, trusted)| Named { name, title: trusted.title.trim() }).collect(),
            secrets: site.secrets.keys().map(String::as_str).collect(),
        }
    }
}

fn images(model: &Model) -> Vec<Image<'_>> {
    let images = model.images.iter();
    let images = images.map(|(name, image)| Image {
        name: name.get_ref(),
        title: &image.title,
        user: image.user.get_ref(),
        archives: image.archives.iter().map(|(name, archive)| Archive::new(name.get_ref(), archive)).collect(),
    });
    images.collect()
}

impl<'a> Archive<'a> {
    fn new(name: &'a str, archive: &'a ArchiveFile) -> Self {
        let (version, file, path) = (archive.version.get_ref(), archive.file.get_ref(), archive.path.get_ref());
        Self { name, version, file, path, unpack: archive.unpack, optional: archive.optional }
    }

    fn summary(&self, image: &str) -> String {
        let given = if self.optional { format!("; optional: build --with {}=FILE", self.name) } else { String::new() };
        let place = if self.unpack { "below" } else { "as" };
        format!("{}, {place} {} of {image}{given}", self.file, self.path)
    }
}

fn services(model: &Model) -> Vec<Service<'_>> {
    let services = model.services.iter().map(|(name, service)| Service {
        name: name.get_ref(),
        title: &service.title,
        image: service.image.get_ref(),
        replicas: service.replicas,
        schedule: service.schedule().map(|event| event.get_ref().as_str()),
        depends_on: service.depends_on.services().map(|other| other.get_ref().as_str()).collect(),
        publish: service.publish.iter().map(|(name, inside)| (name.get_ref().as_str(), *inside)).collect(),
    });
    services.collect()
}

fn volumes(model: &Model) -> Vec<Volume<'_>> {
    let mut volumes = Vec::new();
    for (service, spec) in &model.services {
        volumes.extend(spec.volumes.iter().map(|(name, path)| Volume { name, service: service.get_ref(), path }));
    }
    volumes
}

fn tasks(model: &Model) -> Vec<Task<'_>> {
    let tasks = model.tasks.iter().map(|(name, task)| Task {
        name: name.get_ref(),
        title: &task.title,
        arguments: task.arguments.iter().map(|argument| argument.get_ref().written()).collect(),
        usage: task.usage(name.get_ref()),
        on_up: task.on == Some(On::Up),
    });
    tasks.collect()
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}: {}", self.name, self.version, self.title)?;
        if !self.description.is_empty() {
            writeln!(f, "\n{}", self.description)?;
        }
        let images = self.images.iter().map(|image| (image.name.into(), format!("{}, as {}", image.title, image.user)));
        section(f, "images", images)?;
        let archives = self.images.iter().flat_map(|image| {
            image.archives.iter().map(|archive| (archive.name.to_owned(), archive.summary(image.name)))
        });
        section(f, "archives", archives)?;
        section(f, "services", self.services.iter().map(|service| (service.name.into(), service.summary())))?;
        let ports =
            self.ports.iter().map(|port| (port.name.into(), format!("{}, port {}", port.address, port.default)));
        section(f, "ports of the host", ports)?;
        let volumes =
            self.volumes.iter().map(|volume| (volume.name.into(), format!("{}: {}", volume.service, volume.path)));
        section(f, "volumes", volumes)?;
        let tasks = self.tasks.iter().map(|task| {
            let when = if task.on_up { "; runs in `up`" } else { "" };
            (task.usage.clone(), format!("{}{when}", task.title))
        });
        section(f, "tasks", tasks)?;
        section(f, "settings in settings.toml (* required)", self.settings.iter().flat_map(Shape::lines))?;
        section(f, "settings are refused when", self.rules.iter().map(|rule| ((*rule).to_owned(), String::new())))?;
        self.files(f)
    }
}

impl Shown<'_> {
    /// The files of the site.
    fn files(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificates = self.certificates.iter().map(|certificate| {
            let (mark, by) = if certificate.provided { ("* ", "to be provided") } else { ("  ", "created") };
            let names = certificate.needed_names().join(", ");
            (format!("{mark}tls/{}.crt, .key", certificate.name), format!("{by}, for {names}"))
        });
        let trusted = self.trusted.iter().map(|trusted| {
            let summary = trusted.title.lines().next().unwrap_or_default();
            (format!("  tls/{}.crt", trusted.name), format!("optional: {summary}"))
        });
        let folders = self.files.iter().map(|folder| {
            let summary = folder.title.lines().next().unwrap_or_default();
            (format!("  files/{}/", folder.name), format!("optional: {summary}"))
        });
        let secrets = self.secrets.iter().map(|name| (format!("  secrets/{name}"), "created at random".to_owned()));
        section(f, "files of the site (* to be provided)", certificates.chain(trusted).chain(folders).chain(secrets))
    }
}

impl Service<'_> {
    /// Title, image, published ports and dependencies in one line.
    fn summary(&self) -> String {
        let title = if self.title.is_empty() { String::new() } else { format!("{}; ", self.title) };
        let mut text = format!("{title}image {}", self.image);
        if self.replicas > 1 {
            write!(text, "; {} replicas", self.replicas).expect("text takes all writes");
        }
        if let Some(event) = self.schedule {
            write!(text, "; runs at {event}").expect("text takes all writes");
        }
        for (name, inside) in &self.publish {
            write!(text, "; {name} -> {inside}").expect("text takes all writes");
        }
        if !self.depends_on.is_empty() {
            write!(text, "; after {}", self.depends_on.join(", ")).expect("text takes all writes");
        }
        text
    }
}

impl Certificate<'_> {
    /// The names that it must be valid for. A provided certificate needs only the public name, if the profile asks for it.
    fn needed_names(&self) -> Vec<&str> {
        let public = self.host.then_some("the public name");
        let names = self.names.iter().map(String::as_str).filter(|_| !self.provided || public.is_none());
        public.into_iter().chain(names).collect()
    }
}

/// A title and lines of two columns; nothing if there are no lines.
fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: impl Iterator<Item = (String, String)>) -> fmt::Result {
    let lines: Vec<(String, String)> = lines.collect();
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}")?;
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    lines.iter().try_for_each(|(name, text)| writeln!(f, "{}", format!("  {name:width$}  {text}").trim_end()))
}

impl Shape<'_> {
    /// The line of the setting, and those of its fields.
    fn lines(&self) -> Vec<(String, String)> {
        self.lines_below("")
    }

    fn lines_below(&self, indent: &str) -> Vec<(String, String)> {
        let mark = if self.required { "* " } else { "  " };
        let name = if self.kind == Kind::Tables { format!("[[{}]]", self.name) } else { self.name.to_owned() };
        let mut text = self.title.lines().next().unwrap_or_default().to_owned();
        if !self.choices.is_empty() {
            write!(text, ": {}", self.choices.join(", ")).expect("text takes all writes");
        }
        if let Some(default) = self.default {
            write!(text, " [{default}]").expect("text takes all writes");
        }
        if self.secret {
            text += " (secret)";
        }
        let below = format!("{indent}  ");
        let fields = self.fields.iter().flat_map(|field| field.lines_below(&below));
        std::iter::once((format!("{indent}{mark}{name}"), text)).chain(fields).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_shown_with_the_option_that_gives_them() {
        let place = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles/standalone"));
        let shown = Shown::new(&Profile::load(place).unwrap()).to_string();
        let wanted = "
archives
  web-app  parsec-web-3.10.0.zip, below /usr/share/parsec-web/client of parsec-proxy; optional: build --with web-app=FILE
  web-app  parsec-web-3.10.0.zip, below /usr/share/parsec-web/client of parsec-server; optional: build --with web-app=FILE
";
        assert!(shown.contains(wanted), "{shown}");
    }

    #[test]
    fn all_parts_of_a_profile_are_shown() {
        let place = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deployment/tests/profiles/valid/full"));
        let profile = Profile::load(place).unwrap();
        insta::assert_snapshot!(Shown::new(&profile), @r#"
        full 1.0-rc.1: Every key there is

        For tests.

        images
          db   A database, as nobody
          web  A web server, as web

        services
          db      image db
          report  image db; runs at Mon..Fri *-*-* 22:30 UTC; after db
          web     What people see; image web; https -> 8080; after db

        ports of the host
          admin  ::1, port 8443
          https  0.0.0.0, port 443

        volumes
          data  web: /var/lib/hello

        tasks
          greet NAME  Greet somebody
          migrate     Bring the data up to date; runs in `up`

        settings in settings.toml (* required)
            dsn         Where errors are reported (secret)
            level       How much is logged: info, debug ["info"]
          * password    The mail server's (secret)
            [[stores]]  Storages
              port      Its port [443]

        settings are refused when
          too many storages

        files of the site (* to be provided)
          * tls/door.crt, .key        to be provided, for door
            tls/web.crt, .key         created, for the public name, web, localhost, 127.0.0.1
            tls/mail-authorities.crt  optional: Who signed the mail server's certificate
            secrets/token             created at random
        "#);
    }
}
