//! A deployment and a podman for tests.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sealift_layers::digest::Digest;
use sealift_layers::limits::Limits;
use sealift_layers::tree::Tree;

use super::containers::Containers;
use super::deployment::Deployment;
use crate::bundle::{Bundle, BundleImage, Form, Manifest};
use crate::machine::Machine;
use crate::profile::Profile;
use crate::profile::model::Model;

/// The sample profile as an unpacked bundle in `folder`, whose images have no layers.
pub(super) fn deployment(folder: &Path) -> Deployment {
    of_model(folder, crate::profile::sample())
}

/// A profile as an unpacked bundle in `folder`.
pub(super) fn of_model(folder: &Path, model: Model) -> Deployment {
    let images = model.images.keys().map(|name| image(name.get_ref())).collect();
    let manifest = Manifest {
        schema: 1,
        sealift: String::new(),
        product: model.product.get_ref().clone(),
        profile: model.name.get_ref().clone(),
        version: model.version.get_ref().clone(),
        title: String::new(),
        platform: "linux/amd64".into(),
        deployment: model.deployment,
        epoch: 0,
        host: String::new(),
        images,
        system: None,
        packages: Vec::new(),
        wheels: Vec::new(),
        crates: Vec::new(),
        archives: Vec::new(),
        store_paths: Vec::new(),
        excluded: [].into(),
        privileges: [].into(),
        written: None,
        bytecode: None,
        compiled: None,
        program: Vec::new(),
        site: [].into(),
    };
    let form = Form::Folder { owner: 0 };
    let (oddities, limits) = (Vec::new(), Limits::default());
    let bundle =
        Bundle { files: Tree::default(), form, oddities, limits, signature: None, manifest: Some(manifest.clone()) };
    Deployment {
        folder: folder.to_owned(),
        manifest,
        profile: Profile::of_model(folder, model),
        instances: Default::default(),
        project: None,
        bundle,
    }
}

pub(in crate::host) fn image(name: &str) -> BundleImage {
    let digest = Digest::of(name.as_bytes());
    BundleImage {
        name: name.to_owned(),
        reference: format!("localhost/{name}:1"),
        digest,
        config: digest,
        layers: Vec::new(),
        packages: Vec::new(),
        wheels: Vec::new(),
        archives: Vec::new(),
        store_paths: Vec::new(),
    }
}

/// The ID of an image of [`deployment`].
pub(super) fn image_id(name: &str) -> String {
    Digest::of(name.as_bytes()).hex()
}

const SCRIPT: &str = r#"#!/bin/sh
cd FOLDER
echo "$*" >>calls
BEHAVIOR
case "$*" in
version*) echo 4.3.1;;
info*) echo '{}';;
create*) while [ $# -gt 0 ]; do [ "$1" = --name ] && echo "$2" >>created; shift; done;;
start*) shift; for name; do echo "$name" >>started; done;;
'container inspect'*)
    shift 2
    for name; do
        grep -qx "$name" created 2>/dev/null || continue
        state=created
        grep -qx "$name" started 2>/dev/null && state=running
        printf '%s{"Name": "%s", "State": {"Status": "%s", "StartedAt": "2020-01-01T00:00:00Z"}}'             "${separator:-[}" "$name" "$state"
        separator=,
    done
    [ -n "$separator" ] || printf '['
    echo ']';;
*inspect*) echo '[]';;
esac
exit 0
"#;

/// A script that replaces podman and records how it is called. It has the containers that were created, which run once they
/// were started; every command succeeds.
pub(super) struct Podman {
    folder: tempfile::TempDir,
    machine: Machine,
}

impl Podman {
    /// `behavior` is shell code that runs first and may exit.
    pub(super) fn new(behavior: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("podman");
        let script = SCRIPT.replace("FOLDER", &folder.path().display().to_string()).replace("BEHAVIOR", behavior);
        fs_err::write(&program, script).unwrap();
        fs_err::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        let machine = Machine::of(Path::new("/"), &[("PATH", &path)]);
        Self { folder, machine }
    }

    /// The same podman on a machine with this root directory.
    pub(super) fn on(mut self, root: &Path) -> Self {
        self.machine = Machine::of(root, &[("PATH", self.machine.var("PATH").unwrap())]);
        self
    }

    /// `deployment` as this podman runs it.
    pub(super) fn containers<'a>(&'a self, deployment: &'a Deployment) -> Containers<'a> {
        Containers::find(deployment, Some("podman"), &self.machine).unwrap()
    }

    /// The arguments of all calls, a line each.
    pub(super) fn calls(&self) -> Vec<String> {
        let calls = fs_err::read_to_string(self.folder.path().join("calls")).unwrap();
        calls.lines().map(str::to_owned).collect()
    }
}
