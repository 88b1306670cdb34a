//! The mirrors in apt's sources: `sources.list(5)`, both its formats, and `apt-transport-mirror(1)`'s lists.

use std::collections::BTreeMap;
use std::path::Path;

use deb822_fast::borrowed::{BorrowedParagraph, iter_paragraphs_borrowed};
use sealift_deployment::files::{self, sorted_dir};
use sealift_deployment::machine::Machine;

use url::Url;

use super::{Named, base};

/// Names of suites in the Debian archive itself; third-party archives have other names.
const SUITES: &[&str] = &[
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "sid",
    "experimental",
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
];

/// One `deb` source: a URI and a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    uri: String,
    suite: String,
    components: Vec<String>,
    signed_by: Option<String>,
}

impl Source {
    /// How likely this archive has `suite`; a smaller rank is more likely. Sources of the suite itself come first, then
    /// those of the same kind: security updates have an archive of their own.
    fn rank(&self, suite: &str) -> u8 {
        if self.suite == suite {
            return 0;
        }
        if is_security(suite) && is_security(&self.suite) {
            return 1;
        }
        2 + self.rank_as_main()
    }

    /// How likely this is Debian's main archive.
    fn rank_as_main(&self) -> u8 {
        let debian_key = self.signed_by.as_deref().is_some_and(|key| key.contains("debian-archive"));
        let suite = self.suite.split(['-', '/']).next().unwrap_or_default();
        let own_suite = suite == self.suite || ["-updates", "-backports"].iter().any(|end| self.suite.ends_with(end));
        let main = self.components.iter().any(|component| component == "main");
        if is_security(&self.suite) {
            // A security archive has only its own suites.
            return 3;
        }
        match debian_key {
            true => 0,
            false if main && own_suite && SUITES.contains(&suite) && self.signed_by.is_none() => 1,
            false => 2,
        }
    }
}

fn is_security(suite: &str) -> bool {
    suite.ends_with("-security") || suite.ends_with("/updates")
}

/// The mirrors in apt's sources, the most likely to have `suite` first, each once. Files that cannot be read or parsed are
/// skipped: apt reports their errors.
pub(super) fn mirrors(machine: &Machine, suite: &str) -> Vec<Named> {
    let mut found: Vec<(u8, Named)> = Vec::new();
    let mut seen = BTreeMap::new();
    for path in files(machine) {
        let Some(text) = read(&path) else { continue };
        let sources = if path.extension().is_some_and(|end| end == "sources") { stanzas(&text) } else { lines(&text) };
        for source in sources {
            let rank = source.rank(suite);
            for (url, is_list) in addresses(&source.uri, machine) {
                let at = *seen.entry(url.clone()).or_insert(found.len());
                match found.get_mut(at) {
                    Some((known, _)) => *known = rank.min(*known),
                    None => found.push((rank, Named { url, origin: path.display().to_string(), is_list })),
                }
            }
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, mirror)| mirror).collect()
}

/// `sources.list` and, sorted, the files that apt reads in `sources.list.d`.
fn files(machine: &Machine) -> Vec<std::path::PathBuf> {
    let ours = |path: &Path| path.extension().is_some_and(|end| end == "list" || end == "sources");
    let mut files = vec![machine.path("/etc/apt/sources.list")];
    files.extend(sorted_dir(&machine.path("/etc/apt/sources.list.d")).unwrap_or_default());
    files.retain(|path| ours(path));
    files
}

/// The text of a file. Like apt, this accepts comments in any encoding.
pub(super) fn read(path: &Path) -> Option<String> {
    let bytes = files::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The URLs of a source, each with whether it is that of a list: the URI itself, or the entries of a `mirror+file:` list.
fn addresses(uri: &str, machine: &Machine) -> Vec<(Url, bool)> {
    if let Some(list) = uri.strip_prefix("mirror+file:") {
        let text = read(&machine.path(list.trim_start_matches("//"))).unwrap_or_default();
        return listed(&text).into_iter().map(|url| (url, false)).collect();
    }
    let list = uri.strip_prefix("mirror+").map(str::to_owned);
    if let Some(list) = list.or_else(|| Some(format!("http://{}", uri.strip_prefix("mirror://")?))) {
        return base(&list).into_iter().map(|url| (url, true)).collect();
    }
    let file = uri.strip_prefix("copy:").map(|path| format!("file:{path}"));
    base(file.as_deref().unwrap_or(uri)).into_iter().map(|url| (url, false)).collect()
}

/// The mirrors in a list: a URI in each line, optionally followed by words such as `priority:1`. A smaller number comes
/// first; those without one come last.
pub(crate) fn listed(text: &str) -> Vec<Url> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let url = base(words.next()?)?;
        let priority = words.find_map(|word| word.strip_prefix("priority:")?.parse::<u32>().ok());
        Some((priority.unwrap_or(u32::MAX), url))
    };
    let mut found: Vec<_> = text.lines().filter_map(entry).collect();
    found.sort_by_key(|(priority, _)| *priority);
    found.into_iter().map(|(_, url)| url).collect()
}

/// The one-line format: `deb [option=value ...] URI SUITE COMPONENT...`.
fn lines(text: &str) -> Vec<Source> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let mut rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let mut signed_by = None;
    if let Some(options) = rest.strip_prefix('[') {
        let (options, after) = options.split_once(']')?;
        signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by=")).map(str::to_owned);
        rest = after;
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source { uri: words.next()?, suite: words.next()?, components: words.collect(), signed_by })
}

/// The deb822 format: stanzas with `Types`, `URIs`, `Suites`, `Components`.
fn stanzas(text: &str) -> Vec<Source> {
    iter_paragraphs_borrowed(text).map_while(Result::ok).flat_map(|stanza| self::stanza(&stanza)).collect()
}

