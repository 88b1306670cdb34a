//! The check whether containers and data of the deployment's names belong to this folder.
//!
//! Names of containers and volumes come from the project, which is the same for every folder that a bundle of the profile is
//! unpacked into. That lets a new version take over the data of the old one, whose site is copied to it. A folder without
//! that site has other secrets, and could neither read the data nor leave what runs as it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::context::Containers;
use super::output::{self, Container};
use crate::failure::Failure;
use crate::finding::Findings;
use crate::profile::model::Model;
use crate::site;

/// The end of both hints.
const OTHER_PROJECT: &str = "to run a second deployment beside it, give this one another name: --project NAME";

impl Containers<'_> {
    /// Finds containers that another folder made with another site, and data that no site in this folder belongs to.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn check_ownership(&self, findings: &mut Findings) -> Result<()> {
        let others = self.other_folders()?;
        if let Some(other) = others.iter().find(|other| !self.has_site_of(other)) {
            let other = other.display();
            let message = format!("{} already belongs to the folder {other}", self.layout()?.project);
            let hint = format!("to upgrade it, copy .env and site/ from {other} to this folder; {OTHER_PROJECT}");
            findings.error("project", message, hint);
        } else if !self.deployment.has_site() {
            let full: Vec<String> = self.volumes_with_data()?;
            if let Some(first) = full.first() {
                let message = format!("the volume {first} has data, but this folder has no site with its secrets");
                let program = self.engine.program();
                let hint = format!(
                    "copy .env and site/ from the folder that the data was made with; {OTHER_PROJECT}; to start over, \
                     delete all data: {program} volume rm {}",
                    full.join(" ")
                );
                findings.error("project", message, hint);
            }
        }
        Ok(())
    }

    /// Refuses to touch containers that another folder made with another site.
    ///
    /// # Errors
    /// [`Failure::usage`] that names that folder, and when the engine fails.
    pub(super) fn refuse_other_folder(&self) -> Result<()> {
        let others = self.other_folders()?;
        let Some(other) = others.iter().find(|other| !self.has_site_of(other)) else { return Ok(()) };
        let other = other.display();
        Err(Failure::usage(format!("the containers of {} belong to the folder {other}", self.layout()?.project))
            .hint(format!("run the command there: add --directory {other}"))
            .into())
    }

    /// Finds a start with another engine than the one that has the data of this site.
    pub(super) fn check_engine(&self, findings: &mut Findings) {
        let model = &self.deployment.profile.model;
        let recorded = site::recorded_engine(&self.deployment.site(), model);
        if let Some(recorded) = recorded.filter(|recorded| recorded != self.engine.program()) {
            let message =
                format!("this deployment runs on {recorded}, which has its data, not on {}", self.engine.program());
            let hint = format!(
                "use --engine {recorded}; to move to another engine, move the data first (README.md, \"Backup\"), then \
                 remove the line `engine` from site/site.toml"
            );
            findings.error("engine", message, hint);
        }
    }

    /// The containers of this deployment's names.
    fn own_containers(&self) -> Result<Vec<Container>> {
        let layout = self.layout()?;
        let names: Vec<String> =
            self.deployment.instances().into_iter().map(|service| layout.resource_name(service)).collect();
        Ok(output::containers(&self.engine.inspect("container", &names)?)?.into_values().collect())
    }

    /// The folders that made containers of this deployment's names, except this one.
    fn other_folders(&self) -> Result<BTreeSet<PathBuf>> {
        let folders = self.own_containers()?.into_iter().map(|container| PathBuf::from(container.folder));
        let own = real_path(&self.deployment.folder);
        Ok(folders.filter(|folder| folder.is_absolute() && real_path(folder) != own).collect())
    }

    /// Whether containers of this deployment's names were made with the site of this folder: one has a secret of the site
    /// in its environment, or another folder that made them has the same secrets. Where no service gets a secret in its
    /// environment, it is enough that this folder made them.
    pub(super) fn has_containers_of_site(&self) -> Result<bool> {
        let (model, site) = (&self.deployment.profile.model, self.deployment.site());
        let containers = self.own_containers()?;
        let environment: Vec<&String> = containers.iter().flat_map(|container| &container.environment).collect();
        let secrets = model.site.secrets.keys().filter_map(|name| site::secret(&site, name));
        let secrets: Vec<String> = secrets.filter_map(|secret| String::from_utf8(secret).ok()).collect();
        let found = |secret: &String| {
            let secret = secret.trim();
            !secret.is_empty() && environment.iter().any(|variable| variable.contains(secret))
        };
        if secrets.iter().any(found) {
            return Ok(true);
        }
        let own = real_path(&self.deployment.folder);
        let folders: BTreeSet<PathBuf> =
            containers.iter().map(|container| real_path(Path::new(&container.folder))).collect();
        let same = |other: &&PathBuf| **other != own && site::share_secrets(model, &site, &other.join("site"));
        Ok(folders.iter().any(|other| same(&other)) || folders.contains(&own) && !has_secret_environment(model))
    }

    /// The folder of another deployment that made this container: one with another site.
    pub(super) fn other_owner(&self, container: &Container) -> Option<PathBuf> {
        let folder = PathBuf::from(&container.folder);
        let is_other = folder.is_absolute() && real_path(&folder) != real_path(&self.deployment.folder);
        (is_other && !self.has_site_of(&folder)).then_some(folder)
    }

    /// Whether this folder has the site of `other`: then it is the next version of the same deployment.
    fn has_site_of(&self, other: &Path) -> bool {
        let other = other.join("site");
        // A folder that was moved or removed cannot be compared.
        self.deployment.has_site()
            && (!other.is_dir()
                || !site::differ_in_secrets(&self.deployment.profile.model, &self.deployment.site(), &other))
    }

    /// The names of volumes that exist and are not empty. A volume that cannot be read counts as not empty.
    fn volumes_with_data(&self) -> Result<Vec<String>> {
        let mut full = Vec::new();
        for volume in self.volumes()?.into_values() {
            let contents = self.look_into_volume(&volume, &[])?;
            if contents.is_some_and(|contents| !contents.is_ok_and(|contents| contents.is_empty)) {
                full.push(volume);
            }
        }
        Ok(full)
    }
}

