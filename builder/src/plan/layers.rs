//! Which layers an image has, bottom first: what changes least often lies lowest.

use std::collections::BTreeSet;
use std::num::NonZero;

use anyhow::Result;
use sealift_deployment::profile::model;
use sealift_deployment::ui;
use sealift_layers::ingredients::nix_store;

use super::{Content, Layer, Plan, keys};
use crate::store::Key;

impl Plan<'_> {
    pub(super) fn layers(&self, name: &str, image: &model::Image, shared: &BTreeSet<&str>) -> Result<Vec<Layer>> {
        let locked = &self.lock.images[name];
        let mut contents: Vec<(String, Content)> = Vec::new();

        let (base, own): (Vec<&String>, Vec<&String>) =
            locked.packages.iter().partition(|package| shared.contains(package.as_str()));
        for (packages, is_base) in [(base, true), (own, false)] {
            if packages.is_empty() {
                continue;
            }
            let packages: Vec<String> = packages.into_iter().cloned().collect();
            let what = if is_base { "common to all images" } else { "of this image" };
            let title = format!("Debian packages {what}: {}", ui::count(packages.len(), "package"));
            let bytecode = self.compiled_interpreters(&packages);
            contents.push((title, Content::Packages { packages, shared: is_base, bytecode }));
        }

        if let Some(nix) = &image.nix {
            let budget = NonZero::new(*nix.layers.get_ref() as usize).unwrap_or(NonZero::<usize>::MIN);
            for names in nix_store::pack(self.closure(name)?, budget) {
                let paths: Vec<String> = names.into_iter().map(str::to_owned).collect();
                contents.push((crate::nix::title(&paths), Content::StorePaths { paths }));
            }
        }

        if let Some(krate) = &image.krate {
            let title = format!("{} {}, built from its crate", krate.name.get_ref(), krate.version.get_ref());
            contents.push((title, Content::Crate));
        }

        if let Some(venv) = &image.venv {
            let application: BTreeSet<&str> = venv.application.iter().map(|name| name.get_ref().as_str()).collect();
            let mut third_party = Vec::new();
            let mut own = Vec::new();
            for file in &locked.wheels {
                let is_own = application.contains(self.wheel(file)?.name.as_str());
                if is_own { own.push(file.clone()) } else { third_party.push(file.clone()) }
            }
            let mut skeleton = true;
            for (wheels, what) in [(third_party, "third-party wheels"), (own, "application")] {
                if wheels.is_empty() {
                    continue;
                }
                let title = format!("Python {what}: {}", ui::count(wheels.len(), "wheel"));
                contents.push((title, Content::Wheels { wheels, skeleton }));
                skeleton = false;
            }
        }

        if locked.packages.iter().any(|package| package == CA_PACKAGE) || !self.options.authorities.is_empty() {
            contents.push(("CA certificates".to_owned(), Content::Certificates));
        }
        if !image.env_files.is_empty() {
            contents.push((format!("env files: {}", image.env_files.len()), Content::Env));
        }
        contents.push(("accounts and configuration".to_owned(), Content::Configuration));

        let mut layers: Vec<Layer> = Vec::new();
        let mut below: Option<Key> = None;
        for (title, content) in contents {
            let key = keys::key(self, name, image, &content, below.as_ref())?;
            below = Some(match content {
                // They say nothing of what they lie on.
                Content::StorePaths { .. } => keys::on(below.as_ref(), &key),
                _ => key,
            });
            layers.push(Layer { key, content, title });
        }
        Ok(layers)
    }

    /// The interpreters whose standard library these packages bring and that some image wants compiled.
    fn compiled_interpreters(&self, packages: &[String]) -> BTreeSet<String> {
        let wanted = self.profile.model.images.values().filter_map(|image| image.venv.as_ref());
        wanted
            .filter(|venv| venv.bytecode)
            .map(|venv| venv.python.get_ref())
            .filter(|python| packages.iter().any(|package| package.starts_with(&format!("lib{python}"))))
            .cloned()
            .collect()
    }
}

/// The package whose certificates make the CA bundle.
pub(crate) const CA_PACKAGE: &str = "ca-certificates";
