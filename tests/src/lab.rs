//! The environment of one test: the profile `tiny`, a server with its packages and wheels, a store, and the program, which
//! runs without the machine's settings.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::archive::Archive;
use crate::archive::KNOWN_KEY;
use crate::bundle;
use crate::mirror::Mirror;
use crate::packed::static_program;
use crate::signing::Key;

/// The folder with the profiles of the tests.
const PROFILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles");

/// A temporary folder and a server.
#[derive(Debug)]
pub struct Lab {
    folder: TempDir,
    /// The Debian mirror and Python index.
    pub mirror: Mirror,
}

/// The result of a run of the program.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output, without parts that differ from run to run.
    pub stdout: String,
    /// Standard error, without parts that differ from run to run.
    pub stderr: String,
    /// The most memory that the program took, in bytes; 0 unless [`Lab::run`] has run it.
    pub peak: u64,
}

impl Lab {
    /// The profile without a lock, and a server with all packages and wheels.
    #[must_use]
    pub fn new() -> Self {
        Self::with(&Archive::default())
    }

    /// Like [`Lab::new`], but the server has the files of `archive`.
    ///
    /// # Panics
    /// A file cannot be written.
    #[must_use]
    pub fn with(archive: &Archive) -> Self {
        let lab = Self { folder: tempfile::tempdir().expect("a temporary directory"), mirror: Mirror::start() };
        copy(&Path::new(PROFILES).join("tiny"), &lab.path("tiny")).expect("the profile can be copied");
        fs_err::write(lab.path("tiny/files/archive-key.asc"), Key::new(KNOWN_KEY).certificate()).expect("a keyring");
        fs_err::create_dir(lab.path("home")).expect("a home");
        fs_err::write(lab.path("program"), static_program()).expect("a program");
        lab.publish(archive);
        lab
    }

    /// Like [`Lab::new`], with a lock.
    ///
    /// # Panics
    /// The lock cannot be made.
    #[must_use]
    pub fn locked() -> Self {
        let lab = Self::new();
        lab.lock();
        lab
    }

