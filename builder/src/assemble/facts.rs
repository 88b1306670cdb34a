//! What opened packages and wheels say of themselves: licence, texts that have to be passed on, dependencies.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_layers::ingredients::deb;
use sealift_layers::license::{self, debian, python};
use sealift_layers::limits::{DOCUMENT, RELATIONS};
use sealift_layers::tree::{Content, Kind, Tree, TreePath};

use crate::cargo::MANIFEST;
use crate::store::facts::{self, Facts, Texts};

/// Where Debian packages have their copyright files.
const DOCUMENTATION: &str = "usr/share/doc";
/// Where Debian's `base-files` has the texts of common licences.
const COMMON: &str = "usr/share/common-licenses";

/// Most bytes of the texts of a layer: they are in memory several times. Ours have two million: some 20 kB for each package.
const TEXTS: u64 = 32 << 20;
/// Most files with texts of a layer.
const FILES: usize = 20_000;

/// How many requirements and extras of a wheel are looked at: each of the one is compared with each of the other. Real ones have
/// some hundred.
const REQUIREMENTS: usize = 4000;
const EXTRAS: usize = 1000;

/// The texts of a layer, and how much was read for them. One that many files have counts for each.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) texts: Texts,
    bytes: u64,
    files: usize,
}

impl Reading {
    /// The text of a file; `None` if it is too large to be one.
    fn read(&mut self, content: &Content, path: &TreePath) -> Result<Option<String>> {
        if content.len() > DOCUMENT {
            return Ok(None);
        }
        (self.files, self.bytes) = (self.files + 1, self.bytes + content.len());
        if self.bytes > TEXTS || self.files > FILES {
            let what = match self.files > FILES {
                true => format!("in more than {FILES} files"),
                false => format!("larger than {} MiB", TEXTS >> 20),
            };
            let hint = "name the packages with the largest copyright files in an image of their own";
            return Err(Failure::failed(format!("the licences of the layer's packages are {what}")).hint(hint).into());
        }
        let bytes = content.read().with_context(|| format!("cannot read `/{path}`"))?;
        Ok(Some(facts::text(bytes)))
    }
}

/// What a Debian package says of itself. Its files count as they are in the package, whether the image has them or not.
pub(super) fn of_package(package: &deb::Package, reading: &mut Reading) -> Result<Facts> {
    let control = &package.control;
    let list = |field: &str| -> Vec<String> {
        // Locks refuse longer ones.
        let field = if field.len() > RELATIONS { "" } else { field };
        let relations = field.split(',').map(str::trim).filter(|text| !text.is_empty());
        relations.map(str::to_owned).collect()
    };
    let mut facts = Facts { requires: list(&control.depends), provides: list(&control.provides), ..Facts::default() };
    let folder = TreePath::new(DOCUMENTATION)?.join(&control.name)?;
    let file = folder.join("copyright")?;
    let tree = &package.tree;
    match (tree.get(&folder).map(|entry| &entry.kind), tree.get(&file).map(|entry| &entry.kind)) {
        // To the folder of another package, or to the file there.
        (Some(Kind::Symlink(target)), _) => facts.documented_by = last(target),
        (_, Some(Kind::Symlink(target))) => {
            facts.documented_by = target.strip_suffix("/copyright").and_then(last);
        }
        (_, Some(Kind::File(content))) => {
            if let Some(text) = reading.read(content, &file)? {
                facts.set_license(debian::license(&text, &control.source.0), &mut reading.texts);
                facts.add_text(text, &mut reading.texts);
            }
        }
        _ => {}
    }
    let common = TreePath::new(COMMON)?;
    for (path, entry) in tree.below(&common) {
        let Some(name) = path.as_str().strip_prefix(COMMON).and_then(|name| name.strip_prefix('/')) else { continue };
        // `GPL` is a link to the newest version.
        let target = match &entry.kind {
            Kind::Symlink(target) => common.join(target).ok(),
            _ => Some(path.clone()),
        };
        let found = target.and_then(|path| tree.get(&path)).map(|entry| &entry.kind);
        if let Some(Kind::File(content)) = found
            && let Some(text) = reading.read(content, path)?
        {
            facts.common_texts.insert(name.to_owned(), facts::add(&mut reading.texts, text));
        }
    }
    Ok(facts)
}

