//! Changes of known inputs without guidance: `unguided NAME RUNS MAX_LEN ARTIFACTS FOLDER...`.
//!
//! libFuzzer needs a program that counts its branches and comparisons, which makes it several times slower. Once it has found
//! inputs that take different paths, this program changes those, at full speed. The changes are the same in every run for the
//! same inputs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{ExitCode, exit};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sealift_tests::fuzz::TARGETS;
use sealift_tests::fuzz::mutation::{Numbers, change};

/// An input that takes longer than this is a fault.
const SLOW: Duration = Duration::from_secs(20);

/// The input that is checked, and since when.
static CURRENT: Mutex<(Option<Instant>, Vec<u8>)> = Mutex::new((None, Vec::new()));

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, runs, most, artifacts, folders @ ..] = &arguments[..] else {
        eprintln!("usage: unguided NAME RUNS MAX_LEN ARTIFACTS FOLDER...");
        return ExitCode::from(2);
    };
    let target = TARGETS.iter().find(|target| target.name == name).expect("the name of a kind of input");
    let (runs, most): (u64, usize) = (runs.parse().expect("a number"), most.parse().expect("a number"));
    let (inputs, words) = (inputs(folders, most), words(name));
    println!("{} inputs and {} words to start from", inputs.len(), words.len());
    let folder = artifacts.clone();
    std::thread::spawn(move || watch(&folder));
    let mut data = Vec::new();
    for round in 0..runs {
        let mut numbers = Numbers::new(round + 1);
        data.clear();
        data.extend_from_slice(&inputs[numbers.below(inputs.len())]);
        let others = if words.is_empty() || numbers.below(3) > 0 { &inputs } else { &words };
        change(&mut data, &others[numbers.below(others.len())], &mut numbers);
        data.truncate(most);
        {
            let mut current = CURRENT.lock().expect("no panic");
            current.0 = Some(Instant::now());
            current.1.clone_from(&data);
        }
        if catch_unwind(AssertUnwindSafe(|| (target.check)(&data))).is_err() {
            save(artifacts, "failed", &data);
            println!("{round} executions");
            return ExitCode::FAILURE;
        }
    }
    println!("{runs} executions");
    ExitCode::SUCCESS
}

/// The files of all folders, in the order of their names, without those that are too large.
fn inputs(folders: &[String], most: usize) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    for folder in folders {
        let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut paths: Vec<_> = entries.collect();
        paths.sort();
        all.extend(paths.iter().map(|path| std::fs::read(path).expect("a file")).filter(|data| data.len() <= most));
    }
    all
}

/// The words of the kind's dictionary: `"TEXT"` in each line, with `\\`, `\"` and `\xAB`.
fn words(name: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(format!("dictionaries/{name}.dict")).unwrap_or_default();
    let word = |line: &str| {
        let line = line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).expect("a word in quotes");
        let (mut word, mut rest) = (Vec::new(), line.bytes());
        while let Some(byte) = rest.next() {
            match (byte, if byte == b'\\' { rest.next() } else { None }) {
                (_, Some(b'x')) => {
                    let digits = [rest.next(), rest.next()].map(|digit| char::from(digit.unwrap_or(b'0')));
                    let digits: String = digits.iter().collect();
                    word.push(u8::from_str_radix(&digits, 16).expect("two digits"));
                }
                (_, Some(escaped)) => word.push(escaped),
                (plain, None) => word.push(plain),
            }
        }
        word
    };
    text.lines().map(word).collect()
}

/// Ends the program when an input takes too long.
fn watch(artifacts: &str) {
    loop {
        std::thread::sleep(Duration::from_secs(5));
        let current = CURRENT.lock().expect("no panic");
        if current.0.is_some_and(|start| start.elapsed() > SLOW) {
            save(artifacts, "slow", &current.1);
            exit(1);
        }
    }
}

fn save(artifacts: &str, what: &str, data: &[u8]) {
    let path = Path::new(artifacts).join(what);
    std::fs::write(&path, data).expect("a file");
    println!("{what}: {}: b\"{}\"", path.display(), data.escape_ascii());
}
