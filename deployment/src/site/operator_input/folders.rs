//! Folders of files that operators provide: `files/NAME/`, for programs that read a folder, such as one of certificates.
//!
//! `files` itself is closed to other users of the host, as some of these files may be secret. What is in it can be read by
//! all: services mount the folders, and run as users of their own.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use sealift_layers::tree::{Pattern, TreePath};
use x509_parser::pem::Pem;

use crate::failure::{Failure, one_line};
use crate::files as folders_of_host;
use crate::finding::Findings;
use crate::profile::model::{FileFormat, Model, OperatorFolder};
use crate::site::files::{self, Access};
use crate::site::pki::Certificate;
use crate::site::report::{Action, SiteReport};

/// The folder of the site that has them all.
pub(in crate::site) const FOLDER: &str = "files";
/// Permission bits of the files.
pub(in crate::site) const MODE: u32 = 0o644;
/// Permission bits of the folders.
const FOLDER_MODE: u32 = 0o755;
/// Most files of a folder that are looked at: more than a profile may allow.
const MOST: usize = 2000;

/// The path below the site of a file in the folder `name`.
pub(in crate::site) fn path(name: &str, file: &str) -> String {
    format!("{FOLDER}/{name}/{file}")
}

/// The paths of the files in the folder `name` of the site in `directory`, sorted. A missing folder counts as empty.
///
/// # Errors
/// [`Failure::failed`] when something in it is neither a file nor a folder, or when there are thousands of files.
pub fn paths(directory: &Path, name: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let folder = directory.join(FOLDER).join(name);
    if folder.symlink_metadata().is_ok() {
        collect(&folder, "", &mut found)?;
    }
    Ok(found)
}

fn collect(folder: &Path, below: &str, found: &mut Vec<String>) -> Result<()> {
    let refused = |path: &Path, what: &str| {
        let hint = "copy the files themselves into the folder";
        Err(Failure::failed(format!("{} {what}", path.display())).hint(hint).into())
    };
    if !folder.symlink_metadata()?.is_dir() {
        return refused(folder, "is not a folder");
    }
    for entry in folders_of_host::sorted_dir(folder)? {
        let metadata = entry.symlink_metadata()?;
        let name = entry.file_name().and_then(|name| name.to_str());
        let Some(inside) = name.and_then(|name| TreePath::new(&format!("{below}{name}")).ok()) else {
            return refused(&entry, "has a name that is not plain text");
        };
        if metadata.is_dir() {
            collect(&entry, &format!("{inside}/"), found)?;
        } else if !metadata.is_file() {
            return refused(&entry, "is neither a file nor a folder");
        } else if found.len() == MOST {
            return refused(folder, "has thousands of files");
        } else {
            found.push(inside.to_string());
        }
    }
    Ok(())
}

/// The paths of the files in each folder, by its name. What is wrong with them is added to `findings`: paths and formats
/// that the profile does not allow, files that are too large, too many or missing.
///
/// # Errors
/// A file cannot be read.
pub fn check(
    directory: &Path,
    model: &Model,
    now: i64,
    findings: &mut Findings,
) -> Result<BTreeMap<String, Vec<String>>> {
    let mut all = BTreeMap::new();
    for (name, folder) in &model.site.files {
        let found = paths(directory, name).unwrap_or_else(|error| {
            let hint = Failure::hint_in(&error).unwrap_or_default().to_owned();
            findings.error(format!("{FOLDER}/{name}"), one_line(error.as_ref()), hint);
            Vec::new()
        });
        let only: Vec<Pattern> = folder.only.iter().map(|pattern| Pattern::new(pattern)).collect();
        for file in &found {
            check_file(directory, name, file, (folder, &only, now), findings)?;
        }
        if found.len() > folder.count as usize {
            let message = format!("there are {} files, but {} at most are used", found.len(), folder.count);
            findings.error(format!("{FOLDER}/{name}"), message, "remove some");
        }
        let missing: Vec<&str> =
            folder.complete.iter().filter(|file| !found.contains(file)).map(String::as_str).collect();
        if !found.is_empty() && !missing.is_empty() {
            let message = format!("some files are there, but not: {}", missing.join(", "));
            findings.error(format!("{FOLDER}/{name}"), message, "add them, or remove all files");
        }
        all.insert(name.clone(), found);
    }
    Ok(all)
}

fn check_file(
    directory: &Path,
    name: &str,
    file: &str,
    (folder, only, now): (&OperatorFolder, &[Pattern], i64),
    findings: &mut Findings,
) -> Result<()> {
    let topic = path(name, file);
    let matches = TreePath::new(file).is_ok_and(|file| only.iter().any(|pattern| pattern.matches(&file)));
    if !only.is_empty() && !matches {
        let hint = format!("remove it; allowed are: {}", folder.only.join(", "));
        findings.error(topic, "a file of this name has no use here", hint);
        return Ok(());
    }
    let size = directory.join(&topic).symlink_metadata()?.len();
    if size > folder.size.0 {
        let message = format!("it has {size} bytes, which is more than {}", folder.size);
        findings.error(topic, message, "remove it, or make it smaller");
        return Ok(());
    }
    if folder.format == Some(FileFormat::Certificate) {
        let bytes = files::read(directory, &topic)?.unwrap_or_default();
        match certificate(&bytes) {
            Ok(certificate) => {
                if let Some(invalid) = certificate.invalid_at(now) {
                    findings.warn(topic, invalid, "provide a valid one");
                }
            }
            Err(message) => {
                let hint = "each file is one certificate in PEM: it begins with -----BEGIN CERTIFICATE-----";
                findings.error(topic, message, hint);
            }
        }
    }
    Ok(())
}

