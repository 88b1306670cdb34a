use super::*;
use crate::tar;
use crate::tree::Prefer;

mod copies;
mod pam;
mod servers;

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new();
    for (name, text) in files {
        tree.insert(path(name), Entry::file(*text, 0o755, &Arc::from("package test 1")).modified(7));
    }
    tree
}

/// What was made and done, a line each.
fn text(outcome: &Outcome) -> String {
    let mut lines = Vec::new();
    for (path, entry) in outcome.made.iter() {
        lines.push(match &entry.kind {
            Kind::Symlink(target) => format!("/{path} -> {target}"),
            Kind::File(content) => {
                format!("/{path} = {}", String::from_utf8(content.read().unwrap()).unwrap().escape_debug())
            }
            _ => format!("/{path} {:o} {}:{}", entry.mode, entry.uid, entry.gid),
        });
    }
    for (package, what) in &outcome.applied {
        lines.push(format!("{package} applied {what:?}"));
    }
    for (package, what) in &outcome.left {
        lines.push(format!("{package} left {what:?}"));
    }
    lines.join("\n")
}

/// The layers below as files with their contents.
fn run(scripts: &[(&str, &str)], tree_: &mut Tree, below: &Tree) -> Outcome {
    let options = tar::Options { epoch: 0, file_digests: true };
    let listing = tar::write(below, options, std::io::sink()).unwrap();
    let read = |path: &TreePath| match &below.get(path).unwrap().kind {
        Kind::File(content) => content.read(),
        _ => unreachable!(),
    };
    let answers = [("iproute2/setcaps".to_owned(), "false".to_owned())].into();
    let scripts: Vec<Script<'_>> = (scripts.iter())
        .map(|(package, postinst)| Script { package, preinst: "", postinst, answers: &answers })
        .collect();
    let is_dropped = |path: &TreePath| path.as_str().starts_with("usr/share/man");
    let below = Below { listing: &listing, read: &read, is_dropped: &is_dropped };
    apply(&scripts, tree_, &below, Architecture::Amd64).unwrap()
}

