//! The packaged server reads every variable that the profiles set.
//!
//! Names change from version to version, and an unused variable causes no error. So every `PARSEC_...` in the profiles, and
//! in the files that are rendered from them, is compared with the options of `parsec run` in the image. The reverse holds, too:
//! each of these is a setting, or in `left-out.toml` with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sealift_deployment::profile::setting::{Kind, Setting};
use sealift_deployment::profile::{Profile, Search};
use sealift_tests::bundle::{Bundle, profile, sealift};
use sealift_tests::command::{self, report};
use toml::Value;

/// The variables that `parsec run` reads, some of which its help does not show.
const VARIABLES: &str = "
from parsec.cli.run import run_cmd
print(*(option.envvar for option in run_cmd.params if option.envvar))
";

#[test]
#[ignore = "needs the real bundle: tests/run"]
fn every_variable_is_one_that_the_packaged_server_reads() -> Result<()> {
    let (bundle, server) = packaged("standalone")?;
    compare(&bundle, &server, &["standalone"], |name| name != "preview")?;
    let site = bundle.place().join("standalone-true");
    block_stores_are_read_back(&server, &site)?;
    options_are_accepted(&server, &site)
}

/// A variable that a new version adds is noticed before its release.
#[test]
#[ignore = "needs the real bundle: tests/run"]
fn the_next_version_reads_no_variable_that_nobody_knows() -> Result<()> {
    let (bundle, server) = packaged("preview")?;
    compare(&bundle, &server, &["standalone", "preview"], |name| name == "preview")
}

/// The bundle of a profile, and the files of its server.
fn packaged(name: &str) -> Result<(Bundle, PathBuf)> {
    let bundle = Bundle::build(name, |_, _| Ok(Vec::new()))?;
    let server = bundle.place().join("server");
    unpack(&bundle, "parsec-server", &server)?;
    Ok((bundle, server))
}

/// Compares the variables of the server with those that profiles write, and with the lists of those `left_out`.
fn compare(bundle: &Bundle, server: &Path, left_out: &[&str], wanted: impl Fn(&str) -> bool) -> Result<()> {
    let read = names(&python(server, &["-c", VARIABLES])?);
    ensure!(read.len() > 40 && read.contains("PARSEC_DB"), "these are not the server's variables: {read:?}");

    let profiles = bundle.place().join("profiles");
    fs_err::create_dir(&profiles)?;
    profile("standalone", &profiles)?;
    let mut reasons = BTreeSet::new();
    for name in left_out {
        let table: toml::Table = toml::from_str(&fs_err::read_to_string(profiles.join(name).join("left-out.toml"))?)?;
        reasons.extend(table.into_iter().map(|(name, _)| name));
    }
    for name in ["standalone", "preview"] {
        fs_err::remove_file(profiles.join(name).join("left-out.toml"))?;
    }
    let mut written = texts_below(&profiles)?;
    for (name, folder) in Search::new([profiles.clone()]).all()?.into_iter().filter(|(name, _)| wanted(name)) {
        for all in [false, true] {
            let site = bundle.place().join(format!("{name}-{all}"));
            make_site(&folder, &site, all).with_context(|| format!("{name}, all settings: {all}"))?;
            written.extend(texts_below(&site)?);
        }
    }
    let mut unknown = Vec::new();
    let mut found = BTreeSet::new();
    for (file, text) in &written {
        for name in names(text) {
            if read.contains(&name) {
                found.insert(name);
            } else {
                unknown.push(format!("{file}: {name}"));
            }
        }
    }
    report(&format!(
        "{} names in {} files, {} read, {} left out",
        found.len(),
        written.len(),
        read.len(),
        reasons.len()
    ));
    ensure!(found.len() > 20 && unknown.is_empty(), "the server does not read:\n{}", unknown.join("\n"));
    let known: BTreeSet<String> = found.union(&reasons).cloned().collect();
    let (new, gone): (Vec<_>, Vec<_>) = (read.difference(&known).collect(), known.difference(&read).collect());
    ensure!(new.is_empty(), "neither a setting nor in left-out.toml: {new:?}");
    ensure!(gone.is_empty(), "left-out.toml has variables that the server does not read: {gone:?}");
    let both: Vec<_> = found.intersection(&reasons).collect();
    ensure!(both.is_empty(), "written, and in left-out.toml: {both:?}");
    Ok(())
}

/// All `PARSEC_...` in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let words = words.filter(|word| word.len() > 7 && word.starts_with("PARSEC_"));
    // `PARSEC_EMAIL_...` in a comment is no name.
    words.filter(|word| !word.ends_with('_')).map(str::to_owned).collect()
}