/// The one certificate of a file.
fn certificate(bytes: &[u8]) -> Result<Certificate, String> {
    let blocks: Vec<_> = Pem::iter_from_buffer(bytes).collect();
    match &blocks[..] {
        [Ok(block)] if block.label == "CERTIFICATE" => {
            Certificate::of(block).map_err(|_| "the certificate cannot be read".to_owned())
        }
        [Ok(block)] => Err(format!("it is no certificate, but a {}", block.label.to_lowercase())),
        [] => Err("it contains no certificate".to_owned()),
        [Err(_)] => Err("it is cut off or damaged".to_owned()),
        _ => Err(format!("it contains {} certificates or other blocks", blocks.len())),
    }
}

/// Makes the folders that are missing, since services mount them, and lets services read the files in them.
pub(in crate::site) fn offer(directory: &Path, model: &Model, report: &mut SiteReport) -> Result<()> {
    if model.site.files.is_empty() {
        return Ok(());
    }
    files::directory(directory, FOLDER, files::PRIVATE)?;
    for name in model.site.files.keys() {
        let folder = format!("{FOLDER}/{name}");
        if directory.join(&folder).symlink_metadata().is_err() {
            files::directory(directory, &folder, FOLDER_MODE)?;
            report.add(&format!("{folder}/"), Action::Created, "");
        }
        open_folder(&directory.join(&folder), report)?;
        // What is wrong with the files, the check reports.
        for file in paths(directory, name).unwrap_or_default() {
            let file = path(name, &file);
            let corrected = files::settle(directory, &file, Access::mode(MODE), &mut report.warnings)?;
            report.keep(&file, corrected);
        }
    }
    Ok(())
}

/// Lets all users enter a folder and those in it.
fn open_folder(folder: &Path, report: &mut SiteReport) -> Result<()> {
    let metadata = folder.symlink_metadata()?;
    if !metadata.is_dir() {
        return Ok(());
    }
    if metadata.mode() & 0o7777 != FOLDER_MODE
        && let Err(error) = fs_err::set_permissions(folder, PermissionsExt::from_mode(FOLDER_MODE))
    {
        if error.kind() != std::io::ErrorKind::PermissionDenied {
            return Err(error).with_context(|| format!("cannot set the mode of {}", folder.display()));
        }
        let hint = format!("as its owner: chmod {FOLDER_MODE:o} {}", folder.display());
        report.warnings.warn(folder.display().to_string(), "services may not be able to enter it", hint);
    }
    for entry in folders_of_host::sorted_dir(folder)? {
        open_folder(&entry, report)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(folder: &str) -> Model {
        let text = include_str!("../../profile/sample.toml").to_owned();
        toml::from_str(&format!("{text}\n[site.files.extra]\ntitle = \"Extra\"\n{folder}")).unwrap()
    }

    /// What is found with these files in the folder, each with its content.
    fn found(folder: &str, content: &[(&str, &str)]) -> String {
        let (place, model) = (tempfile::tempdir().unwrap(), model(folder));
        let mut report = SiteReport::default();
        offer(place.path(), &model, &mut report).unwrap();
        for (name, text) in content {
            let path = place.path().join("files/extra").join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => fs_err::write(path, text).unwrap(),
            }
        }
        let mut findings = Findings::default();
        let files = check(place.path(), &model, 0, &mut findings).unwrap();
        let shown = findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        format!("{:?}\n{shown}", files["extra"]).replace(&place.path().display().to_string(), "SITE")
    }

    #[test]
    fn files_that_the_profile_does_not_allow_are_reported() {
        assert_eq!(found("", &[]), "[]\n");
        assert_eq!(found("", &[("b", "1"), ("a/c", "2")]), "[\"a/c\", \"b\"]\n");
        let texts = [
            found("only = [\"*.pem\"]", &[("a.pem", ""), ("a.pem~", "")]),
            found("size = \"1K\"\ncount = 1", &[("a", &"x".repeat(1025)), ("b", "")]),
            found("complete = [\"a\", \"b/c\"]", &[("a", "")]),
            found("", &[("a", "-> /etc/passwd")]),
            found("format = \"certificate\"", &[("a", "text"), ("b", "-----BEGIN CERTIFICATE-----\nx\n")]),
        ];
        insta::assert_snapshot!(texts.join("\n"));
    }

    /// An operator's umask may close them.
    #[test]
    fn services_can_read_what_the_operator_puts_there() {
        let (place, model) = (tempfile::tempdir().unwrap(), model(""));
        let mut report = SiteReport::default();
        offer(place.path(), &model, &mut report).unwrap();
        let folder = place.path().join("files/extra/sub");
        fs_err::create_dir(&folder).unwrap();
        fs_err::write(folder.join("a"), "").unwrap();
        fs_err::set_permissions(folder.join("a"), PermissionsExt::from_mode(0o600)).unwrap();
        fs_err::set_permissions(&folder, PermissionsExt::from_mode(0o700)).unwrap();
        offer(place.path(), &model, &mut report).unwrap();
        let mode = |path: &str| place.path().join(path).metadata().unwrap().mode() & 0o777;
        let modes = ["files", "files/extra", "files/extra/sub", "files/extra/sub/a"].map(mode);
        assert_eq!(modes, [0o700, 0o755, 0o755, 0o644]);
    }
}
