//! Short names of licences in Debian's copyright files, and SPDX's identifiers for them.

use spdx::identifiers::LICENSES;

/// Names whose identifier follows no rule (Debian's "Machine-readable debian/copyright file" 1.0, section 7.1.1, and names
/// that many packages use), in lower case.
const NAMES: &[(&str, &str)] = &[
    ("artistic", "Artistic-1.0-Perl"),
    ("cc0", "CC0-1.0"),
    ("cddl", "CDDL-1.0"),
    ("epl", "EPL-1.0"),
    ("expat", "MIT"),
    ("expat/mit", "MIT"),
    ("gfdl", "GFDL-1.1-or-later"),
    ("gpl", "GPL-1.0-or-later"),
    ("lgpl", "LGPL-2.0-or-later"),
    ("mit/expat", "MIT"),
    ("mit/x11", "MIT"),
    ("openldap-2.8", "OLDAP-2.8"),
    ("perl", "Artistic-1.0-Perl OR GPL-1.0-or-later"),
    ("psf-2", "PSF-2.0"),
    ("psfl-2", "PSF-2.0"),
    ("python", "Python-2.0"),
    ("qpl", "QPL-1.0"),
    ("w3c", "W3C"),
];

/// Exceptions: how they are named, the identifier of the licence that they belong to, and SPDX's identifier.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("autoconf", "GPL-2.0", "Autoconf-exception-2.0"),
    ("autoconf", "GPL-3.0", "Autoconf-exception-3.0"),
    ("bison", "GPL-", "Bison-exception-2.2"),
    ("classpath", "GPL-", "Classpath-exception-2.0"),
    ("font", "GPL-", "Font-exception-2.0"),
    ("gcc-runtime", "GPL-3.0", "GCC-exception-3.1"),
    ("libtool", "GPL-", "Libtool-exception"),
    ("linux-syscall-note", "GPL-", "Linux-syscall-note"),
    ("texinfo", "GPL-", "Texinfo-exception"),
];

/// The SPDX expression for a short name; `None` if SPDX's list does not have that licence.
pub(super) fn spdx(name: &str) -> Option<String> {
    let words: Vec<&str> = name.split_whitespace().collect();
    match words[..] {
        [name] => one(name),
        [name, "with", exception, "exception"] | [name, "with", exception] => with(name, exception),
        _ => None,
    }
}

fn with(name: &str, exception: &str) -> Option<String> {
    let license = one(name)?;
    let exception = exception.to_ascii_lowercase();
    let found = EXCEPTIONS.iter().find(|(called, of, _)| *called == exception && license.starts_with(of));
    found.map(|(_, _, id)| format!("{license} WITH {id}"))
}

fn one(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if let Some((_, id)) = NAMES.iter().find(|(called, _)| *called == lower) {
        return Some((*id).to_owned());
    }
    let (base, is_later) = match name.strip_suffix('+') {
        Some(base) => (base, true),
        None => (name, false),
    };
    if let Some(id) = gnu(base, is_later) {
        return Some(id);
    }
    // `Apache-2` is `Apache-2.0`.
    let id = [base.to_owned(), format!("{base}.0")].iter().find_map(|name| listed(name))?;
    Some(if is_later { format!("{id}+") } else { id.to_owned() })
}

/// The licences of the GNU project, whose identifiers say whether later versions may be used: `LGPL-2.1+`, `GFDL-NIV-1.3`.
fn gnu(name: &str, is_later: bool) -> Option<String> {
    let (family, version) = name.rsplit_once('-')?;
    let (family, variant) = match family.to_ascii_uppercase().as_str() {
        "GFDL-NIV" => ("GFDL".to_owned(), "-no-invariants"),
        family @ ("GPL" | "LGPL" | "AGPL" | "GFDL") => (family.to_owned(), ""),
        _ => return None,
    };
    let version = if version.contains('.') { version.to_owned() } else { format!("{version}.0") };
    let later = if is_later { "or-later" } else { "only" };
    listed(&format!("{family}-{version}{variant}-{later}")).map(str::to_owned)
}

/// An identifier of SPDX's list in its own spelling.
fn listed(name: &str) -> Option<&'static str> {
    let found = LICENSES.iter().map(|license| license.name).find(|id| id.eq_ignore_ascii_case(name))?;
    spdx::license_id(found).filter(|id| !id.is_deprecated()).map(|id| id.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_have_identifiers() {
        let cases = [
            ("0BSD", "0BSD"),
            ("AGPL-3+", "AGPL-3.0-or-later"),
            ("Apache-2", "Apache-2.0"),
            ("Apache-2.0", "Apache-2.0"),
            ("Artistic", "Artistic-1.0-Perl"),
            ("Artistic-2", "Artistic-2.0"),
            ("BSD-2-clause", "BSD-2-Clause"),
            ("BSD-3-Clause", "BSD-3-Clause"),
            ("BSD-4-clause-UC", "BSD-4-Clause-UC"),
            ("CC-BY-SA-4", "CC-BY-SA-4.0"),
            ("Expat", "MIT"),
            ("GFDL-1.3", "GFDL-1.3-only"),
            ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
            ("GPL", "GPL-1.0-or-later"),
            ("GPL-2", "GPL-2.0-only"),
            ("GPL-2+", "GPL-2.0-or-later"),
            ("GPL-2 with Linux-syscall-note exception", "GPL-2.0-only WITH Linux-syscall-note"),
            ("GPL-3+ with Autoconf exception", "GPL-3.0-or-later WITH Autoconf-exception-3.0"),
            ("LGPL-2.0+", "LGPL-2.0-or-later"),
            ("LGPL-2.1", "LGPL-2.1-only"),
            ("MIT/X11", "MIT"),
            ("MPL-1.1+", "MPL-1.1+"),
            ("OpenLDAP-2.8", "OLDAP-2.8"),
            ("Tcl", "TCL"),
            ("Unicode-DFS-2016", "Unicode-DFS-2016"),
            ("zlib", "Zlib"),
        ];
        for (name, id) in cases {
            assert_eq!(spdx(name).as_deref(), Some(id), "{name}");
        }
        for (_, id) in NAMES {
            assert_eq!(super::super::expression(id).as_deref(), Some(*id));
        }
        for (_, _, id) in EXCEPTIONS {
            assert!(spdx::exception_id(id).is_some(), "{id}");
        }
    }

    #[test]
    fn other_names_have_none() {
        let names = [
            "public-domain",
            "BSD-3-clause-Carnegie",
            "GPL-2+ with OpenSSL exception",
            "LGPL-2.1+ with Bison exception",
            "GPL-9",
            "BSD",
            "custom",
            "",
            "+",
        ];
        for name in names {
            assert_eq!(spdx(name), None, "{name}");
        }
    }
}
