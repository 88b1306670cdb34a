//! Whether the host has IPv6.

use crate::machine::Machine;

/// Whether new interfaces of this host, such as those of container networks, get IPv6 addresses: the kernel has IPv6, and no
/// setting turns it off (`net.ipv6.conf.all.disable_ipv6`, `net.ipv6.conf.default.disable_ipv6`).
pub(super) fn is_enabled(machine: &Machine) -> bool {
    ["all", "default"].iter().all(|interfaces| {
        let setting = machine.path(&format!("/proc/sys/net/ipv6/conf/{interfaces}/disable_ipv6"));
        fs_err::read_to_string(setting).is_ok_and(|text| text.trim() == "0")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_settings_and_the_kernel_count() {
        let place = tempfile::tempdir().unwrap();
        let machine = Machine::of(place.path(), &[]);
        assert!(!is_enabled(&machine));
        let set = |interfaces: &str, value: &str| {
            let folder = place.path().join("proc/sys/net/ipv6/conf").join(interfaces);
            fs_err::create_dir_all(&folder).unwrap();
            fs_err::write(folder.join("disable_ipv6"), value).unwrap();
        };
        set("all", "0\n");
        set("default", "1\n");
        assert!(!is_enabled(&machine));
        set("default", "0\n");
        assert!(is_enabled(&machine));
        set("all", "1\n");
        assert!(!is_enabled(&machine));
    }
}
