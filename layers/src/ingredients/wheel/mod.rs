//! Python wheels: the files that an installer would leave in a virtual environment.
//!
//! The code follows the "Binary distribution format" (PEP 427), "Recording installed projects" and "Entry points"
//! specifications of the Python Packaging User Guide. Nothing is extracted, and no code of the wheel is run.
//! [`open`] verifies the whole file; [`Wheel::tree`] returns the installed files as ranges of it.

pub mod entry_points;
mod install;
mod metadata;
mod names;
pub mod record;
#[cfg(test)]
mod tests;
mod venv;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

pub use names::{BuildTag, WheelFileName, WheelFileNameError, normalize};
use pep440_rs::Version;
use record::FileHash;
pub use venv::{Venv, VenvError};

use crate::limits::{Exceeded, Limits};
pub use crate::zip::newest_member;
use crate::zip::{self, Links, Member, ZipError};

/// A wheel whose members are all verified.
#[derive(Clone, Debug)]
pub struct Wheel {
    file_name: String,
    name: String,
    version: Version,
    /// `NAME-VERSION` as in the names of the directories `.dist-info` and `.data`, not normalized.
    stem: String,
    members: BTreeMap<String, Verified>,
    /// How `RECORD` differs from the archive.
    differences: Vec<String>,
}

/// What [`open`] does when `RECORD` contradicts the archive. Installers do not read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordCheck {
    /// It is an error, unless `RECORD` only lacks members: these are among [`Wheel::differences`].
    Strict,
    /// Everything that is wrong with `RECORD` is among [`Wheel::differences`].
    Lenient,
}

/// A member that matches `RECORD` and the zip archive.
#[derive(Clone, Debug)]
struct Verified {
    member: Member,
    hash: FileHash,
}

/// A wheel is rejected.
#[derive(Debug, thiserror::Error)]
#[error("the wheel `{file_name}`: {kind}")]
pub struct WheelError {
    /// The wheel's file name.
    pub file_name: String,
    /// What is wrong with it.
    pub kind: WheelErrorKind,
    /// Only `RECORD` is wrong: [`RecordCheck::Lenient`] accepts it.
    pub only_record: bool,
}

/// What is wrong with a wheel.
#[derive(Debug, thiserror::Error)]
pub enum WheelErrorKind {
    /// The file name is not that of a wheel.
    #[error(transparent)]
    FileName(#[from] WheelFileNameError),
    /// The zip archive is rejected.
    #[error("{0}")]
    Zip(#[from] ZipError),
    /// It has more of something than any real one.
    #[error(transparent)]
    Limit(#[from] Exceeded),
    /// The name of a member is not allowed, with the reason.
    #[error("the name `{0}`: {1}")]
    Name(String, &'static str),
    /// A member is not allowed, with the reason.
    #[error("the member `{0}`: {1}")]
    Member(String, &'static str),
    /// A member cannot be read to its end.
    #[error("the member `{name}` cannot be read: {source}")]
    Unreadable {
        /// Name of the member.
        name: String,
        /// The cause.
        source: io::Error,
    },
    /// A member does not match `RECORD` or the zip archive.
    #[error("the member `{name}`: its {what} is {found}, not {expected}")]
    Mismatch {
        /// Name of the member.
        name: String,
        /// What differs: `hash`, `size` or `CRC-32`.
        what: &'static str,
        /// The value in `RECORD` or in the zip archive.
        expected: String,
        /// The value of the member.
        found: String,
    },
    /// A line of `RECORD` is invalid: its number, counted from 1, and the reason.
    #[error("line {0} of RECORD: {1}")]
    Record(usize, &'static str),
    /// A line of `entry_points.txt` is invalid: its number, counted from 1, and the reason.
    #[error("line {0} of entry_points.txt: {1}")]
    EntryPoint(usize, &'static str),
    /// The metadata is missing, invalid, or of another distribution.
    #[error("{0}")]
    Metadata(String),
    /// Two members would be installed to the same path, or one below another file.
    #[error("two of its members would be installed to `{0}`")]
    Collision(String),
}

impl Wheel {
    /// The distribution's normalised name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The distribution's version.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// How `RECORD` differs from the archive, one phrase each. The members are installed as they are in the archive.
    #[must_use]
    pub fn differences(&self) -> &[String] {
        &self.differences
    }
}

/// Opens and verifies a wheel: the structure and checksums of the zip archive; that hashes and sizes in `RECORD` are right;
/// and that name and version are the same everywhere in the wheel. `file_name` is the name of the wheel without
/// directories. It unpacks within `limits`. The file is read by offset and stays open as long as trees refer to it.
///
/// # Errors
/// [`WheelError`] for the first error that is found.
pub fn open(file: File, file_name: &str, check: RecordCheck, limits: Limits) -> Result<Wheel, WheelError> {
    let mut wrong = Vec::new();
    let error = |kind, only_record| WheelError { file_name: file_name.to_owned(), kind, only_record };
    let mut wheel = open_members(file, file_name, limits, &mut wrong).map_err(|kind| error(kind, false))?;
    match check {
        RecordCheck::Lenient => wheel.differences.extend(wrong.iter().map(ToString::to_string)),
        RecordCheck::Strict => {
            if let Some(kind) = wrong.into_iter().next() {
                return Err(error(kind, true));
            }
        }
    }
    Ok(wheel)
}

/// As [`open`]. Adds what is wrong in `RECORD` to `wrong`.
fn open_members(
    file: File,
    file_name: &str,
    limits: Limits,
    wrong: &mut Vec<WheelErrorKind>,
) -> Result<Wheel, WheelErrorKind> {
    let parsed: WheelFileName = file_name.parse()?;
    let mut members = zip::members(file, limits, Links::Refused)?.files;
    let stem = metadata::stem(members.keys(), &parsed)?;
    let info = |name: &str| format!("{stem}.dist-info/{name}");

    let record = info("RECORD");
    let member = members.remove(&record).ok_or_else(|| WheelErrorKind::Metadata(format!("it has no `{record}`")))?;
    record::verify(&record, &member, None, wrong)?;
    let mut listed = record::parse(&metadata::text(&record, &member)?, wrong);
    listed.remove(&record);
    // Signatures of RECORD, which cannot list them. They are invalid after installation, which writes a new RECORD.
    for signature in ["RECORD.jws", "RECORD.p7s"].map(info) {
        members.remove(&signature);
        listed.remove(&signature);
    }

    let (mut verified, mut differences) = (BTreeMap::new(), Vec::new());
    for (name, member) in members {
        let expected = listed.remove(&name);
        if expected.is_none() {
            differences.push(WheelErrorKind::Member(name.clone(), "RECORD does not list it").to_string());
        }
        let hash = record::verify(&name, &member, expected.as_ref(), wrong)?;
        verified.insert(name, Verified { member, hash });
    }
    let absent = listed.into_keys();
    wrong.extend(absent.map(|name| WheelErrorKind::Member(name, "RECORD lists it, but the archive does not have it")));
    metadata::check(&verified, &stem, &parsed)?;
    let WheelFileName { name, version, .. } = parsed;
    Ok(Wheel { file_name: file_name.to_owned(), name, version, stem, members: verified, differences })
}
