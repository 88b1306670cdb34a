//! The testing bundle on podman, without any network: the server keeps its blocks in an object storage that keeps their versions
//! and has an object lock, over TLS. What clients and administrators do with them.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sealift_tests::blocks::Blocks;
use sealift_tests::bundle::{Bundle, program, sealift};
use sealift_tests::command::{self, Ran, report};
use sealift_tests::podman::Podman;
use sealift_tests::secrets::Secrets;
use serde_json::Value;

/// The public name of the installation.
const HOST: &str = "parsec.test";
const SERVER: &str = "parsec-testing_parsec-server";
const STORAGE: &str = "parsec-testing_parsec-radosgw";

/// The storage, and who uses it.
const BLOCKS: Blocks<'_> = Blocks { container: SERVER, endpoint: "https://parsec-s3:9000" };

/// A client of the server.
const CLIENT: &str = include_str!("../src/client.py");

/// Tries everything that the server must not be able to do, with the server's own key. Each version of an object can be read.
const RIGHTS: &str = r#"
import datetime, os, boto3
from botocore.exceptions import ClientError
from parsec.cli.options import _parse_blockstore_params
store = _parse_blockstore_params([os.environ["PARSEC_BLOCKSTORE"]])
s3 = boto3.client("s3", region_name=store.s3_region, aws_access_key_id=store.s3_key, aws_secret_access_key=store.s3_secret,
                  endpoint_url=store.s3_endpoint_url)
