//! Seeds: for each kind of input a few that are accepted, with something of everything that its parser knows.

use std::io::Write as _;

use sealift_layers::codec::Codec;
use sealift_layers::decompress::ENDINGS;
use sealift_layers::digest::Digest;
use sealift_layers::ingredients::ldcache::{self as caches, Library};
use sealift_layers::platform::Architecture;
use sealift_layers::tree::TreePath;

use super::debian::{KEY, SIGNED};
use crate::packed::{self, Member, Package, Wheel};

pub(super) use super::seeds_bills::{advisories, licenses};
pub(super) use super::seeds_machine::{apt_sources, certificate, nar, python_settings, site_record};

pub(super) type Seeds = Vec<Vec<u8>>;

pub(super) fn of(list: &[&str]) -> Seeds {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn members() -> Vec<Member> {
    vec![
        Member::directory("./"),
        Member::directory("./usr/"),
        Member::file("./usr/bin/tool", "#!/bin/sh\n").mode(0o4755),
        Member::hardlink("./usr/bin/same", "./usr/bin/tool"),
        Member::symlink("./lib", "usr/lib"),
    ]
}

pub(super) fn ar() -> Seeds {
    vec![packed::ar(&[("debian-binary", b"2.0\n".to_vec()), ("a/", b"odd".to_vec()), ("_b", vec![])])]
}

pub(super) fn deb() -> Seeds {
    let fields = "Depends: libc6 (>= 2.43)\nReplaces: old (<< 2), other:any\n";
    let control = format!("Package: tool\nVersion: 1:2-3\nArchitecture: all\n{fields}");
    let control =
        || ("control.tar", packed::tar(&[Member::file("./control", &control), Member::file("./postinst", "x")]));
    let binary = || ("debian-binary", b"2.0\n".to_vec());
    vec![
        Package::new("tool", "1:2-3", fields, &members()).bytes(),
        packed::ar(&[binary(), control(), ("data.tar", packed::tar(&members()))]),
        packed::ar(&[binary(), ("_x", vec![1]), control(), ("data.tar.gz", gzip(&packed::tar(&members()[..3])))]),
    ]
}

pub(super) fn control() -> Seeds {
    of(&[
        "Package: libc6\nVersion: 2.43-1~x+b1\nArchitecture: amd64\nReplaces: a (<< 2),\n b:any, c\nDescription: x\n y: z\n .\n",
        "\npackage: A.b\nVERSION: 1:0\nArchitecture: all\n\n",
    ])
}

pub(super) fn tar() -> Seeds {
    let mut pax = packed::tar(&[
        Member::file(
            "././@PaxHeader",
            "19 path=usr/long/x\n20 mtime=1.500000000\n30 SCHILY.xattr.user.a=\0\x01value\n",
        )
        .kind(b'x'),
        Member::file("short", "content"),
    ]);
    pax.truncate(pax.len() - 1024);
    let gnu = packed::tar(&[
        Member::file("././@LongLink", "usr/a/long/name\0").kind(b'L'),
        Member::file("././@LongLink", "usr/a/long/target\0").kind(b'K'),
        Member::symlink("x", "y"),
        Member::directory("var/").owner(65534),
        Member::file("caf", "x").kind(b'\0'),
    ]);
    vec![packed::tar(&members()), pax, gnu]
}

fn packages_and_modules() -> Vec<(&'static str, &'static str)> {
    vec![
        ("demo/__init__.py", "def main(): pass\n"),
        ("INFO/entry_points.txt", "[console_scripts]\ndemo = demo:main\n"),
        ("demo-1.0.data/scripts/tool", "#!python\nprint()\n"),
        ("demo-1.0.data/data/share/x", "x"),
    ]
}

pub(super) fn wheel() -> Seeds {
    let mut lies = Wheel::new("demo", "1.0", &[("demo.py", "x = 1\n")]);
    lies.lie = Some("demo.py".into());
    vec![Wheel::new("demo", "1.0", &packages_and_modules()).bytes(), lies.bytes()]
}

pub(super) fn wheel_members() -> Seeds {
    let list: Vec<String> = packages_and_modules()
        .iter()
        .map(|(path, text)| format!("{}\n{text}", path.replace("INFO", "demo-1.0.dist-info")))
        .collect();
    vec![list.join("\n%\n").into_bytes()]
}

pub(super) fn record() -> Seeds {
    of(&[
        "demo/a.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n\"demo/b,\"\"c\"\".py\",sha512=AA,12\ndemo/,,\ndemo-1.0.dist-info/RECORD,,\n",
    ])
}

pub(super) fn entry_points() -> Seeds {
    of(&[
        "[pytest11]\nx = y\n# no\n[console_scripts]\ndemo = demo.cli:cli\n; no\n[ gui_scripts ]\n a.b = m : C.run [x]\n",
    ])
}

pub(super) fn closure() -> Seeds {
    let (one, two) = ("0".repeat(31) + "1-hello-2.12", "0".repeat(31) + "2-glibc-2.40");
    let hash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let info = |path: &str, references: &str| {
        format!("\"path\":\"/nix/store/{path}\",\"narHash\":\"{hash}\",\"narSize\":120,\"references\":[{references}]")
    };
    let (hello, glibc) = (info(&one, &format!("\"/nix/store/{one}\",\"/nix/store/{two}\"")), info(&two, ""));
    of(&[
        &format!("[{{{hello}}},{{{glibc}}}]"),
        &format!("{{\"/nix/store/{one}\":{{{hello}}},\"/nix/store/{two}\":{{{glibc}}}}}"),
        &format!("{{\"version\":2,\"info\":{{\"{two}\":{{{glibc}}}}}}}"),
        &format!("{{\"closure\":[{{{glibc}}}]}}").replace(hash, &format!("sha256:{}", "0".repeat(52))),
    ])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).and_then(|()| out.finish()).expect("memory takes everything")
}

