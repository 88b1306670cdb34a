//! Whether services may use what is in their volumes and folders of the host: another version of an image may run as another
//! user, and operators make folders as root.
//!
//! An engine gives a volume to the user of the image once, when it is empty. Nothing is told of users whose numbers are only
//! known in the image, of root, and where the kernel may show other numbers than the container's.

use anyhow::Result;

use super::context::Containers;
use super::kind::EngineKind;
use crate::finding::Findings;
use crate::host::look::{self, Contents, Owner};
use crate::profile::model::Service;
use crate::profile::names;

/// From this number on, user numbers may be those that a user namespace is mapped to.
const FIRST_MAPPED: u32 = 65_536;
/// What the kernel shows in place of users that are not mapped, and `nobody`.
const OVERFLOW: u32 = 65_534;
/// Capabilities with which modes and owners do not matter.
const OVERRIDES: [&str; 4] = ["DAC_OVERRIDE", "DAC_READ_SEARCH", "CHOWN", "SETUID"];

/// Bits of a mode.
const WRITE: u32 = 0o3;
const ENTER: u32 = 0o1;
const READ: u32 = 0o4;

/// Who runs the program of a service.
struct User {
    uid: u32,
    groups: Vec<u32>,
    /// It is named: in the image, it may be a member of more groups.
    is_named: bool,
}

impl User {
    /// `None` where it is not known, or where it may use everything.
    fn of(containers: &Containers<'_>, service: &Service) -> Option<Self> {
        let model = &containers.deployment.profile.model;
        let overrides = service.capabilities.keys().any(|name| OVERRIDES.contains(&name.get_ref().as_str()));
        let uid = names::user_of_service(model, service).filter(|uid| *uid != 0)?;
        let user = service.user.as_ref().unwrap_or(&model.images.get(&service.image)?.user);
        let is_free = overrides || service.privileged.is_some() || service.root.is_some();
        let groups = names::groups_of_service(model, service)?;
        (!is_free).then(|| Self { uid, groups, is_named: !user.get_ref().contains(':') })
    }

    /// Whether the mode of the folder lets it do all of `bits`.
    fn may(&self, folder: &Owner, bits: u32) -> bool {
        let shift = match () {
            () if self.uid == folder.uid => 6,
            () if self.groups.contains(&folder.gid) => 3,
            () if self.is_named && folder.mode >> 3 & bits == bits => return true,
            () => 0,
        };
        folder.mode >> shift & bits == bits
    }

    fn shown(&self) -> String {
        format!("{}:{}", self.uid, self.groups[0])
    }
}

