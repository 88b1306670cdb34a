//! Waiting until the services of a start are healthy, and stay so.

use std::time::Duration;

use anyhow::Result;

use super::Systemd;
use crate::failure::Failure;
use crate::host::pause::Pause;
use crate::host::runtime::{Deadline, Runtime};
use crate::host::status::HealthState;
use crate::ui::Ui;

/// How long services have to stay up. It is shorter than the time after which the units start them again.
const STEADY: Duration = Duration::from_secs(3);

impl Systemd<'_> {
    pub(super) fn wait(&self, service: &str, deadline: Deadline, ui: &Ui) -> Result<()> {
        let phase = ui.phase(&format!("Waiting for {service}"), 0);
        let pause = Pause::new();
        while self.service_status(service)?.health != HealthState::Healthy {
            if deadline.is_over() {
                return Err(self.unhealthy(service, deadline).into());
            }
            pause.sleep(deadline);
        }
        phase.finish("healthy");
        Ok(())
    }

    fn unhealthy(&self, service: &str, deadline: Deadline) -> Failure {
        let mut message = format!("{service} is not healthy after {} s, its last log lines:", deadline.seconds());
        for line in self.last_log_lines(service) {
            message += &format!("\n    {line}");
        }
        let hint = format!("systemd keeps trying; `logs {service}` shows more, and `up` continues the start");
        Failure::failed(message).hint(hint)
    }

    /// The last look: systemd calls a program active that has just been started, and may end at once.
    pub(super) fn settle(&self, deadline: Deadline, ui: &Ui) -> Result<()> {
        loop {
            std::thread::sleep(STEADY);
            let mut fallen = Vec::new();
            for service in self.deployment.order().into_iter().filter(|service| !self.is_scheduled(service)) {
                if self.service_status(service)?.health != HealthState::Healthy {
                    fallen.push(service);
                }
            }
            if fallen.is_empty() {
                return Ok(());
            }
            for service in fallen {
                self.wait(service, deadline, ui)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Fixture;
    use super::*;

    /// A program that ended at once was active at the first look: `up` said that all is well.
    #[test]
    fn a_service_that_ends_after_the_first_look_is_not_healthy() {
        let fixture = Fixture::new();
        let up = || fixture.systemd().start_units(false, Deadline::after(Duration::ZERO), &Ui::plain(std::io::sink()));
        up().unwrap();
        // Active once, then between two starts.
        let root = fixture.root.path().display();
        let script = format!(
            "#!/bin/sh\n[ $1 = is-active ] || exit 0\nif [ -e {root}/$2 ]; then echo activating; else : >{root}/$2; echo active; fi\n"
        );
        fs_err::write(fixture.root.path().join("usr/bin/systemctl"), script).unwrap();
        let error = up().unwrap_err();
        assert_eq!(error.to_string(), "shop-mail is not healthy after 0 s, its last log lines:");
    }
}
