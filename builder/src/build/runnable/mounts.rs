//! What a container has besides the files of its image.

use sealift_deployment::profile::model::{Image, Service};
use sealift_layers::listing::{Listing, Node};
use sealift_layers::tree::TreePath;

/// Paths that a container has besides those of its image.
pub(super) fn mounted(image: &Image, services: &[(&str, &Service)]) -> Vec<String> {
    let fixed = ["/proc", "/sys", "/dev", "/run/secrets"].map(str::to_owned);
    let mut paths: Vec<String> = fixed.into_iter().chain(image.volumes.iter().cloned()).collect();
    for (_, service) in services {
        let mounts = service.volumes.values().chain(service.config_files.values()).chain(service.site_files.values());
        paths.extend(mounts.chain(&service.tmpfs).cloned());
    }
    paths.sort();
    paths.dedup();
    paths
}

/// A folder in memory of a service.
#[derive(Debug, serde::Serialize)]
pub(super) struct InMemory {
    /// Where the profile has it.
    place: String,
    path: String,
    /// The user of the service.
    uid: u32,
}

/// The folders in memory of services whose user the profile has as a number.
pub(super) fn in_memory(image: &Image, services: &[(&str, &Service)]) -> Vec<InMemory> {
    let mut folders = Vec::new();
    for (name, service) in services {
        let user = service.user.as_ref().unwrap_or(&image.user).get_ref().as_str();
        let known = image.users.iter().find(|known| known.name.get_ref() == user).map(|known| known.uid);
        let number = || user.split(':').next().and_then(|uid| uid.parse().ok());
        let Some(uid) = known.or_else(number).filter(|uid| *uid != 0) else { continue };
        let place = format!("services.{name}.tmpfs");
        folders.extend(service.tmpfs.iter().map(|path| InMemory { place: place.clone(), path: path.clone(), uid }));
    }
    folders
}

impl InMemory {
    /// A warning if its service cannot write to it: podman gives it owner and mode of the image's folder of that path.
    pub(super) fn warning(&self, listing: &Listing) -> Option<String> {
        let Self { place, path, uid } = self;
        let entry = listing.get(&TreePath::new(path).ok()?)?;
        let is_writable = entry.uid == *uid || entry.mode & 0o022 != 0;
        (entry.node == Node::Directory && !is_writable).then(|| {
            let path = path.trim_end_matches('/');
            format!(
                "{place}: `{path}` is a folder of the image, owned by {}: with podman the user {uid} cannot write to it in memory \
                 either; name a folder that the image does not have, such as `{path}/NAME`, or make it with `directories`",
                entry.uid
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mail server could not make its sockets in `/run`.
    #[test]
    fn a_folder_of_root_is_not_writable_in_memory() {
        let listing: Listing = serde_json::from_str(
            r#"{"run": {"kind": "directory", "mode": 493, "uid": 0, "gid": 0, "origin": ""},
                "tmp": {"kind": "directory", "mode": 1023, "uid": 0, "gid": 0, "origin": ""}}"#,
        )
        .unwrap();
        let warning = |path: &str, uid| InMemory { place: "p".into(), path: path.into(), uid }.warning(&listing);
        assert!(warning("/run", 1000).unwrap().starts_with("p: `/run` is a folder of the image, owned by 0"));
        assert_eq!([warning("/tmp", 1000), warning("/run/mail", 1000), warning("/run", 0)], [None, None, None]);
    }
}
