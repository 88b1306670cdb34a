//! `extends`: a profile that contains only the differences from another one.
//!
//! Tables merge key by key, to any depth; other values (texts, numbers, arrays) of the extending profile replace those of
//! the other. `without` lists keys of the other that are removed, including whole tables. `name` is not inherited.
//!
//! Spans are ranges of the texts of all files put together, so that a message finds the file that it is about.

use std::path::{Path, PathBuf};

use anyhow::Result;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::search::{FILE, Search};
use super::sources::Sources;
use super::{syntax, words};
use crate::diagnostic::{Diagnostic, Diagnostics, Part};
use crate::failure::Failure;
use crate::files;
use crate::machine::shown;

/// The files of the profile in `directory` and of those that it extends, nearest first, and their folders.
///
/// # Errors
/// A file cannot be read or is not TOML; an extended profile does not exist, or extends this one.
pub(super) fn read(directory: &Path) -> Result<(Vec<Part>, Sources)> {
    let (mut parts, mut folders) = (Vec::<Part>::new(), vec![directory.to_owned()]);
    loop {
        let folder = folders[folders.len() - 1].clone();
        let path = folder.join(FILE);
        let text = files::read_text(&path)?;
        let part = Part { file: shown(&path), text };
        let wrong = |diagnostic: Diagnostic| Diagnostics::new(&part.file, &part.text, vec![diagnostic]);
        let table = DeTable::parse(&part.text).map_err(|error| wrong(syntax::diagnostic(&part.text, None, &error)))?;
        let base = match table.get_ref().get("extends") {
            None => None,
            Some(value) => Some(base(&folder, value, &folders).map_err(wrong)?),
        };
        parts.push(part);
        match base {
            Some(base) => folders.push(base),
            None => break,
        }
    }
    let list = invalid_without(&parts);
    if list.is_empty() { Ok((parts, Sources::new(folders))) } else { Err(Diagnostics::across(parts, list).into()) }
}

/// The parts of a key of `without` in TOML syntax: `site.templates."env/a.env"`. `None` if it is not a key.
fn key(text: &str) -> Option<Vec<String>> {
    let document = format!("{text} = 0");
    let mut table = DeTable::parse(&document).ok()?.into_inner();
    let mut keys = Vec::new();
    loop {
        let (key, value) = table.into_iter().next()?;
        keys.push(key.into_inner().into_owned());
        match value.into_inner() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(keys),
        }
    }
}

/// Diagnostics about `without` of each part: it must list keys of the parts after it.
fn invalid_without(parts: &[Part]) -> Vec<Diagnostic> {
    let mut list = Vec::new();
    let mut offset = 0;
    for (index, part) in parts.iter().enumerate() {
        let table = shifted(DeTable::parse(&part.text).map(Spanned::into_inner).unwrap_or_default(), offset);
        offset += part.text.len() + 1;
        let Some(without) = table.get("without") else { continue };
        let hint = "list keys of the extended profile, such as [\"images.web\"]";
        let Some(array) = without.get_ref().as_array() else {
            list.push(Diagnostic::new(without.span(), "`without` is not an array", hint));
            continue;
        };
        let base = merge(&parts[index + 1..]);
        for item in array {
            let keys = item.get_ref().as_str().and_then(key);
            if !keys.as_ref().is_some_and(|keys| remove(&mut base.clone(), keys)) {
                let name = item.get_ref().as_str().unwrap_or_default();
                list.push(Diagnostic::new(item.span(), format!("the extended profile has no `{name}`"), hint));
            }
        }
    }
    list
}

/// Removes the value at `keys`; `false` if there is none.
fn remove(table: &mut DeTable<'_>, keys: &[String]) -> bool {
    match keys {
        [] => false,
        [last] => table.remove(last.as_str()).is_some(),
        [first, rest @ ..] => match table.get_mut(first.as_str()).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) => remove(inner, rest),
            _ => false,
        },
    }
}

/// The folder of the profile that `value` names, which the profile in `folder` extends.
fn base(folder: &Path, value: &Spanned<DeValue<'_>>, before: &[PathBuf]) -> Result<PathBuf, Diagnostic> {
    let diagnostic = |message: String, hint: String| Diagnostic::new(value.span(), message, hint);
    let Some(name) = value.get_ref().as_str().filter(|name| words::is_name(name)) else {
        let hint = "use the name of a folder beside this profile, such as \"standalone\"";
        return Err(diagnostic("`extends` is not the name of a profile".into(), hint.into()));
    };
    let beside = folder.canonicalize().ok().and_then(|folder| Some(folder.parent()?.to_owned()));
    let found = Search::new(beside).find(name).map_err(|error| {
        let hint = Failure::within(&error).and_then(|failure| failure.hint.clone());
        diagnostic(error.to_string(), hint.unwrap_or_default())
    })?;
    let same = |other: &PathBuf| other.canonicalize().ok() == found.canonicalize().ok();
    if before.iter().any(same) {
        let message = format!("`{name}` is this profile or extends it");
        return Err(diagnostic(message, "a profile cannot extend itself: remove one `extends`".into()));
    }
    Ok(found)
}

