//! The files of a profile that go into an image: single ones, and all below a folder.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sealift_layers::tree::{Pattern, TreePath};

use super::model::{Image, ImageFile};
use super::sources::Sources;
use crate::files;

/// Most files of a folder: more is a mistake, such as the profile's own folder with a build in it.
const FILE_LIMIT: usize = 100_000;

/// A file of the profile and its place in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedFile<'m> {
    /// Its path in the profile.
    pub source: String,
    /// Absolute path in the image.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// `UID:GID` or a user's name; `None` for root.
    pub owner: Option<&'m str>,
}

/// A folder of an image that belongs to the owner of the files in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedFolder<'m> {
    /// Absolute path in the image.
    pub path: String,
    /// `UID:GID` or a user's name.
    pub owner: &'m str,
}

/// What `files` of an image puts into it, sorted by their order in the profile, then by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed<'m> {
    /// The files.
    pub files: Vec<PlacedFile<'m>>,
    /// Folders with an owner, each before what is in it.
    pub folders: Vec<PlacedFolder<'m>>,
}

/// The files of an image.
///
/// # Errors
/// What is wrong with a folder, as a message.
pub(super) fn of_image<'m>(image: &'m Image, sources: &Sources) -> Result<Placed<'m>, String> {
    let mut placed = Placed::default();
    for file in &image.files {
        of_file(file, sources, &mut placed)?;
    }
    Ok(placed)
}

/// As [`of_image`], for one entry of `files`.
pub(super) fn of_file<'m>(file: &'m ImageFile, sources: &Sources, placed: &mut Placed<'m>) -> Result<(), String> {
    let owner = file.owner.as_ref().map(|owner| owner.get_ref().as_str());
    if let Some(source) = &file.source {
        let (source, path) = (source.get_ref().clone(), file.path.get_ref().clone());
        placed.files.push(PlacedFile { source, path, mode: file.mode.map_or(0o644, |mode| mode.0), owner });
    }
    let Some(tree) = &file.tree else { return Ok(()) };
    let path = file.path.get_ref().trim_end_matches('/');
    let tree = normal(tree.get_ref());
    if tree.is_empty() {
        return Err("the profile's own folder is no folder for an image: it has the profile and its lock".to_owned());
    }
    let walk = Walk { tree: &tree, path, file, owner, only: patterns(file) };
    let (before, folder) = (placed.files.len(), sources.path(&tree));
    if !path.is_empty() {
        placed.folders.extend(owner.map(|owner| PlacedFolder { path: path.to_owned(), owner }));
    }
    walk.folder(&folder, "", placed)?;
    match placed.files.len() - before {
        0 => Err(format!("the folder `{}` has no file that would be in the image", walk.tree)),
        _ => Ok(()),
    }
}

/// A relative path without `.` and doubled or final `/`.
fn normal(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

fn patterns(file: &ImageFile) -> Vec<Pattern> {
    file.only.iter().map(|pattern| Pattern::new(pattern.get_ref())).collect()
}

/// A walk through a folder of the profile.
struct Walk<'w, 'm> {
    tree: &'w str,
    path: &'w str,
    file: &'m ImageFile,
    owner: Option<&'m str>,
    only: Vec<Pattern>,
}

impl<'m> Walk<'_, 'm> {
    /// Adds what is in `folder`, which is at `below` (with a `/` at its end, or empty) of the tree.
    fn folder(&self, folder: &Path, below: &str, placed: &mut Placed<'m>) -> Result<(), String> {
        for entry in files::sorted_dir(folder).map_err(|error| error.to_string())? {
            let name = entry.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| format!("the name of `{}` is not UTF-8", entry.display()))?;
            let inside = format!("{below}{name}");
            let metadata = fs_err::symlink_metadata(&entry).map_err(|error| error.to_string())?;
            let path = TreePath::new(&inside).map_err(|error| format!("`{}/{inside}`: {error}", self.tree))?;
            if metadata.is_dir() {
                let (folders, files) = (placed.folders.len(), placed.files.len());
                let at = format!("{}/{inside}", self.path);
                placed.folders.extend(self.owner.map(|owner| PlacedFolder { path: at, owner }));
                self.folder(&entry, &format!("{inside}/"), placed)?;
                if placed.files.len() == files && !self.only.is_empty() {
                    placed.folders.truncate(folders);
                }
            } else if !metadata.is_file() {
                return Err(format!("`{}/{inside}` is neither a file nor a folder", self.tree));
            } else if self.only.is_empty() || self.only.iter().any(|pattern| pattern.matches(&path)) {
                let executable = metadata.permissions().mode() & 0o100 != 0;
                let mode = self.file.mode.map_or(if executable { 0o755 } else { 0o644 }, |mode| mode.0);
                let (source, path) = (format!("{}/{inside}", self.tree), format!("{}/{inside}", self.path));
                placed.files.push(PlacedFile { source, path, mode, owner: self.owner });
                if placed.files.len() > FILE_LIMIT {
                    return Err(format!("the folder `{}` has more than {FILE_LIMIT} files", self.tree));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(folder: &Path, text: &str) -> Result<String, String> {
        let file: ImageFile = toml::from_str(text).unwrap();
        let mut placed = Placed::default();
        of_file(&file, &Sources::of(folder), &mut placed)?;
        let owner = |owner: Option<&str>| owner.map(|owner| format!(" {owner}")).unwrap_or_default();
        let files = placed.files.iter();
        let files = files.map(|f| format!("{} {} {:o}{}\n", f.source, f.path, f.mode, owner(f.owner)));
        let folders = placed.folders.iter().map(|f| format!("{}/ {}\n", f.path, f.owner));
        Ok(files.chain(folders).collect())
    }

    #[test]
    fn a_tree_has_the_files_below_a_folder() {
        let place = tempfile::tempdir().unwrap();
        let www = place.path().join("www");
        fs_err::create_dir_all(www.join("css/old")).unwrap();
        for name in ["index.html", "css/a.css", "css/old/b.css", "run"] {
            fs_err::write(www.join(name), name).unwrap();
        }
        fs_err::set_permissions(www.join("run"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        insta::assert_snapshot!(placed(place.path(), "tree = \"www\"\npath = \"/srv/\"").unwrap(), @r"
        www/css/a.css /srv/css/a.css 644
        www/css/old/b.css /srv/css/old/b.css 644
        www/index.html /srv/index.html 644
        www/run /srv/run 755
        ");
        let text = "tree = \"www\"\npath = \"/\"\nonly = [\"*/*.css\"]\nowner = \"web\"\nmode = \"0600\"";
        insta::assert_snapshot!(placed(place.path(), text).unwrap(), @r"
        www/css/a.css /css/a.css 600 web
        /css/ web
        ");
        let none = placed(place.path(), "tree = \"www\"\npath = \"/srv\"\nonly = [\"*.php\"]").unwrap_err();
        assert_eq!(none, "the folder `www` has no file that would be in the image");
        fs_err::os::unix::fs::symlink("/etc/passwd", www.join("link")).unwrap();
        let link = placed(place.path(), "tree = \"www\"\npath = \"/srv\"").unwrap_err();
        assert_eq!(link, "`www/link` is neither a file nor a folder");
    }
}
