//! What is in a bundle besides the contents of its files: names, types, modes and owners.
//!
//! A bundle is exactly what its tables name. `SHA256SUMS` has every file, `LINKS` every link, and `bundle.json` the modes
//! of a site. Whoever adds something without changing them has added something that nobody checked: a site with secrets
//! that others know, a link that leads out of the folder, a program that runs with its owner's rights.

use std::collections::{BTreeMap, BTreeSet};

use sealift_layers::digest::Digest;
use sealift_layers::escape::line;
use sealift_layers::tree::{Entry, Kind, TreePath};
use sealift_layers::validate::Violation;

use super::names::{LINKS, MANIFEST, SUMS, is_of_site};
use super::read::{Bundle, Form, read};
use super::signatures::is_signature;
use super::verify::violate;

/// The permission bits that a file or a folder of a bundle may have.
const ORDINARY: u32 = 0o755;
/// Bits with which others can change a file of an unpacked bundle, or run it with its owner's rights.
const LOOSE_FILE: u32 = 0o7022;
/// The same for a folder. Some systems give every user a group of its own and new folders to that group.
const LOOSE_FOLDER: u32 = 0o4002;

impl Bundle {
    /// Everything that is there must be listed, and have an ordinary type, mode and owner. `sums` has the listed files.
    pub(super) fn verify_members(&self, sums: &BTreeMap<String, Digest>, violations: &mut Vec<Violation>) {
        violations.extend(self.oddities.iter().cloned());
        let links = self.links();
        let folders = parents(sums.keys().chain(links.keys()));
        for (path, entry) in self.files.iter() {
            let name = path.as_str();
            let of_host = self.form != Form::Archive && is_of_site(name);
            let is_named = |name: &str| of_host || name == SUMS || is_signature(name) || sums.contains_key(name);
            match &entry.kind {
                Kind::File(_) if is_named(name) => {}
                Kind::File(_) => violate(violations, name, format!("is not listed in {SUMS}")),
                Kind::Directory if of_host || folders.contains(name) || self.is_folder_of_site(name) => {}
                Kind::Directory => violate(violations, name, "is a folder that no listed file is in"),
                Kind::Symlink(target) if self.is_bare() && !of_host => check_link(name, target, &links, violations),
                Kind::Symlink(_) => violate(violations, name, "is a link"),
                Kind::Hardlink(_) => violate(violations, name, "is a hard link"),
            }
            if !matches!(entry.kind, Kind::File(_)) || is_named(name) {
                self.verify_access(name, entry, violations);
            }
        }
        for path in self.manifest.iter().flat_map(|manifest| manifest.site.keys()) {
            let name = path.strip_suffix('/').unwrap_or(path);
            if !is_of_site(name) || TreePath::new(name).is_err() {
                violate(violations, MANIFEST, format!("names {} as a part of the site", line(path)));
            }
        }
        let is_missing = |path: &&String| !matches!(self.kind(path), Some(Kind::Symlink(_)));
        for path in links.keys().filter(is_missing) {
            violate(violations, path, format!("is listed in {LINKS}, but is missing"));
        }
    }

    /// The site of an unpacked bundle: every file must be listed.
    pub(super) fn verify_site_members(&self, sums: &BTreeMap<String, Digest>, violations: &mut Vec<Violation>) {
        for (path, entry) in self.files.iter().filter(|(path, _)| is_of_site(path.as_str())) {
            let name = path.as_str();
            if !matches!(entry.kind, Kind::Directory) && !sums.contains_key(name) {
                violate(violations, name, format!("is not listed in {SUMS}"));
            }
        }
    }

    /// Links and other things in an unpacked bundle that reading it could be led astray by, listed or not. Contents are not
    /// read.
    #[must_use]
    pub fn verify_types(&self) -> Vec<Violation> {
        let mut violations = self.oddities.clone();
        let links = if self.is_bare() { self.links() } else { BTreeMap::new() };
        for (path, entry) in self.files.iter() {
            if let Kind::Symlink(target) = &entry.kind
                && (is_of_site(path.as_str()) || links.get(path.as_str()) != Some(target))
            {
                violate(&mut violations, path.as_str(), "is a link");
            }
        }
        violations
    }

    /// The files of the site that an unpacked bundle has, made by this host or not, and `.env`.
    pub fn site_files(&self) -> impl Iterator<Item = &str> {
        let files = self.files.iter().filter(|(_, entry)| !matches!(entry.kind, Kind::Directory));
        let unfinished = |path: &str| crate::files::is_unfinished(path.rsplit('/').next().unwrap_or(path));
        files.map(|(path, _)| path.as_str()).filter(move |path| is_of_site(path) && !unfinished(path))
    }