pub(super) fn decompress() -> Seeds {
    let text = b"Package: clock\nVersion: 1\n".repeat(9);
    let pack = |ending: &str| match ending {
        "gz" => [gzip(&text[..40]), gzip(&text)].concat(),
        "xz" => packed::xz(&text),
        "zst" => {
            let mut out = Codec::Zstd.encoder(Vec::new(), 1).expect("an encoder");
            out.write_all(&text).and_then(|()| out.finish()).expect("memory takes everything")
        }
        "bz2" => {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            out.write_all(&text).and_then(|()| out.finish()).expect("memory takes everything")
        }
        "lzma" => {
            let options = liblzma::stream::LzmaOptions::new_preset(1).expect("a preset");
            let stream = liblzma::stream::Stream::new_lzma_encoder(&options).expect("an encoder");
            let mut out = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
            out.write_all(&text).and_then(|()| out.finish()).expect("memory takes everything")
        }
        // A frame with one block that is stored: magic, flags, sizes, checksum of the header, block, end.
        "lz4" => b"\x04\x22\x4d\x18\x60\x40\x82\x04\0\0\x80text\0\0\0\0".to_vec(),
        _ => text.clone(),
    };
    (0..).zip(ENDINGS).map(|(first, ending)| [vec![first], pack(ending)].concat()).collect()
}

/// A program with a loader, two libraries and a search path, put together by hand.
fn elf() -> Vec<u8> {
    let strings = b"\0libc.so.6\0libz.so.1\0/usr/lib/x:/opt\0";
    let interpreter = b"/lib64/ld-linux-x86-64.so.2\0";
    let (table, dynamic) = (64 + 3 * 56, 64 + 3 * 56 + strings.len() as u64 + interpreter.len() as u64);
    let entries: [(u64, u64); 5] = [(1, 1), (1, 11), (29, 21), (5, table), (0, 0)];
    let length = dynamic + 16 * entries.len() as u64;
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec();
    for number in [0_u64, 64, 0] {
        out.extend(number.to_le_bytes());
    }
    out.extend(b"\0\0\0\0\x40\0\x38\0\x03\0\0\0\0\0\0\0");
    let mut segment = |kind: u32, offset: u64, size: u64| {
        out.extend([kind.to_le_bytes(), 4_u32.to_le_bytes()].concat());
        for number in [offset, offset, offset, size, size, 1] {
            out.extend(number.to_le_bytes());
        }
    };
    segment(1, 0, length);
    segment(3, table + strings.len() as u64, interpreter.len() as u64);
    segment(2, dynamic, 16 * entries.len() as u64);
    out.extend(strings);
    out.extend(interpreter);
    for (tag, value) in entries {
        out.extend([tag.to_le_bytes(), value.to_le_bytes()].concat());
    }
    out
}

