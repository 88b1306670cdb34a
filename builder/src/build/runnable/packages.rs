//! Which Debian packages have what is missing.

use std::collections::{BTreeMap, BTreeSet};

use sealift_layers::programs::shell;

use crate::build::BuildRequest;
use crate::debian::contents::Wanted;
use crate::resolve;
use crate::servers::Servers;

/// Most packages that a hint names for one file.
const NAMED: usize = 3;

/// Hints that name packages: those that the index of contents of the profile's archives lists, or else those whose names
/// follow from that of a library.
pub(super) fn hints(
    request: &BuildRequest<'_>,
    servers: &Servers<'_>,
    missing: BTreeMap<&str, BTreeMap<Wanted, Option<String>>>,
) -> Vec<String> {
    let wanted: BTreeSet<&Wanted> = missing.values().flat_map(BTreeMap::keys).collect();
    // A hint must not fail: mirrors need not have this index, and there may be no network.
    let found = resolve::contents(request.profile, servers, request.resolve_options(), &wanted).unwrap_or_default();
    let mut hints = Vec::new();
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
                None => packages.extend(guessed.map(|name| format!("{name} (by the name of the library)"))),
            }
        }
        if !packages.is_empty() {
            let packages = packages.into_iter().collect::<Vec<_>>().join(", ");
            let all = if is_essential { " (or all that Debian systems have, with `essential = true`)" } else { "" };
            hints.push(format!("add {packages} to `packages` of the image {image}{all}"));
        }
    }
    if hints.is_empty() { hints } else { vec![hints.join(", ")] }
}

/// The package that has a program, if every Debian system has it: a name, or a path in a usual folder.
fn essential(wanted: &Wanted) -> Option<&'static str> {
    let (Wanted::Path(path) | Wanted::Program(path)) = wanted else { return None };
    let name = path.rsplit('/').next()?;
    let folder = path.trim_start_matches('/').trim_start_matches("usr/").strip_suffix(name)?;
    shell::essential(name).filter(|_| ["", "bin/", "sbin/"].contains(&folder))
}
