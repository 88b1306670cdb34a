//! The top layer: accounts, directories, files and links that the profile declares for an image.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::profile::{PlacedFile, model};
use sealift_layers::digest::Digest;
use sealift_layers::ingredients::accounts::{self, Account, Numbers};
use sealift_layers::ingredients::scripts::Request;
use sealift_layers::listing::{Listing, Node};
use sealift_layers::tree::{Entry, Prefer, Tree, TreePath};

use super::description::Description;
use super::ingredient::{Ingredient, Made, pairs};
use super::release;
use super::workshop::{Workshop, overlay_replacing};
use crate::inputs::{ImageInputs, Inputs};
use crate::store::Builder;
use crate::store::layer::{LayerRecord, Remarks};

/// How the origins of files begin that the profile itself has.
pub(crate) const OF_PROFILE: &str = "the profile's ";

/// Accounts, directories, files and links of the profile.
#[derive(Debug)]
struct Configuration;

/// The layer of the image's configuration, which every image has.
pub(super) fn layers(_image: ImageInputs<'_>) -> Result<Vec<Box<dyn Ingredient>>> {
    Ok(vec![Box::new(Configuration)])
}

/// A file of images whose programs ask PAM about their users.
const OF_PAM: &str = "etc/pam.d/common-account";

impl Ingredient for Configuration {
    fn title(&self) -> String {
        "accounts and configuration".to_owned()
    }

    fn key(&self, image: ImageInputs<'_>, key: Builder) -> Result<Builder> {
        let (inputs, model) = (image.inputs, image.model());
        let mut key = key.field("content", "configuration").field("user", model.user.get_ref());
        for user in &model.users {
            key = key.field("user", format!("{}:{}:{}:{}", user.name.get_ref(), user.uid, user.gid, user.home));
        }
        for (file, path) in &model.config_files {
            key = key.field("path", path).field("text", &inputs.rendered[file.get_ref()]);
        }
        let placed = inputs.profile.placed(model)?;
        for file in &placed.files {
            let bytes = read(inputs, file)?;
            key = key.field("path", &file.path).field("mode", file.mode).field("file", Digest::of(&bytes));
            if let Some(owner) = file.owner {
                key = key.field("file owner", owner);
            }
        }
        for folder in &placed.folders {
            key = key.field("folder", &folder.path).field("folder owner", folder.owner);
        }
        for directory in &model.directories {
            key = key.field("directory", directory.path.get_ref()).field("mode", directory.mode.0);
            key = key.field("owner", directory.owner.as_ref().map_or("", |owner| owner.get_ref()));
        }
        // The packages are in the keys of the layers below.
        if let Some((release, _)) = release::of(image) {
            key = key.field("release", release);
        }
        if has_temporary_folders(image) {
            key = key.field("temporary folders", 1);
        }
        for request in named_of_debian(image) {
            key = key.field("account of Debian", serde_json::to_string(&request)?);
        }
        Ok(pairs(key, "link", &model.links))
    }