/// What a wheel says of itself. `tree` has its files as they are installed, with `site` as the folder of modules.
pub(super) fn of_wheel(tree: &Tree, site: &TreePath, name: &str, reading: &mut Reading) -> Result<Facts> {
    let (mut facts, mut metadata, mut own) = (Facts::default(), String::new(), Vec::new());
    for (path, entry) in tree.iter() {
        let Some((folder, file)) = path.as_str().rsplit_once(".dist-info/") else { continue };
        let Kind::File(content) = &entry.kind else { continue };
        // Packages that it brings with it have such folders, too, below its own.
        let is_own = folder.rsplit_once('/').is_some_and(|(above, _)| above == site.as_str());
        if is_own && file == "METADATA" {
            metadata = reading.read(content, path)?.unwrap_or_default();
        } else if python::is_license_file(file)
            && let Some(text) = reading.read(content, path)?
        {
            if is_own {
                own.push(text.clone());
            }
            facts.add_text(text, &mut reading.texts);
        }
    }
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    if let Some(license) = python::license(&metadata, name, &own) {
        facts.set_license(license, &mut reading.texts);
    }
    let fields =
        |name: &'static str, most: usize| python::fields(&metadata, name).take(most).map(str::to_owned).collect();
    (facts.requires, facts.provides) = (fields("Requires-Dist", REQUIREMENTS), fields("Provides-Extra", EXTRAS));
    Ok(facts)
}

/// What a crate says of itself: `documents` are its manifest, and its licence files, by name.
pub(super) fn of_crate(documents: BTreeMap<String, Vec<u8>>, texts: &mut Texts) -> Facts {
    let (mut facts, mut manifest, mut license) = (Facts::default(), String::new(), None);
    for (name, bytes) in documents {
        match name.as_str() {
            // TOML takes 75 times its size in memory.
            MANIFEST if bytes.len() as u64 > files::DOCUMENT_LIMIT => {}
            MANIFEST => manifest = facts::text(bytes),
            _ => facts.add_text(facts::text(bytes), texts),
        }
    }
    if let Ok(table) = manifest.parse::<toml::Table>() {
        let field = table.get("package").and_then(|package| package.get("license")).and_then(toml::Value::as_str);
        license = field.and_then(license::expression);
    }
    (facts.license, facts.is_declared) = (license.clone(), license.is_some());
    facts
}

