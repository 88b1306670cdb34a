//! Wheels: from the file to what an installer would leave in a virtual environment.
//!
//! Follows the "Binary distribution format" (PEP 427), "Recording installed projects" and "Entry points"
//! specifications of the Python Packaging User Guide. Nothing is extracted and nothing of the wheel is run: [`open`]
//! verifies the file as a whole, and [`Wheel::tree`] says where each of its members goes, as a range of the file.

mod archive;
mod entry_points;
mod install;
mod metadata;
mod names;
mod record;
#[cfg(test)]
mod tests;
mod venv;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use archive::Member;
pub use names::{BuildTag, WheelFileName, WheelFileNameError, normalize};
use pep440_rs::Version;
use record::FileHash;
pub use venv::{Venv, VenvError};

/// A wheel whose every member has been verified.
#[derive(Clone, Debug)]
pub struct Wheel {
    file_name: String,
    name: String,
    version: Version,
    /// `NAME-VERSION` as the wheel itself writes it: the stem of its `.dist-info` and `.data`.
    stem: String,
    members: BTreeMap<String, Verified>,
}

/// A member that is what the wheel's `RECORD` and the zip say it is.
#[derive(Clone, Debug)]
struct Verified {
    member: Member,
    found: FileHash,
}

/// Why a wheel is refused.
#[derive(Debug, thiserror::Error)]
#[error("the wheel `{file_name}`: {kind}")]
pub struct WheelError {
    /// The wheel's file name.
    pub file_name: String,
    /// What is wrong with it.
    pub kind: WheelErrorKind,
}

/// What is wrong with a wheel.
#[derive(Debug, thiserror::Error)]
pub enum WheelErrorKind {
    /// The file's own name.
    #[error(transparent)]
    FileName(#[from] WheelFileNameError),
    /// It is no zip, or a broken one.
    #[error("its zip archive is broken: {0}")]
    Zip(#[from] rawzip::Error),
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// More members than we take.
    #[error("it has more than {} members", archive::MEMBERS)]
    TooMany,
    /// More bytes than we take.
    #[error("its members are larger than {} bytes together", archive::TOTAL)]
    TooLarge,
    /// The zip as a whole is laid out as no honest tool would.
    #[error("in its zip archive {0}")]
    Layout(&'static str),
    /// A name that may not stand in a wheel, and why.
    #[error("the name `{0}`: {1}")]
    Name(String, &'static str),
    /// A member and what is wrong with it.
    #[error("the member `{0}`: {1}")]
    Member(String, &'static str),
    /// A member that cannot be read to its end.
    #[error("the member `{name}` cannot be read: {source}")]
    Unreadable {
        /// The member.
        name: String,
        /// What reading gave.
        source: io::Error,
    },
    /// A member is not what is claimed of it.
    #[error("the member `{name}`: its {what} is {found}, not {wanted}")]
    Mismatch {
        /// The member.
        name: String,
        /// Hash, size or CRC-32.
        what: &'static str,
        /// What is claimed.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// A line of `RECORD`, counted from 1, and what is wrong with it.
    #[error("line {0} of RECORD: {1}")]
    Record(usize, &'static str),
    /// A line of `entry_points.txt`, counted from 1, and what is wrong with it.
    #[error("line {0} of entry_points.txt: {1}")]
    EntryPoint(usize, &'static str),
    /// The wheel's statements about itself.
    #[error("{0}")]
    Metadata(String),
    /// Two members are to be installed to one place, or one below another.
    #[error("two of its members go to `{0}`")]
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
}

/// Reads and verifies a wheel: the zip's structure and checksums, every member against `RECORD` and none beside it,
/// and that name and version are the same wherever the wheel states them. `file_name` is the wheel's own, without
/// directories; the file is read by offset and stays open as long as trees refer to it.
///
/// # Errors
/// [`WheelError`]: the first thing found wrong.
pub fn open(file: File, file_name: &str) -> Result<Wheel, WheelError> {
    open_members(file, file_name).map_err(|kind| WheelError { file_name: file_name.to_owned(), kind })
}

fn open_members(file: File, file_name: &str) -> Result<Wheel, WheelErrorKind> {
    let parsed: WheelFileName = file_name.parse()?;
    let mut members = archive::members(file)?;
    let stem = metadata::stem(members.keys(), &parsed)?;
    let info = |name: &str| format!("{stem}.dist-info/{name}");

    let record = info("RECORD");
    let member = members.remove(&record).ok_or_else(|| WheelErrorKind::Metadata(format!("it has no `{record}`")))?;
    record::verify(&record, &member, None)?;
    let mut claims = record::parse(&metadata::text(&record, &member)?)?;
    claims.remove(&record);
    // Signatures of the RECORD that we replace: they mean nothing once installed, and RECORD cannot list them.
    for signature in ["RECORD.jws", "RECORD.p7s"].map(info) {
        members.remove(&signature);
        claims.remove(&signature);
    }

    let mut verified = BTreeMap::new();
    for (name, member) in members {
        let Some(claim) = claims.remove(&name) else {
            return Err(WheelErrorKind::Member(name, "RECORD does not list it"));
        };
        let found = record::verify(&name, &member, Some(&claim))?;
        verified.insert(name, Verified { member, found });
    }
    if let Some((name, _)) = claims.pop_first() {
        return Err(WheelErrorKind::Member(name, "RECORD lists it, and the archive lacks it"));
    }
    metadata::check(&verified, &stem, &parsed)?;
    Ok(Wheel { file_name: file_name.to_owned(), name: parsed.name, version: parsed.version, stem, members: verified })
}