/// Merges all parts into one document.
pub(super) fn merge(parts: &[Part]) -> DeTable<'_> {
    let mut whole = DeTable::new();
    let mut offset = 0;
    let mut gone: Vec<Vec<String>> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        // They were parsed before.
        let mut table = DeTable::parse(&part.text).map(Spanned::into_inner).unwrap_or_default();
        table.remove("extends");
        if index > 0 {
            table.remove("name");
        }
        let without = table.remove("without");
        for keys in &gone {
            remove(&mut table, keys);
        }
        if let Some(DeValue::Array(array)) = without.map(Spanned::into_inner) {
            gone.extend(array.iter().filter_map(|item| item.get_ref().as_str().and_then(key)));
        }
        add(&mut whole, shifted(table, offset));
        offset += part.text.len() + 1;
    }
    whole
}

/// Adds the keys that `own` lacks, to any depth.
fn add<'t>(own: &mut DeTable<'t>, base: DeTable<'t>) {
    for (key, value) in base {
        match own.get_mut(&key) {
            None => {
                own.insert(key, value);
            }
            Some(there) => {
                if let (DeValue::Table(there), DeValue::Table(more)) = (there.get_mut(), value.into_inner()) {
                    add(there, more);
                }
            }
        }
    }
}

/// `table` with all spans moved by `offset` bytes.
fn shifted(table: DeTable<'_>, offset: usize) -> DeTable<'_> {
    table.into_iter().map(|(key, value)| (moved(key, offset), shifted_value(value, offset))).collect()
}

fn shifted_value(value: Spanned<DeValue<'_>>, offset: usize) -> Spanned<DeValue<'_>> {
    let span = value.span();
    let inner = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(shifted(table, offset)),
        DeValue::Array(array) => DeValue::Array(array.into_iter().map(|item| shifted_value(item, offset)).collect()),
        other => other,
    };
    moved(Spanned::new(span, inner), offset)
}

fn moved<T>(value: Spanned<T>, offset: usize) -> Spanned<T> {
    let span = value.span();
    Spanned::new(span.start + offset..span.end + offset, value.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    const BASE: &str = "\
schema = 1
name = \"base\"
product = \"hello\"
version = \"1.0\"
title = \"A page\"
readme = \"notes\"

[debian]
suite = \"stable\"
components = [\"main\"]

[images.web]
title = \"A web server\"
packages = [\"busybox-static\"]
user = \"1000:1000\"
entrypoint = [\"/bin/busybox\", \"httpd\"]
env = { A = \"1\", B = \"1\" }

[services.web]
image = \"web\"
";

    /// Profiles beside each other, each with a file `notes`.
    fn place(profiles: &[(&str, &str)]) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in profiles {
            fs_err::create_dir(place.path().join(name)).unwrap();
            fs_err::write(place.path().join(name).join(FILE), text).unwrap();
            fs_err::write(place.path().join(name).join("notes"), name).unwrap();
        }
        place
    }

    fn load(place: &tempfile::TempDir, name: &str) -> Result<Profile> {
        Profile::load(&place.path().join(name))
    }

    fn error(place: &tempfile::TempDir, name: &str) -> String {
        load(place, name).unwrap_err().to_string().replace(&place.path().display().to_string(), "PLACE")
    }

    const OWN: &str = "extends = \"base\"\nname = \"own\"\nversion = \"2.0\"\n
[images.web]\npackages = [\"lighttpd\"]\nenv.B = \"2\"\nenv.C = \"2\"\n";

    #[test]
    fn differences_are_merged_into_the_other() {
        let place = place(&[("base", BASE), ("own", OWN)]);
        let own = load(&place, "own").unwrap();
        let web = &own.model.images["web"];
        assert_eq!(own.model.name.get_ref(), "own");
        assert_eq!(own.model.version.get_ref(), "2.0");
        assert_eq!(own.model.title, "A page");
        let packages: Vec<_> = web.packages.iter().map(|package| package.get_ref().name.as_str()).collect();
        assert_eq!(packages, ["lighttpd"], "arrays are replaced");
        let env: Vec<_> = web.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["A=1", "B=2", "C=2"], "tables are merged");
    }

    #[test]
    fn own_files_are_preferred() {
        let place = place(&[("base", BASE), ("own", OWN)]);
        let notes = |place| fs_err::read_to_string(load(place, "own").unwrap().sources.path("notes")).unwrap();
        assert_eq!(notes(&place), "own");
        fs_err::remove_file(place.path().join("own/notes")).unwrap();
        assert_eq!(notes(&place), "base");
    }

    #[test]
    fn flattened_text_is_the_same_profile() {
        let place = place(&[("base", BASE), ("own", OWN)]);
        let own = load(&place, "own").unwrap();
        fs_err::create_dir(place.path().join("flat")).unwrap();
        fs_err::write(place.path().join("flat").join(FILE), &own.text).unwrap();
        fs_err::write(place.path().join("flat/notes"), "").unwrap();
        let flat = load(&place, "flat").unwrap();
        assert_eq!(flat.text, own.text);
        assert_eq!(toml::from_str::<toml::Table>(&own.text).unwrap()["images"]["web"]["env"]["B"].as_str(), Some("2"));
    }

    #[test]
    fn diagnostics_point_into_their_file() {
        let base = BASE.replace("\"stable\"", "\"\"");
        let own = OWN.replace("lighttpd", "light=1");
        let place = place(&[("base", &base), ("own", &own)]);
        insta::assert_snapshot!(error(&place, "own"), @r#"
        error: `light=1` is not the name of a Debian package
         --> PLACE/own/profile.toml:6:13
          |
        6 | packages = ["light=1"]
          |             ^^^^^^^^^
          |
          = hint: write "light (= 1)", or only the name: the lock has the version

        error: `` is not a suite
         --> PLACE/base/profile.toml:9:9
          |
        9 | suite = ""
          |         ^^
          |
          = hint: name a suite or a codename, such as "stable", or the folder of a flat repository, such as "./"
        "#);
        let wrong = OWN.replace("\"2.0\"", "2");
        fs_err::write(place.path().join("own").join(FILE), wrong).unwrap();
        let error = error(&place, "own");
        assert!(error.contains("PLACE/own/profile.toml:3:11"), "{error}");
    }

    #[test]
    fn keys_of_without_are_removed() {
        let without = "without = [\"images.web.env.A\", 'services.\"web\"', \"images.web.title\"]\n";
        let own = OWN.replace("version", &format!("{without}version"));
        let own = own.replace("[images.web]", "[services.site]\nimage = \"web\"\n[images.web]\ntitle = \"Mine\"");
        let place = place(&[("base", BASE), ("own", &own), ("third", "extends = \"own\"\nname = \"third\"\n")]);
        for name in ["own", "third"] {
            let own = load(&place, name).unwrap();
            assert_eq!(own.model.services.keys().map(|key| key.get_ref().as_str()).collect::<Vec<_>>(), ["site"]);
            let web = &own.model.images["web"];
            assert_eq!((web.title.as_str(), web.env.keys().next().unwrap().as_str()), ("Mine", "B"));
            assert!(!own.text.contains("without"));
        }
        let own = own.replace("images.web.env.A", "images.wb.env.A").replace("images.web.title", "a b");
        fs_err::write(place.path().join("own").join(FILE), own).unwrap();
        insta::assert_snapshot!(error(&place, "own"), @r#"
        error: the extended profile has no `images.wb.env.A`
         --> PLACE/own/profile.toml:3:12
          |
        3 | without = ["images.wb.env.A", 'services."web"', "a b"]
          |            ^^^^^^^^^^^^^^^^^
          |
          = hint: list keys of the extended profile, such as ["images.web"]

        error: the extended profile has no `a b`
         --> PLACE/own/profile.toml:3:49
          |
        3 | without = ["images.wb.env.A", 'services."web"', "a b"]
          |                                                 ^^^^^
          |
          = hint: list keys of the extended profile, such as ["images.web"]
        "#);
        fs_err::write(place.path().join("base").join(FILE), format!("without = 1\n{BASE}")).unwrap();
        assert!(error(&place, "base").contains("`without` is not an array"));
    }

    #[test]
    fn name_is_not_inherited() {
        let place = place(&[("base", BASE), ("own", &OWN.replace("name = \"own\"\n", ""))]);
        assert!(error(&place, "own").contains("the key `name` is missing"));
    }

    #[test]
    fn only_profiles_beside_it_can_be_extended() {
        let place = place(&[("base", BASE), ("own", &OWN.replace("base", "bse"))]);
        insta::assert_snapshot!(error(&place, "own"), @r#"
        error: there is no profile `bse`
         --> PLACE/own/profile.toml:1:11
          |
        1 | extends = "bse"
          |           ^^^^^
          |
          = hint: did you mean `base`? profiles: `base`, `own`
        "#);
        for other in ["\"../base\"", "1"] {
            fs_err::write(place.path().join("own").join(FILE), format!("extends = {other}\n")).unwrap();
            assert!(error(&place, "own").contains("`extends` is not the name of a profile"), "{other}");
        }
    }

    #[test]
    fn profiles_do_not_extend_each_other() {
        let place = place(&[("a", "extends = \"b\""), ("b", "extends = \"a\""), ("c", "extends = \"c\"")]);
        insta::assert_snapshot!(error(&place, "a"), @r#"
        error: `a` is this profile or extends it
         --> PLACE/b/profile.toml:1:11
          |
        1 | extends = "a"
          |           ^^^
          |
          = hint: a profile cannot extend itself: remove one `extends`
        "#);
        assert!(error(&place, "c").contains("`c` is this profile or extends it"));
    }
}
