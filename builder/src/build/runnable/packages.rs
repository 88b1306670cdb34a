//! Which Debian packages have what is missing.

use std::collections::{BTreeMap, BTreeSet};

use sealift_layers::programs::shell;

use crate::build::BuildRequest;
use crate::debian::contents::Wanted;
use crate::resolve;
use crate::servers::Servers;

/// Most packages that a hint names for one file.
const NAMED: usize = 3;

/// What is known of missing files.
pub(super) struct Found {
    /// Which packages to add, or how to find them.
    pub(super) hints: Vec<String>,
    /// Names and paths of programs that packages of the archives have.
    pub(super) programs: BTreeSet<String>,
}

/// Hints that name packages: those that the index of contents of the profile's archives lists, or else those whose names
/// follow from that of a library.
pub(super) fn hints(
    request: &BuildRequest<'_>,
    servers: &Servers<'_>,
    missing: BTreeMap<&str, BTreeMap<Wanted, Option<String>>>,
) -> Found {
    let wanted: BTreeSet<&Wanted> = missing.values().flat_map(BTreeMap::keys).collect();
    // A hint must not fail: mirrors need not have this index, and there may be no network.
    let found = resolve::contents(request.profile, servers, request.resolve_options(), &wanted).unwrap_or_default();
    let programs = found.keys().filter_map(|wanted| match wanted {
        Wanted::Path(path) => Some(format!("/{path}")),
        Wanted::Program(name) => Some(name.clone()),
        Wanted::Library(_) => None,
    });
    let programs = programs.collect();
    let (mut hints, mut unknown) = (Vec::new(), BTreeSet::new());
    for (image, files) in missing {
        let (mut packages, mut is_essential) = (BTreeSet::new(), false);
        for (wanted, guessed) in files {
            if let Some(package) = essential(&wanted) {
                is_essential = true;
                packages.insert(package.to_owned());
                continue;
            }
            match found.get(&wanted) {
                Some(listed) => {
                    packages.insert(listed.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(" or "));
                }
                None => match guessed {
                    Some(name) => drop(packages.insert(format!("{name} (by the name of the library)"))),
                    None => unknown.extend(search(&wanted)),
                },
            }
        }
        if !packages.is_empty() {
            let packages = packages.into_iter().collect::<Vec<_>>().join(", ");
            let all = if is_essential { " (or all that Debian systems have, with `essential = true`)" } else { "" };
            hints.push(format!("add {packages} to `packages` of the image {image}{all}"));
        }
    }
    let mut hints = if hints.is_empty() { hints } else { vec![hints.join(", ")] };
    if !unknown.is_empty() {
        let more = unknown.len().saturating_sub(NAMED);
        let named: Vec<String> =
            unknown.into_iter().take(NAMED).map(|file| format!("`apt-file search {file}`")).collect();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        hints.push(format!(
            "add the package that has it to `packages`: the archives have no index that names it; {}{more} on a Debian machine does, \
             or the search of packages by their contents on the archive's web site",
            named.join(", ")
        ));
    }
    Found { hints, programs }
}

/// What to search for, if a package may have the file: not a program of the profile's own folders.
fn search(wanted: &Wanted) -> Option<String> {
    match wanted {
        Wanted::Program(name) => Some(format!("bin/{name}")),
        Wanted::Library(name) => Some(name.clone()),
        Wanted::Path(path) => {
            let (folder, name) = path.rsplit_once('/')?;
            let is_usual = matches!(folder.trim_start_matches("usr/"), "bin" | "sbin");
            is_usual.then(|| format!("bin/{name}"))
        }
    }
}

/// The package that has a program, if every Debian system has it: a name, or a path in a usual folder.
fn essential(wanted: &Wanted) -> Option<&'static str> {
    let (Wanted::Path(path) | Wanted::Program(path)) = wanted else { return None };
    let name = path.rsplit('/').next()?;
    let folder = path.trim_start_matches('/').trim_start_matches("usr/").strip_suffix(name)?;
    shell::essential(name).filter(|_| ["", "bin/", "sbin/"].contains(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without an index of contents, the only hint was `allow-missing`.
    #[test]
    fn programs_and_libraries_of_packages_are_searched_for() {
        let found =
            ["ldapsearch", "/usr/sbin/slapcat", "/opt/app/run", "/run"].map(|name| search(&Wanted::program(name)));
        assert_eq!(found, [Some("bin/ldapsearch".to_owned()), Some("bin/slapcat".to_owned()), None, None]);
        assert_eq!(search(&Wanted::library("libx.so.1")).as_deref(), Some("libx.so.1"));
    }
}
