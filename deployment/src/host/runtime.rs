//! What runs the services of a deployment: a container engine, or systemd.
//!
//! Commands work with the trait alone; which of the two it is, the profile decides (see [`super::runtime`]).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::status::ServiceStatus;
use crate::failure::Failure;
use crate::finding::Findings;
use crate::profile::model::Task;
use crate::site;
use crate::ui::Ui;

/// Starts, stops and examines the services of one deployment.
pub trait Runtime {
    /// Checks the digest of every file of the bundle.
    ///
    /// # Errors
    /// [`crate::failure::Failure::verification`] that lists every damaged file.
    fn verify(&self) -> Result<()>;

    /// Checks whether this host can run the deployment, and changes nothing. `ports` are published ports that differ
    /// from those of the site, by name; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When a check cannot be carried out. A check that fails is a finding.
    fn check_host(&self, ports: &BTreeMap<String, u16>, now: i64) -> Result<Findings>;

    /// Checks whether everything is loaded that the services run from.
    ///
    /// # Errors
    /// As [`Runtime::check_host`].
    fn check_images(&self, findings: &mut Findings) -> Result<()>;

    /// Compares what is loaded with the bundle, byte by byte.
    ///
    /// # Errors
    /// As [`Runtime::check_host`]; [`crate::failure::Failure::usage`] where nothing is loaded.
    fn compare_images(&self, ui: &Ui, findings: &mut Findings) -> Result<()>;

    /// Which group numbers the key files of the site need.
    ///
    /// # Errors
    /// When the engine fails.
    fn key_groups(&self) -> Result<KeyGroups>;

    /// Whether what runs on this host, or ran before it was stopped, shows that it did so with the site of this folder.
    ///
    /// # Errors
    /// When the engine fails.
    fn runs_with_site(&self) -> Result<bool>;

    /// Sets the groups of key files where they are [`KeyGroups::Mapped`].
    ///
    /// # Errors
    /// [`crate::failure::Failure`] with the commands that do it by hand.
    fn set_key_groups(&self) -> Result<()>;

    /// The name of the container engine, if there is one: `podman` or `docker`.
    fn engine(&self) -> Option<&'static str>;

    /// Where the services are looked for, for messages: `podman of root, project parsec-standalone`.
    fn place(&self) -> String;

    /// Where else on this host something of the deployment is, when there is nothing at [`Runtime::place`]: a sentence and the
    /// command that looks there.
    fn elsewhere(&self) -> Option<(String, String)>;

    /// The commands after which the services start at each boot of the host; `None` where they do already, or where that is
    /// not known.
    fn missing_boot_unit(&self) -> Option<Vec<String>>;

    /// The commands after which scheduled services run at their times; `None` where they do already, or where that is not
    /// known.
    fn missing_timers(&self) -> Option<Vec<String>>;

    /// The commands of scheduled services that nothing on this host runs, as there is no systemd: each with its times.
    fn unscheduled(&self) -> Vec<String> {
        Vec::new()
    }

    /// Loads what the services run from, as far as it is missing.
    ///
    /// # Errors
    /// Those of the engine.
    fn load(&self, ui: &Ui) -> Result<()>;

    /// Checks what a start needs of the host and of what runs, now that there is a site, and changes nothing. It may wait, until
    /// `deadline`, for the end of what must not be stopped.
    ///
    /// # Errors
    /// The start cannot be made now.
    fn check_start(&self, _deadline: Deadline, _ui: &Ui) -> Result<()> {
        Ok(())
    }

    /// Starts all services in order, with the tasks that belong to a start, and waits until all are healthy. Services
    /// that run and are up to date are not touched.
    ///
    /// # Errors
    /// Those of the engine or of systemd, or [`crate::failure::Failure`] with the last log lines of the services that are
    /// not healthy at the deadline.
    fn start(&self, site: &site::SiteReport, deadline: Deadline, ui: &Ui) -> Result<Started>;

