//! Resolution with the program `uv`. It is needed only to make a lock.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use pep508_rs::{PackageName, Requirement, VersionOrUrl};
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{self as any_files, temporary_directory};
use sealift_deployment::process::{self, ANSWER, Keep};
use sealift_layers::ingredients::wheel::normalize;
use sealift_layers::limits::DOCUMENT;
use url::Url;

use super::explain::{self, Unsatisfiable};
use super::index::{Indexes, Role};
use super::local::LocalWheels;
use super::pylock::{self, Choice, Chosen};
use super::requirements::Requirements;
use super::tags::Target;

/// The most that is kept of what uv prints: why nothing satisfies the requirements may be a hundred thousand lines.
const PRINTED: usize = 16 << 20;

/// The content of a virtual environment.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What is required.
    pub required: &'a Requirements,
    /// Names of distributions to leave out, although others require them.
    pub exclude: &'a [String],
    /// The Python of the environment.
    pub target: &'a Target,
    /// The user's wheels.
    pub local: &'a LocalWheels,
    /// The indexes.
    pub indexes: &'a Indexes,
}

/// The result of a resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The wheels, sorted by file name.
    Found(Vec<Chosen>),
    /// No versions satisfy the requirements.
    Unsatisfiable(Unsatisfiable),
}

/// A project with a `uv.lock`.
#[derive(Clone, Copy, Debug)]
pub struct Project<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// Its optional dependencies.
    pub extras: &'a [&'a str],
    /// Its dependency groups.
    pub groups: &'a [&'a str],
    /// Names of distributions to leave out, with what only they require.
    pub exclude: &'a [String],
}

/// Files for a run of uv.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Result<Self> {
        Ok(Self { directory: temporary_directory()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The text of the `pylock.toml` that uv wrote: it has every file of every distribution.
    fn pylock(&self) -> Result<String> {
        let bytes = any_files::read_within(&self.path(PYLOCK), DOCUMENT)?;
        String::from_utf8(bytes).context("uv wrote a pylock.toml that is not UTF-8")
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs_err::write(self.path(name), text)?)
    }

    /// Links to the user's wheels, in a folder of their own: uv takes nothing else from there.
    fn add_links(&self, local: &LocalWheels) -> Result<()> {
        fs_err::create_dir(self.path(LINKS))?;
        for wheel in local.chosen.values() {
            let target = fs_err::canonicalize(&wheel.file)?;
            fs_err::os::unix::fs::symlink(target, self.path(LINKS).join(wheel.chosen.file_name()))?;
        }
        Ok(())
    }
}

/// uv accepts only names of the form pylock.NAME.toml.
const PYLOCK: &str = "pylock.sealift.toml";
const OVERRIDES: &str = "overrides.txt";
const CONSTRAINTS: &str = "constraints.txt";
const LINKS: &str = "wheels";

/// The program `uv`.
#[derive(Clone, Debug)]
pub struct Uv(OsString);

impl Uv {
    /// The program at the path `named` (the variable `SEALIFT_UV`), or else `uv` in `PATH`. Whether it exists is checked when
    /// it is run.
    #[must_use]
    pub fn new(named: Option<OsString>) -> Self {
        Self(named.filter(|name| !name.is_empty()).unwrap_or_else(|| "uv".into()))
    }

    /// Resolves requirements. Source distributions are not used: building one runs its code.
    ///
    /// # Errors
    /// A usage failure for a malformed requirement; a network failure if the index cannot be reached; otherwise uv's error
    /// message.
    pub fn resolve(&self, request: &Request<'_>) -> Result<Resolution> {
        let requirements = requirements(&request.required.requirements)?;
        let files = Files::new()?;
        files.write(OVERRIDES, &overrides(request.exclude)?)?;
        files.write(CONSTRAINTS, &constraints(request)?)?;
        files.add_links(request.local)?;
        let mut command = self.resolution(request, files.directory.path());
        command.args(["--format", "pylock.toml", "--output-file"]).arg(files.path(PYLOCK));
        let output = self.run(command, &requirements)?;
        if !output.status.success() {
            return match explain::unsatisfiable(&output, &request.target.to_string()) {
                Some(unsatisfiable) => Ok(Resolution::Unsatisfiable(unsatisfiable)),
                None => Err(explain::failure(&output).into()),
            };
        }
        if let Some(unknown) = explain::unknown_extras(&output, &request.required.requirements) {
            return Ok(Resolution::Unsatisfiable(unknown));
        }
        let choice = Choice {
            target: request.target,
            local: request.local,
            hashes: &request.required.hashes,
            exclude: &[],
            indexes: None,
            origin: "the pylock.toml of uv",
        };
        let mut chosen = pylock::wheels(&files.pylock()?, choice)?;
        if request.indexes.list().iter().any(|index| index.name.is_some() && index.role != Role::Default) {
            self.name_indexes(request, &files, &requirements, &mut chosen)?;
        }
        Ok(Resolution::Found(chosen))
    }

