//! The steps from an unpacked bundle to healthy services.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::deployment::Deployment;
use super::origin;
use super::runtime::{Deadline, KeyGroups, Runtime, Started};
use crate::failure::Failure;
use crate::finding::{Finding, Findings, Level};
use crate::signature::{PublicKey, Trust};
use crate::site::{self, KnownSites, SiteRequest};
use crate::ui::Ui;

/// How long a program that is healthy may take until it listens on its published ports.
const PATIENCE: Duration = Duration::from_secs(5);

/// The operator's choices for a start.
#[derive(Clone, Debug)]
pub struct UpRequest<'a> {
    /// The public host, a DNS name or an IP address. Required while there is no site, if the profile uses it.
    pub host: Option<&'a str>,
    /// Published ports that differ from those of the site, by name.
    pub ports: BTreeMap<String, u16>,
    /// The site's authority issues the certificates that the operator would have to provide.
    pub self_signed: bool,
    /// The private key of the site's authority, where it is not kept in the site.
    pub authority_key: Option<&'a Path>,
    /// The sites that this host knows.
    pub known: KnownSites,
    /// Keys that the operator gave: later commands require a bundle that one of them has signed.
    pub keys: Vec<PublicKey>,
    /// The operator takes a site that this host does not know.
    pub accept_site: bool,
    /// The operator goes back to this folder, whose deployment another one has taken over.
    pub take_over: bool,
    /// How long the services may take to become healthy.
    pub timeout: Duration,
    /// The time, in seconds since 1970.
    pub now: i64,
}

impl UpRequest<'_> {
    /// Checks the request alone, without the host.
    ///
    /// # Errors
    /// [`Failure::usage`] when the host's name is missing.
    pub fn check(&self, deployment: &Deployment) -> Result<()> {
        let profile = &deployment.profile;
        if deployment.has_site() || self.host.is_some() || !site::uses_host(&profile.model, &profile.sources) {
            return Ok(());
        }
        Err(Failure::usage("the first start needs the name or address of this installation")
            .hint("add --host, such as --host server.example.com")
            .into())
    }
}

/// Checks the bundle and the host, makes the site or brings it up to date, loads what is missing, and starts the services.
///
/// # Errors
/// Those of each step. Nothing was changed when the checks fail; the site was not changed, either, when it is incomplete.
pub fn up(deployment: &Deployment, runtime: &dyn Runtime, request: &UpRequest<'_>, ui: &Ui) -> Result<Started> {
    preflight(deployment, runtime, request, ui)?;
    let site = prepare_site(deployment, runtime, request, ui)?;
    runtime.load(ui)?;
    let deadline = Deadline::after(request.timeout);
    runtime.check_start(deadline, ui)?;
    // A start that is refused leaves the deployment to the folder that it runs from.
    request.known.take_over(&deployment.site(), &deployment.profile.model, &deployment.place()?)?;
    let started = runtime.start(&site, deadline, ui)?;
    if let Started::Healthy(_) = started {
        let mut findings = Findings::default();
        // Where that cannot be known, nothing is told: all is healthy.
        let _unknown = runtime.check_published(&deployment.instances(), PATIENCE, &mut findings);
        let _unknown = runtime.check_running(&mut findings);
        findings.0.iter().for_each(|finding| ui.finding(finding));
    }
    Ok(started)
}

/// Checks the bundle and the host; reports every error at once.
fn preflight(deployment: &Deployment, runtime: &dyn Runtime, request: &UpRequest<'_>, ui: &Ui) -> Result<()> {
    runtime.verify()?;
    ui.note("ok: bundle: all digests match");
    let mut findings = runtime.check_host(&request.ports, request.now)?;
    origin::check_successor(deployment, &request.known, request.take_over, &mut findings)?;
    origin::check(deployment, runtime, &request.known, request.accept_site, &mut findings)?;
    findings.0.iter().filter(|finding| finding.level != Level::Error).for_each(|finding| ui.finding(finding));
    if findings.of(Level::Error).next().is_some() {
        // What else would be told next, when the host is ready.
        let Deployment { profile, .. } = deployment;
        let mut input = Findings::default();
        site::check_input(&deployment.site(), &profile.model, &profile.sources, request.now, &mut input)?;
        let of_site = |finding: Finding| Finding { topic: format!("site/{}", finding.topic), ..finding };
        findings.0.extend(input.0.into_iter().map(of_site));
    }
    findings.refuse("this host is not ready:", "nothing was changed; `sealift doctor` repeats the checks")?;
    Ok(())
}

