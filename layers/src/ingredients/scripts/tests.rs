use super::*;
use crate::tar;
use crate::tree::Prefer;

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
            kind => format!("/{path} {kind:?}"),
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
    let scripts: Vec<Script<'_>> = scripts.iter().map(|(package, text)| Script { package, text }).collect();
    apply(&scripts, tree_, &Below { listing: &listing, read: &read }, Architecture::Amd64).unwrap()
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
                  dpkg-statoverride --update --add daemon own 6755 /usr/bin/at\ndpkg-divert --add --rename /etc/x";
    let outcome = run(&[("x", script)], &mut files, &Tree::new());
    insta::assert_snapshot!(text(&outcome), @r#"
    x applied {"dpkg-statoverride: /var/lib/php/sessions", "setcap: /bin/ping"}
    x left {"diversions", "dpkg-statoverride"}
    "#);
    assert_eq!(files.get(&path("var/lib/php/sessions")).unwrap().mode, 0o1733);
    assert_eq!(files.get(&path("usr/bin/ping")).unwrap().xattrs["security.capability"][5], 0x20);
    assert_eq!(files.get(&path("usr/bin/at")).unwrap().mode, 0o755);
}

/// iproute2 asks whether `ip` may have these capabilities. By default it may not.
#[test]
fn rights_that_a_question_decides_are_not_given() {
    let mut files = tree(&[("usr/bin/ip", "")]);
    let script = ". /usr/share/debconf/confmodule\ndb_get iproute2/setcaps\n\
                  if test \"$RET\" = true; then setcap cap_sys_admin=ep /bin/ip; fi";
    let outcome = run(&[("iproute2", script)], &mut files, &Tree::new());
    insta::assert_snapshot!(text(&outcome), @r#"iproute2 left {"setcap"}"#);
    assert!(files.get(&path("usr/bin/ip")).unwrap().xattrs.is_empty());
}
