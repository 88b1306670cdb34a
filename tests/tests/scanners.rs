//! What scanners of vulnerabilities find in images, which have no bill of materials within: see `src/scanner.py`.

use std::process::Command;

use anyhow::{Result, bail, ensure};
use sealift_tests::bundle::Bundle;
use sealift_tests::command::{self, report};

const SCANNER: &str = include_str!("../src/scanner.py");

#[test]
#[ignore = "needs the real bundle: tests/run"]
fn scanners_find_what_is_in_the_images_of_real_bundles() -> Result<()> {
    for profile in ["standalone", "testing"] {
        let bundle = Bundle::build(profile, |_, _| Ok(Vec::new()))?;
        let found = command::output(Command::new("python3").args(["-c", SCANNER]).arg(&bundle.folder))?;
        let numbers: Vec<u32> = found.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [packages, sums, wheels] = numbers[..] else { bail!("{found}") };
        ensure!(packages > 50 && sums > 1000 && wheels > 50, "{found}");
        report(&format!("{profile}: {packages} packages with {sums} files, {wheels} distributions of Python"));
    }
    Ok(())
}
