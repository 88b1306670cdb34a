use super::*;

/// One command a line; `?` is a word that only a running shell knows.
fn read(script: &str) -> String {
    let words = |command: Command| -> String {
        let words: Vec<String> = command.into_iter().map(|word| word.unwrap_or_else(|| "?".into())).collect();
        words.join(" ")
    };
    let answers = [("x/setcap".to_owned(), "false".to_owned())].into();
    commands(script, &[("DPKG_ROOT", "")], &["configure", ""], &answers, &|path| path == "/usr/lib/helper")
        .into_iter()
        .map(words)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn lines_continue_and_quotes_and_variables_are_followed() {
    let script = r#"
        base=/usr/lib/jvm; man="$base/man"  # a comment
        update-alternatives --install "${base}/x" 'a b' \
            $man/1 ${PRIO:-10} >/dev/null 2>&1 || true
        echo $(date; echo ")") `pwd` "$1" $RET "$DPKG_ROOT/etc" "a\"$"
    "#;
    insta::assert_snapshot!(read(script), @r#"
    update-alternatives --install /usr/lib/jvm/x a b /usr/lib/jvm/man/1 10
    true
    echo ? ? configure ? /etc a"$
    "#);
}

/// The priority of a foreign architecture replaced the one that counts.
#[test]
fn a_value_that_is_not_literal_does_not_replace_one() {
    let script = "p=2111\nif [ x ]; then p=$(expr $p - 1); fi\nq=$(x)\nset $p $q\n";
    insta::assert_snapshot!(read(script), @r"
    [ x ]
    set 2111 ?
    ");
}

#[test]
fn loops_over_lists_are_unrolled() {
    let script = "tools='java jpackage'\nfor i in $tools keytool; do\n unset s || true\n if [ -e $i ]; then s=\"--slave /$i \\\n  $i\"; fi\n \
                  for j in 1; do install $i$j $s; done\ndone\nfor b in $(ls); do rm $b; done; end\n";
    let kept: Vec<String> =
        read(script).lines().filter(|line| !line.starts_with(['[', 't'])).map(str::to_owned).collect();
    insta::assert_snapshot!(kept.join("\n"), @r"
    install java1 --slave /java java
    install jpackage1 --slave /jpackage jpackage
    install keytool1 --slave /keytool keytool
    rm ?
    end
    ");
}

#[test]
fn here_documents_and_labels_are_no_commands() {
    let script = "cat <<-EOF > /x\n\trm -r /\n\tEOF\ncase \"$1\" in\n configure|triggered) ucf a b;;\nesac\nf() { chown \"$1\" x; }\n";
    insta::assert_snapshot!(read(script), @r"
    cat
    configure in
    configure
    triggered
    ucf a b
    ");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read(text in "[a-z\\n ;|&()<>$`{}\"'\\\\=#-]{0,200}") {
        commands(&text, &[], &[], &BTreeMap::new(), &|_| false);
    }
}

/// A package of another maker may have a script that never ends when it is followed.
#[test]
fn hostile_scripts_are_read_in_bounds() {
    let doubled = format!("a=x\n{}setcap $a f\n", "a=$a$a\n".repeat(60));
    let found = commands(&doubled, &[], &[], &BTreeMap::new(), &|_| false);
    assert!(found[0][1].is_none() || found[0][1].as_ref().is_some_and(|text| text.len() <= LONGEST), "{found:?}");
    let copies = format!(
        "f() {{ f \"$@\" \"$@\"; setcap \"$@\"; if [ \"$1$1\" = \"$*\" ]; then :; fi; }}\nf {}\n",
        "x ".repeat(40_000)
    );
    let found = commands(&copies, &[], &[], &BTreeMap::new(), &|_| false);
    assert!(found.iter().flatten().flatten().map(String::len).sum::<usize>() <= 2 * EXPANDED);
    let list = "1 ".repeat(50);
    let nested: String = (0..8).map(|depth| format!("for v{depth} in {list}; do ")).collect();
    let loops = format!("{nested} x=y; {}\nsetcap a f\n", "done; ".repeat(8));
    assert!(commands(&loops, &[], &[], &BTreeMap::new(), &|_| false).len() <= COMMANDS);
}

/// Functions have their own arguments; their commands count where they are called, also in each other.
#[test]
fn functions_are_followed_where_they_are_called() {
    let script = r#"
        one() { a "$1" ${2:-none} $#; if [ "$2" = x ]; then b; fi; }
        two ()
        {
            shift
            { one "$@"; }
            c $1
        }
        never() { d; }
        two 1 "2 3" x; e "$1" $3; for f in one; do $f 9; done
    "#;
    insta::assert_snapshot!(read(script), @r"
    a 2 3 x ?
    [ x = x ]
    b
    c 2 3
    e configure
    a 9 none ?
    [  = x ]
    ");
    let endless = "f() { f; f; f; setcap a; f; }\nf\n";
    assert!(commands(endless, &[], &[], &BTreeMap::new(), &|_| false).len() <= COMMANDS);
}

/// Scripts for several packages have branches for each, and rights depend on questions.
#[test]
fn branches_that_literal_texts_exclude_are_not_read() {
    let script = r#"
        if [ "fpm" = "cli" ]; then a; elif test -n x; then b; for i in 1; do c; done; else d; fi
        db_get x/setcap
        if ! test "$RET" = "true"; then e; else f; for i in 1; do g; done; fi
        if [ "$RET" = true ] && h; then i; fi
        db_get x/other; if [ "$RET" = true ]; then j; fi
        if [ "$X" = true ]; then k; if [ a = b ]; then l; fi; m; fi
    "#;
    insta::assert_snapshot!(read(script), @r"
    [ fpm = cli ]
    test -n x
    b
    c
    db_get x/setcap
    test ? = true
    e
    [ ? = true ]
    h
    i
    db_get x/other
    [ ? = true ]
    j
    [ ? = true ]
    k
    [ a = b ]
    m
    ");
}

/// A script that enables a module without its helper, too, was said to be left, and its second function replaced the first.
#[test]
fn a_file_of_the_packages_decides_a_branch() {
    let script = r#"
        if [ -e /usr/lib/helper ] ; then
            f() { a; }
        else
            f() { b; }
            c
        fi
        f
        if ! test -r "/usr/lib/helper"; then d; else e; fi
        if [ -e /usr/lib/other ]; then g; else h; fi
    "#;
    let found = read(script);
    let kept: Vec<&str> = found.lines().filter(|line| !line.starts_with(['[', 't'])).collect();
    assert_eq!(kept, ["a", "e", "g", "h"]);
}

/// Modules of nginx have pairs of names, which their scripts divide.
#[test]
fn parts_of_literal_values_are_known() {
    let script = "for p in a.conf:50-a.conf b; do\nfrom=$(echo $p | cut -d: -f1)\nln /x/$from $(echo \"$p\" | cut -d: -f2)\ndone\n\
                  x $(echo $p | cut -c1) $(echo $p | cut -d: -f0)\n";
    insta::assert_snapshot!(read(script), @r"
    ln /x/a.conf 50-a.conf
    ln /x/b b
    x ? ?
    ");
}
