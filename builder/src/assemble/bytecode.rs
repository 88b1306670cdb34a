//! Python bytecode, compiled with the image's own interpreter: one of the two places where a build runs code of a package.
//!
//! The interpreter is started from unpacked packages by its own dynamic loader, without root or chroot, confined as far as
//! the kernel allows ([`super::confined`]). Each unit (a
//! wheel, a package of the standard library) is compiled by a process of its own in a fixed order, since the output for
//! one file can depend on those compiled before it in the same process (cpython#129724). The `.pyc` files carry an
//! unchecked hash of their source (PEP 552), so neither times nor a writable tree matter.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::process::Finished;
use sealift_deployment::ui::{self, Phase};
use sealift_layers::ingredients::deb;
use sealift_layers::platform::Architecture;
use sealift_layers::tar;
use sealift_layers::tree::{Entry, Kind, SourceFile, Tree, TreePath};
use tempfile::TempDir;

use super::confined::Confined;
use super::unpacked;
use crate::inputs::{ImageInputs, Inputs};
use crate::lock::Package;
use crate::recipe;
use crate::store::layer::Remarks;
use crate::store::{Key, Store};

/// Reads `SOURCE NUL NAME IN THE IMAGE NUL` pairs; writes each `.pyc` where the interpreter will look for it. Files that
/// are not valid Python of this version (templates, tests of errors) or nested too deeply are left without, as pip leaves
/// them.
const SCRIPT: &str = r"
import importlib.util, py_compile, sys, warnings
warnings.simplefilter('ignore')
fields = sys.stdin.buffer.read().decode().split('\0')[:-1]
for source, name in zip(fields[::2], fields[1::2]):
    try:
        py_compile.compile(source, importlib.util.cache_from_source(source), name, True,
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    except (py_compile.PyCompileError, ValueError, RecursionError, MemoryError, OverflowError):
        pass
";

/// Longest name of a `.pyc` file in bytes. `py_compile` writes it under this name with a number of up to 20 digits, and file
/// systems have names of at most 255 bytes.
const LONGEST_NAME: usize = 255 - 21;

/// An interpreter and the libraries that it needs, unpacked.
pub(super) struct Interpreter {
    root: TempDir,
    /// Its name: `python3.14`.
    python: String,
    architecture: Architecture,
    /// Digests of its packages, for keys.
    identity: String,
}

/// Sources that are compiled together.
#[derive(Clone, Copy)]
pub(super) struct Unit<'a> {
    /// Everything that decides the sources besides their paths, for the key.
    pub(super) identity: &'a str,
    /// What they are part of, for messages: `wheel NAME VERSION`.
    pub(super) origin: &'a str,
    /// The source files, sorted.
    pub(super) sources: &'a [(TreePath, Entry)],
}

/// The bytecode of a unit.
pub(super) struct Compiled {
    /// The `.pyc` files.
    pub(super) tree: Tree,
    /// Sources that have none, since they cannot be compiled.
    pub(super) uncompiled: Vec<TreePath>,
}

/// Notes the sources of `origin` that have no bytecode.
pub(super) fn remark(remarks: &mut Remarks, origin: &str, uncompiled: &[TreePath]) {
    if !uncompiled.is_empty() {
        let paths = uncompiled.iter().map(|path| format!("/{path}")).collect();
        remarks.uncompiled.insert(origin.to_owned(), paths);
    }
}

/// A warning for each wheel or package with sources that have no bytecode.
pub(super) fn warnings(remarks: &Remarks) -> Vec<String> {
    const SHOWN: usize = 10;
    let warning = |(origin, paths): (&String, &Vec<String>)| {
        let mut names: Vec<String> = paths.iter().take(SHOWN).map(|path| format!("`{path}`")).collect();
        names.extend(paths.len().checked_sub(SHOWN).filter(|more| *more > 0).map(|more| format!("and {more} more")));
        let files = ui::count(paths.len(), "file");
        format!("{origin}: {files} cannot be compiled and stay without bytecode: {}", names.join(", "))
    };
    remarks.uncompiled.iter().map(warning).collect()
}

/// Whether an entry is Python source below `library`. Symbolic links are not: Debian's lead to configuration elsewhere.
pub(super) fn is_source(path: &TreePath, entry: &Entry, library: &TreePath) -> bool {
    let text = path.as_str();
    matches!(entry.kind, Kind::File(_))
        && text.ends_with(".py")
        && text.strip_prefix(library.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

/// The interpreters whose standard library is among `packages` and whose bytecode some image of the profile asks for.
pub(super) fn interpreters_in(inputs: &Inputs<'_>, packages: &[String]) -> BTreeSet<String> {
    let environments = inputs.profile.model.images.values().filter_map(|image| image.venv.as_ref());
    environments
        .filter(|venv| venv.bytecode)
        .map(|venv| venv.python.get_ref())
        .filter(|python| packages.iter().any(|package| package.starts_with(&format!("lib{python}"))))
        .cloned()
        .collect()
}

/// The image whose packages the interpreter is unpacked from: `image` itself if it asks for bytecode, or else, for a
/// layer that several images share, the first of the profile that does.
pub(super) fn compiling_image<'a>(image: ImageInputs<'a>, python: &str) -> ImageInputs<'a> {
    let asks = |image: &ImageInputs<'_>| {
        image.model().venv.as_ref().is_some_and(|venv| venv.bytecode && venv.python.get_ref() == python)
    };
    if asks(&image) {
        return image;
    }
    // Of the profile, not of the plan, which may have a single image.
    let images = image.inputs.profile.model.images.keys();
    images.map(|name| image.inputs.image(name.get_ref())).find(asks).unwrap_or(image)
}

