//! An unpacked bundle on the host: its files, its services in their order, and its tasks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use sealift_layers::digest::Digest;
use sealift_layers::limits::Limits;
use sealift_layers::tree::{Kind, TreePath};
use sealift_layers::validate::{Depth, Violation};

use super::request;
use crate::bundle::{self, Bundle, Manifest};
use crate::failure::Failure;
use crate::files;
use crate::profile::Profile;
use crate::profile::model::{Deployed, On, Service, Task};
use crate::profile::names::{COMPOSE_PROJECT_VARIABLE, PROJECT_VARIABLE};
use crate::profile::suggest;
use crate::render::container::HostLayout;
use crate::signature::Trust;
use crate::site::{self, Place};

/// A bundle that was unpacked into a folder of the host.
#[derive(Debug)]
pub struct Deployment {
    /// The folder, as an absolute path.
    pub folder: PathBuf,
    /// Its `bundle.json`.
    pub manifest: Manifest,
    /// The profile in its folder `profile/`.
    pub profile: Profile,
    /// The names of all instances, once they were asked for.
    pub(super) instances: OnceLock<Vec<String>>,
    /// The project's name that was chosen for this run; `None` for that of `.env`, or the profile's own.
    pub(super) project: Option<String>,
    pub(super) bundle: Bundle,
}

impl Deployment {
    /// Opens the bundle that was unpacked into `folder`. If `trust` has keys, one of them must have signed it, and all files
    /// but the images are checked before they are read. Else digests are not checked: see [`Deployment::verify`].
    ///
    /// # Errors
    /// [`Failure::usage`] when the folder holds no bundle, [`Failure::verification`] when its signature or a digest is wrong.
    pub fn open(folder: &Path, trust: &Trust) -> Result<Self> {
        let folder = std::path::absolute(folder)?;
        let hint = "run this in the folder that the bundle was unpacked into, or name that folder with --directory";
        let no_bundle = || Failure::usage(format!("there is no unpacked bundle in {}", folder.display())).hint(hint);
        if !folder.join(bundle::MANIFEST).is_file() {
            return Err(no_bundle().into());
        }
        let bundle = bundle::open_trusted(&folder, Limits::default(), trust)?;
        let manifest = bundle.manifest.clone().ok_or_else(no_bundle)?;
        refuse_types(&folder, &bundle)?;
        if trust.is_required() {
            refuse_damage(&folder, &bundle.verify_files())?;
        }
        let profile = Profile::load(&folder.join("profile"))?;
        if profile.model.deployment != manifest.deployment {
            let message = format!("the bundle in {} has the profile of another one", folder.display());
            return Err(Failure::verification(message).hint("unpack the bundle again").into());
        }
        Ok(Self { folder, manifest, profile, instances: OnceLock::new(), project: None, bundle })
    }

    /// Sets how much its layers may unpack to.
    pub fn limit(&mut self, limits: Limits) {
        self.bundle.limits = limits;
    }

    /// Checks the digest of every file, and that the layers are within the limits by the sizes in `bundle.json`. Layers are not decompressed: the engine does that when it loads them.
    ///
    /// # Errors
    /// [`Failure::verification`] that lists every damaged file.
    pub fn verify(&self) -> Result<()> {
        refuse_damage(&self.folder, &self.bundle.verify(Depth::Digests).violations)
    }

    /// Checks the digests of all files except the images: those that this program itself runs or reads.
    ///
    /// # Errors
    /// As [`Deployment::verify`].
    pub fn verify_files(&self) -> Result<()> {
        refuse_damage(&self.folder, &self.bundle.verify_files())
    }

    /// The folder of the site: certificates, secrets and settings of this installation.
    #[must_use]
    pub fn site(&self) -> PathBuf {
        self.folder.join("site")
    }

