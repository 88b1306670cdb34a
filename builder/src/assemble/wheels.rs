//! Layers of wheels in a virtual environment.

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::profile::model;
use sealift_layers::ingredients::wheel::{self, Venv};
use sealift_layers::tree::{Entry, Prefer, Tree, TreePath};

use super::{Assembler, artifact, bytecode, chain, in_parallel};
use crate::plan::{Image, Plan};

impl Assembler<'_> {
    /// The files of `wheels` as they are installed, with their bytecode.
    pub(super) fn wheels_tree(&mut self, image: &Image, wheels: &[String], skeleton: bool) -> Result<Tree> {
        let model = venv(self.plan, image)?;
        let (python, bytecode) = (model.python.get_ref(), model.bytecode);
        let venv = Venv::new(TreePath::new(model.path.get_ref())?, python)?;
        let mut tree = Tree::new();
        if skeleton {
            tree = venv.skeleton(upstream_version(&self.plan.package(python)?.version));
        }
        let locked = wheels.iter().map(|name| self.plan.wheel(name)).collect::<Result<Vec<_>>>()?;
        self.open_wheels(image, wheels)?;
        // Each has a file open: none is kept longer than needed.
        let mut take = |name: &String| self.wheels.remove(&(image.name.clone(), name.clone())).expect("just opened");
        let trees: Vec<Tree> = wheels.iter().map(&mut take).collect();
        let interpreter = if bytecode { Some(self.interpreter(&image.name, python)?) } else { None };
        let compiled = match &interpreter {
            None => Vec::new(),
            Some(interpreter) => {
                let units: Vec<_> = locked.iter().zip(&trees).collect();
                in_parallel(self.jobs, &units, |(locked, tree)| {
                    let sources: Vec<(TreePath, Entry)> = tree
                        .iter()
                        .filter(|(path, entry)| bytecode::is_source(path, entry, &venv.site_packages()))
                        .map(|(path, entry)| (path.clone(), entry.clone()))
                        .collect();
                    let identity = format!("{} {}", locked.sha256.hex(), venv.path());
                    let origin = format!("wheel {} {}", locked.name, locked.version);
                    self.compile(interpreter, &identity, &origin, &sources)
                })?
            }
        };
        for part in trees.into_iter().chain(compiled) {
            tree.merge(part, |_, _| Prefer::Neither)?;
        }
        Ok(tree)
    }

    /// Makes the trees of wheels as they are installed, without bytecode; several at a time.
    pub(super) fn open_wheels(&mut self, image: &Image, wheels: &[String]) -> Result<()> {
        if wheels.is_empty() {
            return Ok(());
        }
        let model = venv(self.plan, image)?;
        let venv = Venv::new(TreePath::new(model.path.get_ref())?, model.python.get_ref())?;
        let known = |name: &String| self.wheels.contains_key(&(image.name.clone(), name.clone()));
        let missing = wheels.iter().filter(|name| !known(name)).map(|name| Ok((name, self.plan.wheel(name)?)));
        let mut missing = missing.collect::<Result<Vec<_>>>()?;
        // The largest first: what is begun last ends last.
        missing.sort_by_key(|(_, wheel)| std::cmp::Reverse(wheel.size));
        let trees = in_parallel(self.jobs, &missing, |(_, locked)| {
            let file = artifact(self.store, locked.file_name(), &locked.sha256, locked.size)?;
            let opened = wheel::open(file, locked.file_name()).map_err(|error| Failure::failed(chain(&error)))?;
            Ok(opened.tree(&venv, locked.uploaded).map_err(|error| Failure::failed(chain(&error)))?)
        })?;
        for ((name, _), tree) in missing.into_iter().zip(trees) {
            self.wheels.insert((image.name.clone(), name.clone()), tree);
        }
        Ok(())
    }
}

fn venv<'p>(plan: &'p Plan<'_>, image: &Image) -> Result<&'p model::Venv> {
    let venv = plan.model(&image.name).venv.as_ref();
    venv.ok_or_else(|| Failure::failed("wheels without a virtual environment").into())
}

/// The version of the program, without Debian's epoch and revision: `3.14.8` of `3.14.8-1`.
fn upstream_version(version: &str) -> &str {
    let without_epoch = version.split_once(':').map_or(version, |(_, rest)| rest);
    without_epoch.rsplit_once('-').map_or(without_epoch, |(upstream, _)| upstream)
}

#[cfg(test)]
mod tests {
    use super::upstream_version;

    #[test]
    fn epochs_and_revisions_are_debians() {
        assert_eq!(upstream_version("3.14.8-1"), "3.14.8");
        assert_eq!(upstream_version("1:3.14.0~rc1-2"), "3.14.0~rc1");
        assert_eq!(upstream_version("3.14"), "3.14");
    }
}
