//! File systems from which no program can be run.

use std::os::linux::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

/// The mount point of the file system of `folder` if it is mounted with `noexec`, as hardened machines do with `/tmp`.
pub(super) fn mount_point(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let device = mounted_noexec(&folder)?;
    // A bind mount has the device of the file system that it shows, but flags of its own.
    let same = folder.ancestors().take_while(|above| mounted_noexec(above) == Some(device));
    same.last().map(Path::to_owned)
}

/// The device of a folder whose file system is mounted with `noexec`.
fn mounted_noexec(folder: &Path) -> Option<u64> {
    let flags = rustix::fs::statvfs(folder).ok()?.f_flag;
    flags.contains(StatVfsMountFlags::NOEXEC).then_some(())?;
    Some(fs_err::metadata(folder).ok()?.st_dev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_programs_run_from_have_none() {
        // The tests run from below. `tests/tests/wheels.rs` has a store that is mounted so.
        assert_eq!(mount_point(Path::new(env!("CARGO_MANIFEST_DIR"))), None);
        assert_eq!(mount_point(Path::new("/nonexistent")), None);
    }
}
