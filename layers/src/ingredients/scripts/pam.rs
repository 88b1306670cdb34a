//! `pam-auth-update`: the files `/etc/pam.d/common-*`, which the files of most services include (pam-auth-update(8)).
//!
//! Packages have profiles of modules in `/usr/share/pam-configs`, `libpam-runtime` has templates for the files. Those profiles
//! that are on by default go into the templates, by priority.

use std::collections::BTreeMap;
use std::io;

use super::{Files, Outcome, Said};
use crate::tree::{Content, Entry, TreePath};

/// The files, with the types of their lines, and the names of the types in profiles and templates.
const FILES: [(&str, &str, &str, &str); 5] = [
    ("common-account", "account", "Account", "account"),
    ("common-auth", "auth", "Auth", "auth"),
    ("common-password", "password", "Password", "password"),
    ("common-session", "session", "Session", "session"),
    ("common-session-noninteractive", "session", "Session", "session_nonint"),
];
/// In place of modules where nobody has any: it has no say.
const NOBODY: &str = "[default=1]\tpam_permit.so";

/// Calls of the program.
#[derive(Default)]
pub(super) struct Pam {
    /// The package that calls it first.
    package: Option<String>,
}

/// A profile: fields, whose values are lines.
type Profile = BTreeMap<String, Vec<String>>;

impl Pam {
    pub(super) fn command(&mut self, package: &str) -> Said {
        self.package.get_or_insert_with(|| package.to_owned());
        Said::Applied(None)
    }

    pub(super) fn finish(self, files: &mut Files<'_>, outcome: &mut Outcome) -> io::Result<()> {
        let Some(package) = self.package else { return Ok(()) };
        let profiles = profiles(files)?;
        for (name, line_type, field, variable) in FILES {
            let at = path(&format!("etc/pam.d/{name}"))?;
            let template = files.read(&path(&format!("usr/share/pam/{name}"))?)?;
            let Some(template) = template.and_then(|bytes| String::from_utf8(bytes).ok()) else {
                outcome.note(&package, &format!("pam-auth-update (/etc/pam.d/{name})"), Said::Left);
                continue;
            };
            let is_part =
                |profile: &&Profile| variable != "session_nonint" || !says(profile, "Session-Interactive-Only");
            let block = |kind: &str| stack(profiles.iter().filter(is_part), line_type, field, kind);
            let mut primary = block("Primary");
            if primary.is_empty() {
                primary.push(format!("{line_type}\t{NOBODY}"));
            }
            let mut text = String::new();
            for line in template.lines() {
                let lines = match line.strip_prefix('$') {
                    Some(name) if name == format!("{variable}_primary") => primary.clone(),
                    Some(name) if name == format!("{variable}_additional") => block("Additional"),
                    _ => vec![line.to_owned()],
                };
                lines.into_iter().for_each(|line| text += &format!("{line}\n"));
            }
            let content = Content::from(text.into_bytes());
            files.made.insert(at, Entry { mtime: files.mtime, ..Entry::file(content, 0o644, &files.origin) });
            outcome.note(&package, "pam-auth-update", Said::Applied(Some("/etc/pam.d/common-*".to_owned())));
        }
        Ok(())
    }
}

/// The profiles that are on by default, the one with the highest priority first.
fn profiles(files: &Files<'_>) -> io::Result<Vec<Profile>> {
    let folder = path("usr/share/pam-configs")?;
    let mut found = Vec::new();
    for name in files.names(&folder) {
        let at = folder.join(&name).map_err(io::Error::other)?;
        let Some(text) = files.read(&at)?.filter(|_| !files.is_dropped(&at)) else { continue };
        let profile = parsed(&String::from_utf8_lossy(&text));
        if says(&profile, "Default") {
            let priority: i64 = value(&profile, "Priority").parse().unwrap_or(0);
            found.push((std::cmp::Reverse(priority), name, profile));
        }
    }
    found.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    Ok(found.into_iter().map(|(.., profile)| profile).collect())
}

/// `Field: value`, with further lines that begin with a blank.
fn parsed(text: &str) -> Profile {
    let (mut profile, mut last) = (Profile::new(), String::new());
    for line in text.lines() {
        if line.starts_with(char::is_whitespace) {
            profile.entry(last.clone()).or_default().push(line.trim().to_owned());
        } else if let Some((field, value)) = line.split_once(':') {
            last = field.to_owned();
            profile.insert(
                last.clone(),
                Some(value.trim().to_owned()).filter(|text| !text.is_empty()).into_iter().collect(),
            );
        }
    }
    profile
}

fn value<'p>(profile: &'p Profile, field: &str) -> &'p str {
    profile.get(field).and_then(|lines| lines.first()).map_or("", String::as_str)
}

fn says(profile: &Profile, field: &str) -> bool {
    value(profile, field) == "yes"
}

/// The lines of the modules of one kind. The first one's may differ, since nobody has asked for a password before; `end` is
/// behind the last line and the one that denies.
fn stack<'p>(profiles: impl Iterator<Item = &'p Profile>, line_type: &str, field: &str, kind: &str) -> Vec<String> {
    let mut lines: Vec<&String> = Vec::new();
    for profile in profiles.filter(|profile| value(profile, &format!("{field}-Type")) == kind) {
        let first = profile.get(&format!("{field}-Initial")).filter(|_| lines.is_empty());
        let of_module = first.or_else(|| profile.get(field)).or_else(|| profile.get(&format!("{field}-Final")));
        lines.extend(of_module.into_iter().flatten());
    }
    let count = lines.len();
    let numbered =
        lines.into_iter().enumerate().map(|(index, line)| line.replace("=end", &format!("={}", count - index)));
    numbered.map(|line| format!("{line_type}\t{line}")).collect()
}

fn path(text: &str) -> io::Result<TreePath> {
    TreePath::new(text).map_err(io::Error::other)
}