    /// Its folder and its bundle.
    ///
    /// # Errors
    /// `SHA256SUMS` cannot be read.
    pub(super) fn place(&self) -> Result<Place> {
        let folder = fs_err::canonicalize(&self.folder)?;
        let bundle = match self.bundle.files.get(&TreePath::new(bundle::SUMS)?).map(|entry| &entry.kind) {
            Some(Kind::File(sums)) => sums.digest()?,
            _ => Digest::of(b""),
        };
        Ok(Place { folder, bundle })
    }

    /// Whether the site has been made.
    #[must_use]
    pub fn has_site(&self) -> bool {
        self.site().join("site.toml").is_file()
    }

    /// The variables that `.env` sets; none when there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn variables(&self) -> Result<BTreeMap<String, String>> {
        let text =
            files::open_below(&self.folder, ".env").and_then(|file| files::read_up_to(file, files::DOCUMENT_LIMIT));
        match text {
            Ok(text) => Ok(site::compose_variables(&String::from_utf8_lossy(&text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// What differs between hosts in the arguments of containers.
    ///
    /// # Errors
    /// As [`Deployment::variables`], and when the folder's path is not UTF-8.
    pub fn layout(&self) -> Result<HostLayout> {
        let folder = self.folder.to_str().ok_or_else(|| {
            Failure::usage(format!("the path of the folder {} is not UTF-8", self.folder.display()))
                .hint("move the bundle to a folder with another name")
        })?;
        let variables = self.variables()?;
        let named = |variable: &str| variables.get(variable).filter(|name| !name.is_empty());
        if let (Some(own), Some(compose)) = (named(PROJECT_VARIABLE), named(COMPOSE_PROJECT_VARIABLE))
            && own != compose
        {
            let message = format!(".env: {PROJECT_VARIABLE} is `{own}`, but {COMPOSE_PROJECT_VARIABLE} is `{compose}`");
            return Err(Failure::usage(message).hint("give both the same name").into());
        }
        if let Some(name) = named(PROJECT_VARIABLE).or(named(COMPOSE_PROJECT_VARIABLE)) {
            check_project(name).context(".env")?;
        }
        let layout = HostLayout::new(&self.profile.model, folder, variables);
        Ok(match &self.project {
            Some(project) => HostLayout { project: project.clone(), ..layout },
            None => layout,
        })
    }

    /// Chooses the project: the prefix of the names of containers, volumes and the network. The first start records it.
    ///
    /// # Errors
    /// [`Failure::usage`] for a name that engines do not take, and when the site belongs to another project already.
    pub fn choose_project(&mut self, name: &str) -> Result<()> {
        check_project(name)?;
        if self.profile.model.deployment == Deployed::Systemd {
            return Err(Failure::usage("a deployment without containers has no project")
                .hint("its units have the names of its services: one host runs one such deployment")
                .into());
        }
        let current = self.layout()?.project;
        if self.has_site() && current != name {
            return Err(Failure::usage(format!("this folder belongs to the project {current}, not to {name}"))
                .hint("its data has that name: unpack the bundle into another folder for a second deployment")
                .into());
        }
        self.project = Some(name.to_owned());
        Ok(())
    }

    /// A service of the profile.
    ///
    /// # Errors
    /// [`Failure::usage`] that lists the services when there is none of that name.
    pub fn service(&self, name: &str) -> Result<&Service> {
        self.profile.model.services.get(name).ok_or_else(|| {
            Failure::usage(format!("there is no service `{name}`"))
                .hint(suggest::hint(name, "services", self.instances()))
                .into()
        })
    }

    /// The services in the order of their start: each after those that it depends on.
    #[must_use]
    pub fn order(&self) -> Vec<&str> {
        let mut order = Vec::new();
        for name in self.profile.model.services.keys() {
            self.append_with_dependencies(name.get_ref(), &mut order);
        }
        order
    }

    /// The instances of all services, in the order of their start.
    #[must_use]
    pub fn instances(&self) -> Vec<&str> {
        let all = || self.order().into_iter().flat_map(|service| self.profile.model.instances(service)).collect();
        self.instances.get_or_init(all).iter().map(String::as_str).collect()
    }

    /// The instances of a service.
    #[must_use]
    pub fn instances_of(&self, service: &str) -> Vec<&str> {
        let mut all = self.instances();
        all.retain(|instance| self.profile.model.service_of(instance).0 == service);
        all
    }

    /// An instance by its name; a service with one container is its only instance.
    ///
    /// # Errors
    /// [`Failure::usage`] that lists the instances.
    pub fn instance<'d>(&'d self, name: &str) -> Result<&'d str> {
        if let Some(instance) = self.instances().into_iter().find(|instance| *instance == name) {
            return Ok(instance);
        }
        self.service(name)?;
        let instances = self.instances_of(name).join(", ");
        Err(Failure::usage(format!("{name} has several containers"))
            .hint(format!("name one of them: {instances}"))
            .into())
    }

    /// Appends what `service` depends on, and then itself. The check of the profile refuses circles.
    fn append_with_dependencies<'d>(&'d self, service: &'d str, order: &mut Vec<&'d str>) {
        if order.contains(&service) {
            return;
        }
        for dependency in self.profile.model.services[service].depends_on.services() {
            self.append_with_dependencies(dependency.get_ref(), order);
        }
        order.push(service);
    }

    /// The task `name`, checked against the number of `arguments`.
    ///
    /// # Errors
    /// [`Failure::usage`] when there is no such task, or when it takes another number of arguments.
    pub fn task(&self, name: &str, arguments: &[String]) -> Result<&Task> {
        let tasks = &self.profile.model.tasks;
        let Some(task) = tasks.get(name) else {
            let failure = Failure::usage(format!("there is no task `{name}`"));
            let names = tasks.keys().map(|name| name.get_ref().as_str());
            return Err(failure.hint(suggest::hint(name, "tasks", names)).into());
        };
        let (needed, more) = task.needs();
        if arguments.len() < needed || (arguments.len() > needed && !more) {
            let expected = crate::ui::count(needed, "argument");
            let least = if more { "at least " } else { "" };
            let message = format!("the task {name} takes {least}{expected}, not {}", arguments.len());
            let usage = format!("sealift task {}", task.usage(name));
            let explained =
                task.values.iter().map(|(name, setting)| format!("\n{}: {}", name.to_uppercase(), setting.summary()));
            return Err(Failure::usage(message).hint(usage + &explained.collect::<String>()).into());
        }
        request::check_values(task, arguments)?;
        Ok(task)
    }

    /// The tasks that run before each start of `service`, by name.
    pub(super) fn start_tasks(&self, service: &str) -> impl Iterator<Item = (&str, &Task)> {
        let tasks = self.profile.model.tasks.iter().map(|(name, task)| (name.get_ref().as_str(), task));
        tasks.filter(move |(_, task)| task.on == Some(On::Up) && task.service.get_ref() == service)
    }
}

/// Refuses a prefix of names that engines do not take.
fn check_project(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(Failure::usage(format!("`{name}` is not a name for a project"))
        .hint("use lower-case letters, digits, `-` and `_`; the first is a letter or digit")
        .into())
}

fn refuse_damage(folder: &Path, violations: &[Violation]) -> Result<()> {
    if violations.is_empty() {
        return Ok(());
    }
    // A blob of another version is reported as no image's, and as not listed.
    let is_other = |found: &Violation| found.message.starts_with("is not listed");
    let is_twice = |found: &&Violation| {
        found.message == "does not belong to any image"
            && violations.iter().any(|other| other.file == found.file && is_other(other))
    };
    let told: Vec<&Violation> = violations.iter().filter(|found| !is_twice(found)).collect();
    let lines: Vec<String> = told.iter().map(|violation| format!("  {violation}")).collect();
    let (what, hint) = if told.iter().all(|found| is_other(found)) {
        let hint = "nothing was loaded or started; unpack each version into an empty folder, and copy .env and site/ into it; or remove \
                    these files";
        ("has files of something else", hint)
    } else {
        ("is damaged", "nothing was loaded or started; unpack the bundle again")
    };
    let message = format!("the bundle in {} {what}:\n{}", folder.display(), lines.join("\n"));
    Err(Failure::verification(message).hint(hint).into())
}

/// Refuses links, pipes and the like: what is read below would be other files than those in the folder.
fn refuse_types(folder: &Path, bundle: &Bundle) -> Result<()> {
    let violations = bundle.verify_types();
    if violations.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = violations.iter().map(|violation| format!("  {violation}")).collect();
    let message = format!("the folder {} has what no bundle has:\n{}", folder.display(), lines.join("\n"));
    let hint = "remove them, or put a copy of what a link leads to in its place; nothing was changed";
    Err(Failure::verification(message).hint(hint).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing;

    #[test]
    fn a_folder_without_a_bundle_is_a_usage_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = Deployment::open(folder.path(), &Trust::default()).unwrap_err();
        assert!(error.to_string().starts_with("there is no unpacked bundle in "), "{error}");
    }

    #[test]
    fn a_project_can_be_chosen_only_before_the_site_exists() {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = testing::deployment(folder.path());
        deployment.choose_project("shop-two").unwrap();
        assert_eq!(deployment.layout().unwrap().resource_name("web"), "shop-two_web");
        for wrong in ["", "Shop", "-shop", "shop/two", "a b"] {
            assert!(deployment.choose_project(wrong).is_err(), "{wrong}");
        }
        fs_err::create_dir(folder.path().join("site")).unwrap();
        fs_err::write(folder.path().join("site/site.toml"), "").unwrap();
        let mut deployment = testing::deployment(folder.path());
        let error = deployment.choose_project("shop-two").unwrap_err();
        assert_eq!(error.to_string(), "this folder belongs to the project shop-small, not to shop-two");
        deployment.choose_project("shop-small").unwrap();
    }

    #[test]
    fn the_two_variables_of_the_project_must_agree() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = testing::deployment(folder.path());
        fs_err::write(folder.path().join(".env"), "COMPOSE_PROJECT_NAME=a\nSEALIFT_PROJECT=b\n").unwrap();
        let error = deployment.layout().unwrap_err();
        assert_eq!(error.to_string(), ".env: SEALIFT_PROJECT is `b`, but COMPOSE_PROJECT_NAME is `a`");
        fs_err::write(folder.path().join(".env"), "SEALIFT_PROJECT=a/../b\n").unwrap();
        let error = deployment.layout().unwrap_err();
        assert_eq!(format!("{error:#}"), ".env: `a/../b` is not a name for a project");
    }

