//! The commands that a shell script calls, as far as its text tells: POSIX.1-2024, Shell Command Language.
//!
//! What a script lacks should stop the build and not the host; what it can do without must not. So only what is plain counts: a
//! name where a command stands and nothing is expanded but variables that the script gives one value. It does not count when the script asks for it first (`command -v`, `[ -x … ]`), goes on
//! without it (`… || true`), or defines a function of that name.

mod reader;

use std::collections::BTreeSet;

use reader::Reader;

/// The most bytes of a script that are looked at.
pub const SCRIPT: u64 = 256 << 10;
/// Names of shells.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "ksh", "zsh"];

/// What dash, bash or busybox's ash have built in, and reserved words that this reader has no use for.
const BUILT_IN: &str = ". : [ alias bg bind break builtin caller cd command compgen complete continue coproc declare dirs disown \
    echo enable eval exec exit export false fc fg getopts hash help history jobs kill let local logout mapfile popd printf \
    pushd pwd read readarray readonly return select set shift shopt source suspend test times trap true type typeset ulimit \
    umask unalias unset wait which";

/// Packages that every Debian system has (`Essential: yes`, and what those need), with the programs that others call without a
/// dependency.
const ESSENTIAL: [(&str, &str); 15] = [
    ("bash", "bash"),
    ("bsdutils", "logger renice script scriptreplay wall"),
    (
        "coreutils",
        "arch b2sum base32 base64 basename basenc cat chcon chgrp chmod chown chroot cksum comm cp csplit cut date dd df dir \
         dircolors dirname du env expand expr factor fmt fold groups head hostid id install join link ln logname ls md5sum \
         mkdir mkfifo mknod mktemp mv nice nl nohup nproc numfmt od paste pathchk pinky pr printenv ptx readlink realpath rm \
         rmdir runcon seq sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf sleep sort split stat stdbuf stty sum \
         sync tac tail tee timeout touch tr truncate tsort tty uname unexpand uniq unlink users vdir wc who whoami yes",
    ),
    ("dash", "dash sh"),
    ("debianutils", "ischroot run-parts savelog tempfile"),
    ("diffutils", "cmp diff diff3 sdiff"),
    ("findutils", "find xargs"),
    ("grep", "egrep fgrep grep"),
    ("gzip", "gunzip gzip zcat zgrep"),
    ("hostname", "dnsdomainname domainname hostname"),
    ("libc-bin", "getconf getent iconv ldconfig ldd locale localedef"),
    ("perl-base", "perl"),
    ("sed", "sed"),
    ("tar", "tar"),
    (
        "util-linux",
        "dmesg findmnt flock getopt ionice ipcs lsblk mcookie more mountpoint namei nsenter prlimit rev runuser setpriv setsid \
         su taskset unshare",
    ),
];

/// The Debian package of a program that every Debian system has, by its name without a folder.
#[must_use]
pub fn essential(name: &str) -> Option<&'static str> {
    let has = |names: &str| names.split_ascii_whitespace().any(|known| known == name);
    ESSENTIAL.iter().find(|(_, names)| has(names)).map(|(package, _)| *package)
}

/// Whether a program, by its path or name, is a shell.
#[must_use]
pub fn is_shell(program: &str) -> bool {
    SHELLS.contains(&program.rsplit('/').next().unwrap_or(program))
}

