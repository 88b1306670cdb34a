//! `requirements.txt`: requirements, constraints and hashes, in files that include each other ("Requirements File Format" of
//! pip's documentation).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_layers::ingredients::wheel::normalize;

/// SHA-256 hashes that the wheel of a distribution may have, in lower-case hex, by the distribution's normalised name.
pub type Hashes = BTreeMap<String, BTreeSet<String>>;

/// What is required.
#[derive(Clone, Debug, Default)]
pub struct Requirements {
    /// Requirements in the form of PEP 508.
    pub requirements: Vec<String>,
    /// Constraints in the same form.
    pub constraints: Vec<String>,
    /// The hashes of those that have some.
    pub hashes: Hashes,
    /// Whether versions before a release count (`--pre`).
    pub prereleases: bool,
    /// Options that have no effect, each with its place.
    pub ignored: Vec<String>,
}

/// Options that decide how pip builds and chooses files. Only wheels are used anyway, and hashes are always checked.
const WITHOUT_EFFECT: [&str; 5] =
    ["--only-binary", "--prefer-binary", "--require-hashes", "--no-binary", "--use-feature"];
/// Options that name servers: the machine's configuration does.
const SERVERS: [&str; 5] = ["-i", "--index-url", "--extra-index-url", "--trusted-host", "--no-index"];

/// Most files that include each other. A file has any number of names (`x/../x`), so it could include itself without end.
const FILES: usize = 100;

impl Requirements {
    /// Reads a file and those that it includes.
    ///
    /// # Errors
    /// A file cannot be read; or a usage failure for a line that no wheel of an index can satisfy, with its place.
    pub fn read(path: &Path) -> Result<Self> {
        let mut all = Self::default();
        all.add_file(path, false, &mut BTreeSet::new())?;
        Ok(all)
    }

    /// Adds a requirement with its hashes (`NAME==1 --hash=sha256:...`).
    ///
    /// # Errors
    /// A hash is none, or of another kind than SHA-256.
    pub fn add(&mut self, text: &str, is_constraint: bool) -> Result<(), String> {
        let (requirement, options) = text.find(" --").map_or((text, ""), |end| text.split_at(end));
        let mut hashes = BTreeSet::new();
        for option in options.replace("--hash ", "--hash=").split_whitespace() {
            let hash =
                option.strip_prefix("--hash=").ok_or_else(|| format!("the option `{option}` is not supported"))?;
            match hash.split_once(':') {
                Some(("sha256", hex)) => hashes.insert(hex.to_ascii_lowercase()),
                Some(("sha384" | "sha512", _)) => false,
                _ => return Err(format!("`{hash}` is not a hash such as sha256:0123...")),
            };
        }
        if !options.trim().is_empty() && hashes.is_empty() {
            return Err("it has no SHA-256 among its hashes".into());
        }
        let requirement = requirement.trim().to_owned();
        if !hashes.is_empty() {
            self.hashes.entry(distribution(&requirement)).or_default().extend(hashes);
        }
        let list = if is_constraint { &mut self.constraints } else { &mut self.requirements };
        list.push(requirement);
        Ok(())
    }

    fn add_file(&mut self, path: &Path, is_constraint: bool, seen: &mut BTreeSet<PathBuf>) -> Result<()> {
        if !seen.insert(path.to_owned()) {
            return Ok(());
        }
        if seen.len() > FILES {
            let message = format!("{}: more than {FILES} files include each other", path.display());
            return Err(Failure::usage(message).into());
        }
        let text = files::read_text(path)
            .map_err(|error| Failure::usage("cannot read a file with requirements").because(error))?;
        for (number, line) in lines(&text) {
            let place = format!("{}:{number}", path.display());
            if let Some((option, value)) = option(&line) {
                let folder = path.parent().unwrap_or(Path::new(""));
                match option {
                    "-r" | "--requirement" => self.add_file(&folder.join(value), is_constraint, seen)?,
                    "-c" | "--constraint" => self.add_file(&folder.join(value), true, seen)?,
                    "--pre" => self.prereleases = true,
                    option if WITHOUT_EFFECT.contains(&option) => {}
                    option if SERVERS.contains(&option) => self.ignored.push(format!(
                        "{place}: `{option}` has no effect: the machine's configuration names the Python index"
                    )),
                    "-e" | "--editable" | "-f" | "--find-links" => return Err(not_of_an_index(&place, &line).into()),
                    option => {
                        return Err(Failure::usage(format!("{place}: the option `{option}` is not supported")).into());
                    }
                }
            } else if is_address(&line) {
                return Err(not_of_an_index(&place, &line).into());
            } else {
                self.add(&line, is_constraint).map_err(|why| Failure::usage(format!("{place}: {why}")))?;
            }
        }
        Ok(())
    }
}