at = {"Bucket": "parsec"}
this = {**at, "Key": "Rights/1"}
first = {**this, "VersionId": s3.put_object(**this, Body=b"first")["VersionId"]}
s3.put_object(**this, Body=b"second")
assert s3.get_object(**this)["Body"].read() == b"second"
assert s3.get_object(**first)["Body"].read() == b"first", "the first version is gone"
later = datetime.datetime(2100, 1, 1)
for call, arguments in [
    (s3.delete_object, this), (s3.delete_object, first), (s3.delete_objects, {**at, "Delete": {"Objects": [{"Key": "Rights/1"}]}}),
    (s3.delete_object, {**first, "BypassGovernanceRetention": True}), (s3.delete_bucket, at), (s3.create_bucket, {"Bucket": "other"}),
    (s3.put_bucket_versioning, {**at, "VersioningConfiguration": {"Status": "Suspended"}}),
    (s3.put_object_lock_configuration, {**at, "ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}),
    (s3.put_bucket_policy, {**at, "Policy": "{}"}), (s3.delete_bucket_policy, at), (s3.put_bucket_acl, {**at, "ACL": "public-read"}),
    (s3.put_object_acl, {**this, "ACL": "public-read"}), (s3.put_object, {**this, "ACL": "public-read"}),
    (s3.put_object_retention, {**first, "Retention": {"Mode": "COMPLIANCE", "RetainUntilDate": later}}),
    (s3.put_object_legal_hold, {**first, "LegalHold": {"Status": "ON"}}), (s3.list_object_versions, at),
    (s3.put_object_tagging, {**this, "Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}}), (s3.delete_public_access_block, at),
    (s3.put_object_acl, {**first, "ACL": "private"}), (s3.get_bucket_policy, at), (s3.delete_bucket_lifecycle, at),
]:
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied", error
    else:
        raise AssertionError(f"the server may {call.__name__} {arguments}")
print("ok")
"#;

struct Host<'a> {
    podman: &'a Podman,
    bundle: &'a Bundle,
}

#[test]
#[ignore = "needs root and podman: tests/run blocks_are_in_a_storage_that_keeps_versions"]
fn blocks_are_in_a_storage_that_keeps_versions() -> Result<()> {
    let bundle = Bundle::build("testing", |_, _| Ok(Vec::new()))?;
    // The profile in the bundle is complete: the site is created without other files.
    let ports = ["--port", "https=8443", "--port", "http=8080", "--port", "mail=18025"];
    command::output(sealift(&bundle.folder)?.args(["site", "new", "site", "--host", HOST]).args(ports))?;
    let podman = Podman::new()?;
    let host = Host { podman: &podman, bundle: &bundle };
    let scenario = || {
        host.users_will_see_a_certificate_on_p521()?;
        host.it_starts()?;
        host.the_server_cannot_delete()?;
        host.sequester()?;
        host.data_survive()?;
        host.a_workspace_is_exported()?;
        host.a_workspace_is_deleted()
    };
    scenario().inspect_err(|_| report(&podman.story()))
}

impl Host<'_> {
    fn try_sealift(&self, arguments: &[&str]) -> Result<Ran> {
        let mut command: Command = self.podman.command(&self.bundle.folder, &program()?.display().to_string());
        command::run(command.args(arguments))
    }

    fn sealift(&self, arguments: &[&str]) -> Result<String> {
        let ran = self.try_sealift(arguments)?;
        ensure!(ran.code == Some(0), "{arguments:?} exited with {:?}\n{}{}", ran.code, ran.stdout, ran.stderr);
        Ok(ran.stdout)
    }

    fn task(&self, arguments: &[&str]) -> Result<String> {
        self.sealift(&[&["task"], arguments].concat())
    }

    fn client(&self, arguments: &[&str]) -> Result<String> {
        let output = self.podman.podman(&[&["exec", SERVER, "python", "-c", CLIENT], arguments].concat())?;
        Ok(output.trim().to_owned())
    }

    /// Runs a command of the server's own with these files in the current folder, and returns what it has put into `out`.
    fn with_files(&self, files: &[(&str, &str)], command: &str) -> Result<String> {
        let mut script = "set -e; cd /tmp; ".to_owned();
        files.iter().for_each(|(name, text)| script += &format!("printf '%s' '{text}' >{name}; "));
        script += &format!("python -m parsec {command} >&2; cat out; rm out");
        self.podman.podman(&["exec", SERVER, "sh", "-c", &script])
    }

    fn it_starts(&self) -> Result<()> {
        let start = Instant::now();
        self.sealift(&["up"])?;
        report(&format!("up: {:.1} s", start.elapsed().as_secs_f64()));
        let site = self.bundle.folder.join("site");
        Secrets::of(&site)?.absent_below(&self.bundle.folder.join("blobs"))?;
        let made = self.podman.podman(&["logs", "parsec-testing_parsec-bucket"])?;
        ensure!(made.contains("keeps versions, the object lock is on, retention: none"), "{made}");
        let environment = self.podman.podman(&["inspect", "--format", "{{.Config.Env}}", SERVER])?;
        for (name, there) in [("s3-secret-key", true), ("storage-owner-key", false), ("storage-owner-secret", false)] {
            let secret = fs_err::read_to_string(site.join("secrets").join(name))?;
            ensure!(
                environment.contains(secret.trim()) == there,
                "{name} in the environment of the server: {}",
                !there
            );
        }
        // The storage is reached by the server only.
        for service in ["parsec-radosgw", "parsec-s3"] {
            let ports = self.podman.podman(&["port", &format!("parsec-testing_{service}")])?;
            ensure!(ports.trim().is_empty(), "{service} is published: {ports}");
        }
        BLOCKS.pass(self.podman, "write")?;
        BLOCKS.only_the_authority_is_trusted(self.podman)
    }

    fn the_server_cannot_delete(&self) -> Result<()> {
        let tried = self.podman.podman(&["exec", SERVER, "python", "-c", RIGHTS])?;
        ensure!(tried.trim() == "ok", "{tried}");
        // What runs once can run again, and finds all as it must be.
        self.podman.podman(&["start", "--attach", "parsec-testing_parsec-bucket"]).map(drop)
    }

    /// The operator's own, as the Parsec project's guide makes them. Tasks that are requests use it.
    fn users_will_see_a_certificate_on_p521(&self) -> Result<()> {
        let names = "subjectAltName=DNS:parsec.test,DNS:parsec-proxy,DNS:localhost,IP:127.0.0.1";
        let make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-521 -nodes -keyout p521.key -out p521.crt -subj /CN=x -days 60";
        self.openssl(&format!("{make} -addext {names}"))?;
        for kind in ["crt", "key"] {
            let text = fs_err::read(self.bundle.place().join(format!("p521.{kind}")))?;
            fs_err::write(self.bundle.folder.join(format!("site/tls/parsec-proxy.{kind}")), text)?;
        }
        Ok(())
    }

    fn openssl(&self, arguments: &str) -> Result<()> {
        let mut command = Command::new("openssl");
        command::output(command.args(arguments.split(' ')).current_dir(self.bundle.place())).map(drop)
    }

    /// With an authority that is made by another program: add, list, change and revoke a service.
    fn sequester(&self) -> Result<()> {
        let place = self.bundle.place();
        for name in ["authority", "service"] {
            self.openssl(&format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out {name}.key"))?;
            self.openssl(&format!("pkey -in {name}.key -pubout -out {name}.pub"))?;
        }
        let read = |name: &str| fs_err::read_to_string(place.join(name));
        let link = self.task(&["create-organization", "MyOrg"])?;
        ensure!(link.starts_with("parsec3://parsec.test:8443/MyOrg?"), "a link that leads elsewhere: {link}");
        self.client(&["bootstrap", link.trim(), &read("authority.pub")?])?;
        ensure!(self.task(&["list-users", "MyOrg"])?.contains("a@parsec.test"));

        let authority = ("authority", &*read("authority.key")?);
        let certificate = |files: &[(&str, &str)], command: &str| -> Result<String> {
            let pem = self.with_files(files, &format!("sequester {command} --authority-private-key authority out"))?;
            Ok(pem.lines().filter(|line| !line.starts_with('-')).collect())
        };
        let make = "generate_service_certificate --service-label Audit --service-public-key service";
        let audit = certificate(&[authority, ("service", &read("service.pub")?)], make)?;
        ensure!(self.task(&["add-sequester-service", "MyOrg", &audit])? == "MyOrg has the sequester service\n");
        let again = self.try_sealift(&["task", "add-sequester-service", "MyOrg", &audit])?;
        ensure!(again.code == Some(1), "{again:?}");
        let listed: Value = serde_json::from_str(&self.task(&["list-sequester-services", "MyOrg", "--json"])?)?;
        let service = listed["services"][0]["service_id"].as_str().context("no service is listed")?;
        ensure!(listed["services"][0]["service_label"] == "Audit", "{listed}");

        self.client(&["workspace", service])?;
        let hook = "https://hook.parsec.test/";
        self.task(&["set-sequester-webhook", "MyOrg", service, hook])?;
        ensure!(self.task(&["list-sequester-services", "MyOrg"])?.contains(hook));
        self.task(&["set-sequester-storage", "MyOrg", service])?;
        ensure!(!self.task(&["list-sequester-services", "MyOrg"])?.contains(hook));
        let make = format!("generate_service_revocation_certificate --service-id {service}");
        self.task(&["revoke-sequester-service", "MyOrg", &certificate(&[authority], &make)?])?;
        let listed: Value = serde_json::from_str(&self.task(&["list-sequester-services", "MyOrg", "--json"])?)?;
        ensure!(listed["services"][0]["revoked_on"].is_string(), "{listed}");
        Ok(())
    }

    /// The storage is killed while it writes, and started; and all services are made anew.
    fn data_survive(&self) -> Result<()> {
        let write = "import os, boto3, sys\nfrom parsec.cli.options import _parse_blockstore_params as p\n\
            s = p([os.environ['PARSEC_BLOCKSTORE']])\n\
            c = boto3.client('s3', region_name=s.s3_region, aws_access_key_id=s.s3_key, aws_secret_access_key=s.s3_secret, \
            endpoint_url=s.s3_endpoint_url)\n\
            while True: c.put_object(Bucket='parsec', Key='Load/1', Body=os.urandom(524288))";
        self.podman.podman(&["exec", "--detach", SERVER, "python", "-c", write])?;
        std::thread::sleep(Duration::from_secs(3));
        self.podman.podman(&["kill", "--signal", "KILL", STORAGE])?;
        let start = Instant::now();
        self.podman.podman(&["start", STORAGE])?;
        let health = ["exec", STORAGE, "wget", "-q", "-T", "3", "-O", "/dev/null", "http://127.0.0.1:7480/"];
        retry(|| self.podman.podman(&health))?;
        report(&format!("the storage, from start to an answer: {:.1} s", start.elapsed().as_secs_f64()));
        retry(|| self.client(&["blocks"]))?;
        BLOCKS.pass(self.podman, "read")?;
        let memory = self.podman.podman(&["exec", STORAGE, "grep", "VmHWM", "/proc/1/status"])?;
        report(&format!("the storage: {}", memory.split_whitespace().collect::<Vec<_>>().join(" ")));
        self.sealift(&["down"])?;
        // What is written from here on is locked.
        let settings = self.bundle.folder.join("site/settings.toml");
        let text = fs_err::read_to_string(&settings)?;
        fs_err::write(&settings, format!("{text}\nretention = \"COMPLIANCE\"\nretention-days = 1\n"))?;
        self.sealift(&["up"])?;
        self.client(&["blocks"])?;
        BLOCKS.pass(self.podman, "read")
    }

    /// The server exports what is five minutes old: all of it is made an hour older.
    fn a_workspace_is_exported(&self) -> Result<()> {
        let columns =
            "select format('update %I set %I = %I - interval ''1 hour'';', table_name, column_name, column_name)
            from information_schema.columns join information_schema.tables using (table_schema, table_name)
            where table_schema = 'public' and table_type = 'BASE TABLE' and data_type = 'timestamp with time zone'";
        let sql = |text: &str| {
            self.podman.podman(&["exec", "parsec-testing_parsec-postgres", "psql", "-U", "parsec", "-tAc", text])
        };
        sql(&sql(columns)?)?;
        let workspace = self.workspace()?;
        let exported = self.task(&["export-workspace", "MyOrg", &workspace])?;
        ensure!(exported.contains("4/4 Exporting blocks data"), "{exported}");
        let listed = self.task(&["list-exports"])?;
        let name =
            listed.split_whitespace().find(|word| word.starts_with("parsec-export-MyOrg")).context("no export")?;
        let count = format!(
            "import sqlite3; print(sqlite3.connect('/var/lib/parsec/exports/{name}').execute('select count(*), \
             sum(length(data)) from block_data').fetchone())"
        );
        let counted = self.podman.podman(&["exec", SERVER, "python", "-c", &count])?;
        ensure!(counted.trim() == "(2, 1048576)", "blocks of the export: {counted}");
        self.task(&["remove-export", name]).map(drop)
    }

    /// The client's workspace.
    fn workspace(&self) -> Result<String> {
        let state = self.podman.podman(&["exec", SERVER, "cat", "/var/lib/parsec/exports/client.json"])?;
        let state: Value = serde_json::from_str(&state)?;
        Ok(state["realm"].as_str().context("there is no workspace")?.to_owned())
    }

    /// By the owner of the bucket, all versions of its blocks; not those that are locked.
    fn a_workspace_is_deleted(&self) -> Result<()> {
        self.task(&["set-archiving", "MyOrg", "0"])?;
        self.client(&["plan"])?;
        let deleted = self.task(&["delete-workspace", "MyOrg", &self.workspace()?])?;
        ensure!(deleted.contains("is deleted, and 2 blocks are removed"), "{deleted}");

        self.client(&["workspace"])?;
        self.client(&["plan"])?;
        let workspace = self.workspace()?;
        for _ in 0..2 {
            let refused = self.try_sealift(&["task", "delete-workspace", "MyOrg", &workspace])?;
            let said = ["2 blocks: locked until ", "(COMPLIANCE)", "2 of 2 blocks are still in the storage"];
            let all = said.iter().all(|text| refused.stderr.contains(text));
            ensure!(refused.code == Some(1) && all, "{refused:?}");
        }
        Ok(())
    }
}

/// Repeats `attempt` until it succeeds, for a minute and a half at most.
fn retry<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < Duration::from_secs(90) => std::thread::sleep(Duration::from_millis(200)),
            result => return result.context("and so for a minute and a half"),
        }
    }
}
