//! The check whether the images can read the data that is on the host.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::context::Containers;
use super::kind::EngineKind;
use crate::finding::Findings;
use crate::host::look::{Contents, LOOK, look};
use crate::profile::model::Volume;

impl Containers<'_> {
    /// Checks the version of the data in the volumes that exist and whose contents only one version can read.
    pub(super) fn check_volumes(&self, findings: &mut Findings) -> Result<()> {
        for (name, full_name) in self.volumes()? {
            let Some(spec) = self.deployment.profile.model.volumes.get(name.as_str()) else { continue };
            let topic = format!("volume {full_name}");
            match self.look_into_volume(&full_name, &spec.version_files)? {
                None => findings.ok(topic, "none yet"),
                Some(Ok(contents)) => compare(topic, spec, &contents, findings),
                Some(Err(_)) => {
                    let hint = "run this as root to see the version; the service checks it again when it starts";
                    findings.warn(topic, "this user cannot read its data", hint);
                }
            }
        }
        Ok(())
    }

    /// Finds volumes of earlier versions that no service has any more: one that was renamed is new and empty.
    pub(super) fn check_left_volumes(&self, findings: &mut Findings) -> Result<()> {
        for volume in self.left_volumes()? {
            let hint = format!(
                "if a volume got another name, give it the old one again: its data is still there; to delete it: {} volume rm {volume}",
                self.engine.program()
            );
            findings.warn(format!("volume {volume}"), "no service of this version has it", hint);
        }
        Ok(())
    }

    /// The volumes of this deployment that only earlier versions had.
    pub(super) fn left_volumes(&self) -> Result<Vec<String>> {
        let label = format!("label=com.docker.compose.project={}", self.layout()?.project);
        let listed = self.engine.run(&["volume", "ls", "--filter", &label, "--format", "{{.Name}}"])?;
        let used: BTreeSet<String> = self.volumes()?.into_values().collect();
        Ok(listed.lines().filter(|volume| !used.contains(*volume)).map(str::to_owned).collect())
    }

    /// What is in a volume; `None` if there is no such volume, an inner error if it cannot be read.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn look_into_volume(&self, volume: &str, patterns: &[String]) -> Result<Option<Result<Contents>>> {
        let Some(folder) = self.volume_folder(volume)? else { return Ok(None) };
        Ok(Some(match self.engine.kind {
            EngineKind::Podman if self.engine.info()?.rootless => self.look_as_container(&folder, patterns),
            _ => look(Path::new(&folder), patterns),
        }))
    }

    /// Where the engine has a volume on the host; `None` if there is no such volume.
    pub(super) fn volume_folder(&self, volume: &str) -> Result<Option<String>> {
        let folder = self.engine.query(&["volume", "inspect", "--format", "{{.Mountpoint}}", volume])?;
        Ok(folder.map(|folder| folder.trim().to_owned()))
    }

    /// As [`look`], by this program among the user numbers of containers: to those belong the files of an ordinary user's
    /// podman.
    fn look_as_container(&self, folder: &str, patterns: &[String]) -> Result<Contents> {
        let program = self.machine.program().and_then(Path::to_str).context("the path of this program is not known")?;
        let mut arguments = vec!["unshare", program, LOOK, "--", folder];
        arguments.extend(patterns.iter().map(String::as_str));
        Ok(serde_json::from_str(&self.engine.run(&arguments)?)?)
    }
}

fn compare(topic: String, spec: &Volume, contents: &Contents, findings: &mut Findings) {
    let version = spec.version.as_str();
    let mut found = contents.first_lines.iter();
    match found.clone().find(|(_, found)| *found == version).or(found.next()) {
        None => findings.ok(topic, "empty"),
        Some((_, found)) if found == version => findings.ok(topic, format!("data of version {version}")),
        Some((path, found)) => {
            let message = format!("its data has version {found} ({path}), but this bundle needs version {version}");
            findings.error(topic, message, spec.upgrade.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing;

    fn check(folder: &Path) -> String {
        let spec = Volume {
            version_files: vec!["*/data/VERSION".into(), "VERSION".into()],
            version: "18".into(),
            upgrade: "dump it, load it".into(),
        };
        let mut findings = Findings::default();
        compare("volume shop_data".into(), &spec, &look(folder, &spec.version_files).unwrap(), &mut findings);
        findings.0[0].to_string()
    }

    #[test]
    fn data_of_another_version_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = place.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        insta::assert_snapshot!(check(place.path()), @"ok: volume shop_data: empty");
        put("VERSION", "16\n");
        put("17/data/VERSION", "17\n");
        insta::assert_snapshot!(check(place.path()), @r"
        error: volume shop_data: its data has version 17 (17/data/VERSION), but this bundle needs version 18
          hint: dump it, load it
        ");
        // The old data may stay beside the new.
        put("18/data/VERSION", "18\n");
        insta::assert_snapshot!(check(place.path()), @"ok: volume shop_data: data of version 18");
    }

    /// A new version had another name for its volume: its database was new and empty, and all was healthy.
    #[test]
    fn volumes_of_earlier_versions_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = testing::deployment(folder.path());
        let podman = testing::Podman::new(
            "[ \"$1 $2\" = 'volume ls' ] && { echo shop-small_orders; echo shop-small_order-data; exit; }",
        );
        let mut findings = Findings::default();
        podman.containers(&deployment).check_left_volumes(&mut findings).unwrap();
        let list: Vec<String> = findings.0.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(list.join("\n"), @"
        warning: volume shop-small_order-data: no service of this version has it
          hint: if a volume got another name, give it the old one again: its data is still there; to delete it: podman volume rm shop-small_order-data
        ");
    }
}
