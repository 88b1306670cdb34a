//! Layers of archives that are unpacked, and of single files: one for each.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::bundle;
use sealift_deployment::failure::{Failure, one_line};
use sealift_deployment::files;
use sealift_deployment::profile::model;
use sealift_layers::ingredients::archive::{self, ArchiveError, Format, Placed, Placement};
use sealift_layers::listing::Listing;
use sealift_layers::tree::{Content, Entry, Pattern, SourceFile, Tree, TreePath};
use toml::Spanned;

use super::configuration::{accounts, owner_ids};
use super::description::Description;
use super::ingredient::{Ingredient, Made, strings};
use super::patterns;
use super::workshop::{Workshop, artifact, overlay, refused};
use crate::inputs::{Artifact, ImageInputs};
use crate::lock::ArchiveFile;
use crate::store::layer::{LayerRecord, Remarks};
use crate::store::{Builder, Store};

/// The number of lists of patterns that an archive has.
const LISTS: usize = 3;

/// An archive of the image.
#[derive(Debug)]
struct Archive {
    /// Its name in the profile.
    name: String,
    title: String,
}

/// The layers of the image's archives, by name.
pub(super) fn layers(image: ImageInputs<'_>) -> Result<Vec<Box<dyn Ingredient>>> {
    let mut layers: Vec<Box<dyn Ingredient>> = Vec::new();
    for (name, wanted) in image.model().archives.iter().filter(|(_, wanted)| wanted.is_there()) {
        let locked = image.inputs.archive_file(wanted.file.get_ref())?;
        let title = format!("{} {}, from {}", locked.name, locked.version, locked.file_name());
        layers.push(Box::new(Archive { name: name.get_ref().clone(), title }));
    }
    Ok(layers)
}

impl Archive {
    fn model<'a>(&self, image: ImageInputs<'a>) -> &'a model::ArchiveFile {
        image.model().archives.get(self.name.as_str()).expect("archives of a plan are archives of the profile")
    }

    fn locked<'a>(&self, image: ImageInputs<'a>) -> Result<&'a ArchiveFile> {
        image.inputs.archive_file(self.model(image).file.get_ref())
    }

    /// Numeric user and group.
    fn owner(&self, image: ImageInputs<'_>) -> Result<(u32, u32)> {
        let owner = self.model(image).owner.as_ref();
        owner.map_or(Ok((0, 0)), |owner| owner_ids(owner.get_ref(), &accounts(image.model())))
    }

    fn placement(&self, image: ImageInputs<'_>) -> Result<Placement> {
        let model = self.model(image);
        let patterns = |list: &[Spanned<String>]| list.iter().map(|text| Pattern::new(text.get_ref())).collect();
        Ok(Placement {
            // The only path that is none is the root.
            path: TreePath::new(model.path.get_ref()).ok(),
            strip: model.strip.into(),
            drop: patterns(&model.drop),
            keep: patterns(&model.keep),
            programs: patterns(&model.programs),
            mode: model.mode.map(|mode| mode.0),
            owner: self.owner(image)?,
        })
    }

    /// The archive's files in the image.
    fn unpacked(
        &self,
        workshop: &Workshop<'_>,
        image: ImageInputs<'_>,
        file: std::fs::File,
        origin: &Arc<str>,
    ) -> Result<Placed> {
        let locked = self.locked(image)?;
        let format = Format::of(&locked.file)
            .ok_or_else(|| Failure::usage(format!("{} does not have the name of an archive", locked.file)))?;
        let (spool, limits) = (workshop.store.temporary()?.into_file(), image.inputs.options.limits);
        let placement = self.placement(image)?;
        let placed =
            archive::open(file, format, spool, limits, origin).and_then(|members| placement.place(members, origin));
        placed.map_err(|error| {
            let failure = refused(format!("{}: {}", locked.file, one_line(&error)), &error);
            let failure = match hint(&error) {
                Some(hint) => failure.hint(hint),
                None => failure,
            };
            // It is unpacked into the store, where the disk may be full.
            let error = files::explain(workshop.store.root(), error.into());
            if Failure::within(&error).is_some() { error } else { failure.into() }
        })
    }
}

