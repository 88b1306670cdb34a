//! Runs a program of a package with as little as the kernel offers without root.
//!
//! - Landlock (Linux 5.13): it reads its own folder and the machine's programs and libraries, and writes one folder. From
//!   Linux 6.7 on it opens no TCP connection, from 6.12 on it signals no process outside.
//! - Namespaces of users, network, IPC and processes, where the machine has `unshare` (util-linux) and allows them: there is
//!   no network, and all that it started ends with it.
//! - Limits of memory, processor time, file size, open files and processes, by the shell; time and output, from outside.
//!
//! What a kernel or a machine lacks is left out. `docs/trust.md` says what holds then.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};
use sealift_deployment::process::{self, Finished, Keep, MESSAGES};

/// Longest run.
const WALL: Duration = Duration::from_secs(1800);
/// Programs and libraries of the machine: the shell and `unshare` need them.
const MACHINE: [&str; 8] =
    ["/usr", "/bin", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache", "/dev/null", "/dev/urandom"];
/// Memory 4 GiB, processor 15 minutes, a file 512 MiB, 256 open files, 64 processes (`-p` in dash, `-u` in bash), no core. A
/// stricter limit of the user stays.
const LIMITED: &str = "ulimit -v 4194304 2>/dev/null || :; ulimit -t 900 2>/dev/null || :; \
    ulimit -f 1048576 2>/dev/null || :; ulimit -n 256 2>/dev/null || :; ulimit -c 0 2>/dev/null || :; \
    ulimit -p 64 2>/dev/null || ulimit -u 64 2>/dev/null || :; exec \"$@\"";
const SHELL: &str = "/bin/sh";
const NAMESPACES: [&str; 7] = ["--user", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--"];

/// A program to run.
#[derive(Debug)]
pub(super) struct Confined<'a> {
    /// The program and its arguments.
    pub(super) command: Vec<OsString>,
    /// Its whole environment.
    pub(super) environment: Vec<(&'a str, OsString)>,
    /// The folder that it reads and runs in.
    pub(super) readable: &'a Path,
    /// The folder that it writes.
    pub(super) writable: &'a Path,
    /// Its standard input.
    pub(super) input: &'a [u8],
}

impl Confined<'_> {
    /// Runs the program to its end.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn run(&self) -> io::Result<Finished> {
        // The rules of Landlock hold for the thread, and for what it starts.
        let started = std::thread::scope(|scope| scope.spawn(|| self.start()).join().expect("starting does not panic"));
        process::finish(started?, self.input.to_vec(), Keep::First(0), Keep::First(MESSAGES), Some(WALL))
    }

    fn start(&self) -> io::Result<Child> {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(unshare) = namespaces() {
            words.push(unshare.into());
            words.extend(NAMESPACES.map(OsString::from));
        }
        // Nix builds where there is no shell, and limits what it builds itself.
        if Path::new(SHELL).exists() {
            words.extend([SHELL, "-c", LIMITED, "sh"].map(OsString::from));
        }
        words.extend(self.command.iter().cloned());
        // An old kernel has no Landlock, or one without some of the rules.
        let _ = restrict(self.readable, self.writable);
        Command::new(&words[0])
            .args(&words[1..])
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.readable)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
    }
}

/// Restricts this thread for ever.
fn restrict(readable: &Path, writable: &Path) -> Result<(), RulesetError> {
    let abi = ABI::V6;
    let machine: Vec<&Path> = MACHINE.iter().map(Path::new).filter(|path| path.exists()).collect();
    Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(machine, AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::from_file(abi)))?
        .add_rules(path_beneath_rules([readable], AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules([writable], AccessFs::from_all(abi)))?
        .restrict_self()?;
    Ok(())
}

/// The program `unshare`, if this machine allows new namespaces.
fn namespaces() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let program =
            ["/usr/bin/unshare", "/bin/unshare"].into_iter().map(PathBuf::from).find(|path| path.is_file())?;
        let mut probe = Command::new(&program);
        probe.args(NAMESPACES).args([SHELL, "-c", ":"]).env_clear();
        probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success()).then_some(program)
    };
    FOUND.get_or_init(find).as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        root: tempfile::TempDir,
        outside: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let place = Self { root: tempfile::tempdir().unwrap(), outside: tempfile::tempdir().unwrap() };
            fs_err::create_dir(place.root.path().join("work")).unwrap();
            fs_err::write(place.outside.path().join("secret"), "secret").unwrap();
            place
        }

        fn run(&self, script: &str, input: &[u8]) -> Finished {
            let outside = self.outside.path().as_os_str().to_owned();
            let confined = Confined {
                command: vec!["/bin/sh".into(), "-c".into(), script.into()],
                environment: vec![("OUTSIDE", outside), ("PATH", "/usr/bin:/bin".into())],
                readable: self.root.path(),
                writable: &self.root.path().join("work"),
                input,
            };
            confined.run().unwrap()
        }
    }

    fn has_landlock() -> bool {
        let result = std::thread::spawn(|| {
            let folder = tempfile::tempdir().unwrap();
            restrict(folder.path(), folder.path()).is_ok() && fs_err::read("/etc/passwd").is_err()
        });
        result.join().unwrap()
    }

    #[test]
    fn input_and_messages_pass_and_the_environment_is_its_own() {
        let place = Place::new();
        let finished = place.run("cat > work/out; echo \"$HOME\" >> work/out; echo oops >&2; exit 3", b"hello");
        assert_eq!((finished.status.unwrap().code(), finished.stderr.as_slice()), (Some(3), b"oops\n".as_slice()));
        assert_eq!(fs_err::read_to_string(place.root.path().join("work/out")).unwrap(), "hello\n");
        finished.written.unwrap();
    }

    #[test]
    fn nothing_outside_is_read_or_written() {
        if !has_landlock() {
            return;
        }
        let place = Place::new();
        for script in
            ["cat $OUTSIDE/secret", "echo x > $OUTSIDE/new", "ls $OUTSIDE", "echo x > outside-of-work", "ls /proc"]
        {
            assert_ne!(place.run(script, b"").status.unwrap().code(), Some(0), "{script}");
        }
        assert!(!place.outside.path().join("new").exists());
        assert_eq!(place.run("echo x > work/inside && cat work/inside", b"").status.unwrap().code(), Some(0));
    }

    #[test]
    fn messages_and_files_are_bounded() {
        let place = Place::new();
        let finished = place.run("head -c 1000000 /dev/zero | tr '\\0' x >&2 2>&1", b"");
        assert!(finished.stderr.len() <= MESSAGES);
        let finished = place.run("ulimit -f; ulimit -f >&2", b"");
        assert_eq!(finished.stderr, b"1048576\n");
    }

    #[test]
    fn a_program_that_reads_nothing_ends() {
        let finished = Place::new().run("exit 0", &vec![0; 1 << 20]);
        assert!(finished.status.unwrap().success() && finished.written.is_err());
    }
}
