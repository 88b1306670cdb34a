//! What a container has besides the files of its image.

use std::collections::{BTreeMap, BTreeSet};

use sealift_deployment::profile::model::{Deployed, Image, Model, Service};
use sealift_deployment::ui;
use sealift_layers::ingredients::accounts::Account;
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

/// An empty folder that a service gets.
#[derive(Debug, serde::Serialize)]
pub(super) struct Mounted {
    /// Where the profile has it.
    place: String,
    path: String,
    /// The user of the service; `None` for an account of a package.
    uid: Option<u32>,
    /// A volume, and not a folder in memory.
    is_volume: bool,
}

/// The folders in memory and new volumes of services that do not run as root. Volumes that services of other
/// images or of root have, too, are left out: those may be the ones that write.
pub(super) fn to_write(model: &Model, users: &[Account], image: &Image, services: &[(&str, &Service)]) -> Vec<Mounted> {
    let uid_of = |service: &Service| uid_of(service, image, users);
    let is_own = |volume: &str| {
        let mut all = model.services.values().filter(|service| service.volumes.contains_key(volume));
        all.all(|other| services.iter().any(|(_, own)| std::ptr::eq(*own, other)) && uid_of(other) != Some(0))
    };
    let mut folders = Vec::new();
    for (name, service) in services {
        let uid = uid_of(service);
        if uid == Some(0) {
            continue;
        }
        let place = format!("services.{name}.tmpfs");
        let in_memory = |path: &String| Mounted { place: place.clone(), path: path.clone(), uid, is_volume: false };
        folders.extend(service.tmpfs.iter().map(in_memory));
        if model.deployment == Deployed::Systemd {
            continue;
        }
        let own = service.volumes.iter().filter(|(volume, _)| is_own(volume));
        folders.extend(own.map(|(volume, path)| {
            let (place, path) = (format!("services.{name}.volumes.{volume}"), path.clone());
            Mounted { place, path, uid, is_volume: true }
        }));
    }
    folders
}

/// The groups of a service's program, as far as they are known.
pub(super) fn groups_of(service: &Service, image: &Image, users: &[Account]) -> BTreeSet<u32> {
    let user = service.user.as_ref().unwrap_or(&image.user).get_ref().as_str();
    let known = users.iter().find(|known| known.name == user).map(|known| known.gid);
    let own = known.or_else(|| user.split_once(':')?.1.parse().ok());
    own.into_iter().chain(service.groups.iter().copied()).collect()
}

/// The number of a service's user; `None` for an account that nobody knows.
pub(super) fn uid_of(service: &Service, image: &Image, users: &[Account]) -> Option<u32> {
    let user = service.user.as_ref().unwrap_or(&image.user).get_ref().as_str();
    let known = users.iter().find(|known| known.name == user).map(|known| known.uid);
    known.or_else(|| user.split(':').next().and_then(|uid| uid.parse().ok()))
}

/// A service with a volume: its name, the number of its user, and its groups.
type Sharer<'a> = (&'a str, u32, BTreeSet<u32>);

/// Warnings about volumes of services with different users, once a volume: a file of one has its owner, and the other may not
/// even read it. `users` are the accounts of images, by their names. Root may do everything.
pub(super) fn shared(model: &Model, users: &BTreeMap<&str, Vec<Account>>) -> Vec<String> {
    if model.deployment == Deployed::Systemd {
        return Vec::new();
    }
    let mut volumes: BTreeMap<&str, Vec<Sharer<'_>>> = BTreeMap::new();
    for (name, service) in &model.services {
        let Some(image) = model.images.get(&service.image) else { continue };
        let Some(users) = users.get(service.image.get_ref().as_str()) else { continue };
        if let Some(uid) = uid_of(service, image, users).filter(|uid| *uid != 0) {
            for volume in service.volumes.keys() {
                let groups = groups_of(service, image, users);
                volumes.entry(volume).or_default().push((name.get_ref().as_str(), uid, groups));
            }
        }
    }
    let warning = |(volume, services): (&str, Vec<Sharer<'_>>)| {
        let (first, one, groups) = services.first()?;
        // A group that both are in may be what they share.
        let is_apart = |(_, uid, others): &&Sharer<'_>| uid != one && groups.is_disjoint(others);
        let (second, other, _) = services.iter().find(is_apart)?;
        Some(format!(
            "services.{second}.volumes.{volume}: its user is {other}, that of {first} on the same volume {one}: neither can change \
             files of the other; give both the same `user`, or a group and files that it may write"
        ))
    };
    volumes.into_iter().filter_map(warning).collect()
}

