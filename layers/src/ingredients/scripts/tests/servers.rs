//! Parts of web servers that packages enable.

use super::*;

/// The files of the package `apache2` that matter here.
fn server() -> Tree {
    let available = "etc/apache2/mods-available";
    let load = |name: &str, text: &str| (format!("{available}/{name}.load"), format!("{text}LoadModule {name}\n"));
    let mut files = vec![
        load("mpm_event", "# Conflicts: mpm_worker mpm_prefork\n"),
        load("mpm_prefork", "# Conflicts: mpm_event mpm_worker\n"),
        load("authn_core", ""),
        load("auth_basic", "# Depends: authn_core\n"),
        load("cgi", ""),
        load("cgid", ""),
        load("lost", "# Depends: nothing\n"),
    ];
    for name in [
        "mods-available/mpm_event",
        "mods-available/mpm_prefork",
        "conf-available/charset",
        "sites-available/000-default",
    ] {
        files.push((format!("etc/apache2/{name}.conf"), String::new()));
    }
    for name in ["usr/sbin/a2enmod", "usr/share/apache2/apache2-maintscript-helper"] {
        files.push((name.to_owned(), String::new()));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    tree(&files)
}

/// As the script of `apache2` enables its own parts, and then those that others have put off.
const SERVER: &str = r#"
    is_new() { if [ -z "$2" ] ; then return 0; fi; return 1; }
    enable_mpm() { if is_new $@ ; then a2enmod -m -q mpm_event; fi; }
    enable_others() {
        if is_new $@; then
            for module in auth_basic \
                cgi ; do
                a2enmod -m -q $module
            done
            for conf in charset gone ; do a2enconf -m -q $conf; done
            if [ ! -L /etc/apache2/sites-enabled/000-default.conf ]; then a2ensite -q 000-default; fi
        fi
    }
    put_off() {
        cat /var/lib/apache2/deferred_actions | while read PACKAGE FUNCTION ARG1 ARG2; do
            a2$ARG1 -m -q "$ARG2"
            local MPM="$ARG1"
            if ! a2dismod -m -q "mpm_$CURRENT" || ! a2enmod -m -q "mpm_$MPM"; then error=true; fi
        done
    }
    case "$1" in
        configure)
            enable_mpm $@
            enable_others $@
            put_off $@
        ;;
    esac
"#;

/// As a module of PHP, which does not work beside threads: two functions of a name, and a `case` that asks the server.
const PHP: &str = r#"
    if [ -e /usr/share/apache2/apache2-maintscript-helper ]; then
        . /usr/share/apache2/apache2-maintscript-helper
        php_enable() {
            a2query -m "php8.4" > /dev/null 2>&1 || result=$?
            case "$(a2query -M)" in
                prefork|itk) return 0;;
                *) if apache2_switch_mpm prefork; then return 0; fi;;
            esac
            return 1
        }
    else
        php_enable() {
            return 1;
        }
    fi
    if php_enable; then
        if [ -e /usr/share/apache2/apache2-maintscript-helper ] ; then
            for conf in php8.4  ; do
                apache2_invoke enmod $conf  || exit 1
            done
        fi
    fi
"#;

