//! Input that tries to do harm, or that has two meanings: refused, each with the whole message in a snapshot.
//!
//! Each case has a name and a reason. A group's messages are in one snapshot; `tests/hostile/` has a file for each group.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../hostile/archive_files.rs"]
mod archive_files;
#[path = "../hostile/archives.rs"]
mod archives;
#[path = "../hostile/bundles.rs"]
mod bundles;
#[path = "../hostile/indexes.rs"]
mod indexes;
#[path = "../hostile/locks.rs"]
mod locks;
#[path = "../hostile/profiles.rs"]
mod profiles;
#[path = "../hostile/settings.rs"]
mod settings;
#[path = "../hostile/sizes.rs"]
mod sizes;
#[path = "../hostile/special.rs"]
mod special;
#[path = "../hostile/wheels.rs"]
mod wheels;

use std::fmt::Write as _;

use sealift_tests::command::report;
use sealift_tests::lab::{Ended, Lab, without_digests};

/// The most memory in bytes that a run may take, whatever its input.
const MEMORY: u64 = 256_000_000;

/// The cases of a group, and what the program said to each.
struct Group {
    name: &'static str,
    text: String,
    cases: usize,
    /// The most memory in bytes that one of them took.
    peak: u64,
    /// Cases that were not refused in an orderly way.
    wrong: Vec<String>,
}

impl Group {
    fn new(name: &'static str) -> Self {
        Self { name, text: String::new(), cases: 0, peak: 0, wrong: Vec::new() }
    }

    /// Adds a case: the program must have refused it, with one of its exit codes and without a panic.
    fn refused(&mut self, name: &str, reason: &str, ended: &Ended) {
        self.cases += 1;
        self.peak = self.peak.max(ended.peak);
        if ended.peak > MEMORY {
            self.wrong.push(format!("{name} takes {} bytes of memory", ended.peak));
        }
        if !matches!(ended.code, Some(1..=4)) || ended.stderr.contains("panicked") {
            self.wrong.push(format!("{name}: {ended:?}"));
        }
        let said = without_digests(&format!("{}{}", ended.stdout, ended.stderr));
        write!(self.text, "## {name}: {reason}\nexit {}\n{said}\n", ended.code.unwrap_or(-1)).unwrap();
    }

    /// Adds a case that does no harm.
    fn accepted(&mut self, name: &str) {
        self.cases += 1;
        write!(self.text, "## {name}\naccepted\n\n").unwrap();
    }

    /// Compares with the snapshot. `at_least` cases must have been tried.
    fn finish(self, at_least: usize) {
        let megabytes = self.peak.div_ceil(1_000_000);
        report(&format!("memory: {}: {} cases, at most {megabytes} MB", self.name, self.cases));
        assert!(self.wrong.is_empty(), "{} are not refused:\n{}", self.wrong.len(), self.wrong.join("\n"));
        assert!(self.cases >= at_least, "{} cases", self.cases);
        snapshot(self.name, &self.text);
    }
}

fn snapshot(name: &str, text: &str) {
    insta::assert_snapshot!(name, text);
}

/// Runs the program with a text file changed: `from`, which occurs once, becomes `to`. Then it is as before.
fn with_edit(lab: &Lab, file: &str, from: &str, to: &str, arguments: &[&str]) -> Ended {
    let before = fs_err::read(lab.path(file)).unwrap();
    lab.edit(file, from, to);
    let ended = lab.run(arguments);
    fs_err::write(lab.path(file), before).unwrap();
    ended
}