impl Interpreter {
    /// Unpacks an interpreter that runs here from the opened `packages`, as `locked`, below `root`.
    pub(super) fn unpack(
        root: TempDir,
        python: &str,
        architecture: Architecture,
        locked: &[&Package],
        packages: &[Arc<deb::Package>],
    ) -> Result<Self> {
        let mut identity = String::new();
        for package in packages {
            let name = &package.control.name;
            if name.starts_with(python) || name.starts_with(&format!("lib{python}")) {
                let locked = locked.iter().find(|locked| locked.name == *name);
                identity.push_str(&locked.map(|locked| locked.sha256.hex()).unwrap_or_default());
            }
            let is_needed =
                |path: &TreePath| ["usr/bin/", "usr/lib/"].iter().any(|prefix| path.as_str().starts_with(prefix));
            unpacked::write(&package.tree, root.path(), is_needed)?;
        }
        Ok(Self { root, python: python.to_owned(), architecture, identity })
    }

    /// The bytecode of one unit, from the store or compiled.
    pub(super) fn compile(&self, unit: Unit<'_>, store: &Store, progress: &Phase<'_>) -> Result<Compiled> {
        let file = files::open(&self.compiled(unit, store, progress)?)?.into_parts().0;
        let origin = Arc::from(format!("bytecode of {}", unit.origin));
        let mut tree = tar::read(&SourceFile::new(file), &origin)?;
        let mut uncompiled = Vec::new();
        for (source, entry) in unit.sources {
            let cache = cache_path(source, &self.python)?;
            match tree.get(&cache) {
                None => uncompiled.push(source.clone()),
                Some(compiled) => {
                    let compiled = Entry { mtime: entry.mtime, ..compiled.clone() };
                    tree.insert(cache, compiled);
                }
            }
        }
        Ok(Compiled { tree, uncompiled })
    }

    /// The tar of a unit's bytecode in the store.
    fn compiled(&self, unit: Unit<'_>, store: &Store, progress: &Phase<'_>) -> Result<PathBuf> {
        let mut key = Key::builder(recipe::BYTECODE).field("python", &self.identity).field("unit", unit.identity);
        for (path, _) in unit.sources {
            key = key.field("source", path);
        }
        let key = key.finish();
        if let Some(path) = store.derived(&key) {
            return Ok(path);
        }
        progress.item(&format!("compiling {}", unit.origin));
        store.put_derived(&key, |path| {
            let tree = self.run(unit)?;
            let mut file = std::io::BufWriter::new(fs_err::File::create(path)?);
            // No times: neither the build's epoch nor the time of a wheel's upload is in the key.
            tar::write(&tree, tar::Options { epoch: 0, file_digests: false }, &mut file)?;
            Ok(file.flush()?)
        })
    }

    /// Compiles one unit.
    fn run(&self, unit: Unit<'_>) -> Result<Tree> {
        let Unit { origin, sources, .. } = unit;
        let workspace = tempfile::tempdir_in(self.root.path())?;
        let mut tree = Tree::new();
        for (path, entry) in sources {
            tree.insert(path.clone(), entry.clone());
        }
        unpacked::write(&tree, workspace.path(), |_| true)?;
        let on_disk = |path: &TreePath| workspace.path().join(path.as_str());
        let mut input = Vec::new();
        for (path, _) in sources {
            if cache_path(path, &self.python)?.file_name().len() > LONGEST_NAME {
                continue;
            }
            for text in [on_disk(path).display().to_string(), format!("/{path}")] {
                input.extend_from_slice(text.as_bytes());
                input.push(0);
            }
        }
        self.python(workspace.path(), &input).with_context(|| format!("cannot compile {origin}"))?;

        let origin: Arc<str> = origin.into();
        let mut compiled = Tree::new();
        for (path, _) in sources {
            let cache = cache_path(path, &self.python)?;
            if let Some(bytes) = unpacked::read(workspace.path(), &cache)? {
                compiled.insert(cache, Entry::file(bytes, 0o644, &origin));
            }
        }
        Ok(compiled)
    }

    /// Runs [`SCRIPT`] with `input` on its standard input. It writes below `workspace` only.
    fn python(&self, workspace: &Path, input: &[u8]) -> Result<()> {
        let root = self.root.path();
        let libraries = root.join(self.architecture.lib_directory());
        let program = root.join("usr/bin").join(&self.python);
        let mut command = vec![libraries.join(self.architecture.loader()).into_os_string(), "--library-path".into()];
        command.extend([libraries.into_os_string(), program.into_os_string()]);
        command.extend(["-S", "-s", "-P", "-B", "-c", SCRIPT].map(Into::into));
        let environment = vec![
            ("PYTHONHOME", root.join("usr").into_os_string()),
            ("PYTHONHASHSEED", "0".into()),
            ("PYTHONUTF8", "1".into()),
            ("LC_ALL", "C".into()),
        ];
        let confined = Confined { command, environment, readable: root, writable: workspace, input };
        let Finished { status, stderr, written, .. } = confined.run().context("cannot run the image's Python")?;
        let how = match status {
            // When it ends early, its messages say more than the broken pipe.
            Some(status) if status.success() => return Ok(written?),
            Some(status) => status.to_string(),
            None => "it took longer than half an hour".to_owned(),
        };
        let message = format!("the image's Python failed ({how}):\n{}", String::from_utf8_lossy(&stderr).trim());
        let hint = "to build without bytecode, set `bytecode = false` in the profile's venv";
        Err(Failure::failed(message).hint(hint).into())
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