    fn make<'a>(&'a self, workshop: &mut Workshop<'_>, image: ImageInputs<'a>, lower: &Listing) -> Result<Made<'a>> {
        let (inputs, model) = (image.inputs, image.model());
        let origin: Arc<str> = format!("{OF_PROFILE}image {}", image.name).into();
        let accounts = accounts(model);
        let requests = [&workshop.accounts[..], &named_of_debian(image)].concat();
        let mut tree = accounts::with_requests(&accounts, &requests)?;
        let numbers = Numbers::new(&accounts, &requests)?;
        let accounts = accounts::users(&accounts, &requests)?;
        if lower.contains_key(&TreePath::new(OF_PAM)?) {
            tree.merge(accounts::shadow(&accounts), |_, _| Prefer::Neither)?;
        }
        for (path, entry) in owned(workshop, &numbers, lower)? {
            tree.insert(path, entry);
        }
        let mut remarks = Remarks::default();
        if let Some(found) = release::of(image) {
            remarks.system = release::add(&mut tree, found)?;
        }
        if has_temporary_folders(image) {
            temporary_folders(&mut tree, lower)?;
        }
        let mut add = |path: &str, entry: Entry| -> Result<()> {
            tree.insert(TreePath::new(path)?, entry);
            Ok(())
        };
        for directory in &model.directories {
            let (uid, gid) = match &directory.owner {
                Some(owner) => owner_ids(owner.get_ref(), &accounts)?,
                None => (0, 0),
            };
            add(directory.path.get_ref(), Entry::directory(directory.mode.0, &origin).owned_by(uid, gid))?;
        }
        let placed = inputs.profile.placed(model)?;
        for folder in &placed.folders {
            let (uid, gid) = owner_ids(folder.owner, &accounts)?;
            add(&folder.path, Entry::directory(0o755, &origin).owned_by(uid, gid))?;
        }
        for file in &placed.files {
            let bytes = read(inputs, file)?;
            let (uid, gid) = file.owner.map_or(Ok((0, 0)), |owner| owner_ids(owner, &accounts))?;
            add(&file.path, Entry::file(bytes, file.mode, &origin).owned_by(uid, gid))?;
        }
        for (file, path) in &model.config_files {
            add(path, Entry::file(inputs.rendered[file.get_ref()].as_str(), 0o644, &origin))?;
        }
        for (path, target) in &model.links {
            add(path, Entry::symlink(target.as_str(), &origin))?;
        }
        Ok(Made { tree: overlay_replacing(tree, lower)?, remarks, check: None })
    }

    fn describe(&self, _image: ImageInputs<'_>, record: &LayerRecord, description: &mut Description) -> Result<()> {
        description.system = description.system.take().or_else(|| record.remarks.system.clone());
        Ok(())
    }
}

/// Accounts that every Debian system has, which the profile names for this image: its packages may lack `base-passwd`.
pub(crate) fn named_of_debian(image: ImageInputs<'_>) -> Vec<Request> {
    let (model, services) = (image.model(), &image.inputs.profile.model.services);
    if image.locked().packages.is_empty() {
        return Vec::new();
    }
    let of_services = services.values().filter(|service| *service.image.get_ref() == image.name);
    let of_services = of_services.filter_map(|service| service.user.as_ref());
    let owners = model.directories.iter().filter_map(|directory| directory.owner.as_ref());
    let owners = owners.chain(model.files.iter().filter_map(|file| file.owner.as_ref()));
    let names: BTreeSet<&str> =
        of_services.chain(owners).chain([&model.user]).map(|name| name.get_ref().as_str()).collect();
    names.into_iter().flat_map(accounts::of_debian).collect()
}

/// Whether the image is for containers and has packages, whose programs expect what `base-files` has.
fn has_temporary_folders(image: ImageInputs<'_>) -> bool {
    image.inputs.profile.model.deployment == model::Deployed::Compose && !image.locked().packages.is_empty()
}

/// Adds the folders of every system in which all programs may write (hier(7)), where the layers below lack them.
fn temporary_folders(tree: &mut Tree, lower: &Listing) -> Result<()> {
    let origin: Arc<str> = "what every system has".into();
    for path in ["tmp", "var/tmp"] {
        let path = TreePath::new(path)?;
        let is_directory = |path: TreePath| lower.get(&path).is_none_or(|listed| listed.node == Node::Directory);
        if !lower.contains_key(&path) && path.parent().is_none_or(is_directory) {
            tree.insert(path, Entry::directory(0o1777, &origin));
        }
    }
    Ok(())
}

