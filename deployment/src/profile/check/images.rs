//! Checks of `[images.*]`.

use std::collections::BTreeMap;
use std::ops::Range;

use sealift_layers::ingredients::nix_store::Closure;
use sealift_layers::limits::DOCUMENT;
use sealift_layers::tree::TreePath;
use toml::Spanned;

use super::super::model::{Crate, Image, ImageFile, Nix, Requested, RequirementsFile, User, Venv};
use super::super::suggest;
use super::super::trees::{self, Placed};
use super::super::words;
use super::{Check, FIRST_PORT, HIGH_PORT, TemplateUser, has_low_ports, needs_root};
use crate::files;

/// The names of requested packages, with their spans.
fn names(packages: &[Spanned<Requested>]) -> Vec<Spanned<String>> {
    packages.iter().map(|package| Spanned::new(package.span(), package.get_ref().name.clone())).collect()
}

/// Accounts of every image: name, and the number of user and group.
const BUILT_IN: [(&str, u32); 2] = [("root", 0), ("nobody", 65534)];

impl Check<'_> {
    /// Checks `[base]`.
    pub(super) fn base(&mut self) {
        let base = &self.model.base;
        self.packages(&base.packages, &base.drop);
        for pattern in &base.keep {
            self.image_path(pattern.span(), pattern.get_ref());
        }
        for (pattern, why) in &base.allow_missing {
            self.reason(&["base", "allow-missing", pattern.get_ref()], why);
        }
        for (pattern, why) in &base.allow_secrets {
            self.image_path(pattern.span(), pattern.get_ref());
            self.reason(&["base", "allow-secrets", pattern.get_ref()], why);
        }
        self.links(&["base", "links"], &base.links, &mut BTreeMap::new());
    }

    /// Checks requested packages and `drop` patterns.
    fn packages(&mut self, packages: &[Spanned<Requested>], drop: &[Spanned<String>]) {
        self.distinct(&names(packages), "package");
        for package in packages {
            let name = Spanned::new(package.span(), package.get_ref().name.clone());
            self.requested(package);
            if self.model.debian.get_ref().exclude.contains_key(&name) {
                let message = format!("the package `{}` is requested and excluded", name.get_ref());
                self.report(package.span(), message, "remove it here or from debian.exclude");
            }
        }
        for pattern in drop {
            self.image_path(pattern.span(), pattern.get_ref());
        }
    }

    fn links(&mut self, path: &[&str], links: &BTreeMap<String, String>, seen: &mut BTreeMap<TreePath, &'static str>) {
        for (link, target) in links {
            let path = [path, &[link]].concat();
            self.place(self.document.key(&path), link, "links", seen);
            if target.is_empty() {
                self.report(
                    self.document.value(&path),
                    "the target of the link is empty",
                    "write the path that it points to",
                );
            }
        }
    }

    pub(super) fn image(&mut self, key: &Spanned<String>, image: &Image) {
        let name = key.get_ref().as_str();
        let at = |check: &Self, path: &[&str]| check.document.value(&[&["images", name], path].concat());
        self.name(key.span(), name, "an image");
        if !self.model.services.values().any(|service| service.image == *key) {
            let hint = "set it as `image` of a service, or remove it";
            self.report(key.span(), format!("no service uses the image `{name}`"), hint);
        }
        self.packages(&image.packages, &image.drop);
        let base = names(&self.model.base.packages);
        for package in names(&image.packages).into_iter().filter(|package| base.contains(package)) {
            let message = format!("the package `{}` is already in the base of all images", package.get_ref());
            self.report(package.span(), message, "remove it here or from base.packages");
        }
        for (pattern, why) in &image.allow_missing {
            self.reason(&["images", name, "allow-missing", pattern.get_ref()], why);
        }
        for (pattern, why) in &image.allow_secrets {
            self.image_path(pattern.span(), pattern.get_ref());
            self.reason(&["images", name, "allow-secrets", pattern.get_ref()], why);
        }
        if let Some(venv) = &image.venv {
            self.venv(name, image, venv);
        }
        if let Some(krate) = &image.krate {
            self.krate(name, krate);
        }
        if let Some(nix) = &image.nix {
            self.nix(nix);
        }
        for (archive, file) in &image.archives {
            self.archive_file(name, image, archive, file);
        }
        self.users(name, &image.users);
        self.user(&image.user, image);
        if image.entrypoint.is_empty() {
            let hint = "name the program and its fixed arguments";
            self.report(at(self, &["entrypoint"]), "the entrypoint is empty", hint);
        }
        if let Some(workdir) = &image.workdir {
            self.image_path(at(self, &["workdir"]), workdir);
        }
        self.variables(&["images", name, "env"], &image.env);
        self.distinct(&image.env_files, "template");
        for template in image.env_files.iter().chain(image.config_files.keys()) {
            self.template(template, TemplateUser::Image);
        }
        if self.image_path(at(self, &["env-directory"]), &image.env_directory).is_some() {
            self.plain_path(at(self, &["env-directory"]), &image.env_directory);
        }
        self.ports_and_volumes(name, image);
        self.configuration(name, image);
    }

    /// Checks ports, volumes and the stop signal.
    fn ports_and_volumes(&mut self, name: &str, image: &Image) {
        let at = |check: &Self, path: &[&str]| check.document.value(&[&["images", name], path].concat());
        let mut services = self.model.services.values().filter(|service| service.image.get_ref() == name);
        let low = services.any(has_low_ports);
        for (index, port) in image.ports.iter().enumerate() {
            let span = at(self, &["ports", &index.to_string()]);
            if *port == 0 {
                self.report(span, "0 is not a port", "use 1024 to 65535");
            } else if *port < FIRST_PORT && !low {
                self.report(span, needs_root(*port), HIGH_PORT);
            } else if image.ports[..index].contains(port) {
                self.report(span, format!("port {port} is listed twice"), "remove one");
            }
        }
        for (index, volume) in image.volumes.iter().enumerate() {
            self.image_path(at(self, &["volumes", &index.to_string()]), volume);
        }
        if let Some(signal) = &image.stop_signal {
            let known = signal.strip_prefix("SIG").is_some_and(|rest| {
                rest.len() >= 3
                    && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"+-".contains(&b))
            });
            if !known {
                self.report(at(self, &["stop-signal"]), format!("`{signal}` is not a signal"), "such as \"SIGTERM\"");
            }
        }
    }

    /// Checks the configuration layer: it creates each path once.
    fn configuration(&mut self, name: &str, image: &Image) {
        let base = self.model.base.links.keys().filter_map(|path| TreePath::new(path).ok());
        let mut seen: BTreeMap<TreePath, &str> = base.map(|path| (path, "base.links")).collect();
        if let Some(krate) = &image.krate {
            let program = TreePath::new(&format!("/usr/local/bin/{}", krate.binary.get_ref()));
            seen.extend(program.ok().map(|path| (path, "crate")));
        }
        for file in &image.files {
            self.image_file(image, file, &mut seen);
        }
        for (template, path) in &image.config_files {
            let span = self.document.value(&["images", name, "config-files", template.get_ref()]);
            self.place(span, path, "config-files", &mut seen);
        }
        self.links(&["images", name, "links"], &image.links, &mut seen);
        for directory in &image.directories {
            self.place(directory.path.span(), directory.path.get_ref(), "directories", &mut seen);
            if let Some(owner) = &directory.owner {
                self.account(owner, image);
            }
        }
    }

    /// Checks an entry of `files`.
    fn image_file(&mut self, image: &Image, file: &ImageFile, seen: &mut BTreeMap<TreePath, &'static str>) {
        if let Some(owner) = &file.owner {
            self.account(owner, image);
        }
        let tree = match (&file.source, &file.tree) {
            (Some(source), None) => {
                self.source(source);
                if let Some(pattern) = file.only.first() {
                    self.report(pattern.span(), "`only` selects files of a `tree`", "write `tree` for a folder");
                }
                return self.place(file.path.span(), file.path.get_ref(), "files", seen);
            }
            (None, Some(tree)) => tree,
            _ => {
                let hint = "write `source` for a file, `tree` for all files below a folder";
                return self.report(file.path.span(), "an entry of `files` has either `source` or `tree`", hint);
            }
        };
        if file.path.get_ref() != "/" && self.image_path(file.path.span(), file.path.get_ref()).is_none()
            || !self.source_folder(tree)
        {
            return;
        }
        let mut placed = Placed::default();
        if let Err(message) = trees::of_file(file, self.sources, &mut placed) {
            let hint = "of a folder below the profile's, all files are taken that `only` matches; links are refused";
            self.report(tree.span(), message, hint);
        }
        for file in placed.files {
            self.place(tree.span(), &file.path, "files", seen);
        }
    }

    fn place(
        &mut self,
        span: Range<usize>,
        path: &str,
        list: &'static str,
        seen: &mut BTreeMap<TreePath, &'static str>,
    ) {
        let Some(path) = self.image_path(span.clone(), path) else { return };
        if let Some(other) = seen.get(&path) {
            let message = format!("`/{path}` is also created by `{other}`");
            self.report(span, message, "remove one of them");
        } else {
            seen.insert(path, list);
        }
    }

    fn venv(&mut self, name: &str, image: &Image, venv: &Venv) {
        if self.image_path(venv.path.span(), venv.path.get_ref()).is_some() {
            self.plain_path(venv.path.span(), venv.path.get_ref());
        }
        let python = venv.python.get_ref();
        let minor = python.strip_prefix("python3.").unwrap_or_default();
        if minor.is_empty() || !minor.bytes().all(|b| b.is_ascii_digit()) {
            let hint = match python.strip_prefix("3.").is_some_and(|minor| minor.parse::<u8>().is_ok()) {
                true => format!("name its package: python = \"python{python}\""),
                false => "name the package with its minor version, such as \"python3.14\"".to_owned(),
            };
            self.report(venv.python.span(), format!("`{python}` is not a Python interpreter"), hint);
        } else if !image
            .packages
            .iter()
            .chain(&self.model.base.packages)
            .any(|package| package.get_ref().name == *python)
        {
            let message = format!("`{python}` is not in the packages of the image `{name}`");
            self.report(venv.python.span(), message, format!("add \"{python}\" to images.{name}.packages"));
        }
        self.requirements(venv);
        self.local_wheels(venv);
        for distribution in venv.application.iter().chain(venv.exclude.keys()).chain(venv.accept.keys()) {
            if words::distribution(distribution.get_ref()).is_none() {
                let message = format!("`{}` is not the name of a distribution", distribution.get_ref());
                self.report(distribution.span(), message, "use only the name, without a version");
            }
        }
        for (key, reasons) in [("exclude", &venv.exclude), ("accept", &venv.accept)] {
            for (distribution, why) in reasons {
                self.reason(&["images", name, "venv", key, distribution.get_ref()], why);
            }
        }
        for distribution in venv.accept.keys().filter(|distribution| venv.exclude.contains_key(*distribution)) {
            let message = format!("`{}` is accepted and excluded", distribution.get_ref());
            self.report(distribution.span(), message, "remove it here or from `exclude` of the venv");
        }
    }

    /// Checks requirements and constraints, or the name of their file.
    fn requirements(&mut self, venv: &Venv) {
        let requirements = venv.requirements.get_ref();
        let excluded: Vec<String> = venv.exclude.keys().filter_map(|key| words::distribution(key.get_ref())).collect();
        if let Some(file) = requirements.file() {
            self.outside_path(venv.requirements.span(), file);
            if RequirementsFile::of(file).is_none() {
                let message = format!("`{file}` is not a file with requirements");
                let hint =
                    "name a requirements.txt, a pylock.toml or a pyproject.toml, or list requirements: [\"NAME==1.2\"]";
                self.report(venv.requirements.span(), message, hint);
            }
        } else if requirements.listed().is_empty() {
            let hint = "add at least one distribution, or remove the venv";
            self.report(venv.requirements.span(), "there are no requirements", hint);
        }
        let is_project = requirements.file().and_then(RequirementsFile::of) == Some(RequirementsFile::Project);
        for name in venv.extras.iter().chain(&venv.groups) {
            if !is_project {
                let hint = "they are those of a project: requirements = \"pyproject.toml\"; else write \"NAME[EXTRA]\"";
                self.report(name.span(), "`extras` and `groups` need a project", hint);
            } else if words::distribution(name.get_ref()).is_none() {
                let message = format!("`{}` is not the name of an extra or a group", name.get_ref());
                self.report(name.span(), message, "use letters, digits, `-`, `_` and `.`");
            }
        }
        for requirement in requirements.listed().iter().chain(&venv.constraints) {
            match words::requirement(requirement.get_ref()) {
                Err(why) => {
                    let message = format!("`{}` is not a requirement: {why}", requirement.get_ref());
                    self.report(requirement.span(), message, "use pip's syntax: \"NAME==1.2\", \"NAME[extra]>=1,<2\"");
                }
                Ok(distribution) if excluded.contains(&distribution) => {
                    let message = format!("`{distribution}` is required and excluded");
                    self.report(requirement.span(), message, "remove it here or from `exclude` of the venv");
                }
                Ok(_) => {}
            }
        }
    }

    /// Checks the paths of the user's wheels. Whether they exist matters only when a lock is made.
    fn local_wheels(&mut self, venv: &Venv) {
        for path in &venv.wheels {
            self.outside_path(path.span(), path.get_ref());
        }
    }

    /// Checks a path relative to the profile's folder that may lead out of it: of a project that the profile belongs to.
    fn outside_path(&mut self, span: Range<usize>, path: &str) {
        if path.is_empty() || path.starts_with('/') || path.contains(char::is_control) {
            let message = format!("`{}` is not a relative path", path.escape_debug());
            self.report(span, message, "write it relative to the profile's folder: \"dist\", \"../dist\"");
        }
    }

    /// Checks a crate: its values become arguments and paths.
    fn krate(&mut self, image: &str, krate: &Crate) {
        for (text, what) in [(&krate.name, "crate"), (&krate.binary, "program")] {
            if !words::is_crate(text.get_ref()) {
                let message = format!("`{}` is not the name of a {what}", text.get_ref());
                self.report(text.span(), message, "use letters, digits, `-` and `_`, starting with a letter");
            }
        }
        if !words::is_exact(krate.version.get_ref()) {
            let message = format!("`{}` is not an exact version", krate.version.get_ref());
            self.report(krate.version.span(), message, "write the full version, such as \"1.2.3\"");
        }
        for (index, feature) in krate.features.iter().enumerate() {
            if !words::is_feature(feature) {
                let span = self.document.value(&["images", image, "crate", "features", &index.to_string()]);
                self.report(span, format!("`{feature}` is not a feature"), "name one of the crate's features");
            }
        }
    }

    fn nix(&mut self, nix: &Nix) {
        let before = self.diagnostics.len();
        self.source(&nix.closure);
        if self.diagnostics.len() == before {
            let text = files::read_within(&self.sources.path(nix.closure.get_ref()), DOCUMENT);
            let parsed = text.map_err(anyhow::Error::from).and_then(|text| Ok(Closure::parse(&text).map(drop)?));
            if let Err(error) = parsed {
                let message = format!("`{}` is not a closure: {error}", nix.closure.get_ref());
                self.report(nix.closure.span(), message, "create it with: nix path-info --json --recursive PATH");
            }
        }
        if !(1..=100).contains(nix.layers.get_ref()) {
            let message = format!("{} layers are not possible", nix.layers.get_ref());
            self.report(nix.layers.span(), message, "use 1 to 100: engines accept about 125 layers in an image");
        }
    }

    fn users(&mut self, image: &str, users: &[User]) {
        for (index, user) in users.iter().enumerate() {
            let number = index.to_string();
            let at = |check: &Self, key| check.document.value(&["images", image, "users", &number, key]);
            let name = user.name.get_ref().as_str();
            if !words::is_login(name) {
                let hint = "use at most 32 letters, digits, `-`, `_` and `.`, starting with a letter";
                self.report(user.name.span(), format!("`{name}` cannot be a login name"), hint);
            }
            let earlier = users[..index].iter().map(|user| (user.name.get_ref().as_str(), user.uid, user.gid));
            for (other, uid, gid) in BUILT_IN.iter().map(|(name, id)| (*name, *id, *id)).chain(earlier) {
                let hint = "use another one; every image has root (0) and nobody (65534)";
                if other == name {
                    self.report(user.name.span(), format!("there are two users `{name}`"), hint);
                }
                if uid == user.uid {
                    self.report(at(self, "uid"), format!("`{other}` has the same uid {uid}"), hint);
                }
                if gid == user.gid {
                    self.report(at(self, "gid"), format!("`{other}` has the same gid {gid}"), hint);
                }
            }
            self.image_path(at(self, "home"), &user.home);
            if user.home.contains(':') {
                let message = format!("`{}` cannot be a home: `:` separates the fields of /etc/passwd", user.home);
                self.report(at(self, "home"), message, "use another path");
            }
        }
    }

    /// Checks the user of the program: not root.
    fn user(&mut self, user: &Spanned<String>, image: &Image) {
        if self.account(user, image) == Some(0) {
            let hint = "add a user to `users` and set its name here, or use UID:GID, such as \"1234:1234\"; \
                        a service may have `user = \"0\"` with a reason";
            self.report(user.span(), "the image would run as root", hint);
        }
    }

    /// The uid of `UID:GID` or of a user's name. Names that the packages of the image may make are known when it is built.
    pub(super) fn account(&mut self, account: &Spanned<String>, image: &Image) -> Option<u32> {
        let base = &self.model.base;
        let has_packages = !image.packages.is_empty() || !base.packages.is_empty() || self.model.is_essential(image);
        let is_later = has_packages && words::is_login(account.get_ref());
        self.known_account(account, image, is_later)
    }

    /// The uid of `UID:GID` or of a user's name that the profile declares. `is_later`: other names are no error.
    pub(super) fn known_account(&mut self, account: &Spanned<String>, image: &Image, is_later: bool) -> Option<u32> {
        let text = account.get_ref().as_str();
        let numbers = text.split_once(':').and_then(|(uid, gid)| Some((number(uid)?, number(gid)?)));
        if let Some((uid, _)) = numbers {
            return Some(uid);
        }
        let declared = image.users.iter().map(|user| (user.name.get_ref().as_str(), user.uid));
        let known: Vec<(&str, u32)> = declared.chain(BUILT_IN).collect();
        let uid = known.iter().find(|(name, _)| *name == text).map(|(_, uid)| *uid);
        if uid.is_none() && !is_later {
            let hint = match number(text) {
                Some(0) => "an image has a user without rights; a service that needs root says `user = \"0\"` and, as \
                            `root`, its reason"
                    .to_owned(),
                Some(uid) => format!("write the group, too: `{uid}:{uid}`"),
                None => {
                    suggest::hint(text, "use UID:GID, or a user of this image", known.iter().map(|(name, _)| *name))
                }
            };
            self.report(account.span(), format!("`{text}` is neither UID:GID nor the name of a user"), hint);
        }
        uid
    }
}

/// A number of decimal digits only: `parse` alone accepts a sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