    /// Asks uv once more, which remembers the answers: from which index is each distribution? A pylock does not say so.
    fn name_indexes(
        &self,
        request: &Request<'_>,
        files: &Files,
        requirements: &str,
        chosen: &mut [Chosen],
    ) -> Result<()> {
        let mut command = self.resolution(request, files.directory.path());
        command.args(["--format", "requirements.txt", "--no-annotate", "--emit-index-annotation"]);
        let output = self.run(command, requirements)?;
        if !output.status.success() {
            return Err(explain::failure(&output).into());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let from = annotations(&text);
        for wheel in chosen.iter_mut().filter(|wheel| !wheel.local) {
            let url = from.iter().find(|(name, _)| *name == wheel.name).map(|(_, url)| *url);
            wheel.index = url.and_then(|url| request.indexes.named(url));
        }
        Ok(())
    }

    /// The wheels that the `uv.lock` of a project has for it, as a `pylock.toml`. The lock is not changed.
    ///
    /// # Errors
    /// uv's error message.
    pub fn export(&self, project: &Project<'_>) -> Result<String> {
        let files = Files::new()?;
        let mut command = Command::new(&self.0);
        command
            .args(["export", "--frozen", "--offline", "--no-default-groups", "--no-header", "--quiet"])
            .args(["--no-python-downloads", "--color", "never", "--format", "pylock.toml", "--project"])
            .arg(project.folder)
            .arg("--output-file")
            .arg(files.path(PYLOCK));
        for (option, names) in [("--extra", project.extras), ("--group", project.groups)] {
            command.args(names.iter().flat_map(|name| [option, name]));
        }
        command.args(project.exclude.iter().flat_map(|name| ["--prune", name]));
        piped(&mut command, files.directory.path());
        let output = self.run(command, "")?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let folder = project.folder.display();
            return Err(Failure::failed(format!("uv cannot read the lock of the project {folder}:\n{message}"))
                .hint(format!("make it with: uv lock --project {folder}"))
                .into());
        }
        files.pylock()
    }

    /// uv's default index; `None` if uv is not installed or does not print one.
    #[must_use]
    pub fn default_index(&self) -> Option<String> {
        let directory = tempfile::tempdir().ok()?;
        let mut command = self.command(directory.path());
        command.args(["--no-header", "--emit-index-url"]);
        let output = self.run(command, "").ok()?;
        index_line(&String::from_utf8_lossy(&output.stdout))
    }

    /// The resolution, with its files in `directory`.
    fn resolution(&self, request: &Request<'_>, directory: &Path) -> Command {
        let mut command = self.command(directory);
        command
            .args(["--python-version", &request.target.python(), "--python-platform", &request.target.uv_platform()])
            .args(["--only-binary", ":all:", "--no-header"])
            .arg("--override")
            .arg(directory.join(OVERRIDES));
        if request.indexes.links_only() {
            command.arg("--no-index");
        }
        for (name, value) in request.indexes.environment() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if !request.local.chosen.is_empty() {
            // Beside the folders that the machine's configuration names.
            let mut links = vec![directory.join(LINKS).into_os_string()];
            let variables = request.indexes.environment().into_iter();
            links.extend(variables.filter(|(name, _)| *name == "UV_FIND_LINKS").filter_map(|(_, value)| value));
            command.env("UV_FIND_LINKS", links.join(OsStr::new(",")));
        }
        if !request.local.chosen.is_empty() || !request.required.constraints.is_empty() {
            command.arg("--constraint").arg(directory.join(CONSTRAINTS));
        }
        if request.required.prereleases {
            command.args(["--prerelease", "allow"]);
        }
        command
    }

