//! The report of an audit as text.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use sealift_deployment::ui;
use sealift_layers::escape::line;

use super::finding::{Kind, Outdated, Severity};
use super::{Audit, Compared, Vulnerability};

/// The whole report.
#[must_use]
pub fn text(audit: &Audit) -> String {
    let subject = &audit.bundle;
    let mut text = format!("{} {} {}, {}\n", subject.product, subject.profile, subject.version, subject.platform);
    for archive in &audit.archives {
        text.push_str(&compared(archive));
    }
    for used in &audit.snapshots {
        let entries = match used.format {
            "osv" => ui::count(used.entries, "document"),
            "openvex" => ui::count(used.entries, "statement"),
            _ => ui::count(used.entries, "source package"),
        };
        let _infallible = writeln!(text, "  {}: {} {}, {entries}", used.format, line(&used.path), used.digest);
    }
    if !audit.archives.is_empty() {
        outdated(&mut text, audit, Kind::Package, "Debian packages", subject.packages);
    }
    if audit.wheels_compared {
        outdated(&mut text, audit, Kind::Wheel, "wheels", subject.wheels);
    }
    if audit.snapshots.iter().any(|used| used.format != "openvex") {
        vulnerabilities(&mut text, audit);
    }
    if !audit.not_checked.is_empty() {
        text.push_str("\nnot checked\n");
        for what in &audit.not_checked {
            let _infallible = writeln!(text, "  {}", line(what));
        }
    }
    text
}

fn compared(archive: &Compared) -> String {
    let day = |time: &Option<String>| time.as_deref().map_or("?", |time| time.get(..10).unwrap_or(time)).to_owned();
    let locked = archive.locked.as_ref().map(|_| format!(", locked {}", day(&archive.locked))).unwrap_or_default();
    let security = if archive.security { ", security updates" } else { "" };
    let names = if archive.name == archive.suite { String::new() } else { format!("{}: ", line(&archive.name)) };
    format!("  {names}{} of {}{locked}{security}\n", line(&archive.suite), day(&archive.date))
}

/// The outdated components of a kind.
fn outdated(text: &mut String, audit: &Audit, kind: Kind, title: &str, all: usize) {
    let found: Vec<&Outdated> = audit.outdated.iter().filter(|found| found.kind == kind).collect();
    let security = found.iter().filter(|found| found.security).count();
    let security = if security == 0 { String::new() } else { format!(", {security} by security updates") };
    let _infallible = writeln!(text, "\n{title}: {} of {all} outdated{security}", found.len());
    let rows = found.iter().map(|found| {
        let source = found.source.as_ref().map(|source| format!("source {source}")).unwrap_or_default();
        let mark = if found.security { "security" } else { "" };
        [&found.name, &found.version, "->", &found.newest, mark, &source].map(|cell| line(cell).into_owned())
    });
    text.push_str(&table(rows.collect()));
}

/// The known vulnerabilities, and those that are silenced.
fn vulnerabilities(text: &mut String, audit: &Audit) {
    let (silenced, open): (Vec<&Vulnerability>, Vec<&Vulnerability>) =
        audit.vulnerabilities.iter().partition(|found| found.is_silenced());
    let mut counts: BTreeMap<Reverse<Severity>, usize> = BTreeMap::new();
    for found in &open {
        *counts.entry(Reverse(found.severity)).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(severity, count)| format!("{count} {}", severity.0.word())).collect();
    let counts = if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) };
    let _infallible = writeln!(text, "\nknown vulnerabilities: {}{counts}", open.len());
    let rows = open.iter().map(|found| {
        let fixed = found.fixed.as_ref().map(|version| format!("fixed in {version}")).unwrap_or_default();
        let stated = found.statement.as_ref().map(|statement| statement.status.word()).unwrap_or_default();
        [found.severity.word(), &found.id, &component(found), &fixed, stated].map(|cell| line(cell).into_owned())
    });
    for (row, found) in table(rows.collect()).lines().zip(&open) {
        let summary = Some(&found.summary).filter(|summary| !summary.is_empty());
        let more: Vec<String> = packages(found).into_iter().chain(summary.cloned()).collect();
        let more = if more.is_empty() { String::new() } else { format!("      {}\n", line(&more.join(": "))) };
        let _infallible = write!(text, "{row}\n{more}");
    }
    if silenced.is_empty() {
        return;
    }
    let _infallible = writeln!(text, "\nsilenced by OpenVEX statements: {}", silenced.len());
    for found in silenced {
        let Some(statement) = &found.statement else { continue };
        let _infallible = writeln!(text, "  {}  {}", line(&found.id), line(&component(found)));
        let _infallible = writeln!(text, "      {}: {}", statement.status.word(), line(&statement.reason()));
    }
}

fn component(found: &Vulnerability) -> String {
    format!("{} {}", found.name, found.version)
}

/// Where a component is, if its name does not say so: the packages of a source package, or the program in the bundle.
fn packages(found: &Vulnerability) -> Option<String> {
    if found.kind == Kind::Crate && found.images.is_empty() {
        return Some("in the program sealift".to_owned());
    }
    let packages: Vec<&str> = found.packages.iter().map(String::as_str).collect();
    (!packages.is_empty() && packages != [found.name.as_str()]).then(|| packages.join(", "))
}

/// Rows with columns of the same width.
pub(super) fn table<const N: usize>(rows: Vec<[String; N]>) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).filter(|(_, width)| *width > 0);
        let cells: Vec<String> = cells.map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(format!("  {}", cells.join("  ")).trim_end());
        text.push('\n');
    }
    text
}
