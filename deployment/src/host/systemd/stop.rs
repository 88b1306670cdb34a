//! Units whose programs do not end by themselves.

use std::time::Duration;

use super::Systemd;
use crate::finding::Findings;
use crate::host::ending;
use crate::process;
use crate::ui::Ui;

impl Systemd<'_> {
    /// Tells whether the service of a unit had to be killed, which took so long to stop.
    pub(super) fn tell_if_killed(&self, service: &str, unit: &str, time: Duration, ui: &Ui) {
        let grace = self.deployment.profile.model.services[service].stop_grace;
        if time < Duration::from_secs(grace.into()) {
            return;
        }
        let result = process::answer(self.command("systemctl").args(["show", "--property=Result", "--value", unit]));
        if result.is_ok_and(|output| output.stdout.trim_ascii() == b"timeout") {
            let mut findings = Findings::default();
            ending::killed_at_stop(service, grace, false, &mut findings);
            findings.0.iter().for_each(|finding| ui.finding(finding));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Fixture;
    use super::*;
    use crate::host::runtime::{Data, Runtime};

    #[test]
    fn a_program_that_systemd_has_to_kill_is_told() {
        let mut fixture = Fixture::new();
        let services = &mut fixture.deployment.profile.model.services;
        services.values_mut().for_each(|service| service.stop_grace = 1);
        let script = "#!/bin/sh\n[ $1 = show ] && echo timeout\n[ $1 = disable ] && /bin/sleep 1.1\nexit 0\n";
        fs_err::write(fixture.root.path().join("usr/bin/systemctl"), script).unwrap();
        let systemd = fixture.systemd();
        systemd.install("shop-web").unwrap();
        let said = fixture.root.path().join("said");
        systemd.stop(Data::Keep, &Ui::plain(fs_err::File::create(&said).unwrap())).unwrap();
        insta::assert_snapshot!(fs_err::read_to_string(&said).unwrap(), @r"
        warning: shop-web: it did not end within 1 s after the signal to stop, and was killed: what it had not written is lost
          hint: name the signal that ends it (`stop-signal` of its image) or give it more time (`stop-grace` of the service), in profile.toml
        ");
    }
}