impl Mounted {
    /// A warning if its service cannot write to it: engines give a new volume owner and mode of the image's folder of that path,
    /// or root if there is none.
    /// Another one if the image has files there.
    pub(super) fn warning(&self, listing: &Listing) -> Option<String> {
        let Self { place, path, is_volume, .. } = self;
        let at = TreePath::new(path).ok()?;
        let entry = listing.get(&at);
        let path = path.trim_end_matches('/');
        let covered = files_below(&at, listing);
        if covered > 0 {
            let what = match is_volume {
                true => "a new volume gets copies of them, which those of later versions do not replace",
                false => "they are hidden, or copied by some engines",
            };
            let count = ui::count(covered, "file");
            return Some(format!("{place}: the image has {count} below `{path}`: {what}; name a folder without files"));
        }
        let near = if *is_volume && entry.is_none() { near(path, listing) } else { None };
        let Some(uid) = self.uid else {
            let near = near?;
            return Some(format!("{place}: the image has no folder `{path}`, but `{near}`: is that meant?"));
        };
        // podman gives a folder in memory to root, with the mode of the image's folder; below `/run` not even that.
        let in_memory = |mode: u32| uid == 0 || mode & 0o002 != 0 && !path.starts_with("/run/");
        let is_writable = entry.is_some_and(|entry| match is_volume {
            true => entry.uid == uid || entry.mode & 0o022 != 0,
            false => in_memory(entry.mode),
        });
        match entry {
            _ if is_writable => None,
            Some(entry) if entry.node != Node::Directory => None,
            None if *is_volume => Some(format!(
                "{place}: the image has no folder `{path}`: a new volume belongs to root, and the user {uid} cannot write to it; \
                 make the folder with that owner in `directories` of the image{}",
                near.map(|near| format!("; or is `{near}` meant, which the image has?")).unwrap_or_default()
            )),
            None => None,
            Some(entry) if *is_volume => Some(format!(
                "{place}: `{path}` is a folder of the image, owned by {}: so is a new volume, and the user {uid} cannot write to it; \
                 make the folder with that owner in `directories` of the image",
                entry.uid
            )),
            Some(_) => Some(format!(
                "{place}: `{path}` is a folder of the image: podman gives it to root in memory, and the user {uid} cannot write to \
                 it; name a folder that the image does not have, such as `{path}/NAME`"
            )),
        }
    }
}

/// How many files of the image are below a folder.
fn files_below(folder: &TreePath, listing: &Listing) -> usize {
    let start = format!("{folder}/");
    let below = listing.range(folder.clone()..).take_while(|(path, _)| path.as_str().starts_with(folder.as_str()));
    below.filter(|(path, entry)| path.as_str().starts_with(&start) && entry.node != Node::Directory).count()
}