/// The last component of a path.
fn last(path: &str) -> Option<String> {
    path.trim_end_matches('/').rsplit('/').next().filter(|name| deb::is_package_name(name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sealift_layers::ingredients::deb::Control;
    use sealift_layers::tree::Entry;

    use super::*;

    fn package(control: &str, files: &[(&str, Entry)]) -> deb::Package {
        let mut tree = Tree::new();
        for (path, entry) in files {
            tree.insert(TreePath::new(path).unwrap(), entry.clone());
        }
        let control = Control::parse(format!("Version: 1\nArchitecture: all\n{control}").as_bytes()).unwrap();
        let (preinst, postinst, answers) = Default::default();
        deb::Package { control, scripts: Vec::new(), preinst, postinst, answers, tree }
    }

    #[test]
    fn a_package_has_its_copyright_file_or_that_of_another() {
        let origin: Arc<str> = "test".into();
        let mut reading = Reading::default();
        let copyright = "Format: x\n\nFiles: *\nLicense: GPL-2+\n See /usr/share/common-licenses/GPL-2.\n";
        let file = ("usr/share/doc/a/copyright", Entry::file(copyright, 0o644, &origin));
        let found = of_package(&package("Package: a\nDepends: b (>= 1) | c,\n d\n", &[file]), &mut reading).unwrap();
        assert_eq!(found.license.as_deref(), Some("GPL-2.0-or-later"));
        assert_eq!(found.texts.iter().map(|digest| reading.texts[digest].as_str()).collect::<Vec<_>>(), [copyright]);
        assert_eq!(found.common.iter().collect::<Vec<_>>(), ["GPL-2"]);
        assert_eq!(found.requires, ["b (>= 1) | c", "d"]);

        for (path, target) in [("usr/share/doc/b", "gcc-base"), ("usr/share/doc/b/copyright", "../gcc-base/copyright")]
        {
            let found = of_package(&package("Package: b\n", &[(path, Entry::symlink(target, &origin))]), &mut reading);
            assert_eq!(found.unwrap().documented_by.as_deref(), Some("gcc-base"), "{path}");
        }

        let common = [
            ("usr/share/common-licenses/GPL", Entry::symlink("GPL-3", &origin)),
            ("usr/share/common-licenses/GPL-3", Entry::file("three", 0o644, &origin)),
        ];
        let found = of_package(&package("Package: base-files\n", &common), &mut reading).unwrap();
        assert_eq!(found.license, None);
        let texts = found.common_texts.iter().map(|(name, digest)| (name.as_str(), reading.texts[digest].as_str()));
        assert_eq!(texts.collect::<Vec<_>>(), [("GPL", "three"), ("GPL-3", "three")]);
    }

    #[test]
    fn a_wheel_has_the_texts_of_what_it_brings_with_it() {
        let origin: Arc<str> = "test".into();
        let (mut tree, mut reading) = (Tree::new(), Reading::default());
        for (path, text) in [
            (
                "v/site/a-1.dist-info/METADATA",
                "License-Expression: MIT\nRequires-Dist: b>1; extra == 'x'\n\nLicense: X\n",
            ),
            ("v/site/a-1.dist-info/licenses/LICENSE", "own"),
            ("v/site/a/_vendor/b-2.dist-info/METADATA", "License-Expression: ISC\n"),
            ("v/site/a/_vendor/b-2.dist-info/LICENSE", "other"),
        ] {
            tree.insert(TreePath::new(path).unwrap(), Entry::file(text, 0o644, &origin));
        }
        let found = of_wheel(&tree, &TreePath::new("v/site").unwrap(), "a", &mut reading).unwrap();
        assert_eq!((found.license.as_deref(), found.is_declared), (Some("MIT"), true));
        let mut texts: Vec<&str> = found.texts.iter().map(|digest| reading.texts[digest].as_str()).collect();
        texts.sort_unstable();
        assert_eq!(texts, ["other", "own"]);
        assert_eq!(found.requires, ["b>1; extra == 'x'"]);
    }

    /// Each file was counted by going through all before it, and one text in many files not at all.
    #[test]
    fn countless_licences_are_refused() {
        let origin: Arc<str> = "test".into();
        let site = TreePath::new("v/site").unwrap();
        let told = |count: usize, text: &str| {
            let mut tree = Tree::new();
            for n in 0..count {
                let path = TreePath::new(&format!("v/site/a-1.dist-info/licenses/{n}")).unwrap();
                tree.insert(path, Entry::file(text.to_owned(), 0o644, &origin));
            }
            of_wheel(&tree, &site, "a", &mut Reading::default()).map(drop).unwrap_err().to_string()
        };
        assert_eq!(told(FILES + 1, "x"), "the licences of the layer's packages are in more than 20000 files");
        let large = "x".repeat(1 << 20);
        assert_eq!(told(33, &large), "the licences of the layer's packages are larger than 32 MiB");
    }

    #[test]
    fn a_crate_states_its_licence_in_its_manifest() {
        let document = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
        let manifest =
            |license: &str| document("Cargo.toml", &format!("[package]\nname = \"a\"\nlicense = \"{license}\"\n"));
        let mut texts = Texts::new();
        let found = of_crate(BTreeMap::from([manifest("MIT/Apache-2.0"), document("LICENSE-MIT", "text")]), &mut texts);
        assert_eq!((found.license.as_deref(), found.is_declared), (Some("MIT OR Apache-2.0"), true));
        assert_eq!(found.texts.iter().map(|digest| texts[digest].as_str()).collect::<Vec<_>>(), ["text"]);
        let found = of_crate(BTreeMap::from([manifest("AGPL-3.0")]), &mut texts);
        assert_eq!(found.license.as_deref(), Some("AGPL-3.0-only"));
        assert_eq!(of_crate(BTreeMap::from([manifest("see LICENSE")]), &mut texts), Facts::default());
        let (name, mut large) = manifest("MIT");
        large.resize(3 << 20, b'\n');
        assert_eq!(of_crate(BTreeMap::from([(name, large)]), &mut texts), Facts::default());
    }

    #[test]
    fn old_texts_are_in_latin_1() {
        assert_eq!(facts::text(b"Andr\xe9".to_vec()), "Andr\u{e9}");
        assert_eq!(facts::text("Andr\u{e9}".into()), "Andr\u{e9}");
    }
}