/// RabbitMQ could not write to its own folder.
#[test]
fn what_packages_have_gets_the_owner_and_mode_of_their_scripts() {
    let folder = |uid| Entry::directory(0o755, &Arc::from("package test 1")).owned_by(uid, 0);
    let mut files = tree(&[("var/lib/own/data", "x"), ("usr/share/man/x", ""), ("usr/bin/tool", "x")]);
    let mut below = tree(&[("var/lib/own-x", "x"), ("var/lib/own/cache/file", "y")]);
    for name in ["var/lib/own", "var/log/own", "var/lib/own/cache"] {
        files.insert(path(name), folder(0));
    }
    for name in ["var", "var/lib", "var/lib/own", "var/lib/own/cache"] {
        below.insert(path(name), folder(0));
    }
    let script = "chown -R own:own /var/lib/own\nchown root:adm /var/log/own\nchmod 2750 /var/log/own
        chmod u+s /usr/bin/tool\nchown own /var/run/own /usr/share/man/x $dir
        chmod o-rx /var/lib/own/cache/file; chown www-data /var/lib/own/cache/file\n";
    let outcome = run(&[("own", script)], &mut files, &below);
    let owned: Vec<String> = (outcome.owned.iter())
        .map(|owned| format!("{} {:?} {:?} {:?}", owned.path, owned.mode, owned.user, owned.group))
        .collect();
    insta::assert_snapshot!(format!("{}\n{}", owned.join("\n"), text(&outcome)), @r#"
    var/lib/own None Some("own") Some("own")
    var/lib/own/cache None Some("own") Some("own")
    var/lib/own/cache/file Some(488) Some("www-data") Some("own")
    var/lib/own/data None Some("own") Some("own")
    own applied {"owners: /var/lib/own", "owners: /var/lib/own/cache/file", "owners: /var/log/own"}
    own left {"owners (/usr/bin/tool)"}
    "#);
    let log = files.get(&path("var/log/own")).unwrap();
    assert_eq!((log.mode, log.uid, log.gid), (0o2750, 0, 4));
    assert_eq!(files.get(&path("usr/bin/tool")).unwrap().mode, 0o755);
}

/// Redis had no folder for its log, bind could not write to its cache: their scripts make folders in functions, and use `chgrp`.
#[test]
fn directories_that_scripts_give_to_an_account_are_made() {
    let mut files =
        tree(&[("etc/bind/named.conf", "x"), ("etc/bind/named.conf.local", "x"), ("etc/bind/.named.conf", "x")]);
    files.insert(path("var/cache/bind"), Entry::directory(0o755, &Arc::from("package test 1")));
    files.insert(path("var/run"), Entry::symlink("/run", &Arc::from("package test 1")));
    let redis = r#"
        Setup_dir () {
            DIR="${1}"
            mkdir -p ${DIR}
            if ! dpkg-statoverride --list ${DIR} >/dev/null; then chown redis:$3 ${DIR}; chmod ${2} ${DIR}; fi
        }
        if [ "$1" = "configure" ]; then
            Setup_dir /var/log/redis 2750 adm
            Setup_dir /var/lib/redis 750 redis
        elif [ "$1" = triggered ]; then chown redis /etc/bind/named.conf; fi
        if [ -n "$2" ]; then chown redis /etc/bind/named.conf; fi
    "#;
    let bind = "chgrp bind /var/cache/bind
chgrp bind /etc/bind/named.conf* || true
chmod g+rwx /var/cache/bind
        mkdir -pm 0700 /var/lib/one /var/lib/two /usr/share/man/x; chmod g+rx /var/lib/two; chown root:bind /var/lib/two
        chown root /var/lib/one; chown bind /usr/share/man/x
        mkdir /var/run/bind /etc/bind/named.conf/x; chown bind /var/run/bind /etc/bind/named.conf/x
        install -d -o bind -g bind -m750 /srv/three/four /run/$x; install --directory --mode=01777 /srv/five; install -m644 a /b
";
    let outcome = run(&[("redis", redis), ("bind", bind)], &mut files, &Tree::new());
    let owned: Vec<String> = (outcome.owned.iter())
        .map(|owned| format!("{} {:?} {:?} {:?}", owned.path, owned.mode, owned.user, owned.group))
        .collect();
    insta::assert_snapshot!(format!("{}\n{}", owned.join("\n"), text(&outcome)), @r#"
    etc/bind/named.conf None None Some("bind")
    etc/bind/named.conf.local None None Some("bind")
    run/bind None Some("bind") None
    srv/three/four None Some("bind") Some("bind")
    var/cache/bind Some(509) None Some("bind")
    var/lib/redis Some(488) Some("redis") Some("redis")
    var/lib/two None Some("root") Some("bind")
    var/log/redis Some(1512) Some("redis") Some("adm")
    /run 755 0:0
    /run/bind 755 0:0
    /srv 755 0:0
    /srv/three 755 0:0
    /srv/three/four 750 0:0
    /var 755 0:0
    /var/lib 755 0:0
    /var/lib/redis 750 0:0
    /var/lib/two 750 0:0
    /var/log 755 0:0
    /var/log/redis 2750 0:0
    bind applied {"directories: /srv/three/four", "owners: /etc/bind/named.conf, /etc/bind/named.conf.local", "owners: /run/bind", "owners: /var/cache/bind", "owners: /var/lib/two"}
    redis applied {"owners: /var/lib/redis", "owners: /var/log/redis"}
    "#);
}

/// MariaDB's `preinst` makes its account, and the folder that the `postinst` gives to it.
#[test]
fn accounts_and_directories_of_a_preinst_are_made() {
    let answers = BTreeMap::new();
    let script = Script {
        package: "db",
        preinst: "adduser --system --ingroup mysql mysql; mkdir -Z /var/lib/mysql; chown mysql /srv/own",
        postinst: "chown mysql /var/lib/mysql",
        answers: &answers,
    };
    let mut files = tree(&[("srv/own", "x")]);
    let (listing, read) = (Listing::new(), |_: &TreePath| unreachable!());
    let below = Below { listing: &listing, read: &read, is_dropped: &|_| false };
    let outcome = apply(&[script], &mut files, &below, Architecture::Amd64).unwrap();
    insta::assert_snapshot!(format!("{:?} {:?}\n{}", outcome.accounts.len(), outcome.owned, text(&outcome)), @r#"
    1 [Owned { path: TreePath("var/lib/mysql"), mode: None, user: Some("mysql"), group: None }]
    /var 755 0:0
    /var/lib 755 0:0
    /var/lib/mysql 755 0:0
    db applied {"accounts: mysql", "owners: /var/lib/mysql"}
    "#);
}

/// A path that two layers have counts once; more than the limit are left as a whole.
#[test]
fn owners_of_too_many_paths_are_left() {
    let names = |count: usize| -> Vec<String> { (0..count).map(|n| format!("srv/app/{n}")).collect() };
    let left = |count: usize| {
        let names = names(count);
        let texts: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
        let mut below = tree(&texts);
        for name in ["srv", "srv/app"] {
            below.insert(path(name), Entry::directory(0o755, &Arc::from("package test 1")));
        }
        let outcome = run(&[("own", "chown -R own:own /srv/app")], &mut tree(&texts), &below);
        (outcome.owned.len(), outcome.left.len())
    };
    assert_eq!([left(999), left(1000)], [(1000, 0), (0, 1)]);
}

#[test]
fn the_alternative_of_the_highest_priority_is_linked_with_its_slaves() {
    let mut files = tree(&[("usr/bin/mawk", ""), ("usr/bin/gawk", ""), ("usr/share/man/man1/gawk.1.gz", "")]);
    let mawk = "update-alternatives --install /bin/awk awk /usr/bin/mawk 5 --slave /usr/bin/nawk nawk /usr/bin/mawk";
    let gawk = "update-alternatives --quiet --install /bin/awk awk /usr/bin/gawk 10 \\\n --slave /usr/bin/nawk nawk /usr/bin/gawk \
                --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/gawk.1.gz";
    let gone = "update-alternatives --install /usr/bin/x x /usr/bin/gone 1; update-alternatives --install /usr/bin/y y $(which y) 1";
    let outcome = run(&[("mawk", mawk), ("gawk", gawk), ("gone", gone)], &mut files, &Tree::new());
    insta::assert_snapshot!(text(&outcome), @r#"
    /etc/alternatives/awk -> /usr/bin/gawk
    /etc/alternatives/awk.1.gz -> /usr/share/man/man1/gawk.1.gz
    /etc/alternatives/nawk -> /usr/bin/gawk
    /usr/bin/awk -> /etc/alternatives/awk
    /usr/bin/nawk -> /etc/alternatives/nawk
    /usr/share/man/man1/awk.1.gz -> /etc/alternatives/awk.1.gz
    /var/lib/dpkg/alternatives/awk = auto\n/bin/awk\nawk.1.gz\n/usr/share/man/man1/awk.1.gz\nnawk\n/usr/bin/nawk\n\n/usr/bin/gawk\n10\n/usr/share/man/man1/gawk.1.gz\n/usr/bin/gawk\n/usr/bin/mawk\n5\n\n/usr/bin/mawk\n\n
    gawk applied {"alternatives: /bin/awk"}
    mawk applied {"alternatives: /bin/awk"}
    gone left {"alternatives"}
    "#);
}

/// The image's own packages have a better program than those of all images.
#[test]
fn alternatives_of_lower_layers_count() {
    let mut base = tree(&[("usr/bin/mawk", ""), ("usr/bin/own", "")]);
    let script = "update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5\n\
                  update-alternatives --install /usr/bin/own own /usr/bin/mawk 5";
    let below = run(&[("mawk", script)], &mut base, &Tree::new());
    base.merge(below.made, |_, _| Prefer::Neither).unwrap();
    let better = "update-alternatives --install /usr/bin/awk awk /usr/bin/gawk 10";
    let outcome = run(&[("gawk", better)], &mut tree(&[("usr/bin/gawk", "")]), &base);
    insta::assert_snapshot!(text(&outcome), @r#"
    /etc/alternatives/awk -> /usr/bin/gawk
    /usr/bin/awk -> /etc/alternatives/awk
    /var/lib/dpkg/alternatives/awk = auto\n/usr/bin/awk\n\n/usr/bin/gawk\n10\n/usr/bin/mawk\n5\n\n
    gawk applied {"alternatives: /usr/bin/awk"}
    "#);
    let worse = "update-alternatives --install /usr/bin/awk awk /usr/bin/gawk 1";
    let outcome = run(&[("gawk", worse)], &mut tree(&[("usr/bin/gawk", "")]), &base);
    assert!(text(&outcome).contains("/etc/alternatives/awk -> /usr/bin/mawk"), "{}", text(&outcome));
}

#[test]
fn modules_of_php_are_enabled_for_its_interfaces() {
    let common = "for m in pdo opcache; do\n ucf /usr/share/php8.4-common/$m.ini /etc/php/8.4/mods-available/$m.ini\n \
                  php_invoke enmod 8.4 ALL $m\ndone";
    let cli = "phpini=/etc/php/8.4/cli/php.ini\nucf /usr/lib/php/8.4/php.ini-production.cli $phpini\n\
               for mod in $(phpquery -M -v 8.4); do php_invoke enmod 8.4 cli $mod; done";
    let mut base = tree(&[
        ("usr/share/php8.4-common/pdo.ini", "; priority=10\nextension=pdo.so\n"),
        ("usr/share/php8.4-common/opcache.ini", "zend_extension=opcache.so\n"),
    ]);
    let below = run(&[("php8.4-common", common)], &mut base, &Tree::new());
    base.merge(below.made, |_, _| Prefer::Neither).unwrap();
    let mut files = tree(&[("usr/lib/php/8.4/php.ini-production.cli", "[PHP]\n"), ("usr/lib/php/8.4/sapi/cli", "")]);
    insta::assert_snapshot!(text(&run(&[("php8.4-cli", cli)], &mut files, &base)), @r#"
    /etc/php/8.4/cli/conf.d/10-pdo.ini -> /etc/php/8.4/mods-available/pdo.ini
    /etc/php/8.4/cli/conf.d/20-opcache.ini -> /etc/php/8.4/mods-available/opcache.ini
    /etc/php/8.4/cli/php.ini = [PHP]\n
    php8.4-cli applied {"ucf: /etc/php/8.4/cli/php.ini"}
    "#);
    // All in one layer.
    files.merge(base, |_, _| Prefer::First).unwrap();
    let both = run(&[("php8.4-common", common), ("php8.4-cli", cli)], &mut files, &Tree::new());
    assert!(text(&both).contains("/etc/php/8.4/cli/conf.d/10-pdo.ini -> /etc/php/8.4/mods-available/pdo.ini"));
}

#[test]
fn owners_modes_and_capabilities_are_changed_in_place() {
    let mut files = tree(&[("usr/bin/ping", ""), ("var/lib/php/sessions", ""), ("usr/bin/at", "")]);
    let script = "dpkg-statoverride --update --quiet --add root root 01733 /var/lib/php/sessions\n\
                  dpkg-statoverride --list /x\nsetcap cap_net_raw+ep /bin/ping\n\
                  dpkg-statoverride --update --add daemon own 6755 /usr/bin/at\n\
                  dpkg-statoverride --add root root 700 /usr/bin/none\ndpkg-statoverride --add root root 4755 /usr/share/man/x";
    let outcome = run(&[("x", script)], &mut files, &Tree::new());
    insta::assert_snapshot!(text(&outcome), @r#"
    x applied {"dpkg-statoverride: /usr/bin/at", "dpkg-statoverride: /var/lib/php/sessions", "setcap: /bin/ping"}
    x left {"dpkg-statoverride (/usr/bin/none)"}
    "#);
    // The number of the group comes with the image's accounts.
    let owned = serde_json::to_string(&outcome.owned).unwrap();
    assert_eq!(owned, r#"[{"path":"usr/bin/at","mode":3565,"user":"daemon","group":"own"}]"#);
    assert_eq!(files.get(&path("var/lib/php/sessions")).unwrap().mode, 0o1733);
    assert_eq!(files.get(&path("usr/bin/ping")).unwrap().xattrs["security.capability"][5], 0x20);
}

/// iproute2 asks whether `ip` may have these capabilities. By default it may not. Where the default is not known, nobody knows.
#[test]
fn rights_that_a_question_decides_are_not_given() {
    let mut files = tree(&[("usr/bin/ip", "")]);
    let script = ". /usr/share/debconf/confmodule\ndb_get iproute2/setcaps\n\
                  if test \"$RET\" = true; then setcap cap_sys_admin=ep /bin/ip; elif x; then setcap -r /bin/ip; fi";
    let other = script.replace("iproute2/", "other/");
    let outcome = run(&[("iproute2", script), ("other", &other)], &mut files, &Tree::new());
    insta::assert_snapshot!(text(&outcome), @r#"other left {"setcap (/bin/ip)"}"#);
    assert!(files.get(&path("usr/bin/ip")).unwrap().xattrs.is_empty());
}

/// A guard that only asks is no change, whatever else the script asks (ca-certificates, bash without manual pages).
#[test]
fn what_changes_nothing_is_not_left() {
    let script = "db_get x/y; dpkg-statoverride --list /usr/local/share/ca-certificates; dpkg-divert --truename /bin/x\n\
                  update-alternatives --install /usr/share/man/man7/b.7 b.7 /usr/share/man/man7/bash-b.7 10\n\
                  dpkg-divert --package x --no-rename --divert $d --add $f; adduser x x";
    assert_eq!(text(&run(&[("x", script)], &mut tree(&[]), &Tree::new())), "");
}

#[test]
fn tmpfiles_are_made_where_the_image_has_none() {
    let lines = "# comment\n\
                 d /run/postgresql 2775 postgres postgres - -\n\
                 d /var/run/php :0755 www-data www-data\n\
                 D /usr/share/man/x\n\
                 d /run/setrans 0755 root root\n\
                 D! /tmp/.X11-unix 1777 root root 10d\n\
                 f /etc/motd 0640 root adm - two words\\n\n\
                 L /etc/mtab - - - - ../proc/self/mounts\n\
                 L+ /etc/gone - - - - /usr/none\n\
                 C %S/x/y - - - - /usr/share/y\n\
                 z /usr/share/y 0600\n\
                 q /var/log 0755 - - -\n\
                 d /var/%m\n\
                 r! /etc/passwd.lock\n";
    let mut files = tree(&[("usr/lib/tmpfiles.d/a.conf", lines), ("usr/share/y", "why")]);
    let outcome = run(&[], &mut files, &Tree::new());
    insta::assert_snapshot!(text(&outcome), @r#"
    /etc/motd = two words\n
    /etc/mtab -> ../proc/self/mounts
    /run/php 755 33:33
    /run/postgresql 2775 0:0
    /var/lib/x/y = why
    /var/log 755 0:0
    test applied {"tmpfiles.d: /etc/motd", "tmpfiles.d: /etc/mtab", "tmpfiles.d: /run/postgresql", "tmpfiles.d: /usr/share/y", "tmpfiles.d: /var/lib/x/y", "tmpfiles.d: /var/log", "tmpfiles.d: /var/run/php"}
    "#);
    let owned = r#"[{"path":"run/postgresql","mode":1533,"user":"postgres","group":"postgres"}]"#;
    assert_eq!(serde_json::to_string(&outcome.owned).unwrap(), owned);
    let entry = |name: &str| outcome.made.get(&path(name)).map(|entry| (entry.mode, entry.uid, entry.gid));
    assert_eq!(entry("run/php"), Some((0o755, 33, 33)));
    assert_eq!(entry("etc/motd"), Some((0o640, 0, 4)));
    assert_eq!(files.get(&path("usr/share/y")).unwrap().mode, 0o600);
}

/// `--rename` moves the file of the other package, which may be in a layer below.
#[test]
fn diversions_move_the_files_of_other_packages() {
    let add = "dpkg-divert --package wrap --rename --divert /usr/bin/tool.real --add /bin/tool\n\
               dpkg-divert --add --divert=/bin/b.old /bin/b; dpkg-divert --remove /bin/b\n\
               dpkg-divert --no-rename --divert /lib/c.usr-is-merged --add /lib/c; dpkg-divert --add --rename $(x)";
    let answers = BTreeMap::new();
    let script = Script { package: "wrap", preinst: add, postinst: "", answers: &answers };
    let found = diversions(&[script]);
    insta::assert_snapshot!(serde_json::to_string(&found).unwrap(), @r#"[{"package":"wrap","from":"usr/bin/tool","to":"usr/bin/tool.real"}]"#);

    let mut other = tree(&[("usr/bin/tool", "real")]);
    divert(&mut other, "wrap", &found);
    assert!(other.get(&path("usr/bin/tool")).is_some());
    divert(&mut other, "other", &found);
    assert!(other.get(&path("usr/bin/tool")).is_none() && other.get(&path("usr/bin/tool.real")).is_some());

    let mut own = tree(&[("usr/bin/tool", "wrapper")]);
    let outcome = run(&[("wrap", add)], &mut own, &tree(&[("usr/bin/tool", "real")]));
    insta::assert_snapshot!(text(&outcome), @r#"
    /usr/bin/tool = wrapper
    /usr/bin/tool.real = real
    wrap applied {"diversions: /usr/bin/tool"}
    wrap left {"diversions"}
    "#);
    // Without a file in its place, it cannot be taken out of the layer below.
    let outcome = run(&[("wrap", add)], &mut tree(&[]), &tree(&[("usr/bin/tool", "real")]));
    assert_eq!(text(&outcome), r#"wrap left {"diversions"}"#);
}

#[test]
fn schemas_of_settings_are_named() {
    let outcome = run(&[], &mut tree(&[("usr/share/glib-2.0/schemas/a.gschema.xml", "")]), &Tree::new());
    assert_eq!(text(&outcome), r#"test left {"glib schemas"}"#);
}