/// The files that a file with requirements consists of, itself first, as far as they exist.
#[must_use]
pub fn files(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = vec![path.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        let text = files::read_text(&path).unwrap_or_default();
        for (_, line) in lines(&text) {
            if let Some(("-r" | "--requirement" | "-c" | "--constraint", value)) = option(&line) {
                let included = path.parent().unwrap_or(Path::new("")).join(value);
                if found.len() < FILES && !found.contains(&included) {
                    found.push(included);
                }
            }
        }
    }
    found
}

fn not_of_an_index(place: &str, line: &str) -> Failure {
    Failure::usage(format!("{place}: `{line}` is not a requirement that a wheel of an index satisfies")).hint(
        "make a wheel of it (uv build --wheel), name the folder of the wheel in the profile's venv: wheels = [\"dist\"], and \
         require it by its name",
    )
}

/// Whether a line is a path or an address, perhaps after `NAME @`.
fn is_address(line: &str) -> bool {
    let wanted = line.split(';').next().unwrap_or(line).split(" --").next().unwrap_or(line).trim();
    let is_file = [".whl", ".tar.gz", ".zip"].iter().any(|end| wanted.ends_with(end));
    is_file || wanted.contains('@') || wanted.contains("://") || wanted.starts_with(['.', '/'])
}

/// The option of a line and its value: `-r FILE`, `-rFILE`, `--requirement=FILE`.
fn option(line: &str) -> Option<(&str, &str)> {
    let end = match line.strip_prefix("--") {
        Some(_) => line.find([' ', '=']).unwrap_or(line.len()),
        None if line.starts_with('-') => line.char_indices().nth(2).map_or(line.len(), |(at, _)| at),
        None => return None,
    };
    let (option, value) = line.split_at(end);
    Some((option, value.trim_start_matches(['=', ' ']).trim()))
}

/// The lines of a file with their numbers: without comments and blank lines, and joined where they end in `\`.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut is_continued = false;
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let (line, continues) = line.strip_suffix('\\').map_or((line, false), |line| (line, true));
        match found.last_mut().filter(|_| is_continued) {
            Some((_, start)) => start.push_str(line),
            None => found.push((index + 1, line.to_owned())),
        }
        is_continued = continues;
    }
    for (_, line) in &mut found {
        let comment = line.match_indices('#').map(|(at, _)| at);
        let comment = comment.into_iter().find(|at| line[..*at].chars().next_back().is_none_or(char::is_whitespace));
        line.truncate(comment.unwrap_or(line.len()));
        *line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    found.retain(|(_, line)| !line.is_empty());
    found
}

/// The normalised name at the start of a requirement.
#[must_use]
pub fn distribution(requirement: &str) -> String {
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
    normalize(&requirement[..end.unwrap_or(requirement.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        fs_err::write(folder.join(name), text).unwrap();
        folder.join(name)
    }

    #[test]
    fn files_that_pip_and_uv_write_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let hash = "0".repeat(64);
        let main = write(
            folder.path(),
            "requirements.txt",
            &format!(
                "# comment\n--index-url https://mirror.example/simple\n-r more.in\n-c=limits.txt\n--require-hashes\n\
                 Click[x]==8.1 ; python_version > '3' \\\n    --hash=sha256:{hash} \\\n    --hash sha512:1\n    # via flask\n"
            ),
        );
        write(folder.path(), "more.in", "flask#x\n\nidna  # comment\n-r requirements.txt\n--pre\n");
        let limits = write(folder.path(), "limits.txt", "idna<4\n");
        let read = Requirements::read(&main).unwrap();
        assert_eq!(read.requirements, ["flask#x", "idna", "Click[x]==8.1 ; python_version > '3'"]);
        assert_eq!(read.constraints, ["idna<4"]);
        assert_eq!(read.hashes, Hashes::from([("click".into(), BTreeSet::from([hash]))]));
        assert!(read.prereleases);
        assert_eq!(read.ignored.len(), 1, "{:?}", read.ignored);
        assert_eq!(files(&main).last().unwrap(), &limits);
        assert_eq!(files(&main).len(), 3);
    }

    #[test]
    fn lines_that_no_index_satisfies_are_refused_with_their_place() {
        let folder = tempfile::tempdir().unwrap();
        for line in
            ["-e .", "./own-1.0.whl", "own @ https://mirror.example/own.whl", "git+https://x.example/y", "a==1 --z"]
        {
            let file = write(folder.path(), "r.txt", &format!("a\n{line}\n"));
            let error = Requirements::read(&file).unwrap_err().to_string();
            assert!(error.contains("r.txt:2: "), "{error}");
        }
        assert!(Requirements::read(&folder.path().join("none.txt")).is_err());
        let itself = write(
            folder.path(),
            "r.txt",
            "-r ../r.txt\n-r ./x/../r.txt\n"
                .replace("..", &format!("../{}", folder.path().file_name().unwrap().display()))
                .as_str(),
        );
        let error = Requirements::read(&itself).unwrap_err().to_string();
        assert!(error.ends_with("more than 100 files include each other"), "{error}");
        assert_eq!(files(&itself).len(), FILES);
    }
}
