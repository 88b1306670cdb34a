//! The documents agree with the repository: links lead somewhere, and commands that are named exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sealift_tests::real::repository;

/// The text of a document.
struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    /// The lines outside of fenced blocks, with their numbers from 1.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut fenced = false;
        self.text.lines().enumerate().filter_map(move |(number, line)| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            (!fenced && !fence).then_some((number + 1, line))
        })
    }

    /// The lines of fenced blocks of commands, with their numbers from 1.
    fn commands(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut language = None;
        self.text.lines().enumerate().filter_map(move |(number, line)| {
            if let Some(info) = line.trim_start().strip_prefix("```") {
                language = if language.is_some() { None } else { Some(info.split(' ').next().unwrap_or_default()) };
                return None;
            }
            (language == Some("sh")).then_some((number + 1, line))
        })
    }

    /// The anchors of its headings, as web pages of repositories make them.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose().filter(|(_, line)| line.starts_with('#'));
        let anchor = |heading: &str| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        };
        headings.map(|(_, line)| anchor(line)).collect()
    }
}

/// All documents of the repository, sorted by path.
#[expect(clippy::disallowed_methods, reason = "sorted afterwards")]
fn documents() -> Vec<Document> {
    let mut folders = vec![repository()];
    let mut documents = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder).expect("a folder of the repository").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() {
                if !["target", ".git"].iter().any(|other| name == *other) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs_err::read_to_string(&path).expect("a document is text");
                documents.push(Document { path, text });
            }
        }
    }
    documents.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(documents.len() > 10, "{} documents", documents.len());
    documents
}

/// The targets of the Markdown links in a line, without those in code.
fn links(line: &str) -> Vec<&str> {
    let mut links = Vec::new();
    // Every second part is between backquotes. A link's text may hold code, so only targets are looked for.
    for part in line.split('`').step_by(2) {
        for (at, _) in part.match_indices("](") {
            let rest = &part[at + 2..];
            links.extend(rest.find(')').map(|end| &rest[..end]));
        }
    }
    links
}

fn broken(document: &Document, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = document.path.parent().expect("a document is in a folder");
    let target = if file.is_empty() { document.path.clone() } else { folder.join(file) };
    if !target.exists() {
        return Some("no such file".to_owned());
    }
    if anchor.is_empty() {
        return None;
    }
    let text = fs_err::read_to_string(&target).ok()?;
    let anchors = Document { path: target, text }.anchors();
    (!anchors.contains(anchor)).then(|| format!("no such heading among {anchors:?}"))
}

#[test]
fn every_link_between_documents_resolves() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for document in &documents() {
        for (number, line) in document.prose() {
            for link in links(line) {
                seen += 1;
                if let Some(why) = broken(document, link) {
                    wrong.push(format!("{}:{number}: {link}: {why}", document.path.display()));
                }
            }
        }
    }
    assert!(seen > 50, "{seen} links");
    assert!(wrong.is_empty(), "broken links:\n{}", wrong.join("\n"));
}

/// The commands that `docs/cli.md` describes: `build`, `site new` ...
fn described() -> BTreeSet<String> {
    let reference = fs_err::read_to_string(repository().join("docs/cli.md")).expect("the reference");
    let headings =
        reference.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(" `sealift ")?.strip_suffix('`'));
    headings.map(str::to_owned).collect()
}

/// The first words after each `sealift ` of a command line.
fn calls(code: &str) -> Vec<Vec<&str>> {
    let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
    let starts = code.match_indices("sealift ").filter(|(at, _)| {
        let before = code[..*at].chars().next_back();
        before.is_none_or(|c| c == '/' || c.is_whitespace())
    });
    starts.map(|(at, _)| code[at + 8..].split_whitespace().take(2).take_while(is_word).collect()).collect()
}

#[test]
fn every_command_in_the_documents_is_in_the_reference() {
    let described = described();
    assert!(described.len() > 15, "{described:?}");
    let groups: BTreeSet<&str> = ["site", "store"].into();
    let mut wrong = Vec::new();
    for document in documents().iter().filter(|document| !document.path.ends_with("docs/cli.md")) {
        let code = document.prose().flat_map(|(n, line)| line.split('`').skip(1).step_by(2).map(move |code| (n, code)));
        for (number, code) in code.chain(document.commands()) {
            for call in calls(code) {
                let known = match call[..] {
                    [] => true,
                    [group, name, ..] if groups.contains(group) => described.contains(&format!("{group} {name}")),
                    [name, ..] => name == "help" || described.contains(name),
                };
                if !known {
                    wrong.push(format!("{}:{number}: sealift {}", document.path.display(), call.join(" ")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "commands that docs/cli.md does not have:\n{}", wrong.join("\n"));
}

#[test]
fn every_path_in_the_documents_is_in_the_repository() {
    const FOLDERS: [&str; 8] = ["builder", "deployment", "docs", "examples", "layers", "nix", "profiles", "tests"];
    let root = repository();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for document in documents() {
        for (number, line) in document.prose() {
            for code in line.split('`').skip(1).step_by(2) {
                let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || "/_-.".contains(c));
                if !plain || !code.split_once('/').is_some_and(|(first, _)| FOLDERS.contains(&first)) {
                    continue;
                }
                // Relative to the document in a README, to the repository elsewhere. A module is a folder or a file.
                let folder = document.path.parent().expect("a document is in a folder");
                let places = [root.join(code), root.join(format!("{code}.rs")), folder.join(code)];
                seen += 1;
                if !places.iter().any(|place| place.exists()) {
                    wrong.push(format!("{}:{number}: {code}", document.path.display()));
                }
            }
        }
    }
    assert!(seen > 30, "{seen} paths");
    assert!(wrong.is_empty(), "paths that are not in the repository:\n{}", wrong.join("\n"));
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let root = repository();
    let readme = fs_err::read_to_string(root.join("README.md")).expect("README.md");
    let linked: BTreeSet<&str> = readme.lines().flat_map(links).collect();
    for document in documents() {
        let path = document.path.strip_prefix(&root).expect("within the repository");
        // Appendices are linked from their page.
        let page = path.parent() == Some(Path::new("docs")) && !path.ends_with("performance-notes.md");
        assert!(!page || linked.contains(path.to_str().expect("UTF-8")), "README.md does not name {}", path.display());
    }
}
