//! The metadata of a wheel: its `.dist-info` directory with `WHEEL` and `METADATA`.

use std::collections::BTreeMap;

use super::names::{WheelFileName, normalize};
use super::{Verified, WheelErrorKind};
use crate::limits::DOCUMENT;
use crate::zip::Member;

/// The `NAME-VERSION` of the only `.dist-info` directory. It must match the file name of the wheel.
pub(super) fn stem<'a>(
    names: impl Iterator<Item = &'a String>,
    file_name: &WheelFileName,
) -> Result<String, WheelErrorKind> {
    let mut found: Option<&str> = None;
    for name in names {
        let Some((top, _)) = name.split_once('/') else { continue };
        let Some(stem) = top.strip_suffix(".dist-info").or_else(|| top.strip_suffix(".data")) else { continue };
        if !file_name.is_stem(stem) {
            return Err(WheelErrorKind::Metadata(format!(
                "its directory `{top}` belongs to another distribution or version"
            )));
        }
        if found.is_some_and(|found| found != stem) {
            return Err(WheelErrorKind::Metadata(format!("it has both `{stem}` and `{}`", found.unwrap_or_default())));
        }
        found = Some(stem);
    }
    found.map(str::to_owned).ok_or_else(|| WheelErrorKind::Metadata("it has no `.dist-info` directory".into()))
}

/// The text of a small member.
pub(super) fn text(name: &str, member: &Member) -> Result<String, WheelErrorKind> {
    if member.content.len() > DOCUMENT {
        return Err(WheelErrorKind::Member(name.to_owned(), "it is larger than 16 MiB"));
    }
    let bytes = member.content.read().map_err(|source| WheelErrorKind::Unreadable { name: name.to_owned(), source })?;
    String::from_utf8(bytes).map_err(|_| WheelErrorKind::Member(name.to_owned(), "it is not UTF-8"))
}

/// Checks that `WHEEL` has a supported version, and that `METADATA` has the name and version of the file name.
pub(super) fn check(
    members: &BTreeMap<String, Verified>,
    stem: &str,
    file_name: &WheelFileName,
) -> Result<(), WheelErrorKind> {
    let read = |name: &str| {
        let path = format!("{stem}.dist-info/{name}");
        let member = members.get(&path).ok_or_else(|| WheelErrorKind::Metadata(format!("it has no `{path}`")))?;
        text(&path, &member.member)
    };
    let error = |text: String| Err(WheelErrorKind::Metadata(text));

    let wheel = read("WHEEL")?;
    let version = field(&wheel, "WHEEL", "Wheel-Version")?;
    if version.split('.').next() != Some("1") {
        return error(format!("it is in version {version} of the wheel format, but only 1.x is supported"));
    }
    let purelib = field(&wheel, "WHEEL", "Root-Is-Purelib")?;
    if !["true", "false"].contains(&purelib.to_ascii_lowercase().as_str()) {
        return error(format!("WHEEL has `Root-Is-Purelib: {purelib}`, which is neither true nor false"));
    }

    let metadata = read("METADATA")?;
    let name = field(&metadata, "METADATA", "Name")?;
    if normalize(name) != file_name.name {
        return error(format!("METADATA has the name `{name}`"));
    }
    let version = field(&metadata, "METADATA", "Version")?;
    if version.parse() != Ok(file_name.version.clone()) {
        return error(format!("METADATA has the version `{version}`"));
    }
    Ok(())
}

/// The value of a header that occurs exactly once before the first empty line.
fn field<'a>(text: &'a str, file: &str, name: &str) -> Result<&'a str, WheelErrorKind> {
    let mut values = text.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
        line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    });
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(WheelErrorKind::Metadata(format!("{file} has no `{name}`"))),
        (Some(_), Some(_)) => Err(WheelErrorKind::Metadata(format!("{file} has `{name}` twice"))),
    }
}