fn stanza(stanza: &BorrowedParagraph<'_>) -> Vec<Source> {
    let words = |name: &str| -> Vec<String> {
        let lines = stanza.get(name).unwrap_or_default();
        lines.iter().flat_map(|line| line.split_whitespace()).map(str::to_owned).collect()
    };
    let off = words("Enabled").first().is_some_and(|word| {
        ["no", "false", "without", "off", "disable", "0"].iter().any(|no| word.eq_ignore_ascii_case(no))
    });
    if off || !words("Types").iter().any(|kind| kind == "deb") {
        return Vec::new();
    }
    // The value is the path of a file, or a whole key; the first word distinguishes them.
    let (components, signed_by) = (words("Components"), words("Signed-By").into_iter().next());
    let mut sources = Vec::new();
    for uri in words("URIs") {
        for suite in words("Suites") {
            let (components, signed_by) = (components.clone(), signed_by.clone());
            sources.push(Source { uri: uri.clone(), suite, components, signed_by });
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join("etc/apt").join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let machine = Machine::of(root.path(), &[]);
        (root, machine)
    }

    fn bases(files: &[(&str, &str)]) -> String {
        let (_root, machine) = machine(files);
        mirrors(&machine, "duke").into_iter().map(|mirror| format!("{}\n", mirror.url)).collect()
    }

    #[test]
    fn the_one_line_format_is_parsed() {
        let found = bases(&[(
            "sources.list",
            "# deb http://comment.example/debian sid main\n\
             deb cdrom:[Debian GNU/Linux]/ bookworm main\n\
             deb-src http://source.example/debian sid main\n\
             debris http://other.example/debian sid main\n\
             deb file:/srv/debian sid main\n\
             deb http://security.example/debian-security bookworm-security main\n\
             \tdeb\t[ arch=amd64 signed-by=/usr/share/keyrings/tool.gpg ] https://tool.example/apt bookworm main # x\n\
             deb http://mirror.example/debian/ bookworm main contrib\n\
             deb [trusted=yes]http://flat.example/ ./\n\
             deb http://mirror.example/debian bookworm-updates main\n",
        )]);
        insta::assert_snapshot!(found, @r"
        file:///srv/debian
        http://mirror.example/debian
        https://tool.example/apt
        http://flat.example/
        http://security.example/debian-security
        ");
    }

    #[test]
    fn sources_of_the_suite_come_first() {
        let (_root, machine) = machine(&[(
            "sources.list",
            "deb http://mirror.example/debian bookworm main\n\
             deb http://security.example/debian-security bookworm-security main\n\
             deb [signed-by=/x.gpg] https://tool.example/apt stable main\n\
             deb https://flat.example ./\n",
        )]);
        let first = |suite| mirrors(&machine, suite)[0].url.to_string();
        assert_eq!(first("bookworm"), "http://mirror.example/debian");
        assert_eq!(first("bookworm-backports"), "http://mirror.example/debian");
        assert_eq!(first("bookworm-security"), "http://security.example/debian-security");
        assert_eq!(first("trixie-security"), "http://security.example/debian-security");
        assert_eq!(first("stable"), "https://tool.example/apt");
        assert_eq!(first("./"), "https://flat.example/");
    }

    #[test]
    fn the_deb822_format_is_parsed() {
        let found = bases(&[(
            "sources.list.d/debian.sources",
            "Types: deb\nURIs: https://off.example/debian\nSuites: sid\nComponents: main\nEnabled: no\n\n\
             Types: deb deb-src\n# a comment\nURIs: https://one.example/debian https://two.example/debian\n\
             Suites: bookworm-security trixie\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.pgp\n\n\
             types: deb\nuris:\n https://more.example/a\n https://more.example/b\nsuites: x\nSigned-By:\n -----BEGIN\n .\n\n\
             Types: deb-src\nURIs: https://source.example/debian\nSuites: sid\nComponents: main\n",
        )]);
        insta::assert_snapshot!(found, @r"
        https://one.example/debian
        https://two.example/debian
        https://more.example/a
        https://more.example/b
        ");
    }

    #[test]
    fn mirror_lists_are_read_and_files_are_sorted() {
        let found = bases(&[
            (
                "mirrors/debian.list",
                "https://list.example/debian\n\nhttps://second.example/debian\tpriority:2\nhttps://first.example/debian arch:amd64 priority:1\n",
            ),
            ("sources.list.d/b.list", "deb mirror+file:/etc/apt/mirrors/debian.list trixie main\n"),
            (
                "sources.list.d/a.list",
                "deb http://early.example/debian trixie main\ndeb mirror+https://net.example/list trixie main\n",
            ),
            ("sources.list.d/c.list.save", "deb http://old.example/debian trixie main\n"),
            ("sources.list.d/z.sources", "no stanza\n"),
        ]);
        insta::assert_snapshot!(found, @r"
        http://early.example/debian
        https://net.example/list
        https://first.example/debian
        https://second.example/debian
        https://list.example/debian
        ");
    }

    #[test]
    fn comments_in_any_encoding_are_accepted() {
        let (root, machine) = machine(&[]);
        fs_err::create_dir_all(root.path().join("etc/apt")).unwrap();
        let text = b"# d\xe9p\xf4ts\ndeb http://mirror.example/debian trixie main\n";
        fs_err::write(root.path().join("etc/apt/sources.list"), text).unwrap();
        assert_eq!(mirrors(&machine, "duke")[0].url.as_str(), "http://mirror.example/debian");
    }

    proptest! {
        #[test]
        fn arbitrary_text_causes_no_panic(text in "(deb|Types: deb|URIs:| |\\[|\\]|=|#|\n|http://a|é|sid){0,20}") {
            lines(&text);
            stanzas(&text);
        }
    }
}
