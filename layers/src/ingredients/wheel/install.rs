//! Where the members of a wheel are installed in a virtual environment (PEP 427, "Installing a wheel").

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use super::record::{self, FileHash};
use super::{Venv, Verified, Wheel, WheelError, WheelErrorKind, entry_points, metadata};
use crate::tree::{Content, Entry, Tree};

/// The content of `INSTALLER`, which `pip list --verbose` shows.
const INSTALLER: &str = "sealift\n";

impl Wheel {
    /// The files that the wheel installs into `venv`, with the directories above them.
    ///
    /// Files have mode 0644, or 0755 if they are scripts or have an execute bit in the archive. Their time is `uploaded`, in
    /// seconds since 1970. Directories have no time of their own, since wheels share them. `RECORD` lists all files but
    /// bytecode.
    ///
    /// # Errors
    /// [`WheelError`]: members with the same destination, an unknown directory in `.data`, or invalid entry points.
    pub fn tree(&self, venv: &Venv, uploaded: u64) -> Result<Tree, WheelError> {
        self.install(venv, uploaded).map_err(|kind| WheelError {
            file_name: self.file_name.clone(),
            kind,
            only_record: false,
        })
    }

    fn install(&self, venv: &Venv, uploaded: u64) -> Result<Tree, WheelErrorKind> {
        let commands = self.commands()?;
        let mut files = Files { places: BTreeMap::new() };
        for (name, member) in &self.members {
            let Some((place, kind)) = self.place(name, venv)? else { continue };
            // Old wheels have scripts with the same names as their entry points. The entry point is used.
            if kind == Part::Script && place.strip_prefix("bin/").is_some_and(|name| commands.contains_key(name)) {
                continue;
            }
            files.add(place, Item::of(name, member, kind, venv)?)?;
        }
        for (name, callable) in &commands {
            files.add(format!("bin/{name}"), Item::script(callable.script(&venv.interpreter())))?;
        }
        let info = format!("{}/{}.dist-info", venv.site(), self.stem);
        files.add(format!("{info}/INSTALLER"), Item::text(INSTALLER.into()))?;
        let record = files.record(&venv.site(), &format!("{}.dist-info/RECORD", self.stem));
        files.add(format!("{info}/RECORD"), Item::text(record))?;

        files.check_parents()?;
        let origin: Arc<str> = format!("wheel {} {}", self.name, self.version).into();
        let mut tree = Tree::new();
        for (place, item) in files.places {
            let mode = if item.executable { 0o755 } else { 0o644 };
            let entry = Entry::file(item.content, mode, &origin).modified(uploaded);
            if venv.add(&mut tree, &place, entry).is_err() {
                return Err(WheelErrorKind::Name(place, "it is not a valid path of an image"));
            }
        }
        Ok(tree)
    }

    fn commands(&self) -> Result<BTreeMap<String, entry_points::Callable>, WheelErrorKind> {
        let path = format!("{}.dist-info/entry_points.txt", self.stem);
        match self.members.get(&path) {
            None => Ok(BTreeMap::new()),
            Some(found) => entry_points::commands(&metadata::text(&path, &found.member)?),
        }
    }

    /// The path of a member relative to the environment. `None` for files that are generated.
    fn place(&self, name: &str, venv: &Venv) -> Result<Option<(String, Part)>, WheelErrorKind> {
        let below = |top: &str| name.strip_prefix(&self.stem)?.strip_prefix(top);
        if matches!(below(".dist-info/"), Some("INSTALLER" | "RECORD")) {
            return Ok(None);
        }
        let Some(data) = below(".data/") else { return Ok(Some((format!("{}/{name}", venv.site()), Part::Plain))) };
        let (scheme, rest) = data
            .split_once('/')
            .ok_or_else(|| WheelErrorKind::Member(name.into(), "it is not in a directory of `.data`"))?;
        Ok(Some(match scheme {
            "purelib" | "platlib" => (format!("{}/{rest}", venv.site()), Part::Plain),
            "scripts" => (format!("bin/{rest}"), Part::Script),
            "headers" => (format!("{}/{}/{rest}", venv.headers(), self.name), Part::Plain),
            // `lib64` is a symbolic link to `lib`. A directory with that name would replace the link.
            "data" => (rest.strip_prefix("lib64/").map_or(rest.to_owned(), |rest| format!("lib/{rest}")), Part::Plain),
            _ => return Err(WheelErrorKind::Member(name.into(), "it is in an unknown directory of `.data`")),
        }))
    }
}

/// How a member is installed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Plain,
    Script,
}

/// A file to install.
struct Item {
    content: Content,
    hash: FileHash,
    executable: bool,
}

impl Item {
    fn text(text: String) -> Self {
        Self { hash: FileHash::of(text.as_bytes()), content: text.into(), executable: false }
    }

    fn script(text: String) -> Self {
        Self { executable: true, ..Self::text(text) }
    }

    fn of(name: &str, Verified { member, hash }: &Verified, part: Part, venv: &Venv) -> Result<Self, WheelErrorKind> {
        let executable = member.executable || part == Part::Script;
        let unreadable = |source| WheelErrorKind::Unreadable { name: name.to_owned(), source };
        if part == Part::Script {
            let mut start = Vec::new();
            member.content.reader().take(8).read_to_end(&mut start).map_err(unreadable)?;
            if start == b"#!python" {
                let bytes = with_interpreter(&member.content.read().map_err(unreadable)?, &venv.interpreter());
                return Ok(Self { hash: FileHash::of(&bytes), content: bytes.into(), executable });
            }
        }
        Ok(Self { content: member.content.clone(), hash: hash.clone(), executable })
    }
}

/// Replaces the first word after `#!` of a script (`python`, `pythonw`, `python3`) by the path of the interpreter. Arguments
/// are kept.
fn with_interpreter(script: &[u8], interpreter: &str) -> Vec<u8> {
    let rest = script.iter().position(u8::is_ascii_whitespace).unwrap_or(script.len());
    [b"#!", interpreter.as_bytes(), &script[rest..]].concat()
}

/// The files to install, by path relative to the environment.
struct Files {
    places: BTreeMap<String, Item>,
}

impl Files {
    fn add(&mut self, place: String, item: Item) -> Result<(), WheelErrorKind> {
        match self.places.insert(place.clone(), item) {
            None => Ok(()),
            Some(_) => Err(WheelErrorKind::Collision(place)),
        }
    }

    /// Checks that no file has the path of a directory that another one needs.
    fn check_parents(&self) -> Result<(), WheelErrorKind> {
        for place in self.places.keys() {
            // Sorted by path, what is below it comes at once.
            let below = format!("{place}/");
            if self.places.range(below.clone()..).next().is_some_and(|(next, _)| next.starts_with(&below)) {
                return Err(WheelErrorKind::Collision(place.clone()));
            }
        }
        Ok(())
    }

    /// The text of `RECORD`. Its paths are relative to `site-packages`.
    fn record(&self, site: &str, itself: &str) -> String {
        let up = "../".repeat(site.split('/').count());
        let relative = |place: &String| match place.strip_prefix(site).and_then(|rest| rest.strip_prefix('/')) {
            Some(below) => below.to_owned(),
            None => format!("{up}{place}"),
        };
        let files = self.places.iter().map(|(place, item)| (relative(place), item.hash.clone())).collect();
        record::write(&files, itself)
    }
}
