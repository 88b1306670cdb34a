use std::sync::Arc;

use super::*;
use crate::listing::Listing;
use crate::platform::Architecture;
use crate::tar;
use crate::tree::{Entry, SourceFile};

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

/// An image as text: `PATH -> TARGET` is a link, `PATH = TEXT` an executable file, `PATH/` a folder.
fn image(lines: &[&str]) -> (Listing, Programs) {
    let origin: Arc<str> = "test".into();
    let mut tree = Tree::new();
    for line in lines {
        if let Some((link, target)) = line.split_once(" -> ") {
            tree.insert(path(link), Entry::symlink(target, &origin));
        } else if let Some((file, text)) = line.split_once(" = ") {
            tree.insert(path(file), Entry::file(text, 0o755, &origin));
        } else {
            tree.insert(path(line.trim_end_matches('/')), Entry::directory(0o755, &origin));
        }
    }
    // Layers have all parent directories.
    let parents: Vec<TreePath> =
        tree.iter().flat_map(|(path, _)| std::iter::successors(path.parent(), TreePath::parent)).collect();
    for parent in parents {
        if tree.get(&parent).is_none() {
            tree.insert(parent, Entry::directory(0o755, &origin));
        }
    }
    let mut bytes = Vec::new();
    let listing = tar::write(&tree, tar::Options { epoch: 0, file_digests: true }, &mut bytes).unwrap();
    let programs = of_tree(&tree).unwrap();
    assert_eq!(of_tar(bytes.as_slice()).unwrap(), programs);
    (listing, programs)
}

fn files<'a>((listing, programs): &'a (Listing, Programs)) -> ImageFiles<'a> {
    ImageFiles {
        listing,
        programs,
        architecture: Architecture::Amd64,
        path: vec!["/usr/bin".into(), "/bin".into()],
        ld_library_path: Vec::new(),
        mounted: vec![path("data")],
    }
}

fn elf(needed: &[&str], search: &[&str]) -> Program {
    let strings = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    let interpreter = Some("/lib64/ld-linux-x86-64.so.2".to_owned());
    Program::Elf(Elf {
        machine: 62,
        interpreter,
        needed: strings(needed),
        search: strings(search),
        is_inherited: false,
    })
}

#[test]
fn commands_are_found_by_path_and_through_links() {
    let image =
        image(&["bin -> usr/bin", "usr/bin/a -> /opt/../etc/b", "etc/b = #!/bin/c -x\n", "usr/bin/c -> c", "opt/"]);
    let files = files(&image);
    // A link to itself.
    assert_eq!(
        files.runs("a").unwrap_err().to_string(),
        "`/etc/b` is a script for `/bin/c -x`: the image has no `/bin/c`"
    );
    assert_eq!(files.runs("/data/own/program"), Ok(()));
    assert_eq!(files.runs("nginx").unwrap_err().to_string(), "the image has no `nginx` in PATH (/usr/bin:/bin)");
    assert_eq!(files.runs("/opt").unwrap_err().to_string(), "`/opt` is a directory");
    assert!(files.has_directory("/bin") && files.has_directory("/") && !files.has_directory("/etc/b"));
}

#[test]
fn env_in_a_script_looks_for_the_interpreter() {
    let mut image = image(&["usr/bin/env = x", "usr/bin/tool = #! /usr/bin/env -S python3 -I\n"]);
    image.1.insert(path("usr/bin/env"), Program::Elf(Elf { machine: 62, ..Elf::default() }));
    assert_eq!(
        files(&image).runs("tool").unwrap_err().to_string(),
        "`/usr/bin/tool` is a script for `/usr/bin/env -S python3 -I`: the image has no `python3` in PATH (/usr/bin:/bin)"
    );
    let missing = files(&image).missing();
    assert_eq!((missing[0].kind, missing[0].name.as_str()), (MissingKind::Interpreter, "python3"));
}

