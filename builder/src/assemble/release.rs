//! What an image says of its system where it has no `base-files`: scanners look there first (os-release(5)).

use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::bundle::System;
use sealift_layers::tree::{Entry, Tree, TreePath};

use crate::inputs::ImageInputs;

/// Releases of Debian with their numbers. A suite that is not released has none.
const RELEASES: [(&str, Option<u32>); 5] =
    [("bullseye", Some(11)), ("bookworm", Some(12)), ("trixie", Some(13)), ("forky", None), ("sid", None)];

/// The release that the image's packages are of, if they are Debian's and the suite is one of its releases. `None` if the image
/// has `base-files`, which has these files.
pub(super) fn of(image: ImageInputs<'_>) -> Option<(&'static str, Option<u32>)> {
    let packages = &image.locked().packages;
    if packages.is_empty() || packages.iter().any(|name| name == "base-files") {
        return None;
    }
    let debian = &image.inputs.lock.debian;
    let release = RELEASES.into_iter().find(|(name, _)| *name == debian.suite);
    release.filter(|_| debian.origin.is_none())
}

/// Adds `/etc/debian_version`, and `os-release` at both places.
pub(super) fn add(tree: &mut Tree, (name, number): (&str, Option<u32>)) -> Result<Option<System>> {
    let origin: Arc<str> = "the locked suite".into();
    let (title, numbers) = match number {
        Some(number) => {
            let numbers = format!("VERSION_ID=\"{number}\"\nVERSION=\"{number} ({name})\"\n");
            (format!("{number} ({name})"), numbers)
        }
        None => (format!("{name}/sid"), String::new()),
    };
    let release = format!(
        "PRETTY_NAME=\"Debian GNU/Linux {title}\"\nNAME=\"Debian GNU/Linux\"\n{numbers}VERSION_CODENAME={name}\nID=debian\n"
    );
    let version = number.map_or_else(|| format!("{name}/sid\n"), |number| format!("{number}\n"));
    let system = System::parse(&release);
    tree.insert(TreePath::new("usr/lib/os-release")?, Entry::file(release, 0o644, &origin));
    tree.insert(TreePath::new("etc/os-release")?, Entry::symlink("../usr/lib/os-release", &origin));
    tree.insert(TreePath::new("etc/debian_version")?, Entry::file(version, 0o644, &origin));
    Ok(system)
}

#[cfg(test)]
mod tests {
    use sealift_layers::tree::Kind;

    use super::*;

    #[test]
    fn releases_are_what_base_files_says() {
        let texts = |release| {
            let mut tree = Tree::new();
            let system = add(&mut tree, release).unwrap().unwrap();
            let text = |(path, entry): (&TreePath, &Entry)| match &entry.kind {
                Kind::File(content) => format!("/{path}: {}", String::from_utf8(content.read().unwrap()).unwrap()),
                _ => String::new(),
            };
            format!("{} {}\n{}", system.id, system.version, tree.iter().map(text).collect::<String>())
        };
        insta::assert_snapshot!(texts(("trixie", Some(13))), @r#"
        debian 13
        /etc/debian_version: 13
        /usr/lib/os-release: PRETTY_NAME="Debian GNU/Linux 13 (trixie)"
        NAME="Debian GNU/Linux"
        VERSION_ID="13"
        VERSION="13 (trixie)"
        VERSION_CODENAME=trixie
        ID=debian
        "#);
        insta::assert_snapshot!(texts(("forky", None)), @r#"
        debian forky
        /etc/debian_version: forky/sid
        /usr/lib/os-release: PRETTY_NAME="Debian GNU/Linux forky/sid"
        NAME="Debian GNU/Linux"
        VERSION_CODENAME=forky
        ID=debian
        "#);
    }
}
