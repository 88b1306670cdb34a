//! Package URLs (package-url specification, "Character encoding" and the definitions of each type).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sealift_layers::digest::Digest;
use sealift_layers::ingredients::wheel::normalize;

use super::super::manifest::{Package, Source};

/// Characters that are percent-encoded in a name, version or value: all except letters, digits, `.-_~` and the colon.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~').remove(b':');

/// The URL of a Debian package. `vendor` makes it, if that is not Debian. `distro` (`debian-13`) and the source package,
/// `upstream`, are what scanners look for: security trackers name source packages.
pub(super) fn deb(package: &Package, distro: &str) -> String {
    let vendor = package.vendor.as_deref().map_or_else(|| "debian".to_owned(), slug);
    let upstream = package.source.as_ref().map(|source| {
        let Source { name, version } = source;
        if *version == package.version { name.clone() } else { format!("{name}@{version}") }
    });
    let upstream = upstream.unwrap_or_default();
    let qualifiers = [("arch", package.architecture.as_str()), ("distro", distro), ("upstream", &upstream)];
    purl(&format!("deb/{vendor}"), &package.name.to_ascii_lowercase(), Some(&package.version), &qualifiers)
}

/// A vendor's name as part of a URL: `apt.example.org PGDG` is `apt.example.org-pgdg`.
fn slug(name: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || ".-".contains(c) { c.to_ascii_lowercase() } else { '-' };
    name.trim().chars().map(kept).collect()
}

/// The URL of a Python distribution.
pub(super) fn pypi(name: &str, version: &str) -> String {
    purl("pypi", &normalize(name), Some(version), &[])
}

/// The URL of a crate.
pub(super) fn cargo(name: &str, version: &str) -> String {
    purl("cargo", name, Some(version), &[])
}

/// The URL of a file that no registry has: the checksum says which one it is.
pub(super) fn generic(name: &str, version: &str, digest: Digest) -> String {
    purl("generic", name, Some(version), &[("checksum", &digest.to_string())])
}

/// The URL of an image. `name` has no registry and no folders. There is no `repository_url`: the image is only in the bundle.
pub(super) fn oci(name: &str, tag: &str, digest: Digest, architecture: &str) -> String {
    purl("oci", &name.to_ascii_lowercase(), Some(&digest.to_string()), &[("arch", architecture), ("tag", tag)])
}

/// The URL of a path of a Nix store. The proposal of this type (package-url/purl-spec#877) uses the package set and the
/// attribute as the name, which a store path does not contain. This is the form that tools for store paths use now.
pub(super) fn nix(name: &str, version: Option<&str>, output: Option<&str>, hash: &str) -> String {
    purl("nix", name, version, &[("hash", hash), ("output", output.unwrap_or_default())])
}

/// `qualifiers` must be sorted by name; empty ones are left out.
fn purl(kind: &str, name: &str, version: Option<&str>, qualifiers: &[(&str, &str)]) -> String {
    let mut text = format!("pkg:{kind}/{}", utf8_percent_encode(name, ENCODED));
    if let Some(version) = version.filter(|version| !version.is_empty()) {
        text.push_str(&format!("@{}", utf8_percent_encode(version, ENCODED)));
    }
    let mut before = '?';
    for (key, value) in qualifiers.iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("{before}{key}={}", utf8_percent_encode(value, ENCODED)));
        before = '&';
    }
    text
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    fn package(name: &str, version: &str, source: Option<(&str, &str)>) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            architecture: "amd64".into(),
            archive: None,
            source: source.map(|(name, version)| Source { name: name.into(), version: version.into() }),
            vendor: None,
            sha256: Digest::of(b""),
            license: None,
            depends_on: [].into(),
            scripts_not_run: Vec::new(),
            applied: [].into(),
            not_applied: [].into(),
        }
    }

    #[test]
    fn rules_of_each_type_are_followed() {
        let zero = Digest::of(b"");
        let lines = [
            deb(&package("attr", "1:2.4.47-2+b1", None), "debian-13"),
            deb(&package("libstdc++6", "14.2.0-19~deb13u1", Some(("gcc-14", "14.2.0-19"))), "debian-13"),
            deb(&package("libc6", "2.41-12", Some(("glibc", "2.41-12"))), ""),
            deb(&Package { vendor: Some("Example Org: PGDG".into()), ..package("pg", "1", None) }, "debian-13"),
            pypi("Ruamel.YAML__clib", "0.2.12+local"),
            cargo("garage_api", "1.0.0-rc.1+build"),
            generic("web-app", "3.1+2", zero),
            oci("Demo-Greeter", "1.2", zero, "amd64"),
            nix("glibc", Some("2.40-66"), Some("bin"), "22222222222222222222222222222222"),
            nix("a?b=c", None, None, "22222222222222222222222222222222"),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64&distro=debian-13
        pkg:deb/debian/libstdc%2B%2B6@14.2.0-19~deb13u1?arch=amd64&distro=debian-13&upstream=gcc-14%4014.2.0-19
        pkg:deb/debian/libc6@2.41-12?arch=amd64&upstream=glibc
        pkg:deb/example-org--pgdg/pg@1?arch=amd64&distro=debian-13
        pkg:pypi/ruamel-yaml-clib@0.2.12%2Blocal
        pkg:cargo/garage_api@1.0.0-rc.1%2Bbuild
        pkg:generic/web-app@3.1%2B2?checksum=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
        pkg:oci/demo-greeter@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855?arch=amd64&tag=1.2
        pkg:nix/glibc@2.40-66?hash=22222222222222222222222222222222&output=bin
        pkg:nix/a%3Fb%3Dc?hash=22222222222222222222222222222222
        ");
    }

    proptest! {
        /// Any part is decoded unchanged: its characters are never separators of the URL.
        #[test]
        fn parts_come_back(name in "[ -~é]{1,12}", version in "[ -~é]{1,12}", value in "[ -~é]{1,12}") {
            let text = purl("deb/debian", &name, Some(&version), &[("arch", &value)]);
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_~:/@?=&%".contains(&b)), "{text}");
            let decoded = |part: &str| percent_decode_str(part).decode_utf8().unwrap().into_owned();
            let (path, query) = text.split_once('?').unwrap();
            let (key, found) = query.split_once('=').unwrap();
            let (path, found_version) = path.split_once('@').unwrap();
            let found_name = path.strip_prefix("pkg:deb/debian/").unwrap();
            prop_assert!(!found_name.contains('/'), "{text}");
            prop_assert_eq!((decoded(found_name), decoded(found_version)), (name, version));
            prop_assert_eq!((key, decoded(found)), ("arch", value));
        }
    }
}
