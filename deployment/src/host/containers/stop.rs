//! Stopping containers, and telling which of them did not end by themselves.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::context::Containers;
use super::output;
use crate::finding::Findings;
use crate::host::ending;
use crate::host::status::{ServiceState, ServiceStatus};
use crate::ui::Ui;

/// The exit code of a program that was killed.
const KILLED: i64 = 137;
/// The signal that no program can answer, as profiles may name it.
const KILL: [&str; 3] = ["SIGKILL", "KILL", "9"];

impl Containers<'_> {
    /// Stops all services, the last one first, each with time to end by itself. Removes their containers and networks.
    pub(super) fn remove_containers(&self, ui: &Ui) -> Result<usize> {
        self.remove_surplus(&self.layout()?, ui)?;
        let mut remove = vec!["rm".to_owned(), "--force".to_owned()];
        for status in self.states()?.into_iter().rev().filter(|status| !status.is_absent()) {
            self.stop_service(&status, ui)?;
            remove.push(status.container);
        }
        if remove.len() > 2 {
            self.engine.run(&remove)?;
        }
        self.remove_networks(&self.layout()?)?;
        Ok(remove.len() - 2)
    }

    /// Stops a service that was started.
    pub(super) fn stop_service(&self, status: &ServiceStatus, ui: &Ui) -> Result<()> {
        if status.is_absent() || status.state == ServiceState::Other("created".to_owned()) {
            return Ok(());
        }
        self.stop_container(&status.service, &status.container, ui)
    }

    /// Stops a container of a service. It has time to shut down, unlike with `rm`; that it used it up is told.
    pub(super) fn stop_container(&self, service: &str, container: &str, ui: &Ui) -> Result<()> {
        let model = &self.deployment.profile.model;
        let spec = model.service(service);
        let (begin, grace) = (Instant::now(), spec.stop_grace);
        self.engine.run(&["stop", "-t", &grace.to_string(), container])?;
        let signal = model.images.get(&spec.image).and_then(|image| image.stop_signal.as_deref());
        if begin.elapsed() < Duration::from_secs(grace.into()) || signal.is_some_and(|signal| KILL.contains(&signal)) {
            return Ok(());
        }
        let found = output::containers(&self.engine.inspect("container", &[container.to_owned()])?)?.remove(container);
        if found.is_some_and(|found| found.exit_code == KILLED && !found.out_of_memory) {
            let mut findings = Findings::default();
            ending::killed_at_stop(service, grace, true, &mut findings);
            findings.0.iter().for_each(|finding| ui.finding(finding));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::host::runtime::{Data, Runtime};
    use crate::host::testing::{self, Podman};
    use crate::ui::Ui;

    /// What `down` of the sample says whose containers end with this code, the database after its time is over.
    fn down(code: u8, signal: Option<&str>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = testing::deployment(folder.path());
        let model = &mut deployment.profile.model;
        model.services.get_mut("shop-database").unwrap().stop_grace = 1;
        model.images.values_mut().for_each(|image| image.stop_signal = signal.map(str::to_owned));
        let podman = Podman::new(&format!(
            r#"case "$*" in
            'stop '*database) sleep 1.1;;
            'container inspect '*)
                separator=[
                for name in database web; do
                    printf '%s{{"Name": "shop-small_shop-%s", "State": {{"Status": "exited", "ExitCode": {code}}}}}' $separator $name
                    separator=,
                done
                echo ']'; exit;;
            esac"#
        ));
        let file = folder.path().join("said");
        let ui = Ui::plain(fs_err::File::create(&file).unwrap());
        podman.containers(&deployment).stop(Data::Keep, &ui).unwrap();
        assert!(podman.calls().iter().any(|call| call.starts_with("rm --force ")));
        fs_err::read_to_string(file).unwrap()
    }

    /// A script that was the first process kept the signal from the server, which was killed while it wrote: nothing was said.
    #[test]
    fn a_service_that_has_to_be_killed_is_told() {
        insta::assert_snapshot!(down(137, None), @r"
        warning: shop-database: it did not end within 1 s after the signal to stop, and was killed: what it had not written is lost
          hint: name the signal that ends it (`stop-signal` of its image) or give it more time (`stop-grace` of the service), in profile.toml; a script that is the first process of a container has to start the program with `exec`, or the program gets no signal
        ");
        assert_eq!(down(0, None), "");
        // It is killed at once.
        assert_eq!(down(137, Some("SIGKILL")), "");
    }
}