pub(super) fn programs() -> Seeds {
    vec![elf(), packed::static_program(), b"#! /usr/bin/env  python3 -E\nprint()\n".to_vec()]
}

pub(super) fn scripts() -> Seeds {
    of(&[
        "#!/bin/sh\nset -e\nif [ `id -u` = 0 ]; then\n  exec setpriv --reuid=app \"$0\" \"$@\"\nfi\n: \"${X:-$(hostname)}\"\ncat <<-EOF >x\n\t$y\n\tEOF\n",
        "case $1 in start|stop) . /lib/run; command -v tput || true;; (*) f() { ls | wc -l; }; f;; esac",
        "a=(1 2); ((a++)); [[ $x =~ ^(a|b)$ ]] && diff <(sort a) <(uniq b); echo $((1 + $(nproc))) 2>&1 &",
    ])
}

pub(super) fn ldconf() -> Seeds {
    of(&[
        "include ld.so.conf.d/*.conf\nhwcap 0 x\n/opt/lib # x\n%\n/lib/x\ninclude /etc/[!a]*.conf /usr/etc/?.conf\n%\n/usr/loop/x\n%\n/a b\n",
    ])
}

pub(super) fn ldcache() -> Seeds {
    let paths = ["usr/lib/libc.so.6", "usr/lib/ld-linux.so.2"].map(|path| TreePath::new(path).expect("a path"));
    let cache = caches::make(paths.iter().map(|path| (path, Library::File)), &[], Architecture::Amd64);
    vec![cache, b"a1\na10\na2\n".to_vec()]
}

pub(super) fn versions() -> Seeds {
    of(&["1.0\n0:1.00-0\n1.0~rc1\n1.0+b1\n", "2:1-a-1\n2:1-a\n1:9999999999999999999\n1:9999999999999999998a\n"])
}

pub(super) fn relations() -> Seeds {
    of(&["libc6 (>= 2.43), python3:any (<< 4) | q [amd64 !i386] <!nocheck> <a !b>, x (=1:2~3-4),\n y [linux-any]"])
}

pub(super) fn stanzas() -> Seeds {
    of(&["\n\nA: 1\nLong:\n x\n\ty: z\n .\n \t\nB:2\r\nEmpty:\n\nno field\nC: d\n"])
}

pub(super) fn packages() -> Seeds {
    let stanza = |name: &str, version: &str, fields: &str| {
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\n{fields}Filename: pool/{name}.deb\nSize: 9\nSHA256: {}\n\n",
            Digest::of(name.as_bytes()).hex()
        )
    };
    let one = stanza("a", "1", "Depends: b (>= 2) | v, c\nPriority: required\nEssential: yes\n")
        + &stanza("b", "1", "Provides: v (= 3)\nConflicts: d\n")
        + &stanza("c", "1", "Pre-Depends: v\nBreaks: b (<< 1)\n");
    let two = stanza("b", "2", "") + &stanza("c", "1", "Installed-Size: 9\n");
    of(&[&format!("{one}\n%\n{two}"), &(stanza("a", "1", "Depends: b\n") + &stanza("b", "1", "Depends: a\n"))])
}

pub(super) fn release() -> Seeds {
    let digest = Digest::of(b"index").hex();
    let files = format!(
        " {digest} 12 main/binary-amd64/Packages.xz\n {digest} 9 main/binary-all/Packages\n {digest} 9 Packages.gz\n"
    );
    of(&[&format!(
        "Suite: tiny\nCodename: t\nDate: Fri, 30 Oct 2026 08:08:01 UTC\nValid-Until: Fri, 6 Nov 2026 08:08:01 +0200\n\
         Components: main\nArchitectures: all amd64\nNotAutomatic: yes\nAcquire-By-Hash: yes\nSHA256:\n{files}"
    )])
}