    /// Runs `sealift lock`.
    ///
    /// # Panics
    /// It fails.
    pub fn lock(&self) {
        let ended = self.run(&["lock", "tiny", "--resolve-only"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let _ = self.mirror.requests();
    }

    /// Adds the profile `bare`, with a lock: the greeter of `tiny` without containers.
    ///
    /// # Panics
    /// The lock cannot be made.
    pub fn without_containers(&self) {
        copy(&Path::new(PROFILES).join("bare"), &self.path("bare")).expect("the profile can be copied");
        let ended = self.run(&["lock", "bare", "--resolve-only"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let _ = self.mirror.requests();
    }

    /// Replaces the files of the server by those of `archive`.
    ///
    /// # Panics
    /// A file cannot be written.
    pub fn publish(&self, archive: &Archive) {
        self.mirror.publish(archive.publish());
        // Replaces uv: writes the same pylock.toml. The golden tests also run the real uv.
        let script = format!(
            "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" = --output-file ] && out=$2; shift; done\n\
             cat > \"$out\" <<'END'\n{}END\n",
            archive.pylock(&self.mirror.url())
        );
        fs_err::write(self.path("uv"), script).expect("a script");
        fs_err::set_permissions(self.path("uv"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Replaces `from` by `to` in a text file.
    ///
    /// # Panics
    /// `from` does not occur exactly once.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let text = fs_err::read_to_string(self.path(file)).expect("a text file");
        assert_eq!(text.matches(from).count(), 1, "`{from}` in {file}");
        fs_err::write(self.path(file), text.replace(from, to)).expect("it can be written");
    }

    /// The program with these arguments. It runs in the folder; its store is `store`, its home `home`.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(bundle::program().expect("the program is built"));
        // Without it, a statically linked program under test would be part of the bundle.
        if arguments.first() == Some(&"build") {
            command.args(["build", "--program"]).arg(self.path("program"));
        }
        let arguments = arguments.strip_prefix(&["build"]).unwrap_or(arguments);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("SEALIFT_STORE", self.path("store"))
            .env("SEALIFT_PROFILES", self.folder.path())
            .env("SEALIFT_UV", self.path("uv"))
            .env("SEALIFT_DEBIAN_MIRROR", self.mirror.url())
            .env("PIP_INDEX_URL", format!("{}/simple", self.mirror.url()));
        command
    }

    /// Runs the program.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let (output, peak) = measured(&mut self.command(arguments));
        Ended { peak, ..self.ended(&output) }
    }

    /// The result of a run, without parts that differ from run to run.
    #[must_use]
    pub fn ended(&self, output: &Output) -> Ended {
        let text = |bytes: &[u8]| self.neutral(&String::from_utf8_lossy(bytes));
        Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr), peak: 0 }
    }

    /// Replaces the folder by `[LAB]` and the server by `http://mirror.example`, and removes progress.
    #[must_use]
    pub fn neutral(&self, text: &str) -> String {
        let folder = self.folder.path().display().to_string();
        let named = text.replace(&self.mirror.url(), "http://mirror.example").replace(&folder, "[LAB]");
        // Progress depends on the speed of the machine.
        let progress = |line: &&str| ["Fetching", "Assembling", "Checking"].iter().any(|word| line.starts_with(word));
        named.split_inclusive('\n').filter(|line| !progress(line)).collect()
    }

    /// The paths of all files below a folder, sorted.
    ///
    /// # Panics
    /// The folder cannot be read.
    #[must_use]
    pub fn below(&self, folder: &str) -> Vec<String> {
        let root = self.path(folder);
        let mut files = Vec::new();
        let mut open = vec![root.clone()];
        while let Some(directory) = open.pop() {
            for path in sealift_deployment::files::sorted_dir(&directory).expect("a folder") {
                if path.is_dir() { open.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files.iter().map(|path| path.strip_prefix(&root).expect("below it").display().to_string()).collect()
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Ended {
    /// The exit code and standard error, for snapshots.
    #[must_use]
    pub fn transcript(&self) -> String {
        let code = self.code.map_or("killed".to_owned(), |code| code.to_string());
        format!("exit {code}\n{}", self.stderr)
    }
}

/// Runs a command, and reads from time to time the most memory that it had in use (`VmHWM` in proc(5)), which is gone with
/// the process.
fn measured(command: &mut Command) -> (Output, u64) {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program can be run");
    let mut peak = 0;
    let status = format!("/proc/{}/status", child.id());
    let (mut stdout, mut stderr) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
    std::thread::scope(|scope| {
        let out = scope.spawn(move || read_all(&mut stdout));
        let error = scope.spawn(move || read_all(&mut stderr));
        let ended = loop {
            // Not `wait` first: the file is there as long as the child has not been waited for, but its memory is not.
            let text = fs_err::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
            peak = peak.max(line.and_then(|number| number.parse().ok()).unwrap_or(0) * 1024);
            if let Some(ended) = child.try_wait().expect("a child") {
                break ended;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let [stdout, stderr] = [out, error].map(|reader| reader.join().expect("it can be read"));
        (Output { status: ended, stdout, stderr }, peak)
    })
}

fn read_all(pipe: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).expect("it can be read");
    bytes
}

/// Replaces each digest in `text` by `[DIGEST]`.
#[must_use]
pub fn without_digests(text: &str) -> String {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let words = text.split_inclusive(|c| !is_hex(c)).map(|word| match word.trim_end_matches(|c| !is_hex(c)) {
        hex if hex.len() == 64 => format!("[DIGEST]{}", &word[64..]),
        _ => word.to_owned(),
    });
    words.collect()
}

/// Copies a folder with its permissions.
///
/// # Errors
/// A file cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs_err::create_dir_all(to)?;
    for path in sealift_deployment::files::sorted_dir(from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() { copy(&path, &target)? } else { fs_err::copy(&path, &target).map(drop)? }
    }
    Ok(())
}
