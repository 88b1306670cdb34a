//! `pylock.toml` (PEP 751): the parts that a resolver of wheels writes.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::MarkerTree;
use percent_encoding::percent_decode_str;
use sealift_deployment::failure::Failure;
use sealift_layers::digest::Digest;
use sealift_layers::ingredients::wheel::{WheelFileName, normalize};
use serde::Deserialize;
use url::Url;

use super::local::LocalWheels;
use super::requirements::Hashes;
use super::tags::Target;
use crate::lock;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Pylock {
    lock_version: String,
    requires_python: Option<String>,
    #[serde(default)]
    environments: Vec<String>,
    #[serde(default)]
    packages: Vec<Package>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    version: Option<String>,
    marker: Option<String>,
    requires_python: Option<String>,
    #[serde(default)]
    wheels: Vec<Wheel>,
    /// A project's folder on this machine.
    directory: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Wheel {
    name: Option<String>,
    url: Option<String>,
    size: Option<u64>,
    upload_time: Option<toml::value::Datetime>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

/// What decides the wheels of an environment besides the lock itself.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// The Python of the environment.
    pub target: &'a Target,
    /// The user's wheels: used in place of those in the lock.
    pub local: &'a LocalWheels,
    /// The hashes that the user demands.
    pub hashes: &'a Hashes,
    /// Normalised names of distributions to leave out.
    pub exclude: &'a [String],
    /// What the text is, for messages: `the pylock.toml of uv`.
    pub origin: &'a str,
}

/// The wheels in `text`, one of each distribution, sorted by file name.
///
/// # Errors
/// `text` is not a pylock of version 1, or not for this target; a distribution has no compatible wheel; or a wheel has no
/// size, SHA-256 or upload time.
pub fn wheels(text: &str, choice: Choice<'_>) -> Result<Vec<lock::Wheel>> {
    let Choice { target, local, origin, .. } = choice;
    let pylock: Pylock = toml::from_str(text).with_context(|| format!("cannot parse {origin}"))?;
    if pylock.lock_version.split('.').next() != Some("1") {
        bail!("{origin} has the format version {}; only 1.x is supported", pylock.lock_version);
    }
    check_python(origin, pylock.requires_python.as_deref(), target)?;
    let mut applies = pylock.environments.is_empty();
    for marker in &pylock.environments {
        applies |= evaluate(marker, target)?;
    }
    if !applies {
        bail!("{origin} is not for {target}");
    }

    let mut chosen: BTreeMap<String, lock::Wheel> = BTreeMap::new();
    for package in &pylock.packages {
        if choice.exclude.contains(&normalize(&package.name)) {
            continue;
        }
        if let Some(marker) = &package.marker
            && !evaluate(marker, target)?
        {
            continue;
        }
        let wheel =
            choose(package, choice).with_context(|| format!("cannot lock the distribution `{}`", package.name))?;
        let name = wheel.name.clone();
        if chosen.insert(name.clone(), wheel).is_some() {
            bail!("{origin} has two versions of `{name}` for {target}");
        }
    }
    let mut wheels: Vec<_> = chosen.into_values().collect();
    wheels.sort_by(|one, two| one.file_name().cmp(two.file_name()));
    local.check(&wheels, target)?;
    Ok(wheels)
}

/// The user's wheel of a distribution; its version must be that of the lock.
fn own(package: &Package, wheel: &lock::Wheel) -> Result<lock::Wheel> {
    let is_version = |text: &String| text.parse::<Version>().ok() == wheel.version.parse().ok();
    match package.version.as_ref().filter(|version| !is_version(version)) {
        None => Ok(wheel.clone()),
        Some(version) => Err(Failure::failed(format!("it has version {version}, but {} is given", wheel.file_name()))
            .hint("build the wheel of that version, or make the lock again")
            .into()),
    }
}

/// The failure for a distribution that the lock has no wheel of.
fn without_wheel(package: &Package) -> Failure {
    let name = &package.name;
    match &package.directory {
        Some(_) => Failure::failed("it is a project on this machine, and only wheels are used").hint(format!(
            "make its wheel with `uv build --wheel --package {name}`, and name the folder of the wheel in the profile's \
             venv: wheels = [\"dist\"]"
        )),
        None => Failure::failed("it has only a source distribution: building it would run its code").hint(format!(
            "make a wheel of it, `uvx pip wheel --no-deps -w dist {name}`, and name the folder in the profile's venv: \
             wheels = [\"dist\"]; or leave it out with `exclude`"
        )),
    }
}

fn choose(package: &Package, choice: Choice<'_>) -> Result<lock::Wheel> {
    let Choice { target, local, hashes, .. } = choice;
    if let Some(wheel) = local.chosen.get(&normalize(&package.name)) {
        return own(package, &wheel.locked);
    }
    if package.wheels.is_empty() {
        return Err(without_wheel(package).into());
    }
    check_python("it", package.requires_python.as_deref(), target)?;
    let mut candidates = Vec::new();
    for wheel in &package.wheels {
        candidates.push((path(wheel)?, wheel));
    }
    if let Some(demanded) = hashes.get(&normalize(&package.name)) {
        candidates.retain(|(_, wheel)| wheel.hashes.get("sha256").is_some_and(|hash| demanded.contains(hash)));
        if candidates.is_empty() {
            return Err(Failure::failed("no wheel has one of the hashes in the requirements")
                .hint("the hashes are of another version, or of source distributions only: make them again")
                .into());
        }
    }
    let count = candidates.len();
    let last = |path: &str| path.rfind('/').map_or(0, |slash| slash + 1);
    let Some((path, wheel)) = target.best(candidates, |(path, _)| &path[last(path)..]) else {
        return Err(Failure::failed(format!("no wheel of {count} is compatible with {target}"))
            .hint("require another version, or exclude it if the application runs without it")
            .into());
    };
    let file: WheelFileName = path[last(&path)..].parse()?;
    if file.name != normalize(&package.name) {
        bail!("the wheel `{}` has the name of another distribution", &path[last(&path)..]);
    }
    if let Some(version) = &package.version
        && version.parse::<Version>() != Ok(file.version.clone())
    {
        bail!("the wheel `{}` is not of version {version}", &path[last(&path)..]);
    }
    let missing = |what: &str| {
        Failure::failed(format!("the index does not list the {what} of `{}`", &path[last(&path)..])).hint(
            "make the lock with an index that implements PEP 691 and PEP 700; any mirror is sufficient for builds",
        )
    };
    let sha256 = wheel.hashes.get("sha256").ok_or_else(|| missing("SHA-256"))?;
    let uploaded = wheel.upload_time.ok_or_else(|| missing("upload time"))?;
    Ok(lock::Wheel {
        version: package.version.clone().unwrap_or_else(|| file.version.to_string()),
        size: wheel.size.ok_or_else(|| missing("size"))?,
        sha256: sha256.parse::<Digest>()?,
        uploaded: seconds(&uploaded)?,
        local: false,
        name: file.name,
        path,
    })
}

/// The path of a wheel's URL, without the leading `/`, percent-decoded: a `+` in a version may be written as `%2B`.
fn path(wheel: &Wheel) -> Result<String> {
    let Some(url) = &wheel.url else { bail!("a wheel has no URL") };
    let url: Url = url.parse().with_context(|| format!("the URL `{url}` of a wheel is malformed"))?;
    let path = percent_decode_str(url.path().trim_start_matches('/')).decode_utf8()?.into_owned();
    if path.split('/').any(|component| component == "..") {
        bail!("the URL of a wheel has `..` in its path `{path}`");
    }
    if let Some(name) = &wheel.name
        && path.rsplit('/').next() != Some(name)
    {
        bail!("the wheel `{name}` has another file name in its URL: `{path}`");
    }
    Ok(path)
}

fn seconds(time: &toml::value::Datetime) -> Result<u64> {
    let stamp: jiff::Timestamp =
        time.to_string().parse().with_context(|| format!("the upload time {time} is malformed"))?;
    u64::try_from(stamp.as_second()).with_context(|| format!("the upload time {time} is before 1970"))
}

fn check_python(who: &str, requires: Option<&str>, target: &Target) -> Result<()> {
    let Some(text) = requires else { return Ok(()) };
    let specifiers: VersionSpecifiers =
        text.parse().map_err(|_| anyhow::anyhow!("{who} has a malformed Python version: `{text}`"))?;
    // With the highest patch level: `>=3.14.1` includes a Python 3.14.
    let python: Version = format!("{}.{}", target.python(), u32::MAX).parse()?;
    if !specifiers.contains(&python) {
        bail!("{who} requires Python {text}, but the target is {target}");
    }
    Ok(())
}

fn evaluate(marker: &str, target: &Target) -> Result<bool> {
    let tree: MarkerTree = marker.parse().map_err(|error: pep508_rs::Pep508Error<pep508_rs::VerbatimUrl>| {
        anyhow::anyhow!("the marker `{marker}`: {}", error.message)
    })?;
    Ok(tree.evaluate(&target.markers(), &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::new("3.14", "linux/amd64".parse().unwrap(), "2.43").unwrap()
    }

    fn wheel(file: &str) -> String {
        let hash = "0".repeat(64);
        format!(
            "{{ url = \"https://files.mirror.example/p/ab/{file}?x#y\", upload-time = 2026-01-02T03:04:05.678Z, \
             size = 5, hashes = {{ sha256 = \"{hash}\" }} }}"
        )
    }

    fn package(name: &str, more: &str, wheels: &[&str]) -> String {
        let wheels: Vec<_> = wheels.iter().map(|file| wheel(file)).collect();
        format!("[[packages]]\nname = \"{name}\"\nversion = \"1.0\"\n{more}\nwheels = [{}]\n", wheels.join(", "))
    }

    fn wheels_of(text: &str) -> Result<Vec<lock::Wheel>> {
        let (local, hashes) = (LocalWheels::default(), Hashes::new());
        let origin = "the pylock.toml of uv";
        wheels(text, Choice { target: &target(), local: &local, hashes: &hashes, exclude: &["gone".into()], origin })
    }

    fn read(packages: &[String]) -> Result<Vec<lock::Wheel>> {
        wheels_of(&format!("lock-version = \"1.0\"\ncreated-by = \"uv\"\n{}", packages.join("")))
    }

    #[test]
    fn the_best_wheel_of_each_distribution_is_chosen() {
        let found = read(&[
            package("zeta", "", &["zeta-1.0-py3-none-any.whl", "zeta-1.0-cp314-cp314-manylinux_2_28_x86_64.whl"]),
            package("Alpha.Beta", "", &["alpha_beta-1.0-py3-none-any.whl"]),
        ])
        .unwrap();
        assert_eq!(
            found[0],
            lock::Wheel {
                name: "alpha-beta".into(),
                version: "1.0".into(),
                path: "p/ab/alpha_beta-1.0-py3-none-any.whl".into(),
                size: 5,
                sha256: "0".repeat(64).parse().unwrap(),
                uploaded: 1_767_323_045,
                local: false,
            }
        );
        assert_eq!(found[1].file_name(), "zeta-1.0-cp314-cp314-manylinux_2_28_x86_64.whl");
    }

    #[test]
    fn a_local_version_is_percent_decoded() {
        let text = package("a", "", &["a-1.0%2Bcpu-py3-none-any.whl"]).replace("\"1.0\"", "\"1.0+cpu\"");
        assert_eq!(read(&[text]).unwrap()[0].path, "p/ab/a-1.0+cpu-py3-none-any.whl");
    }

    #[test]
    fn markers_are_evaluated_for_the_target() {
        for (marker, wanted) in [
            ("platform_python_implementation != 'PyPy'", true),
            ("implementation_name == 'cpython' and sys_platform == 'linux'", true),
            ("python_full_version < '3.14'", false),
            ("python_version >= '3.14'", true),
            ("sys_platform == 'win32' or platform_machine == 'aarch64'", false),
        ] {
            assert_eq!(evaluate(marker, &target()).unwrap(), wanted, "{marker}");
            let found = read(&[package("a", &format!("marker = \"{marker}\""), &["a-1.0-py3-none-any.whl"])]).unwrap();
            assert_eq!(found.len(), usize::from(wanted));
        }
        assert!(evaluate("python_version ~ 3", &target()).is_err());
    }

    #[test]
    fn errors_name_distribution_and_wheel() {
        let message = |packages: &[String]| format!("{:#}", read(packages).unwrap_err());
        let pure = "a-1.0-py3-none-any.whl";
        insta::assert_snapshot!([
            message(&[package("a", "", &["a-1.0-cp314-cp314-win_amd64.whl"])]),
            message(&[package("b", "", &[pure])]),
            message(&[package("a", "", &["a-1.1-py3-none-any.whl"])]),
            message(&[package("a", "", &[pure]), package("A", "", &[pure])]),
            message(&[package("a", "requires-python = \"<3.14\"", &[pure])]),
            message(&[package("a", "", &[pure]).replace("size = 5, ", "")]),
            message(&[package("a", "", &[pure]).replace("sha256", "md5")]),
        ].join("\n"), @"
        cannot lock the distribution `a`: no wheel of 1 is compatible with Python 3.14 on x86_64 with glibc 2.43
        cannot lock the distribution `b`: the wheel `a-1.0-py3-none-any.whl` has the name of another distribution
        cannot lock the distribution `a`: the wheel `a-1.1-py3-none-any.whl` is not of version 1.0
        the pylock.toml of uv has two versions of `a` for Python 3.14 on x86_64 with glibc 2.43
        cannot lock the distribution `a`: it requires Python <3.14, but the target is Python 3.14 on x86_64 with glibc 2.43
        cannot lock the distribution `a`: the index does not list the size of `a-1.0-py3-none-any.whl`
        cannot lock the distribution `a`: the index does not list the SHA-256 of `a-1.0-py3-none-any.whl`
        ");
        assert!(wheels_of("lock-version = \"2.0\"").is_err());
        assert!(wheels_of("lock-version = \"1.0\"\nenvironments = [\"sys_platform == 'win32'\"]").is_err());
        let patch = wheels_of("lock-version = \"1.0\"\nrequires-python = \">=3.14.1\"");
        assert_eq!(patch.unwrap(), []);
    }
}
