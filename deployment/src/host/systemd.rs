//! A deployment without containers: the services as units of systemd, which the bundle brings.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Deployment, Health, Settings, State, Status};
use crate::failure::Failure;
use crate::files::write_atomically;
use crate::machine::Machine;
use crate::profile::model::Deployed;
use crate::render::systemd::{FOLDER, GENERATED, health_path, task_path, unit_path};
use crate::ui::Ui;

/// Where an administrator's units are.
const UNITS: &str = "/etc/systemd/system";
/// Between two looks at what is not healthy yet.
const PAUSE: Duration = Duration::from_millis(300);
/// Lines of its log that are shown of a service that does not get healthy.
const LAST_LINES: &str = "20";
/// What a unit's sandbox hides from its service, or replaces by something empty.
const HIDDEN: [&str; 7] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp", "/dev", "/proc"];

impl Deployment {
    /// Whether it is run by systemd, without containers.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.profile.model.deployment == Deployed::Systemd
    }
}

/// Whether this process may have `machine`'s systemd do something: it runs, and this is root.
#[must_use]
pub fn is_in_charge(machine: &Machine) -> bool {
    machine.path("/run/systemd/system").is_dir() && rustix::process::geteuid().is_root()
}

/// The commands that start the deployment by hand, in the foreground.
#[must_use]
pub fn by_hand(deployment: &Deployment) -> Vec<String> {
    let model = &deployment.profile.model;
    let tasks = model.tasks.iter().filter(|(_, task)| task.on.is_some()).map(|(name, _)| task_path(name.get_ref()));
    let services = deployment.order().into_iter().map(crate::render::systemd::run_path);
    tasks.chain(services).map(|path| deployment.folder.join(path).display().to_string()).collect()
}

/// Puts the units where systemd finds them, starts them, and waits until all services are healthy. With `renew`, services
/// that run are started anew, since what they read of the site has changed.
///
/// # Errors
/// When systemd refuses, or with the last log lines of what does not get healthy within `limit`.
pub fn start(deployment: &Deployment, renew: bool, limit: Duration, ui: &Ui) -> Result<()> {
    let mut changed = Vec::new();
    for service in deployment.order() {
        if install(deployment, service)? {
            changed.push(service);
        }
    }
    if !changed.is_empty() {
        systemctl(&["daemon-reload"])?;
    }
    let start = Instant::now();
    for service in deployment.order() {
        let unit = format!("{service}.service");
        let verb = if renew || changed.contains(&service) { "restart" } else { "start" };
        systemctl(&["enable", "--quiet", &unit])?;
        // What is not there yet, such as the database, may come while this waits.
        systemctl(&[verb, "--no-block", &unit])?;
        let phase = ui.phase(&format!("Waiting for {service}"), 0);
        while status(deployment, service)?.health != Health::Healthy {
            if start.elapsed() > limit {
                return Err(unhealthy(service, limit).into());
            }
            std::thread::sleep(PAUSE);
        }
        phase.finish("healthy");
    }
    Ok(())
}

fn unhealthy(service: &str, limit: Duration) -> Failure {
    let mut message = format!("{service} is not healthy after {} s, its last log lines:", limit.as_secs());
    let unit = format!("--unit={service}.service");
    let output = Command::new("journalctl").args([&unit, "--no-pager", "--output=cat", "-n", LAST_LINES]).output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    for line in said.lines() {
        message += &format!("\n    {line}");
    }
    Failure::failed(message).hint("systemd goes on trying: `logs SERVICE` shows more, `up` goes on from here")
}

/// Stops the services and takes their units away.
///
/// # Errors
/// What systemd says.
pub fn stop(deployment: &Deployment) -> Result<()> {
    for service in deployment.order().into_iter().rev() {
        let path = Path::new(UNITS).join(format!("{service}.service"));
        if path.exists() {
            systemctl(&["disable", "--quiet", "--now", &format!("{service}.service")])?;
            fs_err::remove_file(path)?;
        }
    }
    systemctl(&["daemon-reload"])
}

