//! Python bytecode, compiled with the image's own interpreter: one of the two places where something of a package runs.
//!
//! The interpreter is run straight from unpacked packages by its own dynamic loader, without root or chroot. Each unit (a
//! wheel, a package of the standard library) is compiled by a process of its own in a fixed order, since the output of
//! one file can depend on those compiled before it in the same process (cpython#129724). The `.pyc` files carry an
//! unchecked hash of their source (PEP 552), so neither times nor a writable tree matter.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use sealift_deployment::failure::Failure;
use sealift_deployment::render::systemd::libraries;
use sealift_layers::tree::{Entry, Kind, SourceFile, Tree, TreePath};
use tempfile::TempDir;

use super::{Assembler, unpacked};
use crate::store::Key;

/// Part of the keys: changes whenever the same sources give other bytecode.
pub const RECIPE: &str = "bytecode/2: unchecked hash, PYTHONHASHSEED=0, one process per unit";

/// Reads `SOURCE NUL NAME IN THE IMAGE NUL` pairs; writes each `.pyc` where the interpreter will look for it. Files that
/// are not valid Python of this version (templates, tests of errors) are left without, as pip leaves them.
const SCRIPT: &str = r"
import importlib.util, py_compile, sys, warnings
warnings.simplefilter('ignore')
fields = sys.stdin.buffer.read().decode().split('\0')[:-1]
for source, name in zip(fields[::2], fields[1::2]):
    try:
        py_compile.compile(source, importlib.util.cache_from_source(source), name, True,
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    except (py_compile.PyCompileError, UnicodeDecodeError, ValueError):
        pass
";

/// An interpreter and the libraries that it needs, unpacked.
pub(super) struct Interpreter {
    root: TempDir,
    python: String,
    /// Identifies the interpreter in keys.
    identity: String,
    /// The multiarch name of the library directory.
    libraries: &'static str,
    loader: &'static str,
}

/// Whether an entry is Python source below `library`. Links are not: Debian's lead to configuration elsewhere.
pub(super) fn is_source(path: &TreePath, entry: &Entry, library: &TreePath) -> bool {
    let text = path.as_str();
    matches!(entry.kind, Kind::File(_))
        && text.ends_with(".py")
        && text.strip_prefix(library.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

impl Assembler<'_> {
    /// Unpacks the interpreter `python` of an image, once.
    pub(super) fn interpreter(&mut self, image: &str, python: &str) -> Result<Arc<Interpreter>> {
        let name = format!("{image} {python}");
        if let Some(known) = self.interpreters.get(&name) {
            return Ok(known.clone());
        }
        let architecture = self.plan.architecture();
        let Some((libraries, loader)) = libraries(architecture) else {
            return Err(Failure::failed(format!("bytecode cannot be compiled for {architecture}")).into());
        };
        if std::env::consts::ARCH != machine(architecture) {
            let message = format!("bytecode for {architecture} cannot be compiled on {}", std::env::consts::ARCH);
            return Err(Failure::failed(message).hint("set `bytecode = false` in the profile's venv").into());
        }
        let packages = &self.plan.lock.images[image].packages;
        let root = self.store.temporary_directory()?;
        let mut identity = String::new();
        for package in self.open(packages)? {
            let name = &package.control.name;
            if name.starts_with(python) || name.starts_with(&format!("lib{python}")) {
                identity.push_str(&self.plan.package(name)?.sha256.hex());
            }
            let needed =
                |path: &TreePath| ["usr/bin/", "usr/lib/"].iter().any(|prefix| path.as_str().starts_with(prefix));
            unpacked::write(&package.tree, root.path(), needed)?;
        }
        let interpreter = Arc::new(Interpreter { root, python: python.to_owned(), identity, libraries, loader });
        self.interpreters.insert(name, interpreter.clone());
        Ok(interpreter)
    }

    /// The bytecode of one unit's `sources`, from the store or compiled.
    pub(super) fn compile(
        &self,
        interpreter: &Interpreter,
        identity: &str,
        origin: &str,
        sources: &[(TreePath, Entry)],
    ) -> Result<Tree> {
        let mut key = Key::builder(RECIPE).field("python", &interpreter.identity).field("unit", identity);
        for (path, _) in sources {
            key = key.field("source", path);
        }
        let key = key.finish();
        let path = match self.store.derived(&key) {
            Some(path) => path,
            None => {
                self.progress.item(&format!("compiling {origin}"));
                self.store.put_derived(&key, |path| {
                    let tree = interpreter.run(origin, sources)?;
                    let mut file = std::io::BufWriter::new(fs_err::File::create(path)?);
                    // No times: neither the build's epoch nor when an index received a wheel is in the key.
                    let options = sealift_layers::tar::Options { epoch: 0, file_digests: false };
                    sealift_layers::tar::write(&tree, options, &mut file)?;
                    Ok(file.flush()?)
                })?
            }
        };
        let file = fs_err::File::open(path)?.into_parts().0;
        let mut tree = sealift_layers::tar::read(&SourceFile::new(file), &Arc::from(format!("bytecode of {origin}")))?;
        for (source, entry) in sources {
            let cache = cache_path(source, &interpreter.python)?;
            if let Some(compiled) = tree.get(&cache) {
                let compiled = Entry { mtime: entry.mtime, ..compiled.clone() };
                tree.insert(cache, compiled);
            }
        }
        Ok(tree)
    }
}

impl Interpreter {
    fn run(&self, origin: &str, sources: &[(TreePath, Entry)]) -> Result<Tree> {
        let workspace = tempfile::tempdir_in(self.root.path())?;
        let mut unit = Tree::new();
        for (path, entry) in sources {
            unit.insert(path.clone(), entry.clone());
        }
        unpacked::write(&unit, workspace.path(), |_| true)?;
        let on_disk = |path: &TreePath| workspace.path().join(path.as_str());
        let mut input = Vec::new();
        for (path, _) in sources {
            for text in [on_disk(path).display().to_string(), format!("/{path}")] {
                input.extend_from_slice(text.as_bytes());
                input.push(0);
            }
        }
        self.python(&input).with_context(|| format!("cannot compile {origin}"))?;

        let origin: Arc<str> = origin.into();
        let mut compiled = Tree::new();
        for (path, _) in sources {
            let cache = cache_path(path, &self.python)?;
            let file = on_disk(&cache);
            if file.exists() {
                compiled.insert(cache, Entry::file(fs_err::read(file)?, 0o644, &origin));
            }
        }
        Ok(compiled)
    }

    fn python(&self, input: &[u8]) -> Result<()> {
        let root = self.root.path();
        let libraries = root.join(self.libraries);
        let mut child = Command::new(libraries.join(self.loader))
            .arg("--library-path")
            .arg(&libraries)
            .arg(root.join("usr/bin").join(&self.python))
            .args(["-S", "-s", "-P", "-B", "-c", SCRIPT])
            .env_clear()
            .env("PYTHONHOME", root.join("usr"))
            .env("PYTHONHASHSEED", "0")
            .env("PYTHONUTF8", "1")
            .env("LC_ALL", "C")
            .current_dir(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run the image's Python")?;
        let mut stdin = child.stdin.take().context("no pipe to the image's Python")?;
        // The script reads everything before it writes anything, so writing first cannot block for ever; when it died
        // early its own words say more than the broken pipe.
        let written = stdin.write_all(input);
        drop(stdin);
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::failed(format!("the image's Python failed ({}):\n{}", output.status, words.trim()))
                .hint("set `bytecode = false` in the profile's venv to do without")
                .into());
        }
        Ok(written?)
    }
}

/// An architecture as Rust names it.
fn machine(architecture: &str) -> &str {
    match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    }
}

