//! Resolution with the program `uv`. It is needed only to make a lock.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use pep508_rs::{PackageName, Requirement, VersionOrUrl};
use sealift_deployment::failure::Failure;
use sealift_layers::ingredients::wheel::normalize;
use url::Url;

use super::index::{Indexes, Role};
use super::pylock::{self, Chosen};
use super::tags::Target;

/// The content of a virtual environment.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Requirements in the form of PEP 508.
    pub requirements: &'a [String],
    /// Names of distributions to leave out, although others require them.
    pub exclude: &'a [String],
    /// The Python of the environment.
    pub target: &'a Target,
    /// The indexes.
    pub indexes: &'a Indexes,
}

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

    /// The wheels of an environment, sorted by file name. Source distributions are not used: building one runs its code.
    ///
    /// # Errors
    /// A usage failure for a malformed requirement; a network failure if the index cannot be reached; otherwise uv's error
    /// message.
    pub fn resolve(&self, request: &Request<'_>) -> Result<Vec<Chosen>> {
        let requirements = requirements(request.requirements)?;
        let overrides = overrides(request.exclude)?;
        let directory = tempfile::tempdir().context("cannot create a temporary directory for uv")?;
        // uv accepts only names of the form pylock.NAME.toml.
        let lock = directory.path().join("pylock.sealift.toml");
        let overrides_file = directory.path().join("overrides.txt");
        fs_err::write(&overrides_file, overrides)?;

        let mut command = self.resolution(request, directory.path(), &overrides_file);
        command.args(["--format", "pylock.toml", "--output-file"]).arg(&lock);
        let output = self.run(command, &requirements)?;
        if !output.status.success() {
            return Err(explain(&output).into());
        }
        let mut chosen = pylock::wheels(&fs_err::read_to_string(&lock)?, request.target)?;
        if request.indexes.list().iter().any(|index| index.name.is_some() && index.role != Role::Default) {
            self.name_indexes(request, directory.path(), &overrides_file, &requirements, &mut chosen)?;
        }
        Ok(chosen)
    }

    /// Asks uv once more, which remembers the answers: from which index is each distribution? A pylock does not say so.
    fn name_indexes(
        &self,
        request: &Request<'_>,
        directory: &Path,
        overrides: &Path,
        requirements: &str,
        chosen: &mut [Chosen],
    ) -> Result<()> {
        let mut command = self.resolution(request, directory, overrides);
        command.args(["--format", "requirements.txt", "--no-annotate", "--emit-index-annotation"]);
        let output = self.run(command, requirements)?;
        if !output.status.success() {
            return Err(explain(&output).into());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let from = annotations(&text);
        for wheel in chosen {
            let url = from.iter().find(|(name, _)| *name == wheel.name).map(|(_, url)| url.trim_end_matches('/'));
            let index = request.indexes.list().iter().filter(|index| index.role != Role::Default);
            let mut found = index.filter(|index| Some(index.address.url().as_str().trim_end_matches('/')) == url);
            wheel.index = found.next().and_then(|index| index.name.clone());
        }
        Ok(())
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

    fn resolution(&self, request: &Request<'_>, directory: &Path, overrides: &Path) -> Command {
        let mut command = self.command(directory);
        command
            .args(["--python-version", &request.target.python(), "--python-platform", &request.target.uv_platform()])
            .args(["--only-binary", ":all:", "--no-header"])
            .arg("--override")
            .arg(overrides);
        for (name, value) in request.indexes.environment() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// `uv pip compile -`, without the settings of a project, and with the machine's trust store. Any Python of the machine
    /// is sufficient: with wheels only, none of its code is used.
    fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new(&self.0);
        command
            .current_dir(directory)
            .args(["pip", "compile", "-", "--no-python-downloads", "--no-progress", "--color", "never"])
            .env("UV_SYSTEM_CERTS", "1")
            .env_remove("VIRTUAL_ENV")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, mut command: Command, input: &str) -> Result<Output> {
        let mut child = command.spawn().map_err(|error| self.cannot_run(error))?;
        let mut stdin = child.stdin.take().expect("the command pipes its input");
        // uv may exit before it has read all input; its error message is then more useful.
        match stdin.write_all(input.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
            _ => drop(stdin),
        }
        Ok(child.wait_with_output()?)
    }

    fn cannot_run(&self, error: io::Error) -> Failure {
        Failure::failed(format!("cannot run `{}`, which resolves Python requirements", self.0.display()))
            .because(error)
            .hint("install uv (needed only to make a lock), or set SEALIFT_UV to its path")
    }
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

/// The error for uv's output. Distinguishes network errors from unsatisfiable requirements.
fn explain(output: &Output) -> Failure {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("warning:")).collect();
    let text = lines.join("\n").trim().to_owned();
    let has = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    let message = format!("uv cannot resolve the Python requirements:\n{text}");
    if has(&["authentication credentials", "401 Unauthorized", "403 Forbidden"]) {
        Failure::network(message).hint(
            "put the user name and password into the index's URL, ~/.netrc, or UV_INDEX_NAME_USERNAME and \
             UV_INDEX_NAME_PASSWORD; `sealift mirrors` shows what is used",
        )
    } else if has(&["network was disabled", "error sending request", "Failed to fetch", "dns error", "timed out"]) {
        Failure::network(message)
            .hint("check the Python index (--python-index), the proxy variables and the certificates")
    } else if has(&["No interpreter found"]) {
        Failure::failed(message).hint("uv needs a Python 3 of any version on this machine: install python3")
    } else {
        Failure::failed(message)
            .hint("only wheels are used; exclude a distribution that has none and is not needed, in the profile")
    }
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
    use std::os::unix::process::ExitStatusExt as _;

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
    fn network_errors_are_distinguished_from_unsatisfiable_requirements() {
        let of = |stderr: &str| {
            let output = Output {
                status: std::process::ExitStatus::from_raw(256),
                stdout: Vec::new(),
                stderr: stderr.as_bytes().to_vec(),
            };
            explain(&output)
        };
        let network = of("warning: x\nerror: Failed to fetch: http://mirror.example/six/\n  cause: Connection refused");
        assert_eq!(network.kind, Kind::Network);
        insta::assert_snapshot!(network, @"
        uv cannot resolve the Python requirements:
        error: Failed to fetch: http://mirror.example/six/
          cause: Connection refused
        ");
        assert_eq!(of("error: No solution found\n  cause: Because there is no version of six==99").kind, Kind::Failed);
    }

    #[test]
    fn the_hint_for_a_missing_uv_names_the_variable() {
        let target = Target::new("3.14", "linux/amd64".parse().unwrap(), "2.43").unwrap();
        let request = Request { requirements: &[], exclude: &[], target: &target, indexes: &indexes() };
        let error = Uv::new(Some("/nonexistent/uv".into())).resolve(&request).unwrap_err();
        assert!(Failure::within(&error).unwrap().hint.as_ref().unwrap().contains("SEALIFT_UV"));
        assert_eq!(Uv::new(Some("/nonexistent/uv".into())).default_index(), None);
    }

    #[test]
    fn uv_is_run_for_wheels_only() {
        let target = Target::new("3.14", "linux/amd64".parse().unwrap(), "2.43").unwrap();
        let request = Request { requirements: &[], exclude: &[], target: &target, indexes: &indexes() };
        let command = Uv::new(None).resolution(&request, Path::new("/t"), Path::new("/t/overrides.txt"));
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
