//! Files that scripts copy and link, and what other programs would have made.

use super::*;

/// memcached had no configuration, and libgssapi no list of its mechanisms.
#[test]
fn files_that_packages_keep_for_their_configuration_are_copied() {
    let mut files = tree(&[
        ("usr/share/memcached/memcached.conf.default", "-m 64"),
        ("usr/share/freetds/freetds.conf", "[global]"),
        ("usr/share/other/kept.conf", "new"),
        ("usr/share/man/man1/page", "dropped"),
        ("etc/kept.conf", "old"),
    ]);
    files.insert(path("etc/freetds"), Entry::directory(0o755, &Arc::from("package test 1")));
    let script = "if [ ! -e /etc/memcached.conf ]; then
            cp -p /usr/share/memcached/memcached.conf.default /etc/memcached.conf
        fi
        cp -a /usr/share/freetds/freetds.conf /etc/freetds
        cp /usr/share/freetds/freetds.conf /etc/other/
        cp /usr/share/other/kept.conf /etc/kept.conf
        cp /usr/share/man/man1/page /etc/page
        cp /etc/generated.conf /var/backups/generated.conf
        cp \"$x\" /etc/y; cp /usr/share/other/kept.conf $y; cp a b c; cp /usr/share/other/kept.conf here\n";
    let asks = "db_get test/config; cp /usr/share/freetds/freetds.conf /etc/asked.conf\n";
    let outcome = run(&[("test", script), ("asks", asks)], &mut files, &Tree::new());
    insta::assert_snapshot!(text(&outcome), @r#"
    /etc/freetds/freetds.conf = [global]
    /etc/memcached.conf = -m 64
    /etc/other/freetds.conf = [global]
    test applied {"cp: /etc/freetds/freetds.conf", "cp: /etc/memcached.conf", "cp: /etc/other/freetds.conf"}
    asks left {"cp (/etc/asked.conf)"}
    "#);
}

/// freeradius had none of its modules: they were in the folder of those that could be enabled.
#[test]
fn links_to_files_of_packages_are_made() {
    let mut files = tree(&[
        ("etc/freeradius/3.0/mods-available/pap", ""),
        ("etc/freeradius/3.0/sites-available/default", ""),
        ("etc/freeradius/3.0/sites-enabled/default", "own"),
        ("etc/nginx/sites-available/default", ""),
        ("usr/share/fontconfig/conf.avail/10-hinting-full.conf", ""),
    ]);
    let script = "for module in pap gone; do
            ln -s ../mods-available/$module /etc/freeradius/3.0/mods-enabled/$module
        done
        ln -s ../sites-available/default /etc/freeradius/3.0/sites-enabled/default
        ln -s /etc/nginx/sites-available/default /etc/nginx/sites-enabled/default
        ln /etc/nginx/sites-available/default /etc/hard
        ln -s usr/lib32 /lib32; ln -s /etc/freeradius /radius\n";
    // Each answer would be taken.
    let asks = "db_get fontconfig/hinting_style
        case \"$RET\" in Full) ln -s /usr/share/fontconfig/conf.avail/10-hinting-full.conf /etc/fonts/conf.d/10-hinting-full.conf;; esac\n";
    let outcome = run(&[("freeradius", script), ("fontconfig-config", asks)], &mut files, &Tree::new());
    insta::assert_snapshot!(text(&outcome), @r#"
    /etc/freeradius/3.0/mods-enabled/pap -> ../mods-available/pap
    freeradius applied {"ln: /etc/freeradius/3.0/mods-enabled/pap"}
    "#);
}

/// Nothing said that sshd had no keys, and slapd no directory.
#[test]
fn what_other_programs_would_have_made_is_left() {
    let ssh =
        "ssh-keygen -q -f /etc/ssh/ssh_host_rsa_key -N '' -t rsa\nssh-keygen -l -f /etc/ssh/ssh_host_rsa_key.pub\n";
    let look = "ssh-keygen -l -f /etc/ssh/ssh_host_rsa_key.pub; /usr/sbin/postconf -h mail_version\n";
    let database = "bash /usr/bin/mariadb-install-db --rpm $more\n";
    let outcome = run(&[("ssh", ssh), ("look", look), ("database", database)], &mut Tree::new(), &Tree::new());
    insta::assert_snapshot!(text(&outcome), @r#"
    database left {"mariadb-install-db (the first database in /var/lib/mysql)"}
    ssh left {"ssh-keygen (keys of the host in /etc/ssh)"}
    "#);
}
