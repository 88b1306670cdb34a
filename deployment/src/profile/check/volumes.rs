//! Checks of `[volumes.*]`.

use toml::Spanned;

use super::super::model::Volume;
use super::super::suggest;
use super::Check;

impl Check<'_> {
    pub(super) fn volume(&mut self, key: &Spanned<String>, volume: &Volume) {
        let name = key.get_ref().as_str();
        let model = self.model;
        let known = || model.services.values().flat_map(|service| service.volumes.keys()).map(String::as_str);
        if !known().any(|other| other == name) {
            let hint = suggest::hint(name, "volumes", known());
            self.report(key.span(), format!("no service has the volume `{name}`"), hint);
        }
        if volume.version_files.is_empty() {
            let span = self.document.value(&["volumes", name, "version-files"]);
            self.report(span, "no file tells the version", "name one, such as \"*/data/VERSION\"");
        }
        for (at, path) in volume.version_files.iter().enumerate() {
            // A shell takes the patterns apart.
            let plain = |c: char| c.is_ascii_alphanumeric() || "/_.-*".contains(c);
            let below = !path.is_empty() && path.split('/').all(|part| !part.is_empty() && part != "..");
            if !path.chars().all(plain) || !below {
                let span = self.document.value(&["volumes", name, "version-files", &at.to_string()]);
                let hint = "write a path below the volume, of letters, digits, `.`, `-`, `_` and `*`";
                self.report(span, format!("`{path}` is no path in a volume"), hint);
            }
        }
    }
}
