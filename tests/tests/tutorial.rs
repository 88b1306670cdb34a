//! `docs/tutorial.md`, followed literally.
//!
//! The test runs its fenced blocks in order, by their language:
//!
//! - `toml title=PATH` (or any other language): the file is written. With `diff` it is edited: the lines are there without
//!   those that begin with `+`, and are replaced by those without the ones that begin with `-`.
//! - `sh`: the commands are run; with `sh host` on the host, which has podman and no network. On each machine, a block starts
//!   in the folder where the block before ended.
//! - `text`: what the commands before print. Each line occurs in this order; `...` stands for anything, and the number of
//!   blanks does not matter.

#![allow(clippy::disallowed_methods, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sealift_tests::bundle::program;
use sealift_tests::command::{self, report};
use sealift_tests::podman::Podman;
use sealift_tests::real::repository;
use tempfile::TempDir;

/// What the reader does with a block.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Write(String),
    Edit(String),
    Build,
    Host,
    Output,
}

/// A fenced block of the tutorial.
struct Block {
    /// Its first line, counted from 1.
    line: usize,
    step: Step,
    text: String,
}

fn step(info: &str) -> Result<Step> {
    let (language, attribute) = info.split_once(' ').unwrap_or((info, ""));
    Ok(match (language, attribute.split_once('=').unwrap_or((attribute, ""))) {
        ("sh", ("", "")) => Step::Build,
        ("sh", ("host", "")) => Step::Host,
        ("text", ("", "")) => Step::Output,
        ("diff", ("title", path)) if !path.is_empty() => Step::Edit(path.to_owned()),
        (_, ("title", path)) if !path.is_empty() => Step::Write(path.to_owned()),
        _ => bail!("nothing follows from a block `{info}`"),
    })
}

fn blocks(text: &str) -> Result<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in (1..).zip(text.lines()) {
        match line.strip_prefix("```") {
            Some("") if open => open = false,
            Some(info) => {
                let step = step(info).with_context(|| format!("docs/tutorial.md:{number}"))?;
                blocks.push(Block { line: number, step, text: String::new() });
                open = true;
            }
            None if open => {
                let block = blocks.last_mut().context("a block is open")?;
                block.text += &format!("{line}\n");
            }
            None => {}
        }
    }
    ensure!(!open, "the last block has no end");
    Ok(blocks)
}

fn tutorial() -> Result<Vec<Block>> {
    blocks(&fs_err::read_to_string(repository().join("docs/tutorial.md"))?)
}

/// `text` after the change that `diff` shows.
fn edited(text: &str, diff: &str) -> Result<String> {
    let side = |other: char| -> String {
        let lines = diff.split_inclusive('\n').filter(|line| !line.starts_with(other));
        lines.map(|line| line.strip_prefix([' ', '+', '-']).unwrap_or(line)).collect()
    };
    let (old, new) = (side('+'), side('-'));
    ensure!(text.matches(&old).count() == 1, "this is not there once:\n{old}");
    Ok(text.replace(&old, &new))
}

/// The first line of `expected` that does not occur in `output` after those before it.
fn missing<'a>(expected: &'a str, output: &str) -> Option<&'a str> {
    let mut lines = output.lines();
    let words = |line: &str| line.split_whitespace().collect::<Vec<&str>>().join(" ");
    expected.lines().find(|wanted| !lines.any(|line| fits(&words(wanted), &words(line))))
}

/// Whether `line` is `pattern`, in which `...` stands for anything.
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// The reader's machines. They share a folder, so that nothing has to be copied from one to the other.
struct Reader {
    place: TempDir,
    /// The host's engine, without any network.
    podman: Option<Podman>,
    /// Folder of the next block on the machine that builds.
    build: PathBuf,
    /// Folder of the next block on the host.
    host: PathBuf,
}

impl Reader {
    fn new(podman: Option<Podman>) -> Result<Self> {
        let place = tempfile::Builder::new().prefix("sl-tutorial").tempdir()?;
        let (bin, folder) = (place.path().join("bin"), place.path().join("work"));
        fs_err::create_dir(&bin)?;
        fs_err::create_dir(&folder)?;
        std::os::unix::fs::symlink(fs_err::canonicalize(program()?)?, bin.join("sealift"))?;
        Ok(Self { place, podman, build: folder.clone(), host: folder })
    }

    fn path(&self, relative: &str) -> Result<PathBuf> {
        let path = self.place.path().join("work").join(relative);
        fs_err::create_dir_all(path.parent().context("a file is in a folder")?)?;
        Ok(path)
    }

