//! The program under test.

use std::path::PathBuf;

/// The program: `SEALIFT_BIN`, else what cargo built beside the running test.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn sealift() -> PathBuf {
    let named = std::env::var_os("SEALIFT_BIN").map(PathBuf::from);
    let beside = || {
        let test = std::env::current_exe().expect("a running test has a path");
        test.parent().and_then(|deps| deps.parent()).expect("tests lie in target/PROFILE/deps").join("sealift")
    };
    let path = named.unwrap_or_else(beside);
    assert!(path.exists(), "{} is not there: run `cargo build -p sealift` first", path.display());
    path
}