    fn kind(&self, path: &str) -> Option<&Kind> {
        Some(&self.files.get(&path.parse().ok()?)?.kind)
    }

    /// The lines of `LINKS`: path to target. An unreadable file is reported by the check of the sums.
    fn links(&self) -> BTreeMap<String, String> {
        let table = read(&self.files, LINKS).ok().flatten().unwrap_or_default();
        let table = String::from_utf8_lossy(&table).into_owned();
        let pairs = table.lines().filter_map(|line| line.split_once('\t'));
        pairs.map(|(path, target)| (path.to_owned(), target.to_owned())).collect()
    }

    fn is_folder_of_site(&self, name: &str) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.site.contains_key(&format!("{name}/")))
    }

    fn verify_access(&self, name: &str, entry: &Entry, violations: &mut Vec<Violation>) {
        match self.form {
            Form::Archive => self.verify_packed_access(name, entry, violations),
            Form::Folder { owner } => {
                let own = rustix::process::geteuid().as_raw();
                let loose = match entry.kind {
                    Kind::Symlink(_) => 0,
                    Kind::Directory => LOOSE_FOLDER,
                    _ => LOOSE_FILE,
                };
                // The host corrects the modes of its site.
                if entry.mode & loose != 0 && !is_of_site(name) {
                    violate(violations, name, format!("has the mode {:04o}", entry.mode));
                }
                if ![0, owner, own].contains(&entry.uid) {
                    violate(violations, name, format!("belongs to the user {}", entry.uid));
                }
            }
        }
    }

    fn verify_packed_access(&self, name: &str, entry: &Entry, violations: &mut Vec<Violation>) {
        let site = self.manifest.iter().map(|manifest| &manifest.site);
        let listed = || site.clone().find_map(|site| site.get(name).or_else(|| site.get(&format!("{name}/"))));
        let member = if is_of_site(name) { listed() } else { None };
        let (mode, group) = member.map_or((ORDINARY, 0), |member| (member.mode.0, member.group));
        let is_link = matches!(entry.kind, Kind::Symlink(_));
        if entry.mode & !mode != 0 && !is_link {
            violate(violations, name, format!("has the mode {:04o}", entry.mode));
        }
        if (entry.uid, entry.gid) != (0, group) {
            violate(violations, name, format!("belongs to {}:{}", entry.uid, entry.gid));
        }
        if let Some(attribute) = entry.xattrs.keys().next() {
            violate(violations, name, format!("has the extended attribute {}", line(attribute)));
        }
        if member.is_none() && is_of_site(name) && matches!(entry.kind, Kind::File(_)) {
            violate(violations, name, "is not listed in bundle.json");
        }
    }
}

fn check_link(name: &str, target: &str, links: &BTreeMap<String, String>, violations: &mut Vec<Violation>) {
    match links.get(name) {
        Some(expected) if expected == target => {}
        Some(expected) => {
            let (target, expected) = (line(target), line(expected));
            violate(violations, name, format!("points to {target} instead of {expected}, which is listed in {LINKS}"));
        }
        None => violate(violations, name, format!("is a link that is not listed in {LINKS}")),
    }
}

