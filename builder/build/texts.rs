//! The texts of licences and notices of the program's crates: those that are compiled for the target, from where cargo has
//! their sources.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// First line of what [`packed`] returns: the program is searched for it.
const MARK: &str = "sealift: texts of licences of this program\n";

/// The licences of the crates of the workspace, in its folder.
pub(super) const OWN: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// The crates of the workspace that the program consists of.
const MEMBERS: [&str; 3] = ["builder", "deployment", "layers"];

/// How many folders deep a crate is looked through: C libraries are in folders of the crates that bind them.
const DEPTH: usize = 4;
/// Most bytes of one text, and of all.
const TEXT: usize = 256 << 10;
const ALL: usize = 8 << 20;

/// Folders whose files are not in the program.
const LEFT_OUT: [&str; 6] = ["benches", "build-aux", "examples", "fuzz", "test", "tests"];

/// Endings of files that are programs or data about licences and no texts of them.
const CODE: [&str; 12] = ["c", "cc", "cpp", "h", "html", "js", "json", "py", "rs", "sh", "toml", "yml"];

/// The cargo that builds the program.
pub(super) struct Cargo<'a> {
    pub(super) program: &'a Path,
    /// The triple that it builds for.
    pub(super) target: &'a Path,
    /// The folder of the workspace.
    pub(super) root: &'a Path,
}

/// A line, and compressed JSON: `texts`, and for each of the `crates` (name and version) the indexes of its texts. `work` is a
/// folder for temporary files.
pub(super) fn packed(cargo: &Cargo<'_>, work: &Path) -> Result<Vec<u8>> {
    let mut crates: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in cargo.packages(work)? {
        let text = |key: &str| package[key].as_str().ok_or_else(|| format!("cargo tells no {key} of a crate"));
        let folder = Path::new(text("manifest_path")?).parent().ok_or("a manifest is in no folder")?.to_owned();
        let mut found = Vec::new();
        if package["source"].is_null() {
            found.extend(OWN.map(|name| cargo.root.join(name)));
        } else {
            collect(&folder, DEPTH, &mut found)?;
            found.extend(package["license_file"].as_str().map(|name| folder.join(name)).filter(|path| path.is_file()));
        }
        let texts: Result<BTreeSet<String>> = found.into_iter().map(read).collect();
        crates.insert(format!("{} {}", text("name")?, text("version")?), texts?);
    }
    let texts: BTreeSet<&String> = crates.values().flatten().collect();
    if texts.iter().map(|text| text.len()).sum::<usize>() > ALL {
        return Err("the licences of the crates are larger than licences are: see builder/build/texts.rs".into());
    }
    // Sorted by their beginnings: similar ones are close to each other.
    let texts: Vec<&String> = texts.into_iter().collect();
    let index = |text: &String| texts.binary_search(&text).ok();
    let crates: BTreeMap<&String, Vec<usize>> =
        crates.iter().map(|(name, own)| (name, own.iter().filter_map(index).collect())).collect();
    let mut gzip = GzBuilder::new().write(MARK.as_bytes().to_vec(), Compression::best());
    gzip.write_all(serde_json::to_string(&json!({ "crates": crates, "texts": texts }))?.as_bytes())?;
    Ok(gzip.finish()?)
}

impl Cargo<'_> {
    /// The crates of the program, as cargo describes them.
    ///
    /// Those of tests, and of the members of the workspace that are not in the program, need not be on the machine: cargo is
    /// asked about a copy of the manifests without them.
    fn packages(&self, work: &Path) -> Result<Vec<Value>> {
        let manifest = fs_err::read_to_string(self.root.join("Cargo.toml"))?;
        let members = MEMBERS.map(|name| format!("\"{name}\"")).join(", ");
        let lines = manifest.lines().map(|line| match line.starts_with("members = [") {
            true => format!("members = [{members}]\n"),
            false => format!("{line}\n"),
        });
        fs_err::create_dir_all(work)?;
        fs_err::write(work.join("Cargo.toml"), lines.collect::<String>())?;
        // Not copied: cargo writes to it, and the source may be read-only.
        fs_err::write(work.join("Cargo.lock"), fs_err::read(self.root.join("Cargo.lock"))?)?;
        for name in MEMBERS {
            let folder = work.join(name);
            fs_err::create_dir_all(folder.join("src"))?;
            fs_err::write(folder.join("src/lib.rs"), "")?;
            let manifest = fs_err::read_to_string(self.root.join(name).join("Cargo.toml"))?;
            fs_err::write(folder.join("Cargo.toml"), without_tests(&manifest))?;
        }
        // In the folder of this crate, where cargo finds the settings of the build.
        let mut cargo = Command::new(self.program);
        cargo.args(["metadata", "--offline", "--format-version", "1", "--filter-platform"]).arg(self.target);
        let output = cargo.arg("--manifest-path").arg(work.join("Cargo.toml")).output()?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!(
                "cargo does not find the sources of the program's crates, whose licences belong into the program. Build with \
                 --locked; settings of cargo such as replaced sources have to be in a file and not on its command line. \
                 `cargo metadata` says:\n\
                 {reason}"
            )
            .into());
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        Ok(metadata["packages"].as_array().ok_or("cargo metadata tells no packages")?.clone())
    }
}

/// A manifest without what only tests depend on, and with the default place of the build script.
fn without_tests(manifest: &str) -> String {
    let mut is_left_out = false;
    let kept = manifest.lines().filter(|line| {
        if line.starts_with('[') {
            is_left_out = ["[dev-dependencies", "[[test", "[[bench", "[[example", "[[bin"]
                .iter()
                .any(|table| line.starts_with(table));
        }
        !is_left_out && !line.starts_with("build = ")
    });
    kept.map(|line| format!("{line}\n")).collect()
}

/// Adds the files of licences in a folder and those below it. Links are not followed.
fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let (entry, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if kind.is_dir() && depth > 0 && !LEFT_OUT.contains(&name) {
            collect(&entry, depth - 1, found)?;
        } else if kind.is_file() && (is_license(name) || folder.ends_with("LICENSES")) {
            found.push(entry);
        }
    }
    Ok(())
}

fn is_license(name: &str) -> bool {
    const STEMS: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let upper = name.to_ascii_uppercase();
    // A library of licences has some hundred that begin with this word in lower case, as identifiers do.
    let rest = STEMS.iter().find_map(|stem| upper.strip_prefix(stem)).or_else(|| name.strip_prefix("UNLICENSE"));
    rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric())) && !CODE.contains(&ending)
}

/// A text. Old ones are in Latin-1.
fn read(path: PathBuf) -> Result<String> {
    let bytes = fs_err::read(&path)?;
    if bytes.len() > TEXT {
        return Err(format!("{} is larger than licences are: see builder/build/texts.rs", path.display()).into());
    }
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| error.into_bytes().iter().map(|byte| char::from(*byte)).collect()))
}
