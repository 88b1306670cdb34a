//! The components of a bill: images, packages, wheels, crates, archives and store paths, each with its reference.

use sealift_layers::digest::Digest;
use sealift_layers::ingredients::nix_store;

use super::super::manifest::{BundleImage, License, Manifest, ProgramCrate};
use super::cyclonedx::{Component, Kind};
use super::{PROGRAM, SYSTEM, purl};
use crate::profile::model::Deployed;

pub(super) fn components(manifest: &Manifest) -> Vec<Component> {
    let distro = manifest.system.as_ref().map(|system| format!("{}-{}", system.id, system.version)).unwrap_or_default();
    let packages = manifest.packages.iter().map(|package| {
        let component = Component::new(Kind::Library, &package.name).known_as(deb_ref(&package.name));
        let component = component.version(&package.version).hash(package.sha256).purl(purl::deb(package, &distro));
        let component = licensed(component, package.license.as_ref());
        let component = package.source.iter().fold(component, |component, source| {
            component.trivy("SrcName", &source.name).trivy("SrcVersion", &source.version)
        });
        package.archive.iter().fold(component, |component, archive| component.property("archive", archive))
    });
    let wheels = manifest.wheels.iter().map(|wheel| {
        let component = Component::new(Kind::Library, &wheel.name).known_as(wheel_ref(&wheel.file));
        let purl = purl::pypi(&wheel.name, &wheel.version);
        let component = component.version(&wheel.version).hash(wheel.sha256).purl(purl).property("file", &wheel.file);
        licensed(component, wheel.license.as_ref())
    });
    let archives = manifest.archives.iter().map(|archive| {
        let component = Component::new(Kind::Application, &archive.name).known_as(archive_ref(&archive.file));
        let purl = purl::generic(&archive.name, &archive.version, archive.sha256);
        component.version(&archive.version).hash(archive.sha256).purl(purl).property("file", &archive.file)
    });
    let crates = manifest.crates.iter().map(|made| {
        let component = Component::new(Kind::Application, &made.name).known_as(crate_ref(&made.image, &made.name));
        let component = component.version(&made.version).hash(made.sha256).purl(purl::cargo(&made.name, &made.version));
        let component = licensed(component.property("binary", &made.binary), made.license.as_ref());
        made.features.iter().fold(component, |component, feature| component.property("feature", feature))
    });
    let store_paths = manifest.store_paths.iter().map(|path| {
        let label = Label::of(nix_store::without_hash(&path.name));
        let hash = path.name.split_once('-').map_or("", |(hash, _)| hash);
        let component = Component::new(Kind::Library, label.name).known_as(store_ref(&path.name));
        let component = Component { version: label.version.map(str::to_owned), ..component };
        // Not in `hashes`, which are of files: this is the hash of a Nix archive of a tree.
        component
            .purl(purl::nix(label.name, label.version, label.output, hash))
            .property("nix:store-path", format!("/nix/store/{}", path.name))
            .property("nix:nar-hash", path.nar_hash.to_string())
            .property("nix:nar-size", path.nar_size.to_string())
    });
    let images = manifest.images.iter().map(|made| image(manifest, made));
    // Scanners take no more than one, and match no package without it.
    let system = manifest.system.iter().map(|system| {
        Component::new(Kind::OperatingSystem, &system.id).known_as(SYSTEM.to_owned()).version(&system.version)
    });
    images.chain(system).chain(packages).chain(wheels).chain(crates).chain(archives).chain(store_paths).collect()
}

/// The crates of the program in the bundle, other than the program itself.
pub(super) fn program_crates(manifest: &Manifest) -> impl Iterator<Item = Component> {
    manifest.program.iter().filter(|made| made.name != "sealift").map(|made| {
        let reference = program_ref(&format!("{} {}", made.name, made.version));
        let component = Component::new(Kind::Library, &made.name).known_as(reference).version(&made.version);
        let component = made.license.iter().fold(component, |component, license| component.license(license, true));
        let component = program_texts(component, made);
        match made.sha256 {
            Some(digest) => component.hash(digest).purl(purl::cargo(&made.name, &made.version)),
            None => component,
        }
    })
}

/// Adds where the texts of a crate of the program are, or that its package has none.
pub(super) fn program_texts(component: Component, made: &ProgramCrate) -> Component {
    match &made.texts {
        Some(texts) if texts.is_empty() => component.property("license-text", "not in the package"),
        texts => texts.iter().flatten().fold(component, |component, text| component.license_text(&license_file(*text))),
    }
}