/// Where the interpreter looks for the bytecode of `source` (PEP 3147).
fn cache_path(source: &TreePath, python: &str) -> Result<TreePath> {
    let tag = python.trim_start_matches("python").replace('.', "");
    let stem = source.file_name().strip_suffix(".py").unwrap_or(source.file_name());
    let name = PathBuf::from(source.as_str()).with_file_name("__pycache__").join(format!("{stem}.cpython-{tag}.pyc"));
    Ok(TreePath::new(&name.to_string_lossy())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    #[test]
    fn bytecode_lies_beside_its_source() {
        let found = cache_path(&path("opt/x/a.b.py"), "python3.14").unwrap();
        assert_eq!(cache_path(&path("a.py.py"), "python3.9").unwrap().as_str(), "__pycache__/a.py.cpython-39.pyc");
        assert_eq!(found.as_str(), "opt/x/__pycache__/a.b.cpython-314.pyc");
    }

    #[test]
    fn only_sources_below_the_library_count() {
        let library = path("usr/lib/python3.14");
        let file = Entry::file("", 0o644, &Arc::from("test"));
        assert!(is_source(&path("usr/lib/python3.14/os.py"), &file, &library));
        assert!(!is_source(&path("usr/lib/python3.140/os.py"), &file, &library));
        assert!(!is_source(&path("usr/lib/python3.14/os.pyi"), &file, &library));
        let link = Entry::symlink("/etc/python3.14/sitecustomize.py", &Arc::from("test"));
        assert!(!is_source(&path("usr/lib/python3.14/sitecustomize.py"), &link, &library));
    }
}