impl Containers<'_> {
    /// Finds volumes that only one service has, and which its user cannot even enter: it cannot work.
    pub(super) fn check_users_of_volumes(&self, findings: &mut Findings) -> Result<()> {
        let model = &self.deployment.profile.model;
        for (name, service) in &model.services {
            for volume in service.volumes.keys().filter(|volume| self.is_of_one(volume)) {
                let cannot = |user: &User, contents: &Contents, owner: &Owner| {
                    (!contents.is_empty && !user.may(owner, READ | ENTER)).then(|| belongs(owner))
                };
                if let Some((topic, message, hint)) = self.foreign(name.get_ref(), service, volume, cannot)? {
                    findings.error(topic, message, hint);
                }
            }
        }
        Ok(())
    }

    /// Finds volumes of a service that does not work whose user may not write to them, or has none of their data.
    pub(super) fn explain_by_volumes(&self, instance: &str, findings: &mut Findings) -> Result<()> {
        let model = &self.deployment.profile.model;
        let (name, service) = (model.service_of(instance).0, model.service(instance));
        for volume in service.volumes.keys() {
            let is_of_one = self.is_of_one(volume);
            let may_not = |user: &User, contents: &Contents, owner: &Owner| {
                let others = contents.owners.first().filter(|_| is_of_one && !contents.owners.contains(&user.uid));
                match user.may(owner, READ | WRITE) {
                    false => Some(belongs(owner)),
                    true => others.map(|uid| format!("its data belongs to the user {uid}")),
                }
            };
            if let Some((topic, message, hint)) = self.foreign(name, service, volume, may_not)? {
                findings.warn(topic, message, hint);
            }
        }
        Ok(())
    }

    /// Finds services that have the folder `path` of the host, by its `setting`, and whose user cannot use it.
    pub(super) fn check_users_of_folder(&self, setting: &str, path: &str, findings: &mut Findings) -> Result<()> {
        let info = self.engine.info()?;
        let owner = look::owner_of(&self.machine.path(path)).filter(|owner| !owner.has_acl && owner.uid < FIRST_MAPPED);
        let Some(owner) = owner.filter(|_| !info.rootless && !info.remapped && !info.remote) else { return Ok(()) };
        for (name, service) in &self.deployment.profile.model.services {
            let Some((_, mounted)) = service.paths.iter().find(|(of, _)| of.get_ref() == setting) else { continue };
            let bits = READ | if mounted.is_writable() { WRITE } else { ENTER };
            if let Some(user) = User::of(self, service).filter(|user| !user.may(&owner, bits)) {
                let (name, user) = (name.get_ref(), user.shown());
                let message = format!("{path}: {}, but the service `{name}` runs as {user}", belongs(&owner));
                let hint =
                    format!("give it to the service, with what is in it: chown -R {user} {path}; or open its mode");
                findings.warn(format!("folder {setting}"), message, hint);
            }
        }
        Ok(())
    }

    fn is_of_one(&self, volume: &str) -> bool {
        let services = self.deployment.profile.model.services.values();
        services.filter(|service| service.volumes.contains_key(volume)).count() == 1
    }

    /// Topic, message and hint, if `test` says whose a volume is in place of the service's user.
    fn foreign(
        &self,
        name: &str,
        service: &Service,
        volume: &str,
        test: impl Fn(&User, &Contents, &Owner) -> Option<String>,
    ) -> Result<Option<(String, String, String)>> {
        let info = self.engine.info()?;
        let Some(user) = User::of(self, service).filter(|_| !info.remapped && !info.remote) else { return Ok(None) };
        let full_name = self.layout()?.resource_name(volume);
        let Some(Ok(contents)) = self.look_into_volume(&full_name, &[])? else { return Ok(None) };
        let numbers = contents.owner.iter().map(|owner| owner.uid).chain(contents.owners.iter().copied());
        let is_known = numbers.clone().all(|uid| uid < FIRST_MAPPED && uid != OVERFLOW);
        let Some(owner) = contents.owner.as_ref().filter(|owner| is_known && !owner.has_acl) else { return Ok(None) };
        let Some(whose) = test(&user, &contents, owner) else { return Ok(None) };
        let folder = self.volume_folder(&full_name)?.unwrap_or_default();
        let shell = match self.engine.kind {
            EngineKind::Podman if info.rootless => "podman unshare ",
            _ => "",
        };
        let user = user.shown();
        let message = format!("{whose}, but the service `{name}` runs as {user}");
        let hint = format!(
            "if that is a change of this version, go back to the one before; or make a backup, stop the services with \
             `./sealift down`, give the data to the service, and start again: {shell}chown -R {user} {folder}"
        );
        Ok(Some((format!("volume {full_name}"), message, hint)))
    }
}

