//! Resolution with the program `uv`. It is needed only to make a lock.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::str::FromStr as _;

use anyhow::Result;
use pep508_rs::{PackageName, Requirement, VersionOrUrl};
use sealift_deployment::failure::Failure;
use sealift_deployment::files::temporary_directory;
use url::Url;

use super::pylock;
use super::tags::Target;
use crate::lock::Wheel;

/// The content of a virtual environment.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Requirements in the form of PEP 508.
    pub requirements: &'a [String],
    /// Names of distributions to leave out, although others require them.
    pub exclude: &'a [String],
    /// The Python of the environment.
    pub target: &'a Target,
    /// The index; `None` for the one in uv's own configuration.
    pub index_url: Option<&'a Url>,
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
    pub fn resolve(&self, request: &Request) -> Result<Vec<Wheel>> {
        let requirements = requirements(request.requirements)?;
        let overrides = overrides(request.exclude)?;
        let directory = temporary_directory()?;
        // uv accepts only names of the form pylock.NAME.toml.
        let lock = directory.path().join("pylock.sealift.toml");
        let overrides_file = directory.path().join("overrides.txt");
        fs_err::write(&overrides_file, overrides)?;

        let command = self.resolution(request, directory.path(), &overrides_file, &lock);
        let output = self.run(command, &requirements)?;
        if !output.status.success() {
            return Err(explain(&output).into());
        }
        pylock::wheels(&fs_err::read_to_string(&lock)?, request.target)
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

    fn resolution(&self, request: &Request, directory: &Path, overrides: &Path, lock: &Path) -> Command {
        let mut command = self.command(directory);
        command
            .args(["--python-version", &request.target.python(), "--python-platform", &request.target.uv_platform()])
            .args(["--only-binary", ":all:", "--no-header", "--format", "pylock.toml"])
            .arg("--override")
            .arg(overrides)
            .arg("--output-file")
            .arg(lock);
        if let Some(index) = request.index_url {
            command.args(["--default-index", index.as_str()]);
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
    if has(&["network was disabled", "error sending request", "Failed to fetch", "dns error", "timed out"]) {
        Failure::network(message)
            .hint("check the Python index (--python-index), the proxy variables and the certificates")
    } else if has(&["No interpreter found"]) {
        Failure::failed(message).hint("uv needs a Python 3 of any version on this machine: install python3")
    } else {
        Failure::failed(message)
            .hint("only wheels are used; exclude a distribution that has none and is not needed, in the profile")
    }
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
        let request = Request { requirements: &[], exclude: &[], target: &target, index_url: None };
        let error = Uv::new(Some("/nonexistent/uv".into())).resolve(&request).unwrap_err();
        assert!(Failure::within(&error).unwrap().hint.as_ref().unwrap().contains("SEALIFT_UV"));
        assert_eq!(Uv::new(Some("/nonexistent/uv".into())).default_index(), None);
    }

    #[test]
    fn uv_is_run_for_wheels_only() {
        let target = Target::new("3.14", "linux/amd64".parse().unwrap(), "2.43").unwrap();
        let index = "https://mirror.example/simple".parse().unwrap();
        let request = Request { requirements: &[], exclude: &[], target: &target, index_url: Some(&index) };
        let paths = ["/t", "/t/overrides.txt", "/t/pylock.x.toml"].map(Path::new);
        let command = Uv::new(None).resolution(&request, paths[0], paths[1], paths[2]);
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
        --format pylock.toml
        --override /t/overrides.txt
        --output-file /t/pylock.x.toml
        --default-index https://mirror.example/simple
        ");
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
