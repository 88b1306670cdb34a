//! The bundle of CA certificates. On an installed system the script `update-ca-certificates` makes it; images are built
//! without running scripts.
//!
//! ```
//! use sealift_layers::ingredients::certs::{self, Certificate};
//! use sealift_layers::tree::{Tree, TreePath};
//!
//! let site = Certificate { file_name: "site.crt".into(), pem: "-----BEGIN CERTIFICATE-----\n".into() };
//! let tree = certs::tree(&Tree::new(), &[site])?;
//! assert!(tree.get(&TreePath::new(certs::BUNDLE)?).is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod jks;

use std::io;
use std::sync::Arc;

use crate::tree::{Entry, Kind, Tree, TreePath};

/// Where programs on Debian expect the bundle.
pub const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// A certificate that comes from no package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// File name, such as `site.crt`.
    pub file_name: String,
    /// The certificate, PEM (RFC 7468).
    pub pem: String,
}

/// Where Java on Debian expects the certificates that it trusts.
pub const JAVA: &str = "etc/ssl/certs/java/cacerts";

/// Adds the certificates of the bundle in `tree` as the file that Java reads, which the script of `ca-certificates-java` makes.
///
/// # Errors
/// Any error of reading a content.
pub fn add_java(tree: &mut Tree) -> io::Result<()> {
    let path = |text: &str| TreePath::new(text).map_err(io::Error::other);
    let Some(entry) = tree.get(&path(BUNDLE)?) else { return Ok(()) };
    let Kind::File(content) = &entry.kind else { return Ok(()) };
    let keystore = jks::keystore(&String::from_utf8_lossy(&content.read()?), entry.mtime.unwrap_or(0));
    let entry = Entry { mtime: entry.mtime, ..Entry::file(keystore, 0o644, &entry.origin) };
    tree.insert(path(JAVA)?, entry);
    Ok(())
}

/// Makes the bundle of all certificates below `usr/share/ca-certificates` in `packages`, sorted bytewise by path, followed
/// by `extra` in the order of the slice. The extra certificates are also files below `usr/local/share/ca-certificates`.
/// `/usr/lib/ssl/cert.pem`, where OpenSSL looks by default, is a link to the bundle.
///
/// # Errors
/// Any error of reading a content, and a file name that is not a path.
pub fn tree(packages: &Tree, extra: &[Certificate]) -> io::Result<Tree> {
    let origin: Arc<str> = "the CA certificates".into();
    let path = |text: &str| TreePath::new(text).map_err(io::Error::other);
    let mut tree = Tree::new();
    let mut bundle = Vec::new();
    let mut newest = None;
    let mut add = |pem: &[u8]| {
        bundle.extend_from_slice(pem);
        if !pem.ends_with(b"\n") {
            bundle.push(b'\n');
        }
    };
    for (at, entry) in packages.iter() {
        let text = at.as_str();
        if let Kind::File(content) = &entry.kind
            && text.starts_with("usr/share/ca-certificates/")
            && text.ends_with(".crt")
        {
            add(&content.read()?);
            newest = newest.max(entry.mtime);
        }
    }
    for Certificate { file_name, pem } in extra {
        add(pem.as_bytes());
        let at = path(&format!("usr/local/share/ca-certificates/{file_name}"))?;
        tree.insert(at, Entry::file(pem.as_str(), 0o644, &origin));
    }
    let entry = Entry::file(bundle, 0o644, &origin);
    // With extra certificates the bundle is as new as the build, without them as new as the package.
    let mtime = if extra.is_empty() { newest } else { None };
    tree.insert(path(BUNDLE)?, Entry { mtime, ..entry });
    tree.insert(path("usr/lib/ssl/cert.pem")?, Entry { mtime, ..Entry::symlink(format!("/{BUNDLE}"), &origin) });
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_sorted_and_end_in_a_newline() {
        let origin = Arc::from("package ca-certificates");
        let mut packages = Tree::new();
        for (name, pem) in [("mozilla/b.crt", "B\n"), ("mozilla/B.crt", "upper"), ("mozilla/README", "no")] {
            let at = TreePath::new(&format!("usr/share/ca-certificates/{name}")).unwrap();
            packages.insert(at, Entry::file(pem, 0o644, &origin).modified(3));
        }
        let tree = tree(&packages, &[Certificate { file_name: "site.crt".into(), pem: "SITE".into() }]).unwrap();
        let Kind::File(bundle) = &tree.get(&TreePath::new(BUNDLE).unwrap()).unwrap().kind else { unreachable!() };
        assert_eq!(bundle.read().unwrap(), b"upper\nB\nSITE\n");
        assert!(tree.get(&TreePath::new("usr/local/share/ca-certificates/site.crt").unwrap()).is_some());
    }
}
