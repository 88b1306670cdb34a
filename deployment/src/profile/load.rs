//! Finding and reading profiles.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::Deserializer;

use super::document::Document;
use super::model::{Image, Model, Service};
use super::search::Search;
use super::sources::Sources;
use super::trees::{self, Placed};
use super::{check, extend, mistakes, readable};
use crate::diagnostic::{Diagnostic, Diagnostics, Part};
use crate::failure::Failure;
use crate::machine::Machine;

/// First line of the text of a profile that extends another.
const FLATTENED: &str = "# This profile together with those that it extends, in one file.\n";

/// First line of the text of a profile with optional archives.
const WITH_ARCHIVES: &str = "# This profile with the optional archives that it was built with, in one file.\n";

/// A profile that was read and checked.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its folder, which also has its lock.
    pub directory: PathBuf,
    /// The name or path that the user found it by, for commands in hints.
    pub argument: String,
    /// Where the files that it names are.
    pub sources: Sources,
    /// The text of a complete `profile.toml`: its own, or one merged with the profiles that it extends.
    pub text: String,
    /// The files that it was read from. Spans are ranges of their texts, see [`Diagnostics`].
    parts: Vec<Part>,
    /// The parsed profile.
    pub model: Model,
}

impl Profile {
    /// Whether something is stated by this profile, and not by one that it extends.
    #[must_use]
    pub fn is_own(&self, span: &Range<usize>) -> bool {
        self.parts.first().is_none_or(|part| span.start <= part.text.len())
    }

    /// Finds and reads the profile that a user named, see [`Search::find`].
    ///
    /// # Errors
    /// Those of [`Search::find`] and [`Profile::load`].
    pub fn find(name: &str) -> anyhow::Result<Self> {
        let profile = Self::load(&Search::of(&Machine::here())?.find(name)?)?;
        Ok(Self { argument: name.to_owned(), ..profile })
    }

    /// Reads and checks `directory/profile.toml`.
    ///
    /// # Errors
    /// The file cannot be read, or its [`Diagnostics`].
    pub fn load(directory: &Path) -> anyhow::Result<Self> {
        let (parts, sources) = extend::read(directory)?;
        let table = extend::merge(&parts);
        let model = match mistakes::read(&table) {
            Ok(model) => model,
            Err(list) => return Err(Diagnostics::across(parts.clone(), list).into()),
        };
        let list = check::all(directory, &sources, table.clone(), &model);
        if !list.is_empty() {
            return Err(Diagnostics::across(parts.clone(), list).into());
        }
        let text = match &parts[..] {
            [only] => only.text.clone(),
            _ => format!(
                "{FLATTENED}\n{}",
                toml::to_string_pretty(&toml::Table::deserialize(Deserializer::from(Spanned::new(0..0, table)))?)?
            ),
        };
        let argument = directory.display().to_string();
        Ok(Self { directory: directory.to_owned(), argument, sources, text, model, parts })
    }

    /// A profile for tests, whose files are not read.
    #[cfg(test)]
    pub(crate) fn of_model(directory: &Path, model: Model) -> Self {
        let sources = Sources::of(directory);
        let (directory, argument) = (directory.to_owned(), String::new());
        Self { directory, argument, sources, text: String::new(), parts: Vec::new(), model }
    }

