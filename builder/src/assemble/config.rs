//! The small upper layers: certificates, env files, configuration.

use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::profile::model;
use sealift_layers::ingredients::accounts;
use sealift_layers::ingredients::certs::{self, Certificate};
use sealift_layers::tree::{Entry, Tree, TreePath};

use super::Assembler;
use crate::plan::{CA_PACKAGE, Image};

impl Assembler<'_> {
    pub(super) fn certificates_tree(&mut self, image: &Image) -> Result<Tree> {
        let has = self.plan.lock.images[&image.name].packages.iter().any(|package| package == CA_PACKAGE);
        let packages = if has { self.open(&[CA_PACKAGE.to_owned()])?[0].tree.clone() } else { Tree::new() };
        let extra = self.plan.options.authorities.iter();
        let extra: Vec<Certificate> =
            extra.map(|(name, pem)| Certificate { file_name: name.clone(), pem: pem.clone() }).collect();
        Ok(certs::tree(&packages, &extra)?)
    }

    pub(super) fn env_tree(&self, image: &Image) -> Result<Tree> {
        let model = self.plan.model(&image.name);
        let directory = TreePath::new(&model.env_directory)?;
        let origin: Arc<str> = "the profile's env files".into();
        let mut tree = Tree::new();
        for file in &model.env_files {
            let name = file.get_ref().rsplit('/').next().unwrap_or_default();
            let text = self.plan.rendered[file.get_ref()].as_str();
            tree.insert(directory.join(name)?, Entry::file(text, 0o644, &origin));
        }
        Ok(tree)
    }

    pub(super) fn configuration_tree(&self, image: &Image) -> Result<Tree> {
        let model = self.plan.model(&image.name);
        let origin: Arc<str> = format!("the profile's image {}", image.name).into();
        let users = users(model);
        let mut tree = accounts::tree(&users)?;
        let mut add = |path: &str, entry: Entry| -> Result<()> {
            tree.insert(TreePath::new(path)?, entry);
            Ok(())
        };
        for directory in &model.directories {
            let (uid, gid) = match &directory.owner {
                Some(owner) => owner_ids(owner.get_ref(), &users)?,
                None => (0, 0),
            };
            add(directory.path.get_ref(), Entry::directory(directory.mode.0, &origin).owned_by(uid, gid))?;
        }
        for file in &model.files {
            let bytes = fs_err::read(self.plan.profile.sources.path(file.source.get_ref()))?;
            add(file.path.get_ref(), Entry::file(bytes, file.mode.0, &origin))?;
        }
        for (file, path) in &model.config_files {
            add(path, Entry::file(self.plan.rendered[file.get_ref()].as_str(), 0o644, &origin))?;
        }
        for (path, target) in &model.links {
            add(path, Entry::symlink(target.as_str(), &origin))?;
        }
        Ok(tree)
    }
}

/// The accounts that a profile declares for an image.
pub(crate) fn users(model: &model::Image) -> Vec<accounts::Account> {
    let account = |user: &model::User| accounts::Account {
        name: user.name.get_ref().clone(),
        uid: user.uid,
        gid: user.gid,
        home: user.home.clone(),
    };
    model.users.iter().map(account).collect()
}

/// `UID:GID` of a profile's `user` or `owner`: written so, or the name of one of the image's users.
pub(crate) fn owner_ids(owner: &str, users: &[accounts::Account]) -> Result<(u32, u32)> {
    if let Some(user) = users.iter().find(|user| user.name == owner) {
        return Ok((user.uid, user.gid));
    }
    let numbers = owner.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
    match (owner, numbers) {
        ("nobody", _) => Ok((65534, 65534)),
        (_, Some(ids)) => Ok(ids),
        _ => Err(Failure::usage(format!("`{owner}` is neither UID:GID nor a user of the image")).into()),
    }
}
