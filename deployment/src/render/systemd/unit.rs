//! systemd units of services.

use super::paths::{FOLDER, GENERATED, SECRETS, one_line, run_path, site_files, task_path};
use crate::profile::model::{Model, On, Restart, Service, Ulimit};

/// The sandbox of a service, which may only use the network and write to its log. Every line was tried with the Python and
/// the wheels of a large server.
const SANDBOX: &str = "\
# A temporary user that owns no files; systemd passes the files that the service needs.
DynamicUser=yes
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
PrivateUsers=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
PrivateIPC=yes
RemoveIPC=yes
ProtectProc=invisible
ProcSubset=pid
ProtectHostname=yes
ProtectClock=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
LimitNOFILE=65536
";

/// The limits of the profile, which come after those of the sandbox.
fn limits(service: &Service) -> String {
    let mut text = String::new();
    let memory = service.memory.map(|size| format!("MemoryMax={}\n", size.0));
    // A quota is in percent of one processor.
    let cpus = service.cpus.map(|cpus| format!("CPUQuota={}%\n", (cpus * 100.0).round()));
    let pids = service.pids.map(|pids| format!("TasksMax={pids}\n"));
    [memory, cpus, pids].into_iter().flatten().for_each(|line| text += &line);
    for (resource, Ulimit { soft, hard }) in &service.ulimits {
        let shown = |limit: i64| if limit < 0 { "infinity".to_owned() } else { limit.to_string() };
        text += &format!("Limit{}={}:{}\n", resource.get_ref().to_uppercase(), shown(*soft), shown(*hard));
    }
    text
}

pub(super) fn render(model: &Model, name: &str, service: &Service) -> String {
    let title = if service.title.is_empty() { name } else { one_line(&service.title) };
    let mut text = format!(
        "\
# {title}, version {version}. {GENERATED} (systemctl edit {name}).
[Unit]
Description={described}
Documentation=file:{FOLDER}/README.md
Wants=network-online.target
After=network-online.target
",
        version = model.version.get_ref(),
        described = title.replace('%', "%%"),
    );
    for other in service.depends_on.services() {
        text += &format!("Wants={0}.service\nAfter={0}.service\n", other.get_ref());
    }
    let scheduled = service.schedule().is_some();
    text += match scheduled {
        true => "\n[Service]\nType=oneshot\n",
        false => {
            "\
# Restarted without limit, until everything that it needs runs, such as the database.
StartLimitIntervalSec=0

[Service]
Type=exec
"
        }
    };
    for (task, spec) in &model.tasks {
        if spec.on == Some(On::Up) && spec.service.get_ref() == name {
            text += &format!("ExecStartPre={FOLDER}/{}\n", task_path(task.get_ref()));
        }
    }
    text += &format!("ExecStart={FOLDER}/{}\n", run_path(name));
    text += "TimeoutStartSec=infinity\n";
    text += &match service.restart {
        _ if scheduled => String::new(),
        Restart::No => "Restart=no\n".to_owned(),
        Restart::Always => "Restart=always\nRestartSec=5\n".to_owned(),
        Restart::UnlessStopped | Restart::OnFailure => "Restart=on-failure\nRestartSec=5\n".to_owned(),
    };
    if let Some(signal) = &model.images[&service.image].stop_signal {
        text += &format!("KillSignal={signal}\n");
    }
    text += &format!("TimeoutStopSec={}\n", service.stop_grace);
    let files = site_files(model, service);
    if !files.is_empty() {
        text += &format!("# Read by systemd; the service gets copies in place of {SECRETS}.\n");
    }
    for (name, path) in files {
        text += &format!("LoadCredential={name}:{FOLDER}/site/{path}\n");
    }
    text += SANDBOX;
    text += &limits(service);
    // A timer starts one that runs at times.
    if scheduled { text } else { text + "\n[Install]\nWantedBy=multi-user.target\n" }
}

/// The timer of a service that runs at the times of the calendar event `event`.
pub(super) fn timer(model: &Model, name: &str, event: &str) -> String {
    format!(
        "\
# The times of {name}, version {version}. {GENERATED} (systemctl edit {name}.timer).
[Unit]
Description=The times of {name}
Documentation=file:{FOLDER}/README.md

[Timer]
OnCalendar={event}
# What was missed while the host was off is made up for.
Persistent=true

[Install]
WantedBy=timers.target
",
        version = model.version.get_ref(),
    )
}