/// Makes the site in the folder `site`, or brings it up to date, so that the services can read it.
fn prepare_site(
    deployment: &Deployment,
    runtime: &dyn Runtime,
    request: &UpRequest<'_>,
    ui: &Ui,
) -> Result<site::SiteReport> {
    let report = site::create(&SiteRequest {
        directory: &deployment.site(),
        model: &deployment.profile.model,
        sources: &deployment.profile.sources,
        host: request.host,
        ports: deployment.ports(&request.ports)?,
        project: deployment.project.as_deref(),
        engine: runtime.engine(),
        days_left: None,
        leave_groups: runtime.key_groups()? == KeyGroups::Mapped,
        self_signed: request.self_signed,
        authority_key: request.authority_key,
        renew_authority: false,
        known: &request.known,
        // The check of the host has accepted it.
        accept: true,
        now: request.now,
    })?;
    Trust::pin(&request.keys, &deployment.site())?;
    runtime.set_key_groups()?;
    report.warnings.0.iter().for_each(|warning| ui.finding(warning));
    ui.note(report.to_string().trim_end());
    Ok(report)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::host::run_scheduled;
    use crate::host::runtime::{Data, LogOptions, Ran, Stopped};
    use crate::host::status::ServiceStatus;
    use crate::host::testing;
    use crate::profile::model::Task;

    /// A runtime that records which steps are taken.
    #[derive(Default)]
    struct Recorder {
        findings: Findings,
        refuses_start: bool,
        steps: RefCell<Vec<&'static str>>,
    }

    impl Recorder {
        fn step(&self, name: &'static str) {
            self.steps.borrow_mut().push(name);
        }
    }

    impl Runtime for Recorder {
        fn verify(&self) -> Result<()> {
            self.step("verify");
            Ok(())
        }

        fn check_host(&self, _: &BTreeMap<String, u16>, _: i64) -> Result<Findings> {
            self.step("check");
            Ok(self.findings.clone())
        }

        fn key_groups(&self) -> Result<KeyGroups> {
            Ok(KeyGroups::Mapped)
        }

        fn runs_with_site(&self) -> Result<bool> {
            Ok(false)
        }

        fn set_key_groups(&self) -> Result<()> {
            self.step("set groups");
            Ok(())
        }

        fn engine(&self) -> Option<&'static str> {
            Some("podman")
        }

        fn place(&self) -> String {
            unreachable!()
        }

        fn missing_boot_unit(&self) -> Option<Vec<String>> {
            unreachable!()
        }

        fn missing_timers(&self) -> Option<Vec<String>> {
            unreachable!()
        }

        fn run_scheduled(&self, service: &str) -> Result<Ran> {
            match service {
                "down" => Ok(Ran::Down(Failure::failed("it has no container"))),
                _ => anyhow::bail!("the database is not ready"),
            }
        }

        fn elsewhere(&self) -> Option<(String, String)> {
            unreachable!()
        }

        fn load(&self, _: &Ui) -> Result<()> {
            self.step("load");
            Ok(())
        }

        fn check_start(&self, _: Deadline, _: &Ui) -> Result<()> {
            self.step("check start");
            anyhow::ensure!(!self.refuses_start, "a folder is missing");
            Ok(())
        }

        fn start(&self, site: &site::SiteReport, _: Deadline, _: &Ui) -> Result<Started> {
            self.step("start");
            Ok(Started::Healthy(vec![site.host.clone()]))
        }

        fn check_images(&self, _: &mut Findings) -> Result<()> {
            unreachable!()
        }

        fn compare_images(&self, _: &Ui, _: &mut Findings) -> Result<()> {
            unreachable!()
        }

        fn stop(&self, _: Data, _: &Ui) -> Result<Stopped> {
            unreachable!()
        }

        fn status(&self) -> Result<Vec<ServiceStatus>> {
            unreachable!()
        }

        fn last_log_lines(&self, _: &str) -> Vec<String> {
            unreachable!()
        }

        fn logs(&self, _: &str, _: LogOptions) -> Result<()> {
            unreachable!()
        }

        fn run_task(&self, _: &str, _: &Task, _: &[String]) -> Result<()> {
            unreachable!()
        }
    }

    fn request(host: Option<&str>) -> UpRequest<'_> {
        UpRequest {
            host,
            ports: BTreeMap::new(),
            self_signed: false,
            authority_key: None,
            known: KnownSites::default(),
            keys: Vec::new(),
            accept_site: false,
            take_over: false,
            timeout: Duration::from_secs(1),
            now: 1_700_000_000,
        }
    }

    /// The sample in a folder that has the templates of its site.
    fn deployment(folder: &tempfile::TempDir) -> Deployment {
        fs_err::create_dir(folder.path().join("files")).unwrap();
        for name in ["shop.env", "token.env", "shop.conf"] {
            fs_err::write(folder.path().join("files").join(name), "A=1\n").unwrap();
        }
        testing::deployment(folder.path())
    }

    #[test]
    fn the_first_start_needs_a_host_name() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = deployment(&folder);
        assert!(request(None).check(&deployment).is_err());
        assert!(request(Some("shop.test")).check(&deployment).is_ok());
    }

    /// A file server's first start asked for a name that was used nowhere.
    #[test]
    fn a_profile_that_uses_no_host_name_needs_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = deployment(&folder);
        deployment.profile.model.site.certificates.clear();
        let services = &mut deployment.profile.model.services;
        services
            .values_mut()
            .for_each(|service| service.secrets.retain(|name| !name.get_ref().starts_with("shop-web")));
        let ui = Ui::plain(std::io::sink());
        request(None).check(&deployment).unwrap();
        let started = up(&deployment, &Recorder::default(), &request(None), &ui).unwrap();
        assert_eq!(started, Started::Healthy(vec!["localhost".to_owned()]));

        fs_err::write(folder.path().join("files/shop.conf"), "name {{ url_host }}\n").unwrap();
        fs_err::remove_dir_all(folder.path().join("site")).unwrap();
        assert!(request(None).check(&deployment).is_err());
    }

    #[test]
    fn a_failed_check_leaves_the_host_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = deployment(&folder);
        let mut runtime = Recorder::default();
        runtime.findings.error("space", "too little", "free some space");
        let ui = Ui::plain(std::io::sink());
        let error = up(&deployment, &runtime, &request(Some("shop.test")), &ui).unwrap_err();
        insta::assert_snapshot!(error, @r"
        this host is not ready:
          space: too little
            hint: free some space
        ");
        assert_eq!(runtime.steps.into_inner(), ["verify", "check"]);
        assert!(!deployment.site().exists());
    }

    /// A port in use was told, then a misspelled setting, then a weak secret: three starts.
    #[test]
    fn what_is_wrong_in_the_site_is_told_with_what_is_wrong_on_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = deployment(&folder);
        let setting = toml::from_str("title = \"Where the mail goes\"\nkind = \"text\"").unwrap();
        deployment.profile.model.site.settings.insert("mail-host".into(), setting);
        let mut runtime = Recorder::default();
        let ui = Ui::plain(std::io::sink());
        up(&deployment, &runtime, &request(Some("shop.test")), &ui).unwrap();
        fs_err::write(deployment.site().join("settings.toml"), "mail-hots = \"x\"\n").unwrap();
        runtime.findings.error("port http", "80 is in use", "stop that program");
        let error = up(&deployment, &runtime, &request(None), &ui).unwrap_err();
        insta::assert_snapshot!(error, @r"
        this host is not ready:
          port http: 80 is in use
            hint: stop that program
          site/settings.toml, line 1: mail-hots is not known
            hint: did you mean `mail-host`? settings: `mail-host`
        ");
    }

    #[test]
    fn the_site_is_ready_before_anything_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = deployment(&folder);
        let runtime = Recorder::default();
        let ui = Ui::plain(std::io::sink());
        let started = up(&deployment, &runtime, &request(Some("shop.test")), &ui).unwrap();
        assert_eq!(started, Started::Healthy(vec!["shop.test".to_owned()]));
        assert_eq!(runtime.steps.into_inner(), ["verify", "check", "set groups", "load", "check start", "start"]);
        assert!(deployment.has_site());
    }

    /// A timer ran while the deployment was down: after the next `up`, `doctor` told an error until the next run.
    #[test]
    fn a_run_is_missed_only_where_the_deployment_is_up() {
        let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (deployment, known) = (deployment(&folder), KnownSites::at(state.path()));
        let request = UpRequest { known: known.clone(), ..request(Some("shop.test")) };
        let runtime = Recorder::default();
        up(&deployment, &runtime, &request, &Ui::plain(std::io::sink())).unwrap();
        for service in ["down", "backup"] {
            run_scheduled(&deployment, &runtime, &known, service, 7).unwrap_err();
        }
        let missed = known.missed_runs(&deployment.site(), &deployment.profile.model).unwrap();
        assert_eq!(missed.into_keys().collect::<Vec<_>>(), ["backup"]);
    }

    /// The way back from a new version whose start was refused needed `--take-over`, though the old one still ran.
    #[test]
    fn a_start_that_is_refused_takes_nothing_over() {
        let (old, new, state) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (old, other) = (deployment(&old), deployment(&new));
        for folder in [&old.folder, &other.folder] {
            fs_err::write(folder.join("SHA256SUMS"), folder.display().to_string()).unwrap();
        }
        let request = UpRequest { known: KnownSites::at(state.path()), ..request(Some("shop.test")) };
        let ui = Ui::plain(std::io::sink());
        up(&old, &Recorder::default(), &request, &ui).unwrap();
        let (from, to) = (old.site(), other.site());
        assert!(std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
        let refusing = Recorder { refuses_start: true, ..Recorder::default() };
        up(&other, &refusing, &request, &ui).unwrap_err();
        assert_eq!(origin::successor(&old, &request.known).unwrap(), None);
        up(&other, &Recorder::default(), &request, &ui).unwrap();
        assert_eq!(origin::successor(&old, &request.known).unwrap(), Some(other.folder.clone()));
    }
}