    /// Finds reasons for which a service may not work that neither its log nor its health check tell plainly.
    ///
    /// # Errors
    /// As [`Runtime::check_host`].
    fn explain(&self, _service: &str, _findings: &mut Findings) -> Result<()> {
        Ok(())
    }

    /// Finds published ports of these services, which run, where nobody listens. Programs may need `patience` to begin with it.
    ///
    /// # Errors
    /// As [`Runtime::check_host`].
    fn check_published(&self, _services: &[&str], _patience: Duration, _findings: &mut Findings) -> Result<()> {
        Ok(())
    }

    /// Finds services that run, but whose processes the kernel has ended for memory, or that keep their data in no volume.
    ///
    /// # Errors
    /// As [`Runtime::check_host`].
    fn check_running(&self, _findings: &mut Findings) -> Result<()> {
        Ok(())
    }

    /// Stops all services, the last one first, and tells which of them had to be killed.
    ///
    /// # Errors
    /// Those of the engine or of systemd, and [`crate::failure::Failure::usage`] when the services belong to another
    /// folder.
    fn stop(&self, data: Data, ui: &Ui) -> Result<Stopped>;

    /// The state of all services, in the order of their start.
    ///
    /// # Errors
    /// Those of the engine, or when a health check cannot be run.
    fn status(&self) -> Result<Vec<ServiceStatus>>;

    /// The last lines of a service's log; none where there is no log.
    fn last_log_lines(&self, service: &str) -> Vec<String>;

    /// Prints the log of a service of the profile to this program's output.
    ///
    /// # Errors
    /// When there is no log.
    fn logs(&self, service: &str, options: LogOptions) -> Result<()>;

    /// Runs a scheduled service now, and waits for its end; it writes to this program's output, and to its log.
    ///
    /// # Errors
    /// When it was not started: a service is not ready that it depends on, it runs already, or the engine cannot start it.
    fn run_scheduled(&self, service: &str) -> Result<Ran>;

    /// Runs a task of the profile; it writes to this program's output.
    ///
    /// # Errors
    /// When it exits with another code than 0.
    fn run_task(&self, name: &str, task: &Task, arguments: &[String]) -> Result<()>;
}

/// How a run of a scheduled service ended.
#[derive(Debug)]
pub enum Ran {
    /// It did its work.
    Done,
    /// It was started, and failed.
    Failed(Failure),
    /// The deployment is down: `up` has not made it, or `down` has removed it. A run at this time was not expected.
    Down(Failure),
}

/// The groups of key files, by which services read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyGroups {
    /// The host has the same group numbers as the services.
    SameAsServices,
    /// The host has other IDs for the services' groups, as with rootless engines.
    Mapped,
    /// Services do not read the files themselves: systemd passes copies to them.
    Unused,
}

/// What [`Runtime::stop`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Number of services that had a container or a unit.
    pub services: usize,
    /// Number of volumes that were deleted.
    pub volumes: usize,
}

/// What [`Runtime::stop`] does with the data of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Volumes stay.
    Keep,
    /// Volumes are deleted.
    Delete,
}

/// Which part of a log is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions {
    /// Go on with new output until interrupted.
    pub follow: bool,
    /// Only this number of last lines.
    pub tail: Option<u32>,
}

/// The result of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// All services are healthy. Lines such as `https: https://parsec.example.com/`.
    Healthy(Vec<String>),
    /// Nothing was started, since this is not root with systemd: the commands that start the services by hand, in order.
    ByHand(Vec<String>),
}

/// The time until which all services have to be healthy: one for a whole start.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    start: Instant,
    limit: Duration,
}

impl Deadline {
    /// The time `limit` from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self { start: Instant::now(), limit }
    }

    /// Whether the time limit has been exceeded.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.start.elapsed() > self.limit
    }

    /// The time that is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.limit.saturating_sub(self.start.elapsed())
    }

    /// The whole time allowed, in seconds.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.limit.as_secs()
    }
}