/// Whether a service of the profile gets secrets in its environment.
fn has_secret_environment(model: &Model) -> bool {
    let is_secret = |path: &str| model.site.templates.get(path).is_some_and(|template| template.secret);
    model.services.values().flat_map(|service| &service.env_files).any(|path| is_secret(path.get_ref()))
}

fn real_path(path: &Path) -> PathBuf {
    fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::{self, Podman};
    use crate::profile::names::secret_path;

    /// A folder with a site that has this secret.
    fn site(folder: &Path, secret: &str) {
        fs_err::create_dir_all(folder.join("site/secrets")).unwrap();
        fs_err::write(folder.join("site/site.toml"), "").unwrap();
        let model = crate::profile::sample();
        let name = model.site.secrets.keys().next().unwrap();
        fs_err::write(folder.join("site").join(secret_path(name)), secret).unwrap();
    }

    /// A podman with a container that `folder` made.
    fn podman_with_container_of(folder: &Path) -> Podman {
        let container = format!(
            r#"[{{"Name": "shop-small_shop-web", "State": {{"Status": "running"}}, "Config": {{"Labels":
            {{"com.docker.compose.project.working_dir": "{}"}}}}}}]"#,
            folder.display()
        );
        Podman::new(&format!(
            "[ \"$1 $2\" = 'container inspect' ] && {{ echo '{}'; exit 0; }}",
            container.replace('\n', " ")
        ))
    }

    fn check(deployment_folder: &Path, podman: &Podman) -> String {
        let deployment = testing::deployment(deployment_folder);
        let mut findings = Findings::default();
        podman.containers(&deployment).check_ownership(&mut findings).unwrap();
        findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    /// A second `tar xf` and `up` made new secrets and removed the containers that ran.
    #[test]
    fn a_folder_without_a_site_does_not_replace_the_containers_of_another() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        site(old.path(), "one");
        let found = check(new.path(), &podman_with_container_of(old.path()));
        let found = found.replace(&old.path().display().to_string(), "/srv/old");
        insta::assert_snapshot!(found, @r"
        error: project: shop-small already belongs to the folder /srv/old
          hint: to upgrade it, copy .env and site/ from /srv/old to this folder; to run a second deployment beside it, give this one another name: --project NAME
        ");
    }

    #[test]
    fn a_copied_site_takes_the_containers_over_and_another_site_does_not() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        site(old.path(), "one");
        let podman = podman_with_container_of(old.path());
        site(new.path(), "one");
        assert_eq!(check(new.path(), &podman), "");
        site(new.path(), "two");
        assert!(check(new.path(), &podman).contains("already belongs to"));
        // The old folder was moved here.
        fs_err::remove_dir_all(old.path()).unwrap();
        assert_eq!(check(new.path(), &podman), "");
    }

    #[test]
    fn containers_of_another_folder_are_not_stopped() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        site(old.path(), "one");
        let podman = podman_with_container_of(old.path());
        let deployment = testing::deployment(new.path());
        let error = podman.containers(&deployment).refuse_other_folder().unwrap_err();
        assert!(error.to_string().starts_with("the containers of shop-small belong to the folder "), "{error}");
        site(new.path(), "one");
        podman.containers(&deployment).refuse_other_folder().unwrap();
    }

    /// Sites of versions that remembered none: the service's environment has the secret.
    #[test]
    fn containers_show_which_site_they_were_made_with() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let made_with = |folder: &Path, environment: &str| {
            let container = format!(
                r#"[{{"Name": "shop-small_shop-web", "State": {{"Status": "exited"}}, "Config": {{"Env": ["{environment}"],
                "Labels": {{"com.docker.compose.project.working_dir": "{}"}}}}}}]"#,
                folder.display()
            );
            let container = container.replace('\n', " ");
            let podman =
                Podman::new(&format!("[ \"$1 $2\" = 'container inspect' ] && {{ echo '{container}'; exit 0; }}"));
            let deployment = testing::deployment(new.path());
            podman.containers(&deployment).has_containers_of_site().unwrap()
        };
        site(new.path(), "a-secret-of-this-site");
        assert!(made_with(new.path(), "TOKEN=a-secret-of-this-site"));
        assert!(!made_with(new.path(), "TOKEN=another"), "the site was replaced");
        // The folder of the previous version.
        assert!(!made_with(old.path(), "TOKEN=another"));
        site(old.path(), "a-secret-of-this-site");
        assert!(made_with(old.path(), ""));
        site(old.path(), "another-secret");
        assert!(!made_with(old.path(), ""));
    }

    #[test]
    fn the_engine_that_has_the_data_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = testing::deployment(folder.path());
        let record = |engine: &str| {
            let text = format!("schema = 1\nprofile = \"small\"\nhost = \"shop.test\"\nengine = \"{engine}\"\n");
            fs_err::create_dir_all(folder.path().join("site")).unwrap();
            fs_err::write(folder.path().join("site/site.toml"), text).unwrap();
            let podman = Podman::new("");
            let mut findings = Findings::default();
            podman.containers(&deployment).check_engine(&mut findings);
            findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(record("podman"), "");
        let found = record("docker");
        assert!(
            found.starts_with("error: engine: this deployment runs on docker, which has its data, not on podman"),
            "{found}"
        );
    }

    #[test]
    fn data_without_its_site_is_not_started_with_new_secrets() {
        let (volume, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let behavior = format!("[ \"$1 $2\" = 'volume inspect' ] && {{ echo {}; exit 0; }}", volume.path().display());
        let podman = Podman::new(&behavior);
        assert_eq!(check(new.path(), &podman), "");
        fs_err::write(volume.path().join("PG_VERSION"), "18\n").unwrap();
        let found = check(new.path(), &podman);
        assert!(found.contains("has data, but this folder has no site with its secrets"), "{found}");
        site(new.path(), "one");
        assert_eq!(check(new.path(), &podman), "");
    }
}
