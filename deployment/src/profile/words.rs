//! The syntax of names, versions and requirements.

use std::net::IpAddr;

use pep440_rs::VersionSpecifiers;
use sealift_layers::escape::is_unsafe;
use sealift_layers::ingredients::{accounts, deb};

/// A name of the profile: lower-case letters and digits, with single `-` between them; at most 63 characters, as in a host name.
/// Every such name is also a component of an OCI repository name.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= 63 && text.split('-').all(part)
}

/// A tag (OCI distribution-spec 1.1): at most 128 letters, digits, `_`, `.`, `-`, the first not `.` or `-`.
pub(super) fn is_tag(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// The version of something that others released: as [`is_tag`], with what versions of Debian, Python and semver have beside.
pub(super) fn is_release(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+~".contains(&b))
}

/// A Debian package's name, as dpkg takes it.
pub(super) fn is_package(text: &str) -> bool {
    deb::is_package_name(text)
}

/// A Debian package's version: the characters of policy 5.6.12, and a digit among them.
pub(super) fn is_debian_version(text: &str) -> bool {
    text.len() <= 128
        && text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-~:".contains(&b))
}

/// A login name, as Debian's packages make them.
pub(super) fn is_login(text: &str) -> bool {
    accounts::is_login(text)
}

/// The name of a crate or of a program of one.
pub(super) fn is_crate(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// A feature of a crate, or `CRATE/FEATURE` of one that it depends on.
pub(super) fn is_feature(text: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-+.".contains(&b))
    };
    text.split('/').count() <= 2 && text.split('/').all(part)
}

/// An exact version of a crate (semver 2.0): three numbers, and perhaps more.
pub(super) fn is_exact(text: &str) -> bool {
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+.".contains(&b))
}

/// The name of an environment variable.
pub(super) fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The path of an HTTP request, perhaps with a query (RFC 9112, `origin-form`): visible characters of ASCII.
pub(super) fn is_request_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

/// An absolute path that `.env` files, compose and engines read alike.
pub(super) fn is_folder(text: &str) -> bool {
    let odd = |c: char| is_unsafe(c) || ":,\"'$#\\".contains(c);
    text.starts_with('/') && text.len() > 1 && !text.contains(odd) && !text.split('/').any(|part| part == "..")
}

/// Whether resolvers and browsers read a name with this last label as an IPv4 address (WHATWG URL, "ends in a number"; POSIX
/// `inet_addr`): `127.1`, `0x7f000001`.
pub(crate) fn is_number_label(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
        || !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit())
}

/// A DNS name or an IP address.
pub(super) fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or(text);
    let is_name = text.len() <= 253 && text.split('.').all(label) && !is_number_label(last);
    text.parse::<IpAddr>().is_ok() || is_name
}

/// A text without blanks, control characters, and others that are not seen.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || is_unsafe(c))
}

/// A name that is safe as a part of a path and as a word of a command: neither `..` nor an option.
pub(super) fn is_plain_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A distribution's name (PEP 508), normalised (PEP 503).
pub(super) fn distribution(text: &str) -> Option<String> {
    let ends =
        text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.ends_with(|c: char| c.is_ascii_alphanumeric());
    if !ends || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return None;
    }
    let parts = text.split(['.', '_', '-']).filter(|part| !part.is_empty());
    Some(parts.collect::<Vec<_>>().join("-").to_ascii_lowercase())
}