/// RabbitMQ's program is a script that calls `id`, on which it need not depend. A proxy's script started the path of a package
/// that was left out.
#[test]
fn scripts_are_followed_to_what_they_call() {
    let image = image(&[
        "usr/bin/server = #!/bin/sh\n[ `id -u` = 0 ] && /usr/lib/run && helper && /usr/lib/absent",
        "usr/lib/run -> start",
        "usr/lib/start = #!/usr/bin/env bash\nbasename x | server",
        "usr/bin/helper = #!/usr/bin/python3\nls",
    ]);
    let files = files(&image);
    let lost = |calls: &[&str]| -> Vec<String> {
        let lost = files.lost_calls(&calls.iter().map(|&call| call.to_owned()).collect());
        lost.iter().map(|lost| format!("{:?}: {:?}", lost.script, lost.names)).collect()
    };
    assert_eq!(
        lost(&["server"]),
        [
            r#"Some((TreePath("usr/bin/server"), "test")): {"/usr/lib/absent", "id"}"#,
            r#"Some((TreePath("usr/lib/start"), "test")): {"basename"}"#
        ]
    );
    assert_eq!(lost(&["helper", "curl", "/data/x"]), [r#"None: {"curl"}"#]);
}

#[test]
fn libraries_are_looked_for_where_the_loader_looks() {
    let mut image = image(&[
        "usr/bin/a = x",
        "lib64 -> usr/lib64",
        "usr/lib64/ld-linux-x86-64.so.2 = x",
        "usr/lib/x86_64-linux-gnu/libstandard.so.1 = x",
        "opt/own/lib/libown.so.1 = x",
        "opt/cached/libcached.so.1 = x",
        "usr/bin/plugins/libplugin.so = x",
    ]);
    let needed =
        ["libstandard.so.1", "libown.so.1", "libcached.so.1", "libplugin.so", "libz.so.1", "ld-linux-x86-64.so.2"];
    image.1.insert(path("usr/bin/a"), elf(&needed, &["$ORIGIN/../../opt/own/lib"]));
    let cached = ("libcached.so.1".to_owned(), "/opt/cached/libcached.so.1".to_owned());
    let cache = Program::LibraryCache { libraries: [cached].into() };
    image.1.insert(path("etc/ld.so.cache"), cache);
    image.0.insert(path("etc/ld.so.cache"), image.0[&path("usr/bin/a")].clone());
    let missing = files(&image).missing();
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!((missing[0].name.as_str(), missing[0].debian_package()), ("libz.so.1", Some("libz1".to_owned())));
    assert_eq!(missing[0].needed_by, [(path("usr/bin/a"), "test".to_owned())]);
    // The program itself does not find what lies somewhere else only.
    let error = files(&image).runs("a").unwrap_err().to_string();
    assert_eq!(
        error,
        "`/usr/bin/a` needs the library libplugin.so, which the image does not have where it is looked for"
    );
}

/// An image with the packages of a suite whose base-files has no links of merged /usr had no loader.
#[test]
fn a_missing_loader_is_found() {
    let mut image = image(&["usr/bin/a = x", "usr/lib64/ld-linux-x86-64.so.2 = x"]);
    image.1.insert(path("usr/bin/a"), elf(&[], &[]));
    let missing = files(&image).missing();
    assert_eq!((missing[0].kind, missing[0].name.as_str()), (MissingKind::Loader, "/lib64/ld-linux-x86-64.so.2"));
    assert!(matches!(files(&image).runs("a"), Err(NotRunnable::NoLoader { .. })));
}

/// Samba's programs name the folder of their private libraries; these do not, and need each other.
#[test]
fn a_library_that_was_loaded_before_is_not_looked_for_again() {
    let mut image = image(&[
        "usr/sbin/smbd = x",
        "usr/lib64/ld-linux-x86-64.so.2 = x",
        "lib64 -> usr/lib64",
        "usr/lib/samba/libasn1.so = x",
        "usr/lib/samba/libreplace.so = x",
    ]);
    image.1.insert(path("usr/sbin/smbd"), elf(&["libasn1.so", "libreplace.so"], &["/usr/lib/samba"]));
    image.1.insert(path("usr/lib/samba/libasn1.so"), elf(&["libreplace.so"], &[]));
    assert_eq!(files(&image).runs("/usr/sbin/smbd"), Ok(()));
    assert_eq!(files(&image).missing(), []);

    // A program that does not need it itself does not start, but for the older kind of search path.
    image.1.insert(path("usr/sbin/smbd"), elf(&["libasn1.so"], &["/usr/lib/samba"]));
    let error = files(&image).runs("/usr/sbin/smbd").unwrap_err().to_string();
    assert!(error.starts_with("`/usr/lib/samba/libasn1.so` needs the library libreplace.so"), "{error}");
    let Some(Program::Elf(smbd)) = image.1.get_mut(&path("usr/sbin/smbd")) else { panic!("no program") };
    smbd.is_inherited = true;
    assert_eq!(files(&image).runs("/usr/sbin/smbd"), Ok(()));
    image.1.insert(path("usr/lib/samba/libasn1.so"), elf(&["libreplace.so"], &["/opt"]));
    assert!(files(&image).runs("/usr/sbin/smbd").is_err(), "its own path is in the place of that of its users");
}

#[test]
fn names_of_packages_follow_those_of_libraries() {
    let package = |name: &str| {
        let kind = MissingKind::Library;
        Missing { name: name.into(), kind, needed_by: Vec::new() }.debian_package()
    };
    assert_eq!(package("libstdc++.so.6").as_deref(), Some("libstdc++6"));
    assert_eq!(package("libgd-3.so.0").as_deref(), Some("libgd-3-0"));
    assert_eq!(package("libGL.so.1").as_deref(), Some("libgl1"));
    assert_eq!(package("libdb-5.3.so").as_deref(), Some("libdb5.3"));
    assert_eq!(package("module.so"), None);
}

/// A real program, of whatever linker: the test itself.
#[test]
fn a_real_program_is_read() {
    let file = fs_err::File::open("/proc/self/exe").unwrap().into_parts().0;
    let length = file.metadata().unwrap().len();
    let content = Content::range(&SourceFile::new(file), 0, length);
    let Some(Program::Elf(elf)) = program(&path("a"), &content).unwrap() else { panic!("no ELF file") };
    assert!(elf.needed.iter().any(|name| name == "libc.so.6"), "{elf:?}");
    assert!(elf.interpreter.is_some_and(|loader| loader.contains("ld-linux")));
}

proptest::proptest! {
    /// Headers that lie are no reason to stop a build, or to end it.
    #[test]
    fn damaged_elf_files_are_passed_over(changes in proptest::collection::vec((0_usize..4096, 0_u8..), 1..20)) {
        let mut bytes = vec![0; 4096];
        fs_err::File::open("/proc/self/exe").unwrap().read_exact(&mut bytes).unwrap();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        program(&path("a"), &Content::from(bytes)).unwrap();
    }
}

/// An ELF file for x86-64 with these program headers: type, and the bytes that it is about.
fn elf_file(segments: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec();
    out.extend([0_u64, 64, 0].map(u64::to_le_bytes).concat());
    out.extend(b"\0\0\0\0\x40\0\x38\0");
    out.extend(u16::try_from(segments.len()).unwrap().to_le_bytes());
    out.extend([0; 6]);
    let mut at = 64 + 56 * segments.len() as u64;
    for (kind, bytes) in segments {
        out.extend([kind.to_le_bytes(), [4, 0, 0, 0]].concat());
        let size = bytes.len() as u64;
        out.extend([at, at, at, size, size, 1].map(u64::to_le_bytes).concat());
        at += size;
    }
    out.extend(segments.iter().flat_map(|(_, bytes)| *bytes));
    out
}

fn program_of(bytes: Vec<u8>) -> Option<Program> {
    program(&path("usr/bin/x"), &Content::from(bytes)).unwrap()
}

/// Its strings end before 4 KiB follow them, and the table is after what names it.
#[test]
fn small_programs_are_read_to_their_last_byte() {
    let table = 64 + 3 * 56 + 28 + 64;
    let dynamic = [(5, table), (1, 1), (1, 11), (0, 0)];
    let dynamic = dynamic.map(|(tag, value): (u64, u64)| [tag.to_le_bytes(), value.to_le_bytes()].concat()).concat();
    let file = elf_file(&[(3, b"/lib64/ld-linux-x86-64.so.2\0"), (2, &dynamic), (1, b"\0libc.so.6\0libz.so.1\0")]);
    assert_eq!(program_of(file), Some(elf(&["libc.so.6", "libz.so.1"], &[])));
}

/// Linux refuses them, and each of their segments would be read and kept.
#[test]
fn programs_with_thousands_of_segments_are_none() {
    let Some(Program::Elf(elf)) = program_of(elf_file(&[(3, b"/a\0"), (3, b"/b\0")])) else { panic!("an ELF file") };
    assert_eq!(elf.interpreter.as_deref(), Some("/a"), "the first one counts");
    assert_eq!(program_of(elf_file(&[(3, b"/a\0".as_slice()); 1171])), None);
}

#[test]
fn links_that_lead_nowhere_are_found() {
    let image = image(&[
        "usr/bin/tool = x",
        "usr/bin/a -> tool",
        "usr/bin/b -> ../lib/gone",
        "usr/bin/c -> /usr/bin/b",
        "etc/d -> /data/x",
        "etc/e -> .",
    ]);
    let lost: Vec<String> = files(&image)
        .lost_links()
        .map(|link| format!("{} -> {} ({})", link.path, link.target, link.leads_to))
        .collect();
    assert_eq!(lost, ["usr/bin/b -> ../lib/gone (usr/lib/gone)", "usr/bin/c -> /usr/bin/b (usr/bin/b)"]);
}

/// A wheel whose command imports what it does not have starts nothing; the error came on the host.
#[test]
fn modules_of_commands_are_files() {
    let script = |module: &str| format!("#!/opt/v/bin/python\nfrom {module} import main as entry\n\nx");
    let (mut listing, programs) = image(&[
        &format!("opt/v/bin/a = {}", script("a.cli")),
        &format!("opt/v/bin/b = {}", script("b")),
        &format!("opt/v/bin/c = {}", script("json.tool")),
        &format!("opt/v/bin/d = {}", script("d.e")),
        &format!("opt/v/bin/f = {}", script("a.f")),
        "opt/v/lib/python3.13/site-packages/a/cli.py = x",
        "opt/v/lib/python3.13/site-packages/a/f.txt = x",
        "opt/v/lib/python3.13/site-packages/b.cpython-313-x86_64-linux-gnu.so = x",
        "opt/v/lib/python3.13/site-packages/d/e/__init__.py = x",
        "usr/lib/python3.13/json/tool.py = x",
    ]);
    for entry in listing.values_mut() {
        entry.origin = "wheel w 1".into();
    }
    let image = (listing, programs);
    let lost: Vec<String> = files(&image).lost_modules().map(|lost| format!("{} {}", lost.path, lost.module)).collect();
    assert_eq!(lost, ["opt/v/bin/f a.f"]);
}