/// The paths of the layers below whose owners are accounts of the image.
fn owned(workshop: &Workshop<'_>, numbers: &Numbers, lower: &Listing) -> Result<Vec<(TreePath, Entry)>> {
    let origin: Arc<str> = "maintainer scripts, as Sealift reads them".into();
    let mut entries = Vec::new();
    for owned in &workshop.owned {
        let Some(listed) = lower.get(&owned.path) else { continue };
        let mode = owned.mode.unwrap_or(listed.mode);
        let entry = match &listed.node {
            Node::Directory => Entry::directory(mode, &origin),
            Node::File { .. } => Entry::file(workshop.read_below(&owned.path)?, mode, &origin),
            Node::Symlink { .. } | Node::Hardlink { .. } => continue,
        };
        let uid = owned.user.as_ref().map_or(Some(listed.uid), |name| numbers.user(name));
        let gid = owned.group.as_ref().map_or(Some(listed.gid), |name| numbers.group(name));
        // An account that no package makes is none of the host either.
        entries.extend(uid.zip(gid).map(|(uid, gid)| (owned.path.clone(), entry.owned_by(uid, gid))));
    }
    Ok(entries)
}

/// The accounts that a profile declares for an image.
pub(crate) fn accounts(model: &model::Image) -> Vec<Account> {
    let account = |user: &model::User| Account {
        name: user.name.get_ref().clone(),
        uid: user.uid,
        gid: user.gid,
        home: user.home.clone(),
    };
    model.users.iter().map(account).collect()
}

/// Largest size in bytes of a file of a profile that goes into an image.
const FILE_LIMIT: u64 = 1 << 30;

/// The contents of a file of the profile.
fn read(inputs: &Inputs<'_>, file: &PlacedFile<'_>) -> Result<Vec<u8>> {
    Ok(files::read_up_to(files::open(&inputs.profile.sources.path(&file.source))?, FILE_LIMIT)?)
}

/// Numeric user and group of a profile's `user` or `owner`, which is `UID:GID` or the name of one of the image's
/// accounts: those of the profile, and those of its packages.
///
/// # Errors
/// When it is neither.
pub(crate) fn owner_ids(owner: &str, accounts: &[Account]) -> Result<(u32, u32)> {
    if let Some(account) = accounts.iter().find(|account| account.name == owner) {
        return Ok((account.uid, account.gid));
    }
    let numbers = owner.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
    match (owner, numbers) {
        ("nobody", _) => Ok((65534, 65534)),
        (_, Some(ids)) => Ok(ids),
        _ => {
            let names: Vec<&str> = accounts.iter().map(|account| account.name.as_str()).collect();
            let hint = match names[..] {
                [] => "use UID:GID, or add it to `users` of the image".to_owned(),
                _ => {
                    let near = names.iter().map(|name| (strsim::osa_distance(name, owner), name)).min();
                    let near = near.filter(|(distance, _)| *distance <= owner.len().div_ceil(3));
                    let near = near.map(|(_, name)| format!("did you mean `{name}`? ")).unwrap_or_default();
                    format!(
                        "{near}its users are {}; or use UID:GID, or add it to `users` of the image",
                        names.join(", ")
                    )
                }
            };
            Err(Failure::usage(format!("`{owner}` is neither UID:GID nor a user of the image")).hint(hint).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_accounts_or_numbers() {
        let web = Account { name: "web".into(), uid: 1234, gid: 1235, home: "/srv".into() };
        assert_eq!(owner_ids("web", std::slice::from_ref(&web)).unwrap(), (1234, 1235));
        assert_eq!(owner_ids("7:8", &[web]).unwrap(), (7, 8));
        assert_eq!(owner_ids("nobody", &[]).unwrap(), (65534, 65534));
        let near = owner_ids("wbe", &[Account { name: "web".into(), uid: 1, gid: 1, home: "/".into() }]).unwrap_err();
        let hint = near.downcast_ref::<Failure>().and_then(|failure| failure.hint.clone());
        assert!(format!("{hint:?}").contains("did you mean `web`? its users are web; or"), "{hint:?}");
        let error = owner_ids("web", &[]).unwrap_err();
        insta::assert_snapshot!(error, @"`web` is neither UID:GID nor a user of the image");
    }
}