/// A folder of the image whose path is nearly `path`.
fn near(path: &str, listing: &Listing) -> Option<String> {
    let path = path.trim_start_matches('/');
    let folders = listing.iter().filter(|(_, entry)| entry.node == Node::Directory);
    // One letter more or less, or two that changed places; names of one or two letters are all near each other.
    let is_near = |folder: &str| {
        let name = |path: &str| path.rsplit('/').next().map_or(0, str::len);
        name(folder) > 3 && name(path) > 3 && strsim::osa_distance(folder, path) == 1
    };
    let found = folders.map(|(folder, _)| folder.as_str()).find(|folder| is_near(folder));
    found.map(|folder| format!("/{folder}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After an upgrade, the old pages were served from the volume.
    #[test]
    fn files_of_the_image_under_a_volume_are_told() {
        let listing: Listing = serde_json::from_str(
            r#"{"srv/www": {"kind": "directory", "mode": 511, "uid": 0, "gid": 0, "origin": ""},
                "srv/www-old/x": {"kind": "symlink", "target": "y", "mode": 511, "uid": 0, "gid": 0, "origin": ""},
                "srv/www/index.html": {"kind": "symlink", "target": "y", "mode": 511, "uid": 0, "gid": 0, "origin": ""}}"#,
        )
        .unwrap();
        let warning = |path: &str, is_volume| {
            Mounted { place: "p".into(), path: path.into(), uid: Some(7), is_volume }.warning(&listing)
        };
        assert!(
            warning("/srv/www", true).unwrap().starts_with("p: the image has 1 file below `/srv/www`: a new volume")
        );
        assert!(warning("/srv/www/", false).unwrap().contains("they are hidden"));
        assert_eq!(warning("/srv/www/media", false), None);
    }

    /// The second service could not change what the first one had written.
    #[test]
    fn a_volume_of_two_users_without_a_common_group_is_told() {
        let warnings = |groups: &str| {
            let image = |name: &str, uid: u32| {
                format!(
                    "[images.{name}]\ntitle = 'I'\npackages = ['busybox']\nentrypoint = ['busybox']\nuser = '{uid}:{uid}'\n"
                )
            };
            let service = |name: &str, image: &str, more: &str| {
                format!("[services.{name}]\nimage = '{image}'\nvolumes = {{ data = '/srv' }}\n{more}\n")
            };
            let text = [
                "schema = 1\nname = 'x'\ntitle = 'X'\nproduct = 'x'\nversion = '1'\n[debian]\nsuite = 's'\ncomponents = ['main']\n",
                &image("a", 564),
                &image("b", 1234),
                &service("one", "a", ""),
                &service("same", "a", ""),
                &service("two", "b", groups),
            ];
            let place = tempfile::tempdir().unwrap();
            fs_err::write(place.path().join("profile.toml"), text.concat()).unwrap();
            let profile =
                sealift_deployment::profile::Profile::load(place.path()).unwrap_or_else(|error| panic!("{error}"));
            shared(&profile.model, &BTreeMap::from([("a", Vec::new()), ("b", Vec::new())]))
        };
        let told = warnings("");
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("services.two.volumes.data: its user is 1234, that of one on the same volume 564"),
            "{told:?}"
        );
        assert_eq!(warnings("groups = [564]"), Vec::<String>::new());
    }

    /// A mail server could not make its sockets in `/run`.
    #[test]
    fn a_folder_of_root_is_not_writable_in_memory() {
        let listing: Listing = serde_json::from_str(
            r#"{"run": {"kind": "directory", "mode": 493, "uid": 0, "gid": 0, "origin": ""},
                "tmp": {"kind": "directory", "mode": 1023, "uid": 0, "gid": 0, "origin": ""}}"#,
        )
        .unwrap();
        let mounted =
            |path: &str, uid, is_volume| Mounted { place: "p".into(), path: path.into(), uid: Some(uid), is_volume };
        let warning = |path: &str, uid| mounted(path, uid, false).warning(&listing);
        assert!(
            warning("/run", 1000).unwrap().starts_with("p: `/run` is a folder of the image: podman gives it to root")
        );
        assert_eq!([warning("/tmp", 1000), warning("/run/mail", 1000), warning("/run", 0)], [None, None, None]);
        // RabbitMQ could not write to its data, whose folder a maintainer script gives to its user.
        let warning = |path: &str, uid| mounted(path, uid, true).warning(&listing);
        assert!(warning("/run", 1000).unwrap().contains("owned by 0: so is a new volume"));
        assert!(warning("/data", 1000).unwrap().contains("has no folder `/data`: a new volume belongs to root"));
        assert_eq!([warning("/tmp", 1000), warning("/run", 0)], [None, None]);
    }

    /// A volume with a letter too few was empty for ever, and the data were in the container.
    #[test]
    fn a_folder_of_nearly_that_name_is_told() {
        let listing: Listing = serde_json::from_str(
            r#"{"var/lib/rabbitmq": {"kind": "directory", "mode": 488, "uid": 104, "gid": 104, "origin": ""},
                "srv/a": {"kind": "directory", "mode": 493, "uid": 0, "gid": 0, "origin": ""}}"#,
        )
        .unwrap();
        let warning = |path: &str, uid| {
            let mounted = Mounted { place: "p".into(), path: path.into(), uid, is_volume: true };
            mounted.warning(&listing)
        };
        let of_package = warning("/var/lib/rabitmq", None).unwrap();
        assert_eq!(
            of_package,
            "p: the image has no folder `/var/lib/rabitmq`, but `/var/lib/rabbitmq`: is that meant?"
        );
        assert!(
            warning("/var/lib/rabitmq", Some(104))
                .unwrap()
                .ends_with("is `/var/lib/rabbitmq` meant, which the image has?")
        );
        let fine = ["/var/lib/rabbitmq", "/var/lib/other", "/srv/b"].map(|path| warning(path, None));
        assert_eq!(fine, [None, None, None]);
    }
}