/// An image; without containers the folder in its place, without digests, as the bundle does not contain the image.
pub(super) fn image(manifest: &Manifest, made: &BundleImage) -> Component {
    if manifest.deployment == Deployed::Systemd {
        let folder = Component::new(Kind::Application, &made.name).known_as(image_ref(&made.name));
        return folder.version(&manifest.version);
    }
    let last = made.reference.rsplit('/').next().unwrap_or_default();
    let (name, tag) = last.split_once(':').unwrap_or((last, ""));
    let architecture = manifest.platform.rsplit('/').next().unwrap_or_default();
    Component::new(Kind::Container, &made.name)
        .known_as(image_ref(&made.name))
        .version(if tag.is_empty() { &manifest.version } else { tag })
        .hash(made.digest)
        .purl(purl::oci(name, tag, made.digest, architecture))
        .property("reference", &made.reference)
        .property("config-digest", made.config.to_string())
}

/// Adds a licence: its expression, the common licences that its text refers to, and where the texts are, relative to the
/// bill in the bundle.
fn licensed(component: Component, license: Option<&License>) -> Component {
    let Some(license) = license else { return component };
    let component = match &license.expression {
        Some(expression) => component.license(expression, license.is_declared),
        None => component,
    };
    let component = license.common.iter().fold(component, |component, name| component.property("common-license", name));
    license.texts.iter().fold(component, |component, text| component.license_text(&license_file(*text)))
}

/// Where a text is, relative to `sbom/` in the bundle.
pub(super) fn license_file(text: Digest) -> String {
    format!("licenses/{}.txt", text.hex())
}

pub(super) fn image_ref(name: &str) -> String {
    format!("image:{name}")
}

pub(super) fn deb_ref(name: &str) -> String {
    format!("deb:{name}")
}

/// The file name is part of it: images with different versions of Python may have different wheels of one version.
pub(super) fn wheel_ref(file: &str) -> String {
    format!("wheel:{file}")
}

/// The image is part of it: images may have the same crate with different features.
pub(super) fn crate_ref(image: &str, name: &str) -> String {
    format!("crate:{image}:{name}")
}

/// An archive, by its path in the lock.
pub(super) fn archive_ref(file: &str) -> String {
    format!("archive:{file}")
}

/// A crate of the program in the bundle, by name and version.
pub(super) fn program_ref(crate_: &str) -> String {
    match crate_.split_once(' ') {
        Some(("sealift", _)) => PROGRAM.to_owned(),
        Some((name, version)) => format!("program:{name}@{version}"),
        None => format!("program:{crate_}"),
    }
}

pub(super) fn store_ref(name: &str) -> String {
    format!("nix:{name}")
}

/// The parts of the name of a store path, by the conventions of nixpkgs.
#[derive(Debug, PartialEq, Eq)]
struct Label<'a> {
    name: &'a str,
    version: Option<&'a str>,
    output: Option<&'a str>,
}

impl<'a> Label<'a> {
    /// Splits a name without its hash. The version starts at the first digit after a dash, as in `nix-env`; only the default
    /// outputs of nixpkgs are recognized.
    fn of(text: &'a str) -> Self {
        const OUTPUTS: [&str; 10] = ["bin", "debug", "dev", "devdoc", "devman", "dist", "doc", "info", "lib", "man"];
        let start = text
            .match_indices('-')
            .map(|(at, _)| at)
            .find(|at| *at > 0 && text.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit));
        let Some(start) = start else { return Self { name: text, version: None, output: None } };
        let (name, version) = (&text[..start], &text[start + 1..]);
        match version.rsplit_once('-') {
            Some((version, output)) if OUTPUTS.contains(&output) => {
                Self { name, version: Some(version), output: Some(output) }
            }
            _ => Self { name, version: Some(version), output: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_store_paths_are_split_into_name_and_version() {
        let lines = [
            "glibc-2.40-66",
            "glibc-2.40-66-bin",
            "bash-interactive-5.2p37-man",
            "python3.13-filelock-3.18.0",
            "python3-3.13.7",
            "xz-5.8.1-rc-2",
            "nginx-1.28.0-with-lua",
            "source",
            "setup-hook.sh",
            "-1",
        ]
        .map(|text| {
            let Label { name, version, output } = Label::of(text);
            format!("{text}: {name} {} {}", version.unwrap_or("-"), output.unwrap_or("-"))
        });
        insta::assert_snapshot!(lines.join("\n"), @r"
        glibc-2.40-66: glibc 2.40-66 -
        glibc-2.40-66-bin: glibc 2.40-66 bin
        bash-interactive-5.2p37-man: bash-interactive 5.2p37 man
        python3.13-filelock-3.18.0: python3.13-filelock 3.18.0 -
        python3-3.13.7: python3 3.13.7 -
        xz-5.8.1-rc-2: xz 5.8.1-rc-2 -
        nginx-1.28.0-with-lua: nginx 1.28.0-with-lua -
        source: source - -
        setup-hook.sh: setup-hook.sh - -
        -1: -1 - -
        ");
    }
}