/// The commands that a shell script calls: names, and paths from the root. Built-in commands are left out.
#[must_use]
pub fn commands(text: &str) -> BTreeSet<String> {
    let mut reader = Reader::new(text);
    reader.list(None);
    let Reader { mut called, known, has_sources, .. } = reader;
    called.retain(|name| {
        // Other names may be functions of the files that it reads.
        let is_command = !has_sources || name.starts_with('/') || essential(name).is_some();
        is_command
            && !known.contains(name.rsplit('/').next().unwrap_or(name))
            && !BUILT_IN.split_ascii_whitespace().any(|built_in| built_in == name)
    });
    called
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn called(text: &str) -> String {
        commands(text).into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn commands_stand_at_the_start_after_operators_and_in_substitutions() {
        assert_eq!(called("id -u\nls | sort; cat x & wc"), "cat id ls sort wc");
        assert_eq!(called("if [ `id -u` = 0 ]; then chown a:b \"$(dirname \"$0\")\"; fi"), "chown dirname id");
        assert_eq!(called("x=$(basename \"$0\") y=1 exec -a name env -u A B=2 server --id"), "basename env server");
        assert_eq!(called("A=${1:-$(hostname)} (cd /; /opt/run) 2>&1 >out"), "/opt/run hostname");
        assert_eq!(
            called("for i in id ls; do touch $i; done; while ! curl -f x; do sleep 1; done"),
            "curl sleep touch"
        );
        assert_eq!(called(". /etc/env.sh; . lib.sh; source /x/y"), "/etc/env.sh /x/y");
        assert_eq!(called("a=(id ls # wc\n) b=$((1 + $(nproc))); mv a b"), "mv");
        assert_eq!(called("diff <(sort a) <(uniq b)"), "diff sort uniq");
    }

    #[test]
    fn what_is_no_call_is_passed_over() {
        assert_eq!(called("# id\necho \"id\" 'ls\nid' $id \\\nls; 'my prog'; ./id; $run id"), "");
        assert_eq!(called("cat <<EOF >x <<-'B'\nid\nEOF\n\tls\n\tB\nwc"), "cat wc");
        assert_eq!(called("case $1 in start|install) mkdir x;; id)\n ls;; (stat) rm;; esac; wc"), "ls mkdir rm wc");
        assert_eq!(called("x=$(case $y in a) id;; ls) ;; esac; tac)"), "id tac");
        assert_eq!(called("[[ $a =~ ^(id|ls)$ && -n ls ]] && df"), "df");
        assert_eq!(called("id() { ls; }; function df { wc; }; function f() { tr; }; id; df"), "ls tr wc");
    }

    /// `DAEMON=/usr/sbin/server` and `exec $DAEMON` are usual; the container ended with 127.
    #[test]
    fn variables_with_one_value_are_followed() {
        assert_eq!(called("PROG=/opt/x/run\nexec \"$PROG\" -f"), "/opt/x/run");
        assert_eq!(
            called("A=/opt B='id'; ${A}/bin/x; $A/bin/y; $B; \"${A}/z\" $A; $(\"$B\")"),
            "/opt/bin/x /opt/bin/y /opt/z id"
        );
        assert_eq!(called("P=/a; [ -n \"$1\" ] && P=/b; $P; Q=$1; $Q; R=${R:-/c}; $R; $S; T='a b'; $T; U+=/u; $U"), "");
        assert_eq!(called("D=/opt/d; [ -x \"$D\" ] || exit 0; $D; ${D%x}; ${D:-/e}"), "");
    }

    /// Scripts that can do without a command say so in these ways.
    #[test]
    fn a_command_that_the_script_can_do_without_does_not_count() {
        assert_eq!(called("command -v tput >/dev/null && tput bold; type stty && stty; [ -x /usr/bin/id ] && id"), "");
        assert_eq!(called("hostname -f || true; lsb_release && df || uname -a; who"), "uname who");
        assert_eq!(called(". ./functions\nlog_begin; id"), "id");
    }

    #[test]
    fn programs_of_every_debian_system_have_their_packages() {
        assert_eq!(essential("basename"), Some("coreutils"));
        assert_eq!(essential("flock"), Some("util-linux"));
        assert_eq!(essential("curl"), None);
        assert!(is_shell("/usr/bin/bash") && is_shell("sh") && !is_shell("/usr/bin/fish"));
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[a-z$`(){}<>|&;\"'\\\\=#\\[\\] \n-]{0,120}") {
            for name in commands(&text) {
                prop_assert!(reader::is_name(&name), "{name}");
            }
        }
    }
}