/// All folders above `paths`.
fn parents<'p>(paths: impl Iterator<Item = &'p String>) -> BTreeSet<&'p str> {
    paths.flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at])).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::Arc;

    use sealift_layers::limits::Limits;
    use sealift_layers::tree::{Content, Tree};
    use sealift_layers::validate::Depth;

    use super::*;
    use crate::bundle::manifest::Manifest;

    pub(in crate::bundle) fn manifest(deployment: &str) -> Manifest {
        let manifest = serde_json::json!({
            "schema": 1, "sealift": "0", "product": "p", "profile": "p", "version": "1", "title": "t",
            "platform": "linux/amd64", "deployment": deployment, "epoch": 0, "host": "localhost",
            "images": [], "packages": [], "wheels": [], "excluded": {},
        });
        serde_json::from_value(manifest).unwrap()
    }

    /// An archive with one file, and one more entry at `path`. Violations other than of images.
    fn with(path: &str, entry: Entry) -> String {
        let mut tree = Tree::new();
        let origin: Arc<str> = "test".into();
        let sums = format!("{}  a/b\n", Digest::of(b"b").hex());
        for (name, text) in [("a/b", "b"), (SUMS, &sums)] {
            tree.insert(TreePath::new(name).unwrap(), Entry::file(text, 0o644, &origin));
        }
        tree.insert(TreePath::new(path).unwrap(), entry);
        let bundle = Bundle {
            files: tree,
            form: Form::Archive,
            oddities: Vec::new(),
            limits: Limits::default(),
            signature: None,
            manifest: Some(manifest("compose")),
        };
        bundle.verify_files().iter().map(|violation| format!("{violation}\n")).collect()
    }

    /// An authority and a token that others know were added to a bundle, and `up` used them.
    #[test]
    fn what_no_table_names_is_refused() {
        let origin: Arc<str> = "test".into();
        let file = |mode| Entry::file("b", mode, &origin);
        assert_eq!(with("a", Entry::directory(0o755, &origin)), "");
        assert_eq!(with("a/b", file(0o755)), "");
        insta::assert_snapshot!(
            with("site/secrets/token", file(0o600)),
            @"site/secrets/token: is not listed in SHA256SUMS"
        );
        insta::assert_snapshot!(with("site", Entry::symlink("/etc", &origin)), @"site: is a link");
        insta::assert_snapshot!(with("c", Entry::directory(0o755, &origin)), @"c: is a folder that no listed file is in");
        insta::assert_snapshot!(with("a/b", file(0o4755)), @"a/b: has the mode 4755");
        insta::assert_snapshot!(with("a", Entry::directory(0o777, &origin)), @"a: has the mode 0777");
        insta::assert_snapshot!(with("a/b", file(0o644).owned_by(1000, 0)), @"a/b: belongs to 1000:0");
        let hard = Entry { kind: Kind::Hardlink(TreePath::new("a/b").unwrap()), ..file(0o644) };
        insta::assert_snapshot!(with("c", hard), @"c: is a hard link");
    }

    #[test]
    fn the_site_that_bundle_json_names_has_its_modes() {
        let mut manifest = manifest("compose");
        let member = |mode, group| crate::bundle::SiteMember { mode: crate::profile::model::Mode(mode), group };
        manifest.site = [("site/".to_owned(), member(0o700, 0)), ("site/key".to_owned(), member(0o640, 999))].into();
        let origin: Arc<str> = "test".into();
        let sums = format!("{}  site/key\n", Digest::of(b"k").hex());
        let bundle = |mode, group| {
            let mut files = Tree::new();
            let key = Entry::file("k", mode, &origin).owned_by(0, group);
            for (name, entry) in [
                (SUMS, Entry::file(Content::from(sums.clone().into_bytes()), 0o644, &origin)),
                ("site", Entry::directory(0o700, &origin)),
                ("site/key", key),
            ] {
                files.insert(TreePath::new(name).unwrap(), entry);
            }
            Bundle {
                files,
                form: Form::Archive,
                oddities: Vec::new(),
                limits: Limits::default(),
                signature: None,
                manifest: Some(manifest.clone()),
            }
        };
        let found = |bundle: Bundle| bundle.verify_files().iter().map(|v| format!("{v}\n")).collect::<String>();
        assert_eq!(found(bundle(0o640, 999)), "");
        assert_eq!(found(bundle(0o644, 999)), "site/key: has the mode 0644\n");
        assert_eq!(found(bundle(0o640, 0)), "site/key: belongs to 0:0\n");
    }

    #[test]
    fn an_unpacked_bundle_has_no_pipes_links_or_files_that_others_can_write() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs_err::write(at("bundle.json"), serde_json::to_vec(&manifest("compose")).unwrap()).unwrap();
        let digest = Digest::of(&fs_err::read(at("bundle.json")).unwrap());
        fs_err::write(at(SUMS), format!("{}  bundle.json\n", digest.hex())).unwrap();
        let found = || {
            let bundle = crate::bundle::open(place.path()).unwrap();
            let report = bundle.verify(Depth::Digests).violations;
            let files = report.iter().filter(|violation| violation.message != "does not exist");
            files.map(|violation| format!("{violation}\n")).collect::<String>()
        };
        fs_err::create_dir_all(at("site/tls")).unwrap();
        fs_err::write(at("site/tls/a.crt"), "").unwrap();
        fs_err::create_dir(at("lost+found")).unwrap();
        assert_eq!(found(), "");
        fs_err::set_permissions(at("bundle.json"), std::fs::Permissions::from_mode(0o666)).unwrap();
        symlink("/etc/hosts", at("site/tls/b.crt")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        insta::assert_snapshot!(found(), @r"
        pipe: is a named pipe
        bundle.json: has the mode 0666
        site/tls/b.crt: is a link
        ");
        assert_eq!(crate::bundle::open(place.path()).unwrap().verify_types().len(), 2);
    }
}
