//! Checks of `[debian]`.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;

use super::super::model::{Archive, MAIN_ARCHIVE, Requested, is_flat};
use super::super::{suggest, words};
use super::Check;

/// How many archives a profile may have, besides that of `[debian]`.
const MAX_ARCHIVES: usize = 32;

impl Check<'_> {
    pub(super) fn debian(&mut self) {
        let debian = self.model.debian.get_ref();
        self.suite(&debian.suite);
        self.components(&["debian"], debian.suite.get_ref(), Some(&debian.components));
        if let Some(keyring) = &debian.keyring {
            self.source(keyring);
        }
        self.priority(debian.priority.as_ref());
        for (name, archive) in &debian.archives {
            self.one_archive(name, archive);
        }
        if let Some(name) = debian.archives.keys().nth(MAX_ARCHIVES) {
            self.report(name.span(), "there are too many archives", format!("at most {MAX_ARCHIVES} are possible"));
        }
        for (package, archive) in &debian.pins {
            self.package(package);
            self.archive(archive.span(), archive.get_ref());
        }
        for (package, why) in &debian.allow_unapplied {
            self.reason(&["debian", "allow-unapplied", package.get_ref()], why);
        }
        for (package, why) in &debian.exclude {
            self.package(package);
            self.reason(&["debian", "exclude", package.get_ref()], why);
        }
        self.origins();
    }

    fn one_archive(&mut self, name: &Spanned<String>, archive: &Archive) {
        self.name(name.span(), name.get_ref(), "an archive");
        if name.get_ref() == MAIN_ARCHIVE {
            let message = format!("`{MAIN_ARCHIVE}` is the archive that [debian] itself describes");
            self.report(name.span(), message, "use another name");
        }
        self.priority(archive.priority.as_ref());
        if let Some(keyring) = &archive.keyring {
            self.source(keyring);
        }
        let path = ["debian", "archives", name.get_ref()];
        match &archive.suite {
            Some(suite) if archive.files.is_empty() => {
                self.suite(suite);
                self.components(&path, suite.get_ref(), archive.components.as_deref());
            }
            None if !archive.files.is_empty() => self.files(name, archive),
            suite => {
                let what = if suite.is_some() { "both `suite` and `files`" } else { "neither `suite` nor `files`" };
                let hint = "name the suite of an archive, or .deb files of the profile";
                self.report(name.span(), format!("the archive `{}` has {what}", name.get_ref()), hint);
            }
        }
    }

    /// Checks an archive of `.deb` files.
    fn files(&mut self, name: &Spanned<String>, archive: &Archive) {
        let given = [
            ("components", archive.components.is_some()),
            ("keyring", archive.keyring.is_some()),
            ("allow-expired", archive.allow_expired),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            let span = self.document.key(&["debian", "archives", name.get_ref(), key]);
            self.report(span, format!("an archive of files has no `{key}`"), "remove it: the lock pins each file");
        }
        for file in &archive.files {
            self.release_side_source(file);
        }
    }

    fn suite(&mut self, suite: &Spanned<String>) {
        let text = suite.get_ref().as_str();
        let parts = |text: &str| text.split('/').all(words::is_tag);
        // `/` alone is apt's other way of writing `./`.
        let valid = match text.strip_suffix('/') {
            Some(folder) => matches!(folder, "" | ".") || parts(folder.strip_prefix("./").unwrap_or(folder)),
            None => parts(text),
        };
        if !valid {
            let hint =
                "name a suite or a codename, such as \"stable\", or the folder of a flat repository, such as \"./\"";
            self.report(suite.span(), format!("`{text}` is not a suite"), hint);
        }
    }

    fn components(&mut self, path: &[&str], suite: &str, components: Option<&[String]>) {
        let at = |check: &Self, more: &[&str]| check.document.value(&[path, &["components"], more].concat());
        match components {
            Some([_, ..]) if is_flat(suite) => {
                let message = format!("the flat repository `{suite}` has no components");
                self.report(at(self, &[]), message, "remove them, or the `/` at the end of the suite");
            }
            Some([]) if !is_flat(suite) => {
                self.report(at(self, &[]), "there are no components", "write components = [\"main\"]");
            }
            _ => {}
        }
        for (index, component) in components.unwrap_or_default().iter().enumerate() {
            if !component.split('/').all(words::is_tag) {
                let message = format!("`{component}` is not a component");
                self.report(at(self, &[&index.to_string()]), message, "such as \"main\"");
            }
        }
    }

    fn priority(&mut self, priority: Option<&Spanned<i32>>) {
        let Some(priority) = priority else { return };
        if *priority.get_ref() == 0 || !(-10_000..=10_000).contains(priority.get_ref()) {
            let hint = "as in apt's preferences: 500 is usual, 100 yields to others, a negative one takes pinned packages only";
            self.report(priority.span(), format!("{} is not a priority", priority.get_ref()), hint);
        }
    }

    /// Checks that the profile has the archive `name`.
    pub(super) fn archive(&mut self, span: Range<usize>, name: &str) {
        let debian = self.model.debian.get_ref();
        if !debian.has_archive(name) {
            let known = std::iter::once(MAIN_ARCHIVE).chain(debian.archives.keys().map(|key| key.get_ref().as_str()));
            self.report(span, format!("there is no archive `{name}`"), suggest::hint(name, "archives", known));
        }
    }

    /// Checks a requested package: its name, version and archive.
    pub(super) fn requested(&mut self, package: &Spanned<Requested>) {
        let Requested { name, version, from } = package.get_ref();
        if !words::is_package(name) {
            // As `apt install NAME=VERSION`, and the other relations of packages.
            let asked = name.split_once('=').map(|(name, version)| (name.trim_end(), version.trim_start()));
            let asked = asked.filter(|(name, version)| words::is_package(name) && words::is_debian_version(version));
            let hint = match asked {
                Some((name, version)) => {
                    format!("write \"{name} (= {version})\", or only the name: the lock has the version")
                }
                None if name.contains(['(', '=', '<', '>']) => {
                    "for one version write \"NAME (= VERSION)\", otherwise only the name: the lock has the version"
                        .to_owned()
                }
                None => "use only the name, as in `apt install NAME`: the lock has the version".to_owned(),
            };
            self.report(package.span(), format!("`{name}` is not the name of a Debian package"), hint);
        }
        if let Some(version) = version.as_ref().filter(|version| !words::is_debian_version(version)) {
            let hint = format!("write it as `apt policy {name}` does: \"1.26.3-3+deb13u1\"");
            self.report(package.span(), format!("`{version}` is not the version of a Debian package"), hint);
        }
        if let Some(from) = from {
            self.archive(package.span(), from);
        }
    }

    /// Checks that no package is requested from two archives, or in two versions: all images have the same version of it.
    fn origins(&mut self) {
        let model = self.model;
        let pins = model.debian.get_ref().pins.iter();
        let mut archives: BTreeMap<&str, &str> =
            pins.map(|(package, archive)| (package.get_ref().as_str(), archive.get_ref().as_str())).collect();
        let mut versions: BTreeMap<&str, &str> = BTreeMap::new();
        let own = model.images.values().flat_map(|image| &image.packages);
        for package in model.base.packages.iter().chain(own) {
            let Requested { name, version, from } = package.get_ref();
            if let Some(from) = from {
                let other = *archives.entry(name).or_insert(from);
                if other != from {
                    let message = format!("the package `{name}` is from `{from}` here and from `{other}` elsewhere");
                    self.report(package.span(), message, "a package has one version in all images: name one archive");
                }
            }
            if let Some(version) = version {
                let other = *versions.entry(name).or_insert(version);
                if other != version {
                    let message = format!("the package `{name}` has the version {version} here and {other} elsewhere");
                    self.report(package.span(), message, "a package has one version in all images: name one");
                }
            }
        }
    }
}
