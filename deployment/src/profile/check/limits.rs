//! Checks of what a service may use of its host, and of what it may do beyond what every container may.

use std::net::IpAddr;

use toml::Spanned;

use super::super::model::{Image, Service};
use super::super::{suggest, words};
use super::Check;

/// Resources of setrlimit(2), as engines name them.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Settings of the kernel that a container has of its own.
const SYSCTLS: [&str; 8] = [
    "net.",
    "fs.mqueue.",
    "kernel.msg",
    "kernel.sem",
    "kernel.shm",
    "kernel.domainname",
    "kernel.shm_rmid_forced",
    "kernel.auto_msgmni",
];

/// Capabilities (capabilities(7)) without `CAP_`.
const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// Less than this stops any program before it says why. Engines refuse less than 6 MB.
const LEAST_MEMORY: u64 = 6 << 20;

impl Check<'_> {
    pub(super) fn limits(&mut self, name: &str, service: &Service) {
        let at = |check: &Self, path: &[&str]| check.document.value(&[&["services", name], path].concat());
        if service.memory.is_some_and(|memory| memory.0 < LEAST_MEMORY) {
            self.report(at(self, &["memory"]), "engines refuse such a limit", "use \"6M\" or more");
        }
        if service.cpus.is_some_and(|cpus| !(0.01..=4096.0).contains(&cpus)) {
            self.report(at(self, &["cpus"]), "this is no number of processors", "use 0.01 or more, such as 1.5");
        }
        if service.pids == Some(0) {
            self.report(at(self, &["pids"]), "`pids` must not be 0", "use 1 or more");
        }
        if service.log.files == 0 {
            self.report(at(self, &["log", "files"]), "`files` must not be 0", "use 1 or more");
        }
        for (resource, limit) in &service.ulimits {
            let (span, word) = (resource.span(), resource.get_ref().as_str());
            if !ULIMITS.contains(&word) {
                let hint = suggest::hint(word, "resources of ulimit", ULIMITS);
                self.report(span, format!("there is no resource `{word}`"), hint);
            } else if limit.soft < -1 || limit.hard < -1 || limit.hard != -1 && !(0..=limit.hard).contains(&limit.soft)
            {
                let hint = "the soft limit is at most the hard one; -1 stands for no limit";
                self.report(at(self, &["ulimits", word]), format!("these cannot be the limits of `{word}`"), hint);
            }
        }
        for (key, value) in &service.sysctls {
            let known = SYSCTLS.iter().any(|prefix| key.get_ref().starts_with(prefix));
            if !known || key.get_ref().contains(|c: char| !c.is_ascii_alphanumeric() && !"._-/".contains(c)) {
                let hint = "only what begins with `net.`, `fs.mqueue.`, `kernel.msg`, `kernel.sem` or `kernel.shm` is; \
                            the host's administrator sets others for all programs";
                self.report(key.span(), format!("`{}` is no setting of a single container", key.get_ref()), hint);
            }
            if value.trim().is_empty() || value.contains(['\n', '\t']) {
                let hint = "write it as sysctl(8) shows it";
                self.report(at(self, &["sysctls", key.get_ref()]), "this is no value of a setting", hint);
            }
        }
        for (host, address) in &service.extra_hosts {
            if !words::is_host(host.get_ref()) || host.get_ref().parse::<IpAddr>().is_ok() {
                self.report(
                    host.span(),
                    format!("`{}` is not a host name", host.get_ref()),
                    "such as \"ldap.example.com\"",
                );
            }
            if address.parse::<IpAddr>().is_err() {
                let span = at(self, &["extra-hosts", host.get_ref()]);
                self.report(span, format!("`{address}` is not an IP address"), "such as \"192.0.2.10\"");
            }
        }
        self.container_labels(name, service);
    }

    fn container_labels(&mut self, name: &str, service: &Service) {
        for (label, value) in &service.labels {
            let (key, span) = (label.get_ref().as_str(), label.span());
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
            if key.is_empty() || !key.chars().all(plain) {
                let hint = "use letters, digits, `.`, `-`, `_` and `/`, such as \"org.example.team\"";
                self.report(span, format!("`{key}` cannot be the name of a label"), hint);
            } else if ["com.docker.", "io.podman.", "org.sealift."].iter().any(|prefix| key.starts_with(prefix)) {
                self.report(
                    span,
                    format!("the label `{key}` is used by engines and by sealift"),
                    "choose another name",
                );
            }
            self.one_line(&["services", name, "labels", key], value);
        }
    }

    /// Checks user and groups, and that each exception from the rule has its reason.
    pub(super) fn privileges(&mut self, key: &Spanned<String>, service: &Service) {
        let name = key.get_ref().as_str();
        let at = |check: &Self, path: &[&str]| check.document.value(&[&["services", name], path].concat());
        let image: Option<&Image> = self.model.images.get(&service.image);
        let uid = service.user.as_ref().and_then(|user| match user.get_ref().as_str() {
            "0" => Some(0),
            _ => image.and_then(|image| self.account(user, image)),
        });
        match (&service.user, &service.root) {
            (Some(user), None) if uid == Some(0) => {
                let hint = "use a user of the image; or write why with `root = \"REASON\"`, which operators read";
                self.report(user.span(), "the service would run as root", hint);
            }
            (_, Some(_)) if uid != Some(0) => {
                let span = self.document.key(&["services", name, "root"]);
                self.report(span, "`root` is the reason for `user = \"0\"`", "add `user = \"0\"`, or remove `root`");
            }
            _ => {}
        }
        for (key, why) in
            [("root", &service.root), ("privileged", &service.privileged), ("host-network", &service.host_network)]
        {
            why.iter().for_each(|why| self.why(&["services", name, key], why));
        }
        for (capability, why) in &service.capabilities {
            let word = capability.get_ref().as_str();
            if !CAPABILITIES.contains(&word) {
                let plain = word.to_uppercase();
                let plain = plain.strip_prefix("CAP_").unwrap_or(&plain);
                let hint = suggest::hint(plain, "capabilities(7), without CAP_", CAPABILITIES);
                self.report(capability.span(), format!("there is no capability `{word}`"), hint);
            }
            self.why(&["services", name, "capabilities", word], why);
        }
        for (device, why) in &service.devices {
            let path = device.get_ref().as_str();
            let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
            if !path.starts_with("/dev/") || path.split('/').any(|part| part == "..") || !plain {
                self.report(device.span(), format!("`{path}` is not a device"), "such as \"/dev/ttyUSB0\"");
            }
            self.why(&["services", name, "devices", path], why);
        }
        if service.host_network.is_some() {
            let conflicts = [("publish", !service.publish.is_empty()), ("networks", !service.networks.is_empty())];
            for (key, _) in conflicts.into_iter().filter(|(_, set)| *set) {
                let span = self.document.key(&["services", name, key]);
                let hint = "its ports are ports of the host, and it is on no other network: remove one of them";
                self.report(span, format!("a service on the host's network has no `{key}`"), hint);
            }
        }
        if service.entrypoint.as_ref().is_some_and(Vec::is_empty) {
            self.report(
                at(self, &["entrypoint"]),
                "the entrypoint is empty",
                "name the program and its fixed arguments",
            );
        }
    }

    /// Checks a reason that operators read in one line.
    fn why(&mut self, path: &[&str], why: &str) {
        self.reason(path, why);
        self.one_line(path, why);
    }
}
