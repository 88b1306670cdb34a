//! What may have been meant where an image lacks a program.

use std::collections::BTreeSet;

use sealift_layers::listing::{Listing, Node};
use sealift_layers::tree::TreePath;

/// Between what is missing and what may have been meant.
pub(super) const DID_YOU_MEAN: &str = ": did you mean ";
/// The same for one of several names, after `; for` and the name.
pub(super) const DID_YOU_MEAN_FOR: &str = ", did you mean ";
/// Between what is missing and the programs of the packages that the profile names.
pub(super) const THERE_ARE: &str = "; its packages have ";
/// At most this many programs of packages are named.
const PROGRAMS: usize = 8;

/// An error without what may have been meant, if a package has one of the programs `known` that it is about.
pub(super) fn without_guess(error: String, known: &BTreeSet<String>) -> String {
    let cut = |name: &String| {
        let of_several = format!("; for `{name}`{DID_YOU_MEAN_FOR}");
        let alone = error.contains(&format!("`{name}`")).then(|| error.find(DID_YOU_MEAN)).flatten();
        error.find(&of_several).or(alone)
    };
    match known.iter().find_map(cut) {
        Some(at) => error[..at].to_owned(),
        None => error,
    }
}

/// Files in folders of programs.
fn programs(listing: &Listing) -> impl Iterator<Item = &TreePath> {
    let files = listing.iter().filter(|(_, listed)| listed.node != Node::Directory);
    files.map(|(path, _)| path).filter(|path| {
        let folder = path.parent();
        let folder = folder.as_ref().map_or("", TreePath::file_name);
        ["bin", "sbin", "libexec", "games"].contains(&folder)
    })
}

/// Programs of the packages `named`: the first ones, and how many more there are.
pub(super) fn programs_of(named: &[String], listing: &Listing) -> Vec<String> {
    let is_named = |origin: &str| {
        let name = origin.strip_prefix("package ").and_then(|rest| rest.split(' ').next());
        name.is_some_and(|name| named.iter().any(|named| named == name))
    };
    let own = programs(listing).filter(|path| listing.get(*path).is_some_and(|entry| is_named(&entry.origin)));
    let own: Vec<String> = own.map(|path| format!("`/{path}`")).collect();
    let more = own.len().saturating_sub(PROGRAMS);
    own.into_iter().take(PROGRAMS).chain((more > 0).then(|| format!("{more} more"))).collect()
}

/// A program of the image that `name`, a path or a name in `PATH`, may have been meant to be: one of the same file name in another
/// folder, or of a similar one.
pub(super) fn similar(listing: &Listing, name: &str) -> Option<String> {
    let wanted = name.rsplit('/').next().unwrap_or(name);
    // Short names are near each other without any relation: `rsync` and `sync`.
    let most = match wanted.len() {
        0..6 => 0,
        6..12 => 1,
        _ => 2,
    };
    let near = programs(listing).map(|path| (strsim::osa_distance(path.file_name(), wanted), path));
    let near = near.filter(|(distance, _)| *distance <= most).min()?;
    Some(format!("/{}", near.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_in_another_folder_or_of_a_similar_name_is_suggested() {
        let file: sealift_layers::listing::ListedEntry =
            serde_json::from_str(r#"{"kind": "file", "size": 1, "mode": 493, "uid": 0, "gid": 0, "origin": ""}"#)
                .unwrap();
        let paths = ["usr/sbin/nginx", "usr/bin/redis-server", "usr/share/nginx"];
        let listing: Listing = paths.map(|path| (TreePath::new(path).unwrap(), file.clone())).into();
        assert_eq!(similar(&listing, "/usr/bin/nginx").as_deref(), Some("/usr/sbin/nginx"));
        assert_eq!(similar(&listing, "reddis-server").as_deref(), Some("/usr/bin/redis-server"));
        assert_eq!(similar(&listing, "/usr/bin/memcached"), None);
        assert_eq!(similar(&listing, "ngnix"), None);
        // For a client of LDAP and for rsync, programs of other purposes were suggested.
        let others = ["usr/sbin/slapadd", "usr/bin/sync"];
        let listing: Listing = others.map(|path| (TreePath::new(path).unwrap(), file.clone())).into();
        assert_eq!(["ldapsearch", "rsync", "/usr/bin/rsync"].map(|name| similar(&listing, name)), [None, None, None]);
    }

    #[test]
    fn what_a_package_has_was_meant() {
        let known = |name: &str| BTreeSet::from([name.to_owned()]);
        let alone = "the image has no `/usr/bin/nginxx`: did you mean `/usr/sbin/nginx`?".to_owned();
        let several =
            "calls `a`, `pg_dumb`, which it lacks; for `pg_dumb`, did you mean `/usr/bin/pg_dump`?".to_owned();
        assert_eq!(without_guess(alone.clone(), &known("/usr/bin/nginxx")), "the image has no `/usr/bin/nginxx`");
        assert_eq!(without_guess(several.clone(), &known("pg_dumb")), "calls `a`, `pg_dumb`, which it lacks");
        assert_eq!(without_guess(several.clone(), &known("a")), several);
        assert_eq!(without_guess(alone.clone(), &known("b")), alone);
    }

    /// Nothing told that mumble-server has its program under another name than `murmurd`.
    #[test]
    fn the_programs_of_named_packages_are_told() {
        let file = |path: &str, package: &str| {
            let text = r#"{"kind": "file", "size": 1, "mode": 493, "uid": 0, "gid": 0, "origin": "package PACKAGE 1"}"#;
            (TreePath::new(path).unwrap(), serde_json::from_str(&text.replace("PACKAGE", package)).unwrap())
        };
        let listing: Listing = [
            file("usr/bin/mumble-server", "mumble-server"),
            file("usr/bin/openssl", "openssl"),
            file("usr/share/mumble-server/init", "mumble-server"),
        ]
        .into();
        let named = |names: &[&str]| -> Vec<String> {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            programs_of(&names, &listing)
        };
        assert_eq!(named(&["mumble-server", "other"]), ["`/usr/bin/mumble-server`"]);
        assert!(named(&[]).is_empty());
    }
}
