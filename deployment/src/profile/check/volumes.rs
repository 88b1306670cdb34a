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
            self.report(key.span(), format!("no service uses the volume `{name}`"), hint);
        }
        if volume.version_files.is_empty() {
            let span = self.document.value(&["volumes", name, "version-files"]);
            self.report(span, "there are no version files", "add one, such as \"*/data/VERSION\"");
        }
        for (at, path) in volume.version_files.iter().enumerate() {
            // A shell expands the patterns.
            let plain = |c: char| c.is_ascii_alphanumeric() || "/_.-*".contains(c);
            let below = !path.is_empty() && path.split('/').all(|part| !part.is_empty() && part != "..");
            if !path.chars().all(plain) || !below {
                let span = self.document.value(&["volumes", name, "version-files", &at.to_string()]);
                let hint = "use a relative path of letters, digits, `.`, `-`, `_` and `*`";
                self.report(span, format!("`{path}` is not a path in a volume"), hint);
            }
        }
    }
}
