//! The packaged server reads every variable that the profiles set.
//!
//! Names change from version to version, and an unused variable causes no error. So every `PARSEC_...` in the profiles, and
//! in the files that are rendered from them, is compared with `parsec run --help` of the image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sealift_deployment::profile::setting::{Kind, Setting};
use sealift_deployment::profile::{Profile, Search};
use sealift_tests::bundle::{Bundle, profile, sealift};
use sealift_tests::command::{self, report};
use toml::Value;

/// Names that the server reads although they are not in its help, with the reason.
const UNLISTED: [(&str, &str); 1] = [("PARSEC_EMAIL_HOST_USER", "3.10.0 declares it without `show_envvar`")];

#[test]
#[ignore = "needs the real bundle: tests/run"]
fn every_variable_is_one_that_the_packaged_server_reads() -> Result<()> {
    let bundle = Bundle::build("standalone", |_, _| Ok(Vec::new()))?;
    let server = bundle.place().join("server");
    unpack(&bundle, "parsec-server", &server)?;
    let listed = names(&python(&server, &["-m", "parsec", "run", "--help"])?);
    ensure!(listed.len() > 40 && listed.contains("PARSEC_DB"), "that is not the server's help: {listed:?}");
    let code = fs_err::read_to_string(server.join("opt/parsec/lib/python3.14/site-packages/parsec/cli/run.py"))?;
    for (name, why) in UNLISTED {
        ensure!(!listed.contains(name), "{name} is in the help now: remove the exception ({why})");
        ensure!(code.contains(&format!("envvar=\"{name}\"")), "{name} is not read any more");
    }

    let profiles = bundle.place().join("profiles");
    fs_err::create_dir(&profiles)?;
    profile("standalone", &profiles)?;
    let mut written = texts_below(&profiles)?;
    for (name, folder) in Search::new([profiles.clone()]).all()? {
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
            if listed.contains(&name) || UNLISTED.iter().any(|(unlisted, _)| *unlisted == name) {
                found.insert(name);
            } else {
                unknown.push(format!("{file}: {name}"));
            }
        }
    }
    report(&format!("{} names in {} files, {} listed", found.len(), written.len(), listed.len()));
    let site = bundle.place().join("standalone-true");
    block_stores_are_read_back(&server, &site)?;
    ensure!(found.len() > 20 && unknown.is_empty(), "the server does not read:\n{}", unknown.join("\n"));
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
        // One of several tables has to be there.
        let mut fewest = chosen(&|setting| setting.required);
        let (name, tables) =
            settings.iter().find(|(_, setting)| setting.kind == Kind::Tables).context("what is missing is no table")?;
        let Value::Array(mut array) = value(name, tables) else { anyhow::bail!("tables are an array") };
        array.truncate(1);
        fewest.insert(name.clone(), Value::Array(array));
        write(fewest)?;
    }
    command::output(&mut new()?)?;
    if all {
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
        Kind::Text | Kind::Word => Value::String(format!("{name}:1b2c3d4e5f6")),
        Kind::Url => Value::String(format!("{}://user:pass@x.test:9000/path", setting.schemes[0])),
        Kind::Host => Value::String("x.test".into()),
        Kind::Folder => Value::String("/srv".into()),
        Kind::Port | Kind::Integer => Value::Integer(17),
        Kind::Boolean => Value::Boolean(setting.default != Some(Value::Boolean(true))),
        Kind::Choice => Value::String(setting.choices.last().cloned().unwrap_or_default()),
        Kind::List => Value::Array(vec![Value::String("one".into()), Value::String("two".into())]),
        Kind::Tables => {
            let table: toml::Table =
                setting.fields.iter().map(|(name, field)| (name.clone(), value(name, field))).collect();
            Value::Array(vec![Value::Table(table); 3])
        }
    }
}
