//! Reads the stanzas of a package index.

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_layers::ingredients::deb::is_package_name;
use sealift_layers::limits::ARTIFACT;

use super::{ArchiveId, Field, Package, Priority, is_path, relations};
use crate::debian::relation;

/// Values of the fields of a stanza that are used here; empty if the stanza has no such field.
#[derive(Default)]
pub(super) struct Values<'a> {
    pub(super) name: &'a str,
    version: &'a str,
    pub(super) architecture: &'a str,
    path: &'a str,
    size: &'a str,
    sha256: &'a str,
    installed_size: &'a str,
    priority: &'a str,
    essential: &'a str,
    relations: [&'a str; Field::ALL.len()],
    /// A field that occurs twice; empty for none.
    repeated: &'a str,
}

/// Whether a field of this name is one of [`Values`].
pub(super) fn is_needed(field: &str) -> bool {
    Values::default().slot(field).is_some()
}

impl<'a> Values<'a> {
    fn slot(&mut self, field: &str) -> Option<&mut &'a str> {
        Some(match field {
            "Package" => &mut self.name,
            "Version" => &mut self.version,
            "Architecture" => &mut self.architecture,
            "Filename" => &mut self.path,
            "Size" => &mut self.size,
            "SHA256" => &mut self.sha256,
            "Installed-Size" => &mut self.installed_size,
            "Priority" => &mut self.priority,
            "Essential" => &mut self.essential,
            other => &mut self.relations[Field::ALL.iter().position(|field| field.name() == other)?],
        })
    }

    /// One pass over the fields: this runs for each of about 70 000 stanzas. Names are compared with case, as archives
    /// write them in one way.
    pub(super) fn of(fields: &[(&'a str, &'a str)]) -> Self {
        let mut values = Self::default();
        for (field, value) in fields {
            let Some(slot) = values.slot(field) else { continue };
            let before = std::mem::replace(slot, value);
            if !before.is_empty() {
                values.repeated = field;
            }
        }
        values
    }
}

/// Builds a package from the fields of a stanza. `wanted` is the architecture whose relations are checked.
pub(super) fn package<'a>(fields: &[(&'a str, &'a str)], values: &Values<'a>, wanted: &str) -> Result<Package<'a>> {
    let Values { name, version, architecture, repeated, .. } = *values;
    if !repeated.is_empty() {
        // Readers choose differently between them.
        return Err(Failure::failed(format!("the field {repeated} of the package {name} occurs twice")).into());
    }
    if name.is_empty() {
        let first = fields.first().map_or(String::new(), |(name, value)| format!("{name}: {value}"));
        return Err(Failure::failed(format!("a stanza has no field Package; its first field is `{first}`")).into());
    }
    let wrong = |field: &str| Failure::failed(format!("package {name}: the field {field} is missing or malformed"));
    let path = values.path.strip_prefix("./").unwrap_or(values.path);
    // These become parts of URLs, file names and the lock.
    let valid = [
        ("Package", is_package_name(name)),
        ("Version", relation::is_version(version)),
        ("Architecture", is_package_name(architecture)),
        ("Filename", is_path(path)),
    ];
    if let Some((field, _)) = valid.iter().find(|(_, valid)| !valid) {
        return Err(wrong(field).into());
    }
    let package = Package {
        name,
        version,
        architecture,
        path,
        size: values.size.parse().ok().filter(|size| *size <= ARTIFACT).ok_or_else(|| wrong("Size"))?,
        sha256: values.sha256.parse().map_err(|_| wrong("SHA256"))?,
        installed_size: values.installed_size.parse().unwrap_or(0),
        priority: match values.priority {
            "required" => Priority::Required,
            "important" => Priority::Important,
            "standard" => Priority::Standard,
            _ => Priority::Optional,
        },
        essential: values.essential == "yes",
        archive: ArchiveId(0),
        archives: 1,
        relations: values.relations.iter().any(|text| !text.is_empty()).then(|| Box::new(values.relations)),
    };
    for field in Field::ALL {
        relations(&package, field, wanted)?;
    }
    Ok(package)
}