/// A hash of a file as in a `requirements.txt`.
fn is_hash(text: &str) -> bool {
    let lengths = [("sha256", 64), ("sha384", 96), ("sha512", 128)];
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        lengths.contains(&(algorithm, hex.len())) && hex.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// The normalised name within a requirement (PEP 508): `name[extra,...] specifiers ; marker`. The resolver checks the
/// marker. A requirement with an address (`name @ ...`) is refused, as locks contain no hosts.
pub(super) fn requirement(text: &str) -> Result<String, String> {
    let (text, hashes) = text.find(" --").map_or((text, ""), |end| text.split_at(end));
    for option in hashes.split_whitespace() {
        if !option.strip_prefix("--hash=").is_some_and(is_hash) {
            return Err(format!("`{option}` is not a hash: `--hash=sha256:` and 64 hexadecimal digits"));
        }
    }
    // The resolver reads one requirement or option a line.
    if text.contains(['\n', '\r']) {
        return Err("it has more than one line".into());
    }
    let (wanted, _marker) = text.split_once(';').unwrap_or((text, ""));
    let end = wanted.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(wanted.len());
    let (name, mut rest) = wanted.split_at(end);
    let name = distribution(name).ok_or("it does not begin with the name of a distribution")?;
    rest = rest.trim();
    if let Some(extras) = rest.strip_prefix('[') {
        let (extras, after) = extras.split_once(']').ok_or("`[` is not closed")?;
        if let Some(bad) = extras.split(',').find(|extra| distribution(extra.trim()).is_none()) {
            return Err(format!("`{bad}` is not the name of an extra"));
        }
        rest = after.trim();
    }
    if rest.starts_with('@') {
        return Err("an address is not allowed: wheels are fetched from an index, or named in `wheels`".into());
    }
    let specifiers = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(rest);
    match specifiers.parse::<VersionSpecifiers>() {
        Ok(_) => Ok(name),
        Err(_) => Err(format!("`{specifiers}` is not a list of version specifiers")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_read() {
        for good in ["Foo_Bar==1.0", "foo.bar [x, y-z] >=1,<2 ; python_version > '3'", "foo-bar", "foo-bar (>1)"] {
            assert_eq!(requirement(good).as_deref(), Ok("foo-bar"), "{good}");
        }
        for bad in ["", "==1", "foo=1", "foo[", "foo[,]", "foo @ file:///x", "foo 1", "-foo", "foo\n-r x"] {
            assert!(requirement(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_host_names_and_repository_components() {
        assert!(is_name("parsec-server") && is_name("s3") && is_name(&"a".repeat(63)));
        for bad in ["", "-a", "a-", "a--b", "A", "a_b", "a.b", "a/b", &"a".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn crates_have_exact_versions() {
        assert!(is_crate("garage") && is_crate("a_b-C1") && !is_crate("-a") && !is_crate("") && !is_crate("a@1"));
        assert!(is_exact("2.5.0") && is_exact("1.0.0-rc.1+x") && !is_exact("2.5") && !is_exact("=2.5.0"));
        assert!(!is_exact("") && !is_exact("1.2.x") && !is_exact("^1.2.3") && !is_exact("1.2.3 "));
        assert!(
            is_feature("lmdb")
                && is_feature("db/lmdb")
                && !is_feature("a,b")
                && !is_feature("")
                && !is_feature("a/b/c")
        );
    }

    #[test]
    fn tags_packages_logins_and_variables() {
        assert!(is_tag("3.10.0-rc1") && !is_tag(".1") && !is_tag("1+2") && !is_tag(""));
        assert!(is_package("libstdc++6") && is_package("mongo_exporter") && !is_package("-a") && !is_package("a=1"));
        assert!(is_debian_version("1:2.3~rc1-1+b2") && !is_debian_version("1 2") && !is_debian_version("latest"));
        assert!(is_plain_name("a-B.c_9") && is_plain_name("_x"));
        assert!(
            ["", ".", "..", "../a", ".a", "-a", "a/b", "a b", "a\n", "\u{e9}"].iter().all(|text| !is_plain_name(text))
        );
        assert!(
            is_login("www-data") && is_login("Debian-snmp") && !is_login("0day") && !is_login("") && !is_login("a:b")
        );
        assert!(is_variable("PARSEC_DB") && !is_variable("1A") && !is_variable("A=B") && !is_variable(""));
    }
}
