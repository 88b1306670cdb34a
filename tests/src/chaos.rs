//! Faults at random: moments and bytes that depend on a seed only, and a table of what happened.
//!
//! `SEALIFT_CHAOS_ROUNDS` is the number of faults of each kind (a few by default, so that the tests take little time), and
//! `SEALIFT_CHAOS_SEED` the seed. `tests/chaos/run` sets both.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::report;
use crate::lab::Ended;

/// Random numbers (splitmix64): the same ones for the same seed and name.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of the test `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let seed = setting("SEALIFT_CHAOS_SEED").unwrap_or(1);
        Self(name.bytes().fold(seed, |state, byte| state.wrapping_mul(31).wrapping_add(byte.into())))
    }

    /// A number below `limit`.
    ///
    /// # Panics
    /// `limit` is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let limit = u64::try_from(limit).expect("64 bits");
        usize::try_from((mixed ^ (mixed >> 31)) % limit).expect("below a usize")
    }

    /// Whether something happens that happens once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// A moment of a run that takes this long.
    ///
    /// # Panics
    /// The duration is zero.
    pub fn moment(&mut self, whole: Duration) -> Duration {
        let limit = usize::try_from(whole.as_micros()).expect("a short run");
        Duration::from_micros(u64::try_from(self.below(limit)).expect("64 bits"))
    }

    /// Flips a bit of the file. Returns its offset.
    ///
    /// # Panics
    /// The file is empty, or cannot be read or written.
    pub fn flip(&mut self, path: &Path) -> usize {
        let mut bytes = fs_err::read(path).expect("a file");
        let at = self.below(bytes.len());
        bytes[at] ^= 1 << self.below(8);
        fs_err::write(path, bytes).expect("it can be written");
        at
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// The number of faults: `few`, or the number in `SEALIFT_CHAOS_ROUNDS`.
#[must_use]
pub fn rounds(few: usize) -> usize {
    setting("SEALIFT_CHAOS_ROUNDS").and_then(|rounds| rounds.try_into().ok()).unwrap_or(few)
}

/// How long a command runs that succeeds.
///
/// # Panics
/// It fails.
#[track_caller]
pub fn duration(command: &mut Command) -> Duration {
    let start = Instant::now();
    let output = command.output().expect("the program can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    start.elapsed()
}

/// Starts a command and kills it after `moment` with SIGKILL. Returns whether it was still running.
///
/// # Panics
/// It cannot be started.
pub fn killed(command: &mut Command, moment: Duration) -> bool {
    let mut child: Child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    std::thread::sleep(moment);
    let running = child.try_wait().expect("a child").is_none();
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    running
}

/// Asserts that the program ended by itself and without a panic.
///
/// # Panics
/// It did not.
#[track_caller]
pub fn orderly(what: &str, ended: &Ended) {
    let panicked = ended.stderr.contains("panicked") || ended.code == Some(101);
    assert!(!panicked && ended.code.is_some(), "{what}: {ended:?}");
}

/// How often each thing happened, as a line for docs/reliability.md.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<String, usize>);

impl Tally {
    /// Counts `what`.
    pub fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// Counts `what` several times, or makes it known that it never happened.
    pub fn add(&mut self, what: &str, times: usize) {
        *self.0.entry(what.to_owned()).or_default() += times;
    }

    /// How often `what` happened.
    #[must_use]
    pub fn of(&self, what: &str) -> usize {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Prints the line, with the seconds since `start`.
    pub fn print(&self, name: &str, start: Instant) {
        let parts: Vec<String> = self.0.iter().map(|(what, times)| format!("{times} {what}")).collect();
        report(&format!("chaos: {name}: {} ({} s)", parts.join(", "), start.elapsed().as_secs()));
    }
}