    /// `uv pip compile -`, without the settings of a project, and with the machine's trust store. Any Python of the machine
    /// is sufficient: with wheels only, none of its code is used.
    fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new(&self.0);
        command.args(["pip", "compile", "-", "--no-python-downloads", "--no-progress", "--color", "never"]);
        piped(&mut command, directory);
        command
    }

    fn run(&self, mut command: Command, input: &str) -> Result<Output> {
        let child = command.spawn().map_err(|error| self.cannot_run(error))?;
        let input = input.as_bytes().to_vec();
        let finished = process::finish(child, input, Keep::Whole(PRINTED), Keep::Last(PRINTED), Some(ANSWER));
        let finished = finished.with_context(|| format!("`{}` failed", self.0.display()))?;
        // uv may exit before it has read all input; its error message is then more useful.
        match finished.written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => finished.output().with_context(|| format!("`{}` failed", self.0.display())),
        }
    }

    fn cannot_run(&self, error: io::Error) -> Failure {
        let hint = if self.0 == "uv" {
            "install uv (needed only to make a lock), or set SEALIFT_UV to its path".to_owned()
        } else {
            format!("SEALIFT_UV is `{}`: set it to the path of uv, or remove the variable", self.0.display())
        };
        Failure::failed(format!("cannot run `{}`, which resolves Python requirements", self.0.display()))
            .because(error)
            .hint(hint)
    }
}

