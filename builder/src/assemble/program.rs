//! The layer of a program that is built from its crate.

use std::sync::Arc;

use anyhow::Result;
use sealift_layers::tree::{Entry, SourceFile, Tree, TreePath};

use super::{Assembler, artifact};
use crate::plan::Image;

/// Where such programs are.
const FOLDER: &str = "usr/local/bin";

impl Assembler<'_> {
    /// The program, from the store or compiled.
    pub(super) fn program_tree(&mut self, image: &Image) -> Result<Tree> {
        let program = self.plan.program(&image.name)?;
        let cargo = self.plan.cargo()?;
        let key = self.plan.program_key(&image.name)?;
        let path = match self.store.derived(&key) {
            Some(path) => path,
            None => {
                let locked = program.locked;
                let name = format!("{} {}", locked.name, locked.version);
                // Verifies it once more.
                artifact(self.store, &name, &locked.sha256, locked.size)?;
                let archive = self.store.artifact(&locked.sha256, locked.size).expect("it was just opened");
                self.progress.item(&format!("compiling {name}, which takes minutes"));
                self.store
                    .put_derived(&key, |output| cargo.compile(&program, &archive, self.store, self.jobs, output))?
            }
        };
        let file = fs_err::File::open(path)?.into_parts().0;
        let size = file.metadata()?.len();
        let origin: Arc<str> = format!("the crate {} {}", program.locked.name, program.locked.version).into();
        let content = sealift_layers::tree::Content::range(&SourceFile::new(file), 0, size);
        let mut tree = Tree::new();
        tree.insert(TreePath::new(FOLDER)?.join(program.binary)?, Entry::file(content, 0o755, &origin));
        Ok(tree)
    }
}