/// The layers of an image, one over the other.
fn unpack(bundle: &Bundle, image: &str, into: &Path) -> Result<()> {
    fs_err::create_dir(into)?;
    let image = bundle.manifest.images.iter().find(|made| made.name == image).context("the bundle has the image")?;
    for layer in &image.layers {
        let blob = bundle.folder.join("blobs/sha256").join(layer.digest.hex());
        command::output(Command::new("tar").arg("-xf").arg(blob).arg("-C").arg(into).arg("--no-same-owner"))?;
    }
    Ok(())
}

/// The image's own interpreter and libraries, which need no container.
fn python(root: &Path, arguments: &[&str]) -> Result<String> {
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let mut python = Command::new(libraries.join("ld-linux-x86-64.so.2"));
    python.arg("--library-path").arg(&libraries).arg(root.join("usr/bin/python3.14"));
    python.args(["-P", "-B"]).args(arguments).env_clear().current_dir(root);
    python.env("PYTHONHOME", root.join("usr"));
    python.env("PYTHONPATH", root.join("opt/parsec/lib/python3.14/site-packages"));
    python.envs([("COLUMNS", "400"), ("LC_ALL", "C.UTF-8")]);
    command::output(&mut python)
}

/// Six block stores, with colons within their parts, as the server's own code takes them apart.
fn block_stores_are_read_back(server: &Path, site: &Path) -> Result<()> {
    const SCRIPT: &str = "
import dataclasses, sys
from parsec.cli.options import _parse_blockstore_params
config = _parse_blockstore_params(sys.argv[1].split())
print(type(config).__name__)
for store in config.blockstores:
    print(*dataclasses.astuple(store))
";
    let text = fs_err::read_to_string(site.join("env/parsec-s3.env"))?;
    let value = text.lines().find_map(|line| line.strip_prefix("PARSEC_BLOCKSTORE="));
    let printed = python(server, &["-c", SCRIPT, value.context("there is no PARSEC_BLOCKSTORE")?])?;
    insta::assert_snapshot!(printed, @"
    RAID5BlockStoreConfig
    https://user:pass@x.test:9000/path region:1b2c3d4e5f6 bucket:1b2c3d4e5f6 key:1b2c3d4e5f6 secret:1b2c3d4e5f6
    https://user:pass@x.test:9000/path region:1b2c3d4e5f6 bucket:1b2c3d4e5f6 key:1b2c3d4e5f6 secret:1b2c3d4e5f6
    https://user:pass@x.test:9000/path region:1b2c3d4e5f6 bucket:1b2c3d4e5f6 key:1b2c3d4e5f6 secret:1b2c3d4e5f6
    https://user:pass@x.test:9000/path tenant:1b2c3d4e5f6 container:1b2c3d4e5f6 user:1b2c3d4e5f6 password:1b2c3d4e5f6
    https://user:pass@x.test:9000/path tenant:1b2c3d4e5f6 container:1b2c3d4e5f6 user:1b2c3d4e5f6 password:1b2c3d4e5f6
    https://user:pass@x.test:9000/path tenant:1b2c3d4e5f6 container:1b2c3d4e5f6 user:1b2c3d4e5f6 password:1b2c3d4e5f6
    ");
    Ok(())
}

/// The server's own reading of each option beyond its defaults.
fn options_are_accepted(server: &Path, site: &Path) -> Result<()> {
    const SCRIPT: &str = "
import os, sys
from parsec.cli.run import run_cmd
for line in sys.argv[1].splitlines():
    if line and not line.startswith('#'):
        os.environ.__setitem__(*line.split('=', 1))
required = 'db blockstore administration-token fake-account-password-algorithm-seed email-host'
required = [f'--{name}=MOCKED' for name in required.split()] + ['--server-addr=parsec3://localhost']
set = {option.name for option in run_cmd.params if option.envvar and option.envvar in os.environ}
for name, value in sorted(run_cmd.make_context('run', required).params.items()):
    if name in set:
        print(name, value)
";
    let text = fs_err::read_to_string(site.join("env/parsec-options.env"))?;
    let printed = python(server, &["-c", SCRIPT, &text])?;
    for line in [
        "account_config AccountConfig.ENABLED_WITHOUT_VAULT",
        "cors_allow_origins ('one', 'two')",
        "organization_initial_tos {'locale': '1b2c3d4e5f6:https://user:pass@x.test:9000/path'}",
        "organization_initial_user_profile_outsider_allowed True",
        "pause_before_retry_database_connection 17.0",
        "sentry_traces_sample_rate 0.17",
        "spontaneous_organization_bootstrap True",
        "validation_email_rate_limit (17, 17)",
    ] {
        ensure!(printed.lines().any(|printed| printed == line), "no line {line}:\n{printed}");
    }
    let written = text.lines().filter(|line| line.starts_with("PARSEC_")).count();
    ensure!(printed.lines().count() == written, "the server takes other options than these:\n{text}\n{printed}");
    Ok(())
}

/// Path and text of all files below a folder that are text.
fn texts_below(folder: &Path) -> Result<BTreeMap<String, String>> {
    let listed = command::output(Command::new("find").arg(folder).args(["-type", "f"]))?;
    let mut texts = BTreeMap::new();
    for path in listed.lines() {
        if let Ok(text) = String::from_utf8(fs_err::read(path)?) {
            texts.insert(path.to_owned(), text);
        }
    }
    Ok(texts)
}

/// A site with all settings and authorities that there are, or with as few as it takes.
fn make_site(folder: &Path, site: &Path, all: bool) -> Result<()> {
    let profile = Profile::load(folder)?;
    let new = || -> Result<Command> {
        let mut new = sealift(folder)?;
        new.args(["site", "new", "--self-signed", "--host", "parsec.test", "--profile"]).arg(folder).arg(site);
        Ok(new)
    };
    let settings = &profile.model.site.settings;
    let chosen = |wanted: &dyn Fn(&Setting) -> bool| {
        let chosen = settings.iter().filter(|(_, setting)| wanted(setting));
        chosen.map(|(name, setting)| (name.clone(), value(name, setting))).collect::<toml::Table>()
    };
    fs_err::create_dir(site)?;
    let write =
        |table: toml::Table| -> Result<()> { Ok(fs_err::write(site.join("settings.toml"), toml::to_string(&table)?)?) };
    write(chosen(&|setting| all || setting.required))?;
    if !all && command::run(&mut new()?)?.code != Some(0) {
        // One of several tables has to be there; others need none.
        for (name, tables) in settings.iter().filter(|(_, setting)| setting.kind == Kind::Tables) {
            let mut fewest = chosen(&|setting| setting.required);
            let Value::Array(mut array) = value(name, tables) else { anyhow::bail!("tables are an array") };
            array.truncate(1);
            fewest.insert(name.clone(), Value::Array(array));
            write(fewest)?;
            if command::run(&mut new()?)?.code == Some(0) {
                break;
            }
        }
    }
    command::output(&mut new()?)?;
    if all {
        for (name, folder) in &profile.model.site.files {
            let files = if folder.complete.is_empty() { vec!["a.pem".to_owned()] } else { folder.complete.clone() };
            for file in files {
                let path = site.join("files").join(name).join(file);
                fs_err::create_dir_all(path.parent().context("a file has a folder")?)?;
                fs_err::copy(site.join("custom-ca.crt"), path)?;
            }
        }
        for name in profile.model.site.trusted.keys() {
            fs_err::copy(site.join("custom-ca.crt"), site.join(format!("tls/{name}.crt")))?;
        }
        command::output(&mut new()?)?;
    }
    Ok(())
}

/// A value that a setting takes, and that is not its default.
fn value(name: &str, setting: &Setting) -> Value {
    match setting.kind {
        Kind::Name => Value::String(format!("{name}-1b2c3d4e5f6")),
        Kind::Text | Kind::Word => Value::String(format!("{name}:1b2c3d4e5f6")),
        Kind::Url => Value::String(format!("{}://user:pass@x.test:9000/path", setting.schemes[0])),
        Kind::Host => Value::String("x.test".into()),
        Kind::Folder => Value::String("/srv".into()),
        Kind::Port | Kind::Integer => Value::Integer(17),
        Kind::Boolean => Value::Boolean(setting.default != Some(Value::Boolean(true))),
        Kind::Choice => Value::String(setting.choices.last().cloned().unwrap_or_default()),
        Kind::List if !setting.choices.is_empty() => {
            Value::Array(setting.choices.iter().cloned().map(Value::String).collect())
        }
        Kind::List => Value::Array(vec![Value::String("one".into()), Value::String("two".into())]),
        Kind::Tables => {
            let table: toml::Table =
                setting.fields.iter().map(|(name, field)| (name.clone(), value(name, field))).collect();
            Value::Array(vec![Value::Table(table); 3])
        }
    }
}
