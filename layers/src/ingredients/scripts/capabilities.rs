//! `setcap CAPABILITIES FILE` (setcap(8)): the extended attribute `security.capability` (capabilities(7)).

use super::{Files, Said, Words, place};
use crate::tree::Kind;

/// The names, in the order of their bits (linux/capability.h).
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// `VFS_CAP_REVISION_2`, and the bit for programs that begin with their capabilities in effect.
const REVISION: u32 = 0x0200_0000;
const EFFECTIVE: u32 = 1;

/// `asks`: the script asks a question, which may decide this.
pub(super) fn command(words: Words<'_>, asks: bool, files: &mut Files<'_>) -> Said {
    // Packages have no capabilities that could be removed.
    if words.iter().flatten().any(|word| word == "-r") {
        return Said::Applied(None);
    }
    let words = words.iter().filter(|word| word.as_deref() != Some("-q"));
    let Some(words) = words.map(Option::as_deref).collect::<Option<Vec<&str>>>() else { return Said::Left };
    let [text, path] = words[..] else { return Said::Left };
    let (Some(value), Some(at)) = (attribute(text), place(path)) else { return Said::Left };
    if files.is_dropped(&at) {
        return Said::Applied(None);
    }
    if asks {
        return Said::Left;
    }
    let Some(mut entry) = files.tree.remove(&at) else { return Said::Left };
    let is_file = matches!(entry.kind, Kind::File(_));
    if is_file {
        entry.xattrs.insert("security.capability".to_owned(), value);
    }
    files.tree.insert(at, entry);
    if is_file { Said::Applied(Some(path.to_owned())) } else { Said::Left }
}

/// The attribute for a text of cap_from_text(3) with one clause: `cap_net_raw,cap_net_admin+ep`.
fn attribute(text: &str) -> Option<Vec<u8>> {
    let at = text.find(['+', '='])?;
    let (names, flags) = (&text[..at], &text[at + 1..]);
    let mut bits = 0_u64;
    for name in names.split(',') {
        let name = name.to_ascii_lowercase();
        bits |= 1 << NAMES.iter().position(|known| name.strip_prefix("cap_") == Some(known))?;
    }
    if flags.is_empty() || !flags.chars().all(|flag| "eip".contains(flag)) {
        return None;
    }
    let set = |flag: char| if flags.contains(flag) { bits } else { 0 };
    let (permitted, inheritable) = (set('p'), set('i'));
    let first = REVISION | if flags.contains('e') { EFFECTIVE } else { 0 };
    let halves = [permitted, inheritable, permitted >> 32, inheritable >> 32];
    let words = halves.map(|half| u32::try_from(half & 0xffff_ffff).unwrap_or_default());
    Some([first].into_iter().chain(words).flat_map(u32::to_le_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `getfattr -e hex` shows of a file after `setcap`.
    #[test]
    fn attributes_are_those_of_setcap() {
        let hex = |text: &str| attribute(text).map(hex::encode);
        assert_eq!(hex("cap_net_raw+ep").as_deref(), Some("0100000200200000000000000000000000000000"));
        assert_eq!(hex("cap_net_bind_service=+ep"), None);
        assert_eq!(hex("CAP_BPF=p").as_deref(), Some("0000000200000000000000008000000000000000"));
        assert!(attribute("cap_none+ep").is_none() && attribute("cap_kill+x").is_none() && attribute("all").is_none());
    }
}