/// Apache ended with "No MPM loaded": its folders of what is enabled were empty.
#[test]
fn parts_of_apache_are_enabled_with_what_they_depend_on() {
    let other = "apache2_invoke enmod lost restart || exit 1; apache2_invoke enconf $x; apache2_invoke dismod cgid; a2dismod cgid php5";
    let outcome = run(&[("another", other), ("apache2", SERVER)], &mut server(), &Tree::new());
    insta::assert_snapshot!(text(&outcome), @r#"
    /etc/apache2/conf-enabled/charset.conf -> ../conf-available/charset.conf
    /etc/apache2/mods-enabled/auth_basic.load -> ../mods-available/auth_basic.load
    /etc/apache2/mods-enabled/authn_core.load -> ../mods-available/authn_core.load
    /etc/apache2/mods-enabled/cgid.load -> ../mods-available/cgid.load
    /etc/apache2/mods-enabled/mpm_event.conf -> ../mods-available/mpm_event.conf
    /etc/apache2/mods-enabled/mpm_event.load -> ../mods-available/mpm_event.load
    /etc/apache2/sites-enabled/000-default.conf -> ../sites-available/000-default.conf
    apache2 applied {"a2enconf: charset", "a2enmod: auth_basic", "a2enmod: cgi", "a2enmod: mpm_event", "a2ensite: 000-default"}
    another left {"a2dismod (cgid)", "a2enconf", "a2enmod (lost)"}
    apache2 left {"a2enconf (gone)"}
    "#);
}

#[test]
fn a_module_that_needs_another_mpm_switches_to_it() {
    let php = ("etc/apache2/mods-available/php8.4.load", "# Conflicts: php5\n# Depends: mpm_prefork\nLoadModule php\n");
    let mut files = server();
    files.merge(tree(&[php]), |_, _| Prefer::Neither).unwrap();
    let outcome = run(&[("apache2", SERVER), ("libapache2-mod-php8.4", PHP)], &mut files, &Tree::new());
    insta::assert_snapshot!(text(&outcome), @r#"
    /etc/apache2/conf-enabled/charset.conf -> ../conf-available/charset.conf
    /etc/apache2/mods-enabled/auth_basic.load -> ../mods-available/auth_basic.load
    /etc/apache2/mods-enabled/authn_core.load -> ../mods-available/authn_core.load
    /etc/apache2/mods-enabled/cgid.load -> ../mods-available/cgid.load
    /etc/apache2/mods-enabled/mpm_prefork.conf -> ../mods-available/mpm_prefork.conf
    /etc/apache2/mods-enabled/mpm_prefork.load -> ../mods-available/mpm_prefork.load
    /etc/apache2/mods-enabled/php8.4.load -> ../mods-available/php8.4.load
    /etc/apache2/sites-enabled/000-default.conf -> ../sites-available/000-default.conf
    apache2 applied {"a2enconf: charset", "a2enmod: auth_basic", "a2enmod: cgi", "a2ensite: 000-default"}
    libapache2-mod-php8.4 applied {"a2enmod: mpm_prefork", "a2enmod: php8.4"}
    apache2 left {"a2enconf (gone)"}
    "#);
    // The server is in a layer below, where nothing can be removed.
    let mut below = server();
    let made = run(&[("apache2", SERVER)], &mut below, &Tree::new()).made;
    below.merge(made, |_, _| Prefer::Neither).unwrap();
    below.retain(|path| !path.as_str().ends_with("000-default.conf"));
    let links: Vec<TreePath> = (below.iter())
        .filter(|(_, entry)| matches!(entry.kind, Kind::Symlink(_)))
        .map(|(path, _)| path.clone())
        .collect();
    assert_eq!(links.len(), 6);
    let outcome = run(&[("libapache2-mod-php8.4", PHP)], &mut tree(&[php]), &below);
    insta::assert_snapshot!(text(&outcome), @r#"
    /etc/apache2/mods-enabled/mpm_event.conf = 
    /etc/apache2/mods-enabled/mpm_event.load = 
    /etc/apache2/mods-enabled/mpm_prefork.conf -> ../mods-available/mpm_prefork.conf
    /etc/apache2/mods-enabled/mpm_prefork.load -> ../mods-available/mpm_prefork.load
    /etc/apache2/mods-enabled/php8.4.load -> ../mods-available/php8.4.load
    libapache2-mod-php8.4 applied {"a2enmod: mpm_prefork", "a2enmod: php8.4"}
    "#);
    // Without Apache there is nothing to enable.
    let outcome = run(&[("javascript-common", "apache2_invoke enconf x; a2enconf $y")], &mut tree(&[]), &Tree::new());
    assert_eq!(text(&outcome), "");
}

#[test]
fn modules_of_nginx_and_lighttpd_are_linked() {
    let nginx = r#"
        for confpair in mod-stream.conf:50-mod-stream.conf  ; do
            from=$(echo $confpair | cut -d: -f1)
            to=$(echo $confpair | cut -d: -f2)
            if [ -z "$2" -o "$removed" = "true" ]; then
                ln -sf /usr/share/nginx/modules-available/$from \
                    /etc/nginx/modules-enabled/$to
            fi
        done
        ln -s /usr/share/nginx/modules-available/none.conf /etc/nginx/modules-enabled/none.conf
        ln -s $x /etc/nginx/modules-enabled/x.conf; ln -s /a /usr/bin/b; ln /a /etc/nginx/modules-enabled/c
    "#;
    let lighttpd = "if ls /etc/lighttpd/conf-enabled && lighty-enable-mod unconfigured; then lighty-enable-mod fastcgi-php none; fi
        ln -s ../conf-available/90-alias.conf /etc/lighttpd/conf-enabled/90-alias.conf";
    let mut files = tree(&[
        ("usr/share/nginx/modules-available/mod-stream.conf", ""),
        ("usr/sbin/lighty-enable-mod", ""),
        ("etc/lighttpd/conf-available/10-fastcgi.conf", ""),
        ("etc/lighttpd/conf-available/15-fastcgi-php.conf", "# -*- depends: fastcgi -*-\n"),
        ("etc/lighttpd/conf-available/90-alias.conf", ""),
        ("etc/lighttpd/conf-available/99-unconfigured.conf", ""),
    ]);
    let outcome = run(&[("libnginx-mod-stream", nginx), ("lighttpd", lighttpd)], &mut files, &Tree::new());
    insta::assert_snapshot!(text(&outcome), @r#"
    /etc/lighttpd/conf-enabled/10-fastcgi.conf -> ../conf-available/10-fastcgi.conf
    /etc/lighttpd/conf-enabled/15-fastcgi-php.conf -> ../conf-available/15-fastcgi-php.conf
    /etc/lighttpd/conf-enabled/90-alias.conf -> ../conf-available/90-alias.conf
    /etc/nginx/modules-enabled/50-mod-stream.conf -> /usr/share/nginx/modules-available/mod-stream.conf
    libnginx-mod-stream applied {"ln: /etc/nginx/modules-enabled/50-mod-stream.conf"}
    lighttpd applied {"lighty-enable-mod: fastcgi-php", "ln: /etc/lighttpd/conf-enabled/90-alias.conf"}
    libnginx-mod-stream left {"ln", "ln (/etc/nginx/modules-enabled/x.conf)"}
    lighttpd left {"lighty-enable-mod"}
    "#);
}

/// The module was enabled, and a warning said that it was not: the script has a way without the helper, too.
#[test]
fn a_module_of_php_is_enabled_with_and_without_the_helper() {
    let script = r#"
        if [ -e /usr/lib/php/php-maintscript-helper ] ; then
            . /usr/lib/php/php-maintscript-helper
            for version in 8.4 ; do for name in apcu ; do php_invoke enmod "$version" ALL "$name" || exit 1; done; done
        else
            for name in apcu ; do phpenmod "$name"; done
        fi
    "#;
    let files = [
        ("etc/php/8.4/mods-available/apcu.ini", "extension=apcu.so\n"),
        ("usr/lib/php/8.4/sapi/cli", ""),
        ("usr/lib/php/php-maintscript-helper", ""),
    ];
    let with = run(&[("php8.4-apcu", script)], &mut tree(&files), &Tree::new());
    let without = run(&[("php8.4-apcu", script)], &mut tree(&files[..2]), &Tree::new());
    assert_eq!(text(&with), text(&without));
    let alone = run(&[("php8.4-apcu", "phpenmod -s ALL apcu")], &mut tree(&files), &Tree::new());
    assert_eq!(text(&with), text(&alone));
    insta::assert_snapshot!(text(&with), @r#"
    /etc/php/8.4/cli/conf.d/20-apcu.ini -> /etc/php/8.4/mods-available/apcu.ini
    php8.4-apcu applied {"phpenmod: apcu"}
    "#);
    let unknown = run(&[("x", "phpenmod -v $v apcu; phpenmod none")], &mut tree(&files), &Tree::new());
    assert_eq!(text(&unknown), r#"x left {"phpenmod"}"#);
}
