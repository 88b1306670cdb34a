//! The check whether the images can read the data that is on the host.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::context::Containers;
use super::kind::EngineKind;
use crate::finding::Findings;
use crate::profile::model::Volume;

/// Prints the first line and the path of each file below the folder `$1` that the other arguments, patterns, match. Exits
/// with 3 when the folder cannot be entered.
const PRINT_VERSIONS: &str = r#"
cd "$1" 2>/dev/null || exit 3
shift
for pattern in "$@"; do
    for file in $pattern; do
        if [ -f "$file" ]; then printf '%s %s\n' "$(head -n 1 "$file")" "$file"; fi
    done
done
"#;

impl Containers<'_> {
    /// Checks the version of the data in the volumes that exist and whose contents only one version can read.
    pub(super) fn check_volumes(&self, findings: &mut Findings) -> Result<()> {
        for (name, full_name) in self.volumes()? {
            let Some(spec) = self.deployment.profile.model.volumes.get(name.as_str()) else { continue };
            let topic = format!("volume {full_name}");
            let folder = self.engine.query(&["volume", "inspect", "--format", "{{.Mountpoint}}", &full_name])?;
            let Some(folder) = folder else {
                findings.ok(topic, "none yet");
                continue;
            };
            // The files of an ordinary user's podman belong to user numbers that only its mapping has.
            let mut command = match self.engine.kind {
                EngineKind::Podman if self.engine.info()?.rootless => self.engine.command(&["unshare", "sh"]),
                _ => Command::new("sh"),
            };
            command.args(["-c", PRINT_VERSIONS, "sh", folder.trim()]).args(&spec.version_files).stdin(Stdio::null());
            let output = command.output().context("cannot look into the volumes")?;
            if output.status.success() {
                compare(topic, spec, &String::from_utf8_lossy(&output.stdout), findings);
            } else {
                let hint = "run this as root to see the version; the service checks it again when it starts";
                findings.warn(topic, "this user cannot read its data", hint);
            }
        }
        Ok(())
    }
}

/// `versions` has a line for each file: its version, a space, its path.
fn compare(topic: String, spec: &Volume, versions: &str, findings: &mut Findings) {
    let found: Vec<(&str, &str)> = versions.lines().filter_map(|line| line.split_once(' ')).collect();
    let version = spec.version.as_str();
    match found.iter().find(|(found, _)| *found == version).or(found.first()) {
        None => findings.ok(topic, "empty"),
        Some((found, _)) if *found == version => findings.ok(topic, format!("data of version {version}")),
        Some((found, path)) => {
            let message = format!("its data has version {found} ({path}), but this bundle needs version {version}");
            findings.error(topic, message, spec.upgrade.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(folder: &Path) -> String {
        let spec = Volume {
            version_files: vec!["*/data/VERSION".into(), "VERSION".into()],
            version: "18".into(),
            upgrade: "dump it, load it".into(),
        };
        let output = Command::new("sh")
            .args(["-c", PRINT_VERSIONS, "sh"])
            .arg(folder)
            .args(&spec.version_files)
            .output()
            .unwrap();
        assert!(output.status.success());
        let mut findings = Findings::default();
        compare("volume shop_data".into(), &spec, &String::from_utf8(output.stdout).unwrap(), &mut findings);
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

    #[test]
    fn a_folder_that_cannot_be_entered_differs_from_an_empty_one() {
        let output = Command::new("sh").args(["-c", PRINT_VERSIONS, "sh", "/nowhere/at/all", "*"]).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
    }
}