/// `it belongs to 623:623 (mode 0700)`.
fn belongs(owner: &Owner) -> String {
    format!("it belongs to {}:{} (mode {:04o})", owner.uid, owner.gid, owner.mode)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::host::testing::{self, Podman};

    const USER: User = User { uid: 1000, groups: Vec::new(), is_named: false };

    #[test]
    fn modes_decide_as_in_the_kernel() {
        let owner = |uid, gid, mode| Owner { uid, gid, mode, has_acl: false };
        let user = || User { groups: vec![1000, 44], ..USER };
        assert!(user().may(&owner(1000, 0, 0o700), READ | WRITE));
        assert!(!user().may(&owner(623, 623, 0o750), READ | ENTER));
        assert!(user().may(&owner(623, 44, 0o770), READ | WRITE));
        assert!(user().may(&owner(623, 623, 0o755), READ | ENTER));
        assert!(!user().may(&owner(623, 623, 0o755), READ | WRITE));
        // The owner's bits are the only ones that count for the owner.
        assert!(!user().may(&owner(1000, 1000, 0o077), READ | ENTER));
        // The image may have the user in that group.
        assert!(User { is_named: true, ..user() }.may(&owner(623, 623, 0o770), READ | WRITE));
        assert!(!User { is_named: true, ..user() }.may(&owner(623, 623, 0o700), READ | WRITE));
    }

    /// The findings of the preflight, and of a service that does not work, with this volume of the sample's database, which
    /// runs as 999:999.
    fn found(volume: &Path) -> [String; 2] {
        let folder = tempfile::tempdir().unwrap();
        let deployment = testing::deployment(folder.path());
        let behavior = format!("[ \"$1 $2\" = 'volume inspect' ] && {{ echo {}; exit 0; }}", volume.display());
        let podman = Podman::new(&behavior);
        let containers = podman.containers(&deployment);
        let (mut before, mut after) = (Findings::default(), Findings::default());
        containers.check_users_of_volumes(&mut before).unwrap();
        containers.explain_by_volumes("shop-database", &mut after).unwrap();
        let text = |findings: &Findings| {
            let lines: Vec<String> = findings.0.iter().map(ToString::to_string).collect();
            let own = rustix::process::geteuid().as_raw();
            let text = lines.join("\n").replace(&volume.display().to_string(), "/volumes/orders/_data");
            text.replace(&format!(" {own}:{}", rustix::process::getegid().as_raw()), " OWN")
                .replace(&format!("user {own}"), "user OWN")
        };
        [text(&before), text(&after)]
    }

    /// The database of a new version ran as another user, and said `Permission denied` at each start.
    #[test]
    fn data_of_another_user_is_told_before_and_after() {
        use std::os::unix::fs::PermissionsExt;
        let own = rustix::process::geteuid().as_raw();
        if own == 999 || own >= OVERFLOW {
            // The owner of what this test makes would be the service's user, or perhaps a mapped one.
            return;
        }
        let volume = tempfile::tempdir().unwrap();
        let set_mode = |mode| fs_err::set_permissions(volume.path(), PermissionsExt::from_mode(mode)).unwrap();
        set_mode(0o700);
        // The engine gives a new volume to the user of the image.
        assert_eq!(found(volume.path())[0], "");
        fs_err::write(volume.path().join("VERSION"), "18\n").unwrap();
        let [before, after] = found(volume.path());
        insta::assert_snapshot!(before, @r"
        error: volume shop-small_orders: it belongs to OWN (mode 0700), but the service `shop-database` runs as 999:999
          hint: if that is a change of this version, go back to the one before; or make a backup, stop the services with `./sealift down`, give the data to the service, and start again: chown -R 999:999 /volumes/orders/_data
        ");
        assert_eq!(after, before.replace("error: ", "warning: "));
        set_mode(0o755);
        let [before, after] = found(volume.path());
        assert_eq!(before, "");
        assert!(after.starts_with("warning: volume shop-small_orders: it belongs to OWN (mode 0755)"), "{after}");
        set_mode(0o777);
        let [before, after] = found(volume.path());
        assert_eq!(before, "");
        assert!(
            after.contains("its data belongs to the user OWN, but the service `shop-database` runs as 999:999"),
            "{after}"
        );
    }

    /// Uploads ended with an error: the operator had made the folder as root, for root alone.
    #[test]
    fn a_folder_of_the_host_that_a_service_cannot_use_is_told() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let media = tempfile::tempdir().unwrap();
        let mut deployment = testing::deployment(place.path());
        let service = deployment.profile.model.services.get_mut("shop-database").unwrap();
        let mounted = toml::from_str::<std::collections::BTreeMap<_, _>>("media = { path = '/m', writable = true }");
        service.paths = mounted.unwrap();
        let podman = Podman::new("");
        let found = |mode| {
            fs_err::set_permissions(media.path(), PermissionsExt::from_mode(mode)).unwrap();
            let mut findings = Findings::default();
            let path = media.path().to_str().unwrap();
            podman.containers(&deployment).check_users_of_folder("media", path, &mut findings).unwrap();
            findings.0.iter().map(|finding| finding.to_string().replace(path, "/media")).collect::<String>()
        };
        if rustix::process::geteuid().is_root() {
            insta::assert_snapshot!(found(0o755), @r"
            warning: folder media: /media: it belongs to 0:0 (mode 0755), but the service `shop-database` runs as 999:999
              hint: give it to the service, with what is in it: chown -R 999:999 /media; or open its mode
            ");
        }
        assert_eq!(found(0o777), "");
    }
}
