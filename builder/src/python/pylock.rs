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

use super::index::Indexes;
use super::local::LocalWheels;
use super::requirements::Hashes;
use super::tags::Target;

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
    /// URL of its index.
    index: Option<String>,
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

/// Most brackets in a marker. Real ones have a few.
pub(super) const BRACKETS: usize = 200;

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
    /// The indexes of this machine, for the names of those that the lock refers to.
    pub indexes: Option<&'a Indexes>,
    /// What the text is, for messages: `the pylock.toml of uv`.
    pub origin: &'a str,
}

/// A wheel that was chosen, and what its index says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The distribution's normalised name (PEP 503).
    pub name: String,
    /// The distribution's version.
    pub version: String,
    /// The URL, without user name and password.
    pub url: Url,
    /// Path of the URL, decoded; its last component is the file name. Of a local wheel, only that.
    pub path: String,
    /// Size in bytes.
    pub size: Option<u64>,
    /// SHA-256 of the wheel.
    pub sha256: Option<Digest>,
    /// When the index received it, in seconds since 1970.
    pub uploaded: Option<u64>,
    /// Name of its index, if that has one and is not the default one. A pylock of `uv pip compile` does not say it.
    pub index: Option<String>,
    /// It is a wheel of the user, with nothing unknown.
    pub local: bool,
}

impl Chosen {
    /// The wheel's file name.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// The wheels in `text`, one of each distribution, sorted by file name.
///
/// # Errors
/// `text` is not a pylock of version 1, or not for this target; or a distribution has no compatible wheel.
pub fn wheels(text: &str, choice: Choice<'_>) -> Result<Vec<Chosen>> {
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

    let mut chosen: BTreeMap<String, Chosen> = BTreeMap::new();
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
fn own(package: &Package, wheel: &Chosen) -> Result<Chosen> {
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
            "make a wheel of it, `uvx --python VERSION pip wheel --no-deps -w wheels {name}`, and name the folder in the profile's venv: \
             wheels = [\"wheels\"]; or leave it out with `exclude`"
        )),
    }
}