    #[test]
    fn services_come_after_their_dependencies() {
        let deployment = testing::deployment(Path::new("/srv/shop"));
        let order = deployment.order();
        let position = |service: &str| order.iter().position(|other| *other == service).unwrap();
        assert!(position("shop-database") < position("shop-web"), "{order:?}");
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        let deployment = testing::deployment(Path::new("/srv/shop"));
        let hint = |error: anyhow::Error| Failure::within(&error).unwrap().hint.clone().unwrap();
        assert!(hint(deployment.service("nginx").unwrap_err()).contains("shop-web"));
        let tasks = "tasks: `close`, `export`, `migrate`";
        assert_eq!(hint(deployment.task("nothing", &[]).unwrap_err()), tasks);
        assert_eq!(hint(deployment.task("clsoe", &[]).unwrap_err()), format!("did you mean `close`? {tasks}"));
        let error = deployment.task("migrate", &["now".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "the task migrate takes 0 arguments, not 1");
        let error = deployment.task("export", &[]).unwrap_err();
        assert_eq!(error.to_string(), "the task export takes at least 1 argument, not 0");
        assert_eq!(hint(error), "sealift task export FILE [OPTIONS...]");
        for options in [&["a"][..], &["a", "-b", "c"]] {
            let values: Vec<String> = options.iter().map(|text| (*text).to_owned()).collect();
            assert!(deployment.task("export", &values).is_ok());
        }
    }
}
