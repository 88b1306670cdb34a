//! Checks of the host that do not depend on what runs the services.

use super::deployment::Deployment;
use crate::finding::Findings;
use crate::site;

/// Compares the clock (`now`, in seconds since 1970) with the newest file of the bundle, and with the certificates of the
/// site: those that are not valid yet are errors.
pub(super) fn clock(deployment: &Deployment, now: i64, findings: &mut Findings) {
    bundle_date(now, deployment.manifest.epoch, findings);
    // A certificate that cannot be read is an error of the step that brings the site up to date.
    let certificates = site::certificates(&deployment.site(), &deployment.profile.model, now).unwrap_or_default();
    for certificate in certificates.into_iter().filter(|certificate| certificate.not_yet_valid) {
        let message = format!("site/{}: {}", certificate.path, certificate.invalid.unwrap_or_default());
        findings.error(
            "clock",
            message,
            "set the clock; if it is right, remove that certificate: `up` makes a new one",
        );
    }
}

fn bundle_date(now: i64, epoch: u64, findings: &mut Findings) {
    let date = |seconds: i64| {
        jiff::Timestamp::from_second(seconds).map_or_else(|_| "?".into(), |time| time.strftime("%Y-%m-%d").to_string())
    };
    let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
    if now < epoch {
        let message = format!("the date is {}, but the bundle has files of {}", date(now), date(epoch));
        findings.error("clock", message, "set the clock: certificates made now would have wrong dates");
    } else {
        findings.ok("clock", date(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_behind_the_bundle_is_an_error() {
        let mut findings = Findings::default();
        bundle_date(1_700_000_000, 1_600_000_000, &mut findings);
        bundle_date(0, 1_600_000_000, &mut findings);
        let text = findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(text, @r"
        ok: clock: 2023-11-14
        error: clock: the date is 1970-01-01, but the bundle has files of 2020-09-13
          hint: set the clock: certificates made now would have wrong dates
        ");
    }
}