fn choose(package: &Package, choice: Choice<'_>) -> Result<Chosen> {
    let Choice { target, local, hashes, .. } = choice;
    if let Some(wheel) = local.chosen.get(&normalize(&package.name)) {
        return own(package, &wheel.chosen);
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
        // The others are compared once they are fetched.
        candidates.retain(|(_, wheel)| wheel.hashes.get("sha256").is_none_or(|hash| demanded.contains(hash)));
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
    let mut url: Url = wheel.url.as_deref().unwrap_or_default().parse()?;
    url.set_fragment(None);
    Ok(Chosen {
        version: package.version.clone().unwrap_or_else(|| file.version.to_string()),
        size: wheel.size,
        sha256: wheel.hashes.get("sha256").map(|text| text.parse::<Digest>()).transpose()?,
        uploaded: wheel.upload_time.as_ref().map(seconds).transpose()?,
        name: file.name,
        url,
        path,
        index: package.index.as_deref().and_then(|url| choice.indexes?.named(url)),
        local: false,
    })
}

/// The path of a wheel's URL, without the leading `/`, percent-decoded: a `+` in a version may be written as `%2B`.
fn path(wheel: &Wheel) -> Result<String> {
    let Some(url) = &wheel.url else { bail!("a wheel has no URL") };
    let url: Url = url.parse().with_context(|| format!("the URL `{url}` of a wheel is malformed"))?;
    let path = percent_decode_str(url.path().trim_start_matches('/')).decode_utf8()?.into_owned();
    // The folders of a file of this machine are none of the lock's business.
    let path = match (url.scheme(), path.rsplit_once('/')) {
        ("file", Some((_, name))) => name.to_owned(),
        _ => path,
    };
    // The same rule as for paths of the lock, which this becomes.
    if path.split('/').any(|component| matches!(component, "" | "." | "..")) {
        bail!("the URL of a wheel has `..`, `.` or nothing between two `/` in its path `{path}`");
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
    if !target.satisfies(&specifiers) {
        bail!("{who} requires Python {text}, but the target is {target}");
    }
    Ok(())
}

fn evaluate(marker: &str, target: &Target) -> Result<bool> {
    // The parser calls itself for each of them.
    if marker.matches('(').count() > BRACKETS {
        bail!("a marker has more than {BRACKETS} brackets");
    }
    // The parser ends the program at some other characters; no name or version in a marker has any.
    if !marker.is_ascii() {
        bail!("the marker `{marker}` has characters other than ASCII");
    }
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

    fn wheels_of(text: &str) -> Result<Vec<Chosen>> {
        let (local, hashes) = (LocalWheels::default(), Hashes::new());
        let (target, origin) = (target(), "the pylock.toml of uv");
        let exclude = ["gone".to_owned()];
        let choice =
            Choice { target: &target, local: &local, hashes: &hashes, exclude: &exclude, indexes: None, origin };
        wheels(text, choice)
    }

    fn read(packages: &[String]) -> Result<Vec<Chosen>> {
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
            Chosen {
                name: "alpha-beta".into(),
                version: "1.0".into(),
                url: "https://files.mirror.example/p/ab/alpha_beta-1.0-py3-none-any.whl?x".parse().unwrap(),
                path: "p/ab/alpha_beta-1.0-py3-none-any.whl".into(),
                size: Some(5),
                sha256: Some("0".repeat(64).parse().unwrap()),
                uploaded: Some(1_767_323_045),
                index: None,
                local: false,
            }
        );
        assert_eq!(found[1].file_name(), "zeta-1.0-cp314-cp314-manylinux_2_28_x86_64.whl");
    }

    #[test]
    fn what_an_index_does_not_say_is_left_open() {
        let text = package("a", "", &["a-1.0-py3-none-any.whl"]).replace("size = 5, ", "").replace("sha256", "md5");
        let text = text.replace("upload-time = 2026-01-02T03:04:05.678Z, ", "");
        let found = read(&[text]).unwrap();
        assert_eq!((found[0].size, found[0].sha256, found[0].uploaded), (None, None, None));
    }

    #[test]
    fn a_local_version_is_percent_decoded() {
        let text = package("a", "", &["a-1.0%2Bcpu-py3-none-any.whl"]).replace("\"1.0\"", "\"1.0+cpu\"");
        assert_eq!(read(&[text]).unwrap()[0].path, "p/ab/a-1.0+cpu-py3-none-any.whl");
    }

    #[test]
    fn the_folders_of_local_wheels_are_not_locked() {
        let text =
            package("a", "", &["a-1.0-py3-none-any.whl"]).replace("https://files.mirror.example/p", "file:///home/me");
        assert_eq!(read(&[text]).unwrap()[0].path, "a-1.0-py3-none-any.whl");
    }

    /// A lock with such a path could not be read again.
    #[test]
    fn paths_are_those_that_a_lock_may_have() {
        for path in ["p//x/", "p/%2e/"] {
            let text = package("a", "", &["a-1.0-py3-none-any.whl"]).replace("p/ab/", path);
            let found = read(&[text]).map(|found| found[0].path.clone());
            assert!(!found.is_ok_and(|path| path.split('/').any(|part| matches!(part, "" | "." | ".."))), "{path}");
        }
    }

    /// A hundred thousand would overflow the stack.
    #[test]
    fn markers_with_many_brackets_are_refused() {
        let marker = |count: usize| format!("{}sys_platform == 'linux'{}", "(".repeat(count), ")".repeat(count));
        assert!(evaluate(&marker(BRACKETS), &target()).unwrap());
        let error = evaluate(&marker(100_000), &target()).unwrap_err().to_string();
        assert_eq!(error, "a marker has more than 200 brackets");
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
        ].join("\n"), @"
        cannot lock the distribution `a`: no wheel of 1 is compatible with Python 3.14 on x86_64 with glibc 2.43
        cannot lock the distribution `b`: the wheel `a-1.0-py3-none-any.whl` has the name of another distribution
        cannot lock the distribution `a`: the wheel `a-1.1-py3-none-any.whl` is not of version 1.0
        the pylock.toml of uv has two versions of `a` for Python 3.14 on x86_64 with glibc 2.43
        cannot lock the distribution `a`: it requires Python <3.14, but the target is Python 3.14 on x86_64 with glibc 2.43
        ");
        assert!(wheels_of("lock-version = \"2.0\"").is_err());
        assert!(wheels_of("lock-version = \"1.0\"\nenvironments = [\"sys_platform == 'win32'\"]").is_err());
        let patch = wheels_of("lock-version = \"1.0\"\nrequires-python = \">=3.14.1\"");
        assert_eq!(patch.unwrap(), []);
    }
}