pub(super) fn clearsign() -> Seeds {
    let armour = |text: &str| format!("-----BEGIN PGP SIGNATURE-----\n\n{text}\n-----END PGP SIGNATURE-----\n");
    let text = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nA: 1 \t\r\n- - b\n- \n\n- From: c\n";
    of(&[&format!("{text}{}\n{}", armour("abcd"), armour("efgh"))])
}

pub(super) fn signature() -> Seeds {
    of(&[&KEY.clearsign(SIGNED), &KEY.detached(SIGNED.as_bytes()), &KEY.certificate()])
}

pub(super) fn requirements() -> Seeds {
    of(&[
        &format!(
            "# x\na==1.0 \\\n  --hash=sha256:{} --hash sha512:00\nb[extra]>=2; python_version > '3'  # c\n--pre\n-i index\n-c none.txt\n--only-binary :all:\n",
            "0".repeat(64)
        ),
        "a\nb~=1\n--no-index\n",
    ])
}

pub(super) fn pylock() -> Seeds {
    let hashes = format!("hashes = {{ sha256 = \"{}\" }}", "0".repeat(64));
    of(&[
        &format!(
            "lock-version = \"1.0\"\nrequires-python = \">=3.9\"\nenvironments = [\"sys_platform == 'linux'\"]\ncreated-by = \"uv\"\n\
         [[packages]]\nname = \"A_b\"\nversion = \"1.0\"\nmarker = \"python_version > '3'\"\nindex = \"https://index.example/simple\"\n\
         wheels = [{{ url = \"https://files.example/x/A_b-1.0-py3-none-any.whl\", upload-time = 2026-01-02T03:04:05Z, size = 9, {hashes} }},\
          {{ name = \"a_b-1.0-cp314-cp314-manylinux_2_28_x86_64.whl\", url = \"https://files.example/%61_b-1.0-cp314-cp314-manylinux_2_28_x86_64.whl\", {hashes} }}]\n"
        ),
        "lock-version = \"1.0\"\n[[packages]]\nname = \"a\"\nversion = \"1\"\nmarker = \"python_version > '3'\u{e9}\"\n",
    ])
}

pub(super) fn index_page() -> Seeds {
    let (file, digest) = (super::python::FILE, Digest::of(b"wheel").hex());
    of(&[
        &format!(
            "0<!doctype html><base href=\"../x/\"><a href='b'>b</a><A HREF=\"/files/{file}#sha256={digest}\">x</A>"
        ),
        &format!(
            "1{{\"files\":[{{\"filename\":\"{file}\",\"url\":\"/files/{file}\",\"hashes\":{{\"sha256\":\"{digest}\"}}}}]}}"
        ),
        &format!("0<a href=\"a%2d1.0-py3-none-any.whl\" data-x=&amp;>{file}</a>"),
    ])
}

pub(super) fn wheel_name() -> Seeds {
    of(&[
        "Demo_Pkg.x-1.0-py3-none-any.whl\ndemo_pkg_x-1.0-2b-cp314-abi3-manylinux_2_28_x86_64.manylinux1_x86_64.whl\na-1!2.0rc1.post2.dev3+l_1-py2.py3-none-any.whl\n",
    ])
}

pub(super) fn lock() -> Seeds {
    let digest = Digest::of(b"x").to_string();
    let debian = format!(
        "suite = \"tiny\"\ndate = 1\nrelease = \"{digest}\"\nsigned-by = \"AB\"\nindexes = {{ \"main/Packages.xz\" = \"{digest}\" }}\n"
    );
    of(&[&format!(
        "schema = 2\nprofile = \"tiny\"\n[platforms.\"linux/amd64\"]\nepoch = 9\nwanted = \"{digest}\"\n\
         [platforms.\"linux/amd64\".debian]\n{debian}[platforms.\"linux/amd64\".archives.more]\n{debian}\
         [platforms.\"linux/amd64\".images.web]\npackages = [\"a\"]\nwheels = [\"b-1-py3-none-any.whl\"]\n\
         [[platforms.\"linux/amd64\".package]]\nname = \"a\"\nversion = \"1\"\narchitecture = \"all\"\npath = \"pool/a.deb\"\nsize = 1\nsha256 = \"{digest}\"\n\
         [[platforms.\"linux/amd64\".wheel]]\nname = \"b\"\nversion = \"1\"\npath = \"x/b-1-py3-none-any.whl\"\nsize = 1\nsha256 = \"{digest}\"\nuploaded = 5\n\
         [[platforms.\"linux/amd64\".crate]]\nname = \"c\"\nversion = \"1.0.0\"\nsize = 1\nsha256 = \"{digest}\"\n"
    )])
}

