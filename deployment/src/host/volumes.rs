//! Whether the data on the host is of a version that the images can read.

use std::process::{Command, Stdio};

use anyhow::Result;

use super::answers::Facts;
use super::{Deployment, Engine, Kind};
use crate::finding::Findings;
use crate::profile::model::Volume;

/// Prints the first line of each file below the folder `$1` that the patterns behind it match, with its path. Exits with 3
/// where nobody may look.
const LOOK: &str = r#"
cd "$1" 2>/dev/null || exit 3
shift
for pattern in "$@"; do
    for file in $pattern; do
        if [ -f "$file" ]; then printf '%s %s\n' "$(head -n 1 "$file")" "$file"; fi
    done
done
"#;

impl Deployment {
    /// Looks into the volumes whose contents only one version can read, as far as they are there.
    pub(super) fn check_volumes(&self, engine: &Engine, facts: &Facts, findings: &mut Findings) -> Result<()> {
        for (name, full) in self.volumes()? {
            let Some(spec) = self.profile.model.volumes.get(name.as_str()) else { continue };
            let topic = format!("volume {full}");
            let place = engine.ask(&["volume", "inspect", "--format", "{{.Mountpoint}}", &full])?;
            let Some(place) = place else {
                findings.ok(topic, "none yet");
                continue;
            };
            // An ordinary user's podman keeps the files as users that only it can become.
            let mut look = match engine.kind {
                Kind::Podman if facts.rootless => engine.command(&["unshare", "sh"]),
                _ => Command::new("sh"),
            };
            look.args(["-c", LOOK, "sh", place.trim()]).args(&spec.version_files).stdin(Stdio::null());
            let output = look.output()?;
            if !output.status.success() {
                let hint = "root can tell what version it is of; the service itself looks again when it starts";
                findings.warn(topic, "its data cannot be looked at by this user", hint);
                continue;
            }
            compare(topic, spec, &String::from_utf8_lossy(&output.stdout), findings);
        }
        Ok(())
    }
}

/// `told` has a line for each file: its version, a space, its path.
fn compare(topic: String, spec: &Volume, told: &str, findings: &mut Findings) {
    let found: Vec<(&str, &str)> = told.lines().filter_map(|line| line.split_once(' ')).collect();
    let version = spec.version.as_str();
    match found.iter().find(|(found, _)| *found == version).or(found.first()) {
        None => findings.ok(topic, "empty"),
        Some((found, _)) if *found == version => findings.ok(topic, format!("data of version {version}")),
        Some((found, path)) => {
            let message = format!("its data is of version {found} ({path}), and this bundle's is {version}");
            findings.error(topic, message, spec.upgrade.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn look(folder: &Path) -> String {
        let spec = Volume {
            version_files: vec!["*/data/VERSION".into(), "VERSION".into()],
            version: "18".into(),
            upgrade: "dump it, load it".into(),
        };
        let output =
            Command::new("sh").args(["-c", LOOK, "sh"]).arg(folder).args(&spec.version_files).output().unwrap();
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
        insta::assert_snapshot!(look(place.path()), @"ok: volume shop_data: empty");
        put("VERSION", "16\n");
        put("17/data/VERSION", "17\n");
        insta::assert_snapshot!(look(place.path()), @r"
        error: volume shop_data: its data is of version 17 (17/data/VERSION), and this bundle's is 18
          hint: dump it, load it
        ");
        // The old data may stay beside the new.
        put("18/data/VERSION", "18\n");
        insta::assert_snapshot!(look(place.path()), @"ok: volume shop_data: data of version 18");
    }

    #[test]
    fn a_folder_that_cannot_be_entered_is_not_taken_for_an_empty_one() {
        let output = Command::new("sh").args(["-c", LOOK, "sh", "/nowhere/at/all", "*"]).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
    }
}