    /// Runs a block; returns its output.
    fn run(&mut self, block: &Block) -> Result<String> {
        let end = self.place.path().join("end");
        let on_host = block.step == Step::Host;
        let folder = if on_host { &mut self.host } else { &mut self.build };
        let mut shell = match &self.podman {
            Some(podman) if on_host => podman.command(folder, "sh"),
            _ => Command::new("sh"),
        };
        // A bundle contains the program only if it is statically linked, as `./build` makes it. Otherwise the one in the PATH
        // replaces it: a bundle with another file in its folder is refused.
        let is_alone = folder.join("bundle.json").exists() && !folder.join("sealift").exists();
        let text = if is_alone { block.text.replace("./sealift", "sealift") } else { block.text.clone() };
        let script = format!("exec 2>&1\nset -eu\n{text}\npwd >'{}'\n", end.display());
        let path = std::env::var("PATH").unwrap_or_default();
        shell.args(["-c", &script]).current_dir(&*folder).env_remove("SOURCE_DATE_EPOCH");
        shell.env("PATH", format!("{}:{path}", self.place.path().join("bin").display()));
        if on_host {
            shell.env("no_proxy", "*");
        }
        let output = command::output(&mut shell)?;
        *folder = PathBuf::from(fs_err::read_to_string(end)?.trim_end());
        Ok(output)
    }
}

#[test]
#[ignore = "may fetch 20 MB; needs root and podman for its last part: tests/run"]
fn each_step_of_the_tutorial_works() -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    if !root {
        report("passed over: the host's steps, since podman in a network of its own needs root");
    }
    let mut reader = Reader::new(if root { Some(Podman::new()?) } else { None })?;
    let mut output = String::new();
    for block in tutorial()? {
        let at = format!("docs/tutorial.md:{}", block.line);
        match &block.step {
            Step::Write(path) => fs_err::write(reader.path(path)?, &block.text)?,
            Step::Edit(path) => {
                let path = reader.path(path)?;
                let text = edited(&fs_err::read_to_string(&path)?, &block.text).with_context(|| at)?;
                fs_err::write(&path, text)?;
            }
            Step::Host if !root => output.clear(),
            Step::Build | Step::Host => {
                output = reader.run(&block).with_context(|| format!("{at}\n{}", story(&reader)))?;
            }
            Step::Output if output.is_empty() => {}
            Step::Output => {
                let missing = missing(&block.text, &output);
                ensure!(missing.is_none(), "{at}: `{}` is not in\n{output}", missing.unwrap_or_default());
            }
        }
    }
    Ok(())
}

fn story(reader: &Reader) -> String {
    reader.podman.as_ref().map_or_else(String::new, Podman::story)
}

#[test]
fn the_tutorial_has_files_commands_and_a_host() -> Result<()> {
    let blocks = tutorial()?;
    let has = |wanted: fn(&Step) -> bool| blocks.iter().any(|block| wanted(&block.step));
    ensure!(has(|step| matches!(step, Step::Write(path) if Path::new(path).ends_with("profile.toml"))));
    ensure!(has(|step| *step == Step::Build) && has(|step| *step == Step::Host) && has(|step| *step == Step::Output));
    for block in blocks {
        ensure!(!block.text.trim().is_empty(), "docs/tutorial.md:{}: an empty block", block.line);
    }
    Ok(())
}

#[test]
fn the_info_string_of_a_block_selects_its_step() -> Result<()> {
    let text =
        "# A\n```toml title=a/profile.toml\nb = 1\n```\n```sh\nls\n```\n```sh host\nid\n```\n```text\nuid=...\n```\n";
    let blocks = blocks(text)?;
    let steps: Vec<&Step> = blocks.iter().map(|block| &block.step).collect();
    ensure!(
        steps == [&Step::Write("a/profile.toml".to_owned()), &Step::Build, &Step::Host, &Step::Output],
        "{steps:?}"
    );
    ensure!(blocks[0].line == 2 && blocks[0].text == "b = 1\n");
    ensure!(step("sh nowhere").is_err() && step("toml").is_err());
    Ok(())
}

#[test]
fn a_diff_replaces_lines_that_are_there_once() -> Result<()> {
    ensure!(edited("a\nb\nc\n", " b\n+B\n-c\n")? == "a\nb\nB\n");
    ensure!(edited("a\na\n", " a\n+b\n").is_err() && edited("a\n", " b\n+c\n").is_err());
    Ok(())
}

#[test]
fn shown_output_is_compared_line_by_line_with_gaps() {
    assert!(fits("wrote ... (... MB)", "wrote board.tar (12.1 MB)") && fits("...", "") && fits("a...", "abc"));
    assert!(!fits("wrote ...s", "wrote board.tar") && !fits("a", "ab") && !fits("a...b", "ac"));
    assert_eq!(missing("one\nthree\n", "one\ntwo\nthree\n"), None);
    assert_eq!(missing("three\none\n", "one\ntwo\nthree\n"), Some("one"));
}
