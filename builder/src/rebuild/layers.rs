//! How two layers differ: by path, and in what.

use std::collections::BTreeSet;
use std::io::{Seek as _, SeekFrom};
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::bundle::{Bundle, BundleLayer};
use sealift_deployment::failure::Failure;
use sealift_layers::archive::blob_path;
use sealift_layers::codec::Codec;
use sealift_layers::escape::line;
use sealift_layers::limits::{PROBLEMS, Within};
use sealift_layers::tar;
use sealift_layers::tree::{Entry, Kind, SourceFile, Tree, TreePath};

use super::content;
use crate::store::Store;

/// The differences of two layers that are not the same: path and what differs. The second is the one that was built again.
pub(super) fn differences(
    given: (&Bundle, &BundleLayer),
    made: (&Bundle, &BundleLayer),
    codec: Codec,
    store: &Store,
) -> Result<Vec<(Option<TreePath>, String)>> {
    if given.1.diff_id == made.1.diff_id {
        return Ok(vec![(None, "has the same content, but is compressed in another way".to_owned())]);
    }
    let (one, other) = (read(given, codec, store)?, read(made, codec, store)?);
    let found = of_trees(&one, &other)?;
    if found.is_empty() {
        return Ok(vec![(None, "has the same files in another order, or in another form of tar".to_owned())]);
    }
    Ok(found)
}

/// The contents of a layer.
fn read((bundle, layer): (&Bundle, &BundleLayer), codec: Codec, store: &Store) -> Result<Tree> {
    let name = blob_path(layer.digest);
    let blob = content::of(bundle, &name)?.ok_or_else(|| Failure::verification(format!("the bundle has no {name}")))?;
    let mut spool = store.temporary()?.into_file();
    std::io::copy(&mut Within::new(codec.decoder(blob.reader())?, layer.unpacked), &mut spool)?;
    spool.seek(SeekFrom::Start(0))?;
    Ok(tar::read(&SourceFile::new(spool), &Arc::from(layer.title.as_str()))?)
}

fn of_trees(given: &Tree, made: &Tree) -> Result<Vec<(Option<TreePath>, String)>> {
    let paths: BTreeSet<&TreePath> = given.iter().chain(made.iter()).map(|(path, _)| path).collect();
    let mut found = Vec::new();
    for path in paths {
        if found.len() >= PROBLEMS {
            break;
        }
        let what = match (given.get(path), made.get(path)) {
            (Some(one), Some(other)) => of_entries(one, other)?,
            (Some(one), None) => format!("is {} that is not there when it is built again", kind(&one.kind)),
            (None, Some(other)) => format!("is missing: {} when it is built again", kind(&other.kind)),
            (None, None) => String::new(),
        };
        if !what.is_empty() {
            found.push((Some(path.clone()), what));
        }
    }
    Ok(found)
}

/// What differs in two entries; nothing if they are the same.
fn of_entries(given: &Entry, made: &Entry) -> Result<String> {
    let mut found = Vec::new();
    match (&given.kind, &made.kind) {
        (Kind::File(one), Kind::File(other)) if !one.same_as(other)? => {
            found.push(content::difference(one, other)?);
        }
        (Kind::Symlink(one), Kind::Symlink(other)) if one != other => {
            found.push(format!("leads to `{}`, built again to `{}`", line(one), line(other)));
        }
        (Kind::Hardlink(one), Kind::Hardlink(other)) if one != other => {
            let (one, other) = (line(one.as_str()), line(other.as_str()));
            found.push(format!("is a hard link to `{one}`, built again to `{other}`"));
        }
        (one, other) if kind(one) != kind(other) => {
            found.push(format!("is {}, built again {}", kind(one), kind(other)));
        }
        _ => {}
    }
    let mut field = |name: &str, given: String, made: String| {
        if given != made {
            found.push(format!("has the {name} {given}, built again {made}"));
        }
    };
    field("mode", format!("{:04o}", given.mode), format!("{:04o}", made.mode));
    field("owner", format!("{}:{}", given.uid, given.gid), format!("{}:{}", made.uid, made.gid));
    field("time", time(given), time(made));
    field("extended attributes", attributes(given), attributes(made));
    Ok(found.join("; "))
}

fn time(entry: &Entry) -> String {
    entry.mtime.map_or("none".to_owned(), |seconds| seconds.to_string())
}

fn attributes(entry: &Entry) -> String {
    if entry.xattrs.is_empty() {
        return "none".to_owned();
    }
    let all = entry.xattrs.iter().map(|(name, value)| format!("{}={}", line(name), value.escape_ascii()));
    all.collect::<Vec<_>>().join(" ")
}

fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Directory => "a folder",
        Kind::File(_) => "a file",
        Kind::Symlink(_) => "a symbolic link",
        Kind::Hardlink(_) => "a hard link",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_told() {
        let origin: Arc<str> = "layer".into();
        let tree = |entries: Vec<(&str, Entry)>| {
            let mut tree = Tree::new();
            entries.into_iter().for_each(|(path, entry)| drop(tree.insert(TreePath::new(path).unwrap(), entry)));
            tree
        };
        let file = |text: &'static str| Entry::file(text, 0o644, &origin).modified(1);
        let mut capable = file("x");
        capable.xattrs.insert("security.capability".to_owned(), vec![1, 2]);
        let given = tree(vec![
            ("added", file("x")),
            ("content", file("one")),
            ("kind", Entry::symlink("x", &origin)),
            ("link", Entry::symlink("x", &origin)),
            ("mode", Entry::directory(0o755, &origin).owned_by(1, 2)),
            ("same", file("x")),
            ("time", file("x")),
            ("xattr", capable),
        ]);
        let made = tree(vec![
            ("content", file("two")),
            ("kind", file("x")),
            ("link", Entry::symlink("y", &origin)),
            ("missing", Entry::directory(0o755, &origin)),
            ("mode", Entry::directory(0o700, &origin)),
            ("same", file("x")),
            ("time", file("x").modified(2)),
            ("xattr", file("x")),
        ]);
        let told = of_trees(&given, &made).unwrap().into_iter();
        let told: Vec<String> = told.map(|(path, what)| format!("{}: {what}", path.unwrap())).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        added: is a file that is not there when it is built again
        content: differs in line 1: `one`, built again `two`
        kind: is a symbolic link, built again a file; has the mode 0777, built again 0644; has the time none, built again 1
        link: leads to `x`, built again to `y`
        missing: is missing: a folder when it is built again
        mode: has the mode 0755, built again 0700; has the owner 1:2, built again 0:0
        time: has the time 1, built again 2
        xattr: has the extended attributes security.capability=\x01\x02, built again none
        ");
    }
}