/// The lists of patterns, with the keys of the profile that have them.
fn lists(model: &model::ArchiveFile) -> [(&'static str, &[Spanned<String>]); LISTS] {
    [("drop", &model.drop), ("keep", &model.keep), ("programs", &model.programs)]
}

/// What to change in the profile.
fn hint(error: &ArchiveError) -> Option<String> {
    match error {
        ArchiveError::LeadsOut { .. } => {
            Some("leave the link out with `drop`; if the image needs it, make it with `links` of the image".to_owned())
        }
        ArchiveError::Strip(path, _) => Some(format!("use a smaller `strip`, or leave it out: drop = [\"/{path}\"]")),
        ArchiveError::Twice(_) => Some("use a smaller `strip`, or leave one of them out with `drop`".to_owned()),
        ArchiveError::Empty => Some("look at its paths with tar -tf or unzip -l, and at `strip` and `drop`".to_owned()),
        _ => None,
    }
}

impl Ingredient for Archive {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn key(&self, image: ImageInputs<'_>, key: Builder) -> Result<Builder> {
        let (model, (uid, gid)) = (self.model(image), self.owner(image)?);
        // The name tells the format.
        let file_name = self.locked(image)?.file_name();
        let mut key = key.field("content", "archive-file").field("file", self.locked(image)?.sha256);
        key = key.field("name", file_name).field("path", model.path.get_ref()).field("owner", format!("{uid}:{gid}"));
        key = key.field("unpack", model.unpack).field("strip", model.strip);
        key = key.field("mode", model.mode.map_or(String::new(), |mode| mode.0.to_string()));
        for (name, list) in lists(model) {
            key = strings(key, name, list.iter().map(|pattern| pattern.get_ref().as_str()));
        }
        Ok(key)
    }

    fn needs<'a>(&self, image: ImageInputs<'a>, _store: &Store) -> Result<Vec<Artifact<'a>>> {
        Ok(vec![Artifact::ArchiveFile(self.locked(image)?)])
    }

    fn make<'a>(&'a self, workshop: &mut Workshop<'_>, image: ImageInputs<'a>, lower: &Listing) -> Result<Made<'a>> {
        let (model, locked) = (self.model(image), self.locked(image)?);
        let file = artifact(workshop.store, &locked.file, &locked.sha256, locked.size)?;
        let origin: Arc<str> = format!("the archive {} {}", locked.name, locked.version).into();
        if !model.unpack {
            let (uid, gid) = self.owner(image)?;
            let content = Content::range(&SourceFile::new(file), 0, locked.size);
            let entry = Entry::file(content, model.mode.map_or(0o644, |mode| mode.0), &origin).owned_by(uid, gid);
            let mut tree = Tree::new();
            tree.insert(TreePath::new(model.path.get_ref())?, entry);
            return Ok(overlay(tree, lower)?.into());
        }
        let Placed { tree, dropped, files } = self.unpacked(workshop, image, file, &origin)?;
        let mut matched = BTreeSet::new();
        for (name, list) in lists(model) {
            // Patterns of different lists may be the same.
            let mut own = BTreeSet::new();
            let paths = if name == "programs" { &files } else { &dropped };
            patterns::add_matches(list.iter().map(|pattern| pattern.get_ref().as_str()), paths, &mut own);
            matched.extend(own.into_iter().map(|pattern| format!("{name} {pattern}")));
        }
        let remarks = Remarks { matched: Some(matched), ..Remarks::default() };
        Ok(Made { tree: overlay(tree, lower)?, remarks, check: None })
    }

    fn describe(&self, image: ImageInputs<'_>, _record: &LayerRecord, description: &mut Description) -> Result<()> {
        let ArchiveFile { name, version, file, size, sha256 } = self.locked(image)?.clone();
        description.image.archives.push(file.clone());
        description.archives.insert(file.clone(), bundle::ArchiveFile { name, version, file, size, sha256 });
        Ok(())
    }

    fn warnings(&self, image: ImageInputs<'_>, record: &LayerRecord) -> Vec<String> {
        let Some(matched) = &record.remarks.matched else { return Vec::new() };
        let mut warnings = Vec::new();
        for (key, list) in lists(self.model(image)) {
            let texts = list.iter().map(|pattern| pattern.get_ref());
            for text in texts.filter(|text| !matched.contains(&format!("{key} {text}"))) {
                warnings.push(format!(
                    "the pattern `{text}` in `{key}` of the archive {} matches no path of it",
                    self.name
                ));
            }
        }
        warnings
    }
}