    /// The files of the profile in an image.
    ///
    /// # Errors
    /// A folder cannot be read, or was changed since the profile was checked so that it cannot be used.
    pub fn placed<'m>(&self, image: &'m Image) -> anyhow::Result<Placed<'m>> {
        trees::of_image(image, &self.sources).map_err(|message| Failure::usage(message).into())
    }

    /// The files that `profile.toml` refers to, sorted, each once.
    ///
    /// # Errors
    /// As [`Profile::placed`].
    pub fn files(&self) -> anyhow::Result<BTreeSet<String>> {
        let model = &self.model;
        let mut all = BTreeSet::new();
        for image in model.images.values() {
            all.extend(self.placed(image)?.files.into_iter().map(|file| file.source));
        }
        let templates = model.site.templates.values().map(|template| &template.source);
        let closures = model.images.values().filter_map(|image| Some(&image.nix.as_ref()?.closure));
        let debian = model.debian.get_ref();
        let keyrings = debian.archives.values().filter_map(|archive| archive.keyring.as_ref());
        let single = model.readme.iter().chain(&debian.keyring).chain(keyrings);
        all.extend(templates.chain(closures).chain(single).map(|source| source.get_ref().clone()));
        Ok(all)
    }

    /// Makes the optional archives `names` part of the images. The text of the profile, which a bundle contains, then has them as
    /// archives that are not optional: hosts render their templates as the build did.
    ///
    /// # Errors
    /// The text cannot be written as TOML, which does not happen.
    pub fn give_archives(&mut self, names: &BTreeSet<&str>) -> anyhow::Result<()> {
        let mut text: toml::Table = toml::from_str(&self.text)?;
        let mut is_given = false;
        for (image, model) in &mut self.model.images {
            let given = model.archives.iter_mut().filter(|(name, _)| names.contains(name.get_ref().as_str()));
            for (name, archive) in given.filter(|(_, archive)| archive.optional) {
                (archive.given, is_given) = (true, true);
                let keys = ["images", image.get_ref(), "archives", name.get_ref()];
                let table = keys.iter().try_fold(&mut text, |table, key| table.get_mut(*key)?.as_table_mut());
                table.and_then(|table| table.remove("optional"));
            }
        }
        if is_given {
            self.text = format!("{WITH_ARCHIVES}\n{}", toml::to_string_pretty(&text)?);
        }
        Ok(())
    }

    /// What the profile states and is probably not meant: see [`check::doubtful`]. `None` if there is nothing.
    #[must_use]
    pub fn warnings(&self) -> Option<Diagnostics> {
        let list = check::doubtful(&self.sources, extend::merge(&self.parts), &self.model);
        (!list.is_empty()).then(|| Diagnostics::across(self.parts.clone(), list).into_warnings())
    }

    /// Where the profile has the value at `path`, keys of tables: `profiles/hello/profile.toml:22`. `None` if it does not say
    /// it.
    #[must_use]
    pub fn place(&self, path: &[&str]) -> Option<String> {
        let span = Document::new(extend::merge(&self.parts)).value(path);
        (!span.is_empty()).then(|| Diagnostics::across(self.parts.clone(), Vec::new()).line(&span))
    }

    /// An error that points into the profile, for checks of other modules such as an unknown package. `span` is a range of
    /// bytes, see [`toml::Spanned::span`].
    pub fn diagnostic_at(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> anyhow::Error {
        self.diagnostics(vec![Diagnostic::new(span, message, hint)])
    }

    /// The files of the site that services mount and that their programs cannot read: each service with its groups.
    ///
    /// # Errors
    /// One for all of them, with their places in the profile.
    pub fn check_readable(&self, readers: &[(&Service, Vec<u32>)]) -> anyhow::Result<()> {
        let list = readable::problems(&self.model, readers);
        if list.is_empty() { Ok(()) } else { Err(self.diagnostics(list)) }
    }

    /// An error that points to several places of the profile.
    #[must_use]
    pub fn diagnostics(&self, list: Vec<Diagnostic>) -> anyhow::Error {
        Diagnostics::across(self.parts.clone(), list).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/profiles");

    #[test]
    fn diagnostic_points_into_the_file() {
        let profile = Profile::load(&Path::new(SAMPLES).join("valid/small")).unwrap();
        let package = &profile.model.images["web"].packages[0];
        let error = profile.diagnostic_at(package.span(), "no such package", "look for another");
        insta::assert_snapshot!(error, @r#"
        error: no such package
          --> tests/profiles/valid/small/profile.toml:13:13
           |
        13 | packages = ["busybox-static"]
           |             ^^^^^^^^^^^^^^^^
           |
           = hint: look for another
        "#);
    }

    /// An operator was asked for a setting that no file of the site had.
    #[test]
    fn what_nothing_uses_and_plain_secrets_are_warnings() {
        let place = tempfile::tempdir().unwrap();
        let small = fs_err::read_to_string(Path::new(SAMPLES).join("valid/small/profile.toml")).unwrap();
        let text = "
[services.web.environment]
ADMIN_PASSWORD = 'changeme'
TOKEN_FILE = '/run/secrets/token'

[site.settings]
used = { title = 'Used', kind = 'text' }
by-rule = { title = 'Used', kind = 'text' }
mail-from = { title = 'Not used', kind = 'text' }

[site.secrets.token]
bytes = 32
encoding = 'hex'

[site.rules.one]
test = \"settings.by_rule\"
message = 'm'
hint = 'h'

[site.templates]
'a.conf' = { source = 'a.conf' }
";
        fs_err::write(place.path().join("profile.toml"), format!("{small}{text}")).unwrap();
        fs_err::write(place.path().join("a.conf"), "{{ settings.used }}").unwrap();
        let warnings = Profile::load(place.path()).map(|profile| profile.warnings().unwrap().to_string());
        let warnings = warnings.unwrap_or_else(|error| panic!("{error}"));
        let first: Vec<&str> = warnings.lines().filter(|line| line.starts_with("warning")).collect();
        // The program found no file there when it started.
        let expected = [
            "warning: `web` does not have /run/secrets/token, which the variable TOKEN_FILE names",
            "warning: `ADMIN_PASSWORD` seems to be a secret, in plain text",
            "warning: nothing uses the setting `mail-from`",
            "warning: nothing uses the secret `token`",
        ];
        assert_eq!(first, expected, "{warnings}");
        assert!(warnings.contains("| ^^^^^^^^^"), "{warnings}");
    }

    /// All was green, and the application could not reach its database.
    #[test]
    fn a_service_that_waits_for_one_on_other_networks_is_a_warning() {
        let place = tempfile::tempdir().unwrap();
        let small = fs_err::read_to_string(Path::new(SAMPLES).join("valid/small/profile.toml")).unwrap();
        let warnings = |second: &str, run: &str| {
            let text =
                small.replacen("[services.web]", "[services.web]\nnetworks = ['front']\ndepends-on = ['second']", 1);
            let text = format!(
                "{text}\n[services.second]\nimage = 'web'\nnetworks = ['{second}']\n{run}\n[networks.front]\n[networks.back]\n\
                 [services.third]\nimage = 'web'\nnetworks = ['back', 'front']\n"
            );
            fs_err::write(place.path().join("profile.toml"), text).unwrap();
            let profile = Profile::load(place.path()).unwrap_or_else(|error| panic!("{error}"));
            let warnings = profile.warnings().map(|warnings| warnings.to_string()).unwrap_or_default();
            warnings.lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(warnings("back", ""), "warning: `web` waits for `second` and is on no network with it");
        assert_eq!(warnings("front", ""), "");
        assert_eq!(warnings("back", "run = 'once'"), "");
    }

    /// Each build told of one service only.
    #[test]
    fn all_services_that_cannot_read_a_secret_are_told_at_once() {
        let place = tempfile::tempdir().unwrap();
        let small = fs_err::read_to_string(Path::new(SAMPLES).join("valid/small/profile.toml")).unwrap();
        let text = small.replacen("user = \"1000:1000\"", "user = 'www-data'", 1);
        let text = text.replacen("[services.web]", "[services.web]\nsecrets = ['token']", 1);
        let text = format!("{text}\n[site.secrets.token]\nbytes = 32\nencoding = 'hex'\nmode = '0640'\ngroup = 9\n");
        fs_err::write(place.path().join("profile.toml"), text).unwrap();
        let profile = Profile::load(place.path()).unwrap_or_else(|error| panic!("{error}"));
        let service = &profile.model.services["web"];
        let error = profile.check_readable(&[(service, vec![7]), (service, vec![8])]).unwrap_err().to_string();
        assert_eq!(error.matches("the service cannot read `token`").count(), 2, "{error}");
        profile.check_readable(&[(service, vec![9])]).unwrap();
    }

    /// A port that nobody listened on was published: everything said that all is well, and the browser got no answer.
    #[test]
    fn a_published_port_that_the_image_does_not_declare_is_a_warning() {
        let place = tempfile::tempdir().unwrap();
        let warnings = |ports: &str, site: &str| {
            let text = fs_err::read_to_string(Path::new(SAMPLES).join("valid/small/profile.toml")).unwrap();
            let text = text.replacen("packages = [", &format!("ports = {ports}\npackages = ["), 1);
            let service = "[services.second]\nimage = \"web\"\npublish = { http = 8090 }\n";
            let site = format!("[site.ports]\nhttp = {{ default = 8080, address = \"0.0.0.0\"{site} }}\n");
            fs_err::write(place.path().join("profile.toml"), format!("{text}\n{service}{site}")).unwrap();
            let profile = Profile::load(place.path()).unwrap_or_else(|error| panic!("{error}"));
            profile.warnings().map(|warnings| warnings.to_string()).unwrap_or_default()
        };
        let text = warnings("[8080, 8443]", "");
        let line = text.lines().find(|line| line.contains("-->")).unwrap().to_owned();
        insta::assert_snapshot!(text.replace(&line, "  --> profile.toml"), @r"
        warning: `second` publishes its port 8090, which image `web` does not declare
          --> profile.toml
           |
        23 | publish = { http = 8090 }
           |                    ^^^^
           |
           = hint: its `ports`: 8080, 8443; name one of those, or add 8090 to them if its program listens there
        ");
        assert_eq!(warnings("[8090]", ""), "");
        assert_eq!(warnings("[]", ""), "");
        // Those that an image declares are TCP ports.
        assert_eq!(warnings("[8080]", ", protocol = \"udp\""), "");
        // One in the row is declared.
        assert_eq!(warnings("[8092]", ", count = 3"), "");
        assert!(warnings("[8092]", ", count = 2").starts_with("warning: `second` publishes its port 8090"));
    }

    /// A check of port 80 of a program that listens on 8080 was told by `up` only; `{brunch}` reached the program as it was.
    #[test]
    fn checks_of_other_ports_and_misspelt_placeholders_are_warnings() {
        let place = tempfile::tempdir().unwrap();
        let text = fs_err::read_to_string(Path::new(SAMPLES).join("valid/small/profile.toml")).unwrap();
        let text = text.replacen("packages = [", "ports = [8080]\npackages = [", 1);
        let warnings = |port: u16, word: &str| {
            let task = format!(
                "[tasks.search]\ntitle = 'Search'\nservice = 'web'\ncommand = ['find', '{word}', '{{a: 1}}']\narguments = ['branch']\n"
            );
            let health =
                format!("[services.second]\nimage = 'web'\n[services.second.health]\nhttp = {{ port = {port} }}\n");
            fs_err::write(place.path().join("profile.toml"), format!("{text}\n{health}{task}")).unwrap();
            let profile = Profile::load(place.path()).unwrap_or_else(|error| panic!("{error}"));
            let warnings = profile.warnings().map(|warnings| warnings.to_string()).unwrap_or_default();
            let first = warnings.lines().filter(|line| line.starts_with("warning"));
            first.map(str::to_owned).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(warnings(8080, "{branch}"), "");
        insta::assert_snapshot!(warnings(80, "{brunch}"), @r"
        warning: the health check of `second` asks port 80, which image `web` does not declare
        warning: `{brunch}` is no argument of the task `search`, and stays as it is
        ");
        // Nothing said where a task gets the name of the host from.
        let of_site = "warning: `{host}` is no argument of the task `search`, and stays as it is";
        assert_eq!(warnings(8080, "{host}"), of_site);
    }

    #[test]
    fn link_out_of_the_profile_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let small = fs_err::read_to_string(Path::new(SAMPLES).join("valid/small/profile.toml")).unwrap();
        fs_err::write(place.path().join("profile.toml"), format!("readme = \"link\"\n{small}")).unwrap();
        fs_err::write(place.path().join("inside"), "").unwrap();
        fs_err::os::unix::fs::symlink(place.path().join("inside"), place.path().join("link")).unwrap();
        Profile::load(place.path()).unwrap();
        fs_err::remove_file(place.path().join("link")).unwrap();
        fs_err::os::unix::fs::symlink(Path::new(SAMPLES).join("valid/small/profile.toml"), place.path().join("link"))
            .unwrap();
        let error = Profile::load(place.path()).unwrap_err();
        assert!(
            error.to_string().starts_with("error: `link` is a link to a file outside of the profile's folder\n"),
            "{error}"
        );
    }
}