/// Runs a command in `directory` with pipes for its input and output, and without the settings of another environment.
fn piped(command: &mut Command, directory: &Path) {
    command
        .current_dir(directory)
        .env("UV_SYSTEM_CERTS", "1")
        .env_remove("VIRTUAL_ENV")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

/// The requirements, one per line. Anything else is refused: uv would also accept a line such as `-r FILE`.
fn requirements(texts: &[String]) -> Result<String> {
    let mut lines = String::new();
    for text in texts {
        if text.contains(char::is_control) {
            return Err(
                Failure::usage(format!("the requirement `{}` has a control character", text.escape_debug())).into()
            );
        }
        // The parser of markers calls itself for each parenthesis.
        if text.len() > 4096 || text.matches('(').count() > 100 {
            let start: String = text.chars().take(60).collect();
            return Err(Failure::usage(format!("the requirement `{start}...` is too long")).into());
        }
        // The parser ends the program at some other characters (`; python_version > '3'\u{e9}`).
        if !text.is_ascii() {
            return Err(Failure::usage(format!("the requirement `{text}` has characters other than ASCII")).into());
        }
        let parsed: Requirement<Url> = Requirement::from_str(text)
            .map_err(|error| Failure::usage(format!("the requirement `{text}` is malformed: {}", error.message)))?;
        if matches!(parsed.version_or_url, Some(VersionOrUrl::Url(_))) {
            return Err(Failure::usage(format!("the requirement `{text}` names a URL"))
                .hint("a lock names no hosts: require a version instead, such as NAME==1.0")
                .into());
        }
        // The original text: the parser formats markers differently.
        lines.push_str(text);
        lines.push('\n');
    }
    Ok(lines)
}

/// Overrides with a marker that is never true: uv then leaves the distribution out.
fn overrides(exclude: &[String]) -> Result<String> {
    let mut lines = String::new();
    for text in exclude {
        let name = PackageName::from_str(text)
            .map_err(|_| Failure::usage(format!("the excluded `{text}` is not the name of a distribution")))?;
        lines.push_str(&format!("{name} ; python_version < \"0\"\n"));
    }
    Ok(lines)
}

/// The user's constraints; and the version of each of the user's wheels, which no other takes the place of.
fn constraints(request: &Request<'_>) -> Result<String> {
    let own = request.local.chosen.values().map(|wheel| format!("{}=={}\n", wheel.chosen.name, wheel.chosen.version));
    Ok(requirements(&request.required.constraints)? + &own.collect::<String>())
}

/// Each distribution and the URL of its index, in the format of `requirements.txt`.
fn annotations(text: &str) -> Vec<(String, &str)> {
    let mut found: Vec<(String, &str)> = Vec::new();
    let mut name = None;
    for line in text.lines() {
        if let Some(url) = line.trim_start().strip_prefix("# from ") {
            found.extend(name.take().map(|name| (name, url.trim())));
        } else if let Some((project, _)) = line.split_once("==") {
            name = Some(normalize(project.split('[').next().unwrap_or_default().trim()));
        }
    }
    found
}

fn index_line(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix("--index-url ")).map(|url| url.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealift_deployment::failure::Kind;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn indexes() -> Indexes {
        let machine = sealift_deployment::machine::Machine::of(Path::new("/nonexistent"), &[]);
        super::super::index::find(Some("https://mirror.example/simple"), &machine, || None).unwrap()
    }

    #[test]
    fn the_index_of_each_distribution_is_read() {
        let text = "alpha-beta==1.0\n    # from https://one.example/simple/\nc[d]==2 ; python_version > '3'\n    # via x\n    # from file:///srv\n";
        let found = annotations(text);
        assert_eq!(found, [("alpha-beta".into(), "https://one.example/simple/"), ("c".into(), "file:///srv")]);
    }

    #[test]
    fn only_requirements_reach_the_resolver() {
        let lines = requirements(&strings(&["parsec-cloud==3.10.0", "a[b]>=1 ; python_version > '3'"])).unwrap();
        assert_eq!(lines, "parsec-cloud==3.10.0\na[b]>=1 ; python_version > '3'\n");
        for text in ["-r /etc/passwd", "--index-url x", "a\n-r b", "a\n", "a @ https://mirror.example/a.whl", ""] {
            let error = requirements(&strings(&[text])).unwrap_err();
            assert_eq!(Failure::within(&error).unwrap().kind, Kind::Usage, "{text}");
        }
    }

    #[test]
    fn exclusions_become_overrides() {
        assert_eq!(
            overrides(&strings(&["cssmin", "PyScss"])).unwrap(),
            "cssmin ; python_version < \"0\"\npyscss ; python_version < \"0\"\n"
        );
        assert!(overrides(&strings(&["a\nb"])).is_err());
        assert!(overrides(&strings(&["-r x"])).is_err());
    }

    #[test]
    fn the_hint_for_a_missing_uv_names_the_variable() {
        let target = Target::new("3.14", "linux/amd64".parse().unwrap(), "2.43").unwrap();
        let (required, local, indexes) = (Requirements::default(), LocalWheels::default(), indexes());
        let request = Request { required: &required, exclude: &[], target: &target, local: &local, indexes: &indexes };
        let error = Uv::new(Some("/nonexistent/uv".into())).resolve(&request).unwrap_err();
        assert!(Failure::within(&error).unwrap().hint.as_ref().unwrap().contains("SEALIFT_UV"));
        assert_eq!(Uv::new(Some("/nonexistent/uv".into())).default_index(), None);
    }

    #[test]
    fn uv_is_run_for_wheels_only() {
        let target = Target::new("3.14", "linux/amd64".parse().unwrap(), "2.43").unwrap();
        let (required, local, indexes) = (Requirements::default(), LocalWheels::default(), indexes());
        let request = Request { required: &required, exclude: &[], target: &target, local: &local, indexes: &indexes };
        let command = Uv::new(None).resolution(&request, Path::new("/t"));
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_str().unwrap()).collect();
        insta::assert_snapshot!(arguments.join(" ").replace(" --", "\n--"), @"
        pip compile -
        --no-python-downloads
        --no-progress
        --color never
        --python-version 3.14
        --python-platform x86_64-manylinux_2_40
        --only-binary :all:
        --no-header
        --override /t/overrides.txt
        ");
        // The index, which may have a password, is not among the arguments.
        let variable = command.get_envs().find(|(name, _)| *name == "UV_DEFAULT_INDEX").unwrap();
        assert_eq!(variable.1.unwrap(), "https://mirror.example/simple");
    }

    #[test]
    fn the_default_index_is_parsed_from_uvs_output() {
        assert_eq!(
            index_line("# x\n--index-url https://mirror.example/\n").as_deref(),
            Some("https://mirror.example/")
        );
        assert_eq!(index_line("six==1\n"), None);
    }
}