pub(super) fn profile() -> Seeds {
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles/tiny/profile.toml");
    let text = fs_err::read_to_string(tiny).expect("the profile of the tests");
    // Its files are not there.
    let without: String =
        text.lines().filter(|line| !line.contains("files/")).map(|line| format!("{line}\n")).collect();
    of(&[&text, &without])
}

pub(super) fn settings() -> Seeds {
    of(&[
        "text = \"a b\"\nword = \"secret\"\nurl = \"https://example.com/x\"\nhost = \"mail.example.com\"\nport = 587\ninteger = 0\nboolean = false\nchoice = \"a\"\nlist = [\"x\", \"y\"]\n[[stores]]\nkey = \"k\"\n[[stores]]\nkey = \"l\"\nsize = 4\n",
        "[[stores]]\n18446744073709551615 = 2\n",
    ])
}

pub(super) fn env() -> Seeds {
    of(&["# comment\n\nA=1\n  # more\nB=\n_c=s3:host\\:9000:a=b#c\r\n", "export A=\"x\"\nB = 'y'\nC=$A #x\n"])
}

pub(super) fn manifest() -> Seeds {
    let digest = Digest::of(b"x");
    of(&[&format!(
        "{{\"schema\":1,\"sealift\":\"0.1.0\",\"product\":\"demo\",\"profile\":\"tiny\",\"version\":\"1\",\"title\":\"t\",\"platform\":\"linux/amd64\",\
         \"deployment\":\"compose\",\"epoch\":9,\"host\":\"h.example\",\"images\":[],\"packages\":[{{\"name\":\"a\",\"version\":\"1\",\"architecture\":\"all\",\
         \"sha256\":\"{digest}\",\"images\":[\"web\"]}}],\"wheels\":[],\"excluded\":{{\"x\":\"why\"}},\"site\":{{\".env\":{{\"mode\":\"0640\",\"group\":9}}}}}}"
    )])
}

pub(super) fn bundle() -> Seeds {
    let manifest = String::from_utf8(manifest().remove(0)).expect("JSON");
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    let layout = r#"{"imageLayoutVersion":"1.0.0"}"#;
    let sums: String =
        [("bundle.json", manifest.as_str()), ("index.json", index), ("manifest.json", "[]"), ("oci-layout", layout)]
            .iter()
            .map(|(name, text)| format!("{}  {name}\n", Digest::of(text.as_bytes()).hex()))
            .collect();
    let tar = packed::tar(&[
        Member::file("bundle.json", &manifest),
        Member::file("index.json", index),
        Member::file("manifest.json", "[]"),
        Member::file("oci-layout", layout),
        Member::file("SHA256SUMS", &sums),
    ]);
    vec![gzip(&tar), tar]
}

pub(super) fn sums() -> Seeds {
    let line = |name: &str, text: &str| format!("{}  {name}\n", Digest::of(text.as_bytes()).hex());
    let links = "bin/b\ta\n";
    of(&[&format!("{}{}%\n{links}", line("LINKS", links), line("bin/a", "a")), &line("site/x", "y")])
}

pub(super) fn paths() -> Seeds {
    of(&["/usr//share/doc/./x/changelog.gz\nusr/**/doc/*/change*", "a\\\u{1b}[0m\u{202e}/b\n**", "x/x/x\n**/x"])
}

pub(super) fn numbers() -> Seeds {
    let digest = Digest::of(b"x");
    of(&[
        "8GiB",
        "500 MB",
        "linux/amd64",
        "arm64",
        &digest.to_string(),
        "host.example.com",
        "192.0.2.1",
        "2001:db8::1",
        "[::1]",
    ])
}