/// A service as it is now.
///
/// # Errors
/// When its health program cannot be run.
pub fn status(deployment: &Deployment, service: &str) -> Result<Status> {
    let unit = format!("{service}.service");
    let output = Command::new("systemctl").args(["is-active", &unit]).stdin(Stdio::null()).output();
    let word = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let installed = fs_err::read_to_string(Path::new(UNITS).join(&unit)).ok();
    let state = match (word.as_str(), &installed) {
        ("active", _) => State::Running,
        (_, None) => State::Absent,
        (other, _) => State::Other(other.to_owned()),
    };
    let health = match (&state, &deployment.profile.model.services[service].health) {
        (State::Running, None) => Health::Healthy,
        (State::Running, Some(_)) => {
            let mut command = Command::new(deployment.folder.join(health_path(service)));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if command.status()?.success() { Health::Healthy } else { Health::Unhealthy }
        }
        _ => Health::Down,
    };
    let drifted = installed.is_some_and(|text| unit_text(deployment, service).is_ok_and(|own| own != text));
    Ok(Status {
        service: service.to_owned(),
        container: unit,
        state,
        health,
        drifted,
        settings: Settings::Current,
        ports: Default::default(),
    })
}

/// The command that shows a service's log.
#[must_use]
pub fn logs(service: &str, follow: bool, tail: Option<u32>) -> Command {
    let mut command = Command::new("journalctl");
    command.arg(format!("--unit={service}.service")).args(["--no-pager", "--output=short-iso"]);
    if follow {
        command.arg("--follow");
    }
    if let Some(lines) = tail {
        command.arg(format!("--lines={lines}"));
    }
    command
}

/// Runs a task; what it prints goes where this program's output goes.
///
/// # Errors
/// When it exits with anything but 0.
pub fn run_task(deployment: &Deployment, name: &str, arguments: &[String]) -> Result<()> {
    let mut command = Command::new(deployment.folder.join(task_path(name)));
    if command.args(arguments).stdin(Stdio::null()).status()?.success() {
        return Ok(());
    }
    Err(Failure::failed(format!("the task {name} failed")).hint("it says why above; `sealift status`").into())
}

/// The unit of a service for where the bundle is.
fn unit_text(deployment: &Deployment, service: &str) -> Result<String> {
    let text = fs_err::read_to_string(deployment.folder.join(unit_path(service)))?;
    Ok(text.replace(FOLDER, &deployment.folder.display().to_string()))
}

/// Puts a service's unit where systemd finds it; gives whether that changed anything.
fn install(deployment: &Deployment, service: &str) -> Result<bool> {
    let path = Path::new(UNITS).join(format!("{service}.service"));
    let text = unit_text(deployment, service)?;
    if let Ok(there) = fs_err::read_to_string(&path) {
        if there == text {
            return Ok(false);
        }
        if !there.contains(GENERATED) {
            return Err(Failure::failed(format!("{} is there, and not of a bundle", path.display()))
                .hint("it is not replaced: move it away if it is not needed")
                .into());
        }
    }
    write_atomically(&path, |file| Ok(std::io::Write::write_all(file, text.as_bytes())?))?;
    fs_err::set_permissions(&path, Permissions::from_mode(0o644))?;
    Ok(true)
}

/// Refuses a folder that the services, each of which has a user of its own and sees neither homes nor `/tmp`, cannot read.
///
/// # Errors
/// [`Failure`] that says why.
pub fn visible(folder: &Path) -> Result<()> {
    let refuse = |why: String| {
        Failure::failed(format!("services cannot be run from {}: {why}", folder.display()))
            .hint("move the folder to a place such as /opt, and run this again there")
    };
    let text = folder.to_str().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
    if text.is_empty() || !text.chars().all(plain) {
        return Err(refuse("its name has other characters than letters, digits, `.`, `_`, `+` and `-`".into()).into());
    }
    let real = folder.canonicalize().with_context(|| format!("cannot find {text}"))?;
    if let Some(hidden) = HIDDEN.iter().find(|hidden| real.starts_with(hidden)) {
        return Err(refuse(format!("they do not see {hidden}")).into());
    }
    for above in real.ancestors() {
        if above.metadata()?.permissions().mode() & 0o001 == 0 {
            return Err(refuse(format!("{} lets only its owner in", above.display())).into());
        }
    }
    Ok(())
}

fn systemctl(arguments: &[&str]) -> Result<()> {
    let output = Command::new("systemctl").args(arguments).stdin(Stdio::null()).output();
    let output = output.context("cannot run systemctl")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::failed(format!("`systemctl {}` failed: {said}", arguments.join(" "))).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_services_do_not_see_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let said = |path: &Path| visible(path).unwrap_err().to_string();
        assert!(said(place.path()).ends_with("they do not see /tmp"), "{}", said(place.path()));
        assert!(said(Path::new("/opt/a b")).contains("other characters"));
        visible(Path::new("/usr")).unwrap();
    }
}
