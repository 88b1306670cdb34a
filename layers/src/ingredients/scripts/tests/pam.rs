//! `pam-auth-update`.

use super::*;

const UNIX: &str = "Name: Unix authentication
Default: yes
Priority: 256
Auth-Type: Primary
Auth:
\t[success=end default=ignore]\tpam_unix.so nullok try_first_pass
Auth-Initial:
\t[success=end default=ignore]\tpam_unix.so nullok
Account-Type: Primary
Account:
\t[success=end new_authtok_reqd=done default=ignore]\tpam_unix.so
Session-Type: Additional
Session:
\trequired\tpam_unix.so
";
const DIRECTORY: &str = "Name: a directory
Default: yes
Priority: 128
Auth-Type: Primary
Auth:
\t[success=end default=ignore]\tpam_ldap.so use_first_pass
Auth-Initial:
\t[success=end default=ignore]\tpam_ldap.so
";
const SYSTEMD: &str = "Default: yes\nPriority: 0\nSession-Interactive-Only: yes\nSession-Type: Additional\nSession:\n\toptional\tpam_systemd.so\n";
const OFF: &str = "Default: no\nPriority: 512\nAuth-Type: Primary\nAuth:\n\trequired\tpam_off.so\n";

/// The templates of the files that are of interest here.
fn templates() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "usr/share/pam/common-auth",
            "# for all\n$auth_primary\nauth requisite pam_deny.so\n$auth_additional\n# end\n",
        ),
        ("usr/share/pam/common-account", "$account_primary\n$account_additional\n"),
        ("usr/share/pam/common-password", "$password_primary\n$password_additional\n"),
        ("usr/share/pam/common-session", "$session_primary\n$session_additional\n"),
        ("usr/share/pam/common-session-noninteractive", "$session_nonint_primary\n$session_nonint_additional\n"),
    ]
}

/// "Critical error - immediate abort": `su`, `cron` and `dovecot` include files that were not there.
#[test]
fn services_find_the_modules_that_are_on_by_default() {
    let mut files = templates();
    files.extend([("usr/share/pam-configs/unix", UNIX), ("usr/share/pam-configs/off", OFF)]);
    let below = tree(&files);
    let first = run(
        &[("libpam-runtime", "pam-auth-update --root \"$DPKG_ROOT\" --package\n")],
        &mut tree(&files),
        &Tree::new(),
    );
    insta::assert_snapshot!(text(&first).replace("\\t", " "), @r#"
    /etc/pam.d/common-account = account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\n
    /etc/pam.d/common-auth = # for all\nauth [success=1 default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\n# end\n
    /etc/pam.d/common-password = password [default=1] pam_permit.so\n
    /etc/pam.d/common-session = session [default=1] pam_permit.so\nsession required pam_unix.so\n
    /etc/pam.d/common-session-noninteractive = session [default=1] pam_permit.so\nsession required pam_unix.so\n
    libpam-runtime applied {"pam-auth-update: /etc/pam.d/common-*"}
    "#);
    // Another package adds its profiles in a layer above.
    let own = [("usr/share/pam-configs/ldap", DIRECTORY), ("usr/share/pam-configs/systemd", SYSTEMD)];
    let second = run(&[("libpam-x", "pam-auth-update --package\n")], &mut tree(&own), &below);
    insta::assert_snapshot!(text(&second).replace("\\t", " "), @r#"
    /etc/pam.d/common-account = account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\n
    /etc/pam.d/common-auth = # for all\nauth [success=2 default=ignore] pam_unix.so nullok\nauth [success=1 default=ignore] pam_ldap.so use_first_pass\nauth requisite pam_deny.so\n# end\n
    /etc/pam.d/common-password = password [default=1] pam_permit.so\n
    /etc/pam.d/common-session = session [default=1] pam_permit.so\nsession required pam_unix.so\nsession optional pam_systemd.so\n
    /etc/pam.d/common-session-noninteractive = session [default=1] pam_permit.so\nsession required pam_unix.so\n
    libpam-x applied {"pam-auth-update: /etc/pam.d/common-*"}
    "#);
}

#[test]
fn a_missing_template_is_told() {
    let outcome = run(&[("libpam-x", "pam-auth-update --package\n")], &mut tree(&templates()[1..]), &Tree::new());
    assert_eq!(outcome.left["libpam-x"].iter().collect::<Vec<_>>(), ["pam-auth-update (/etc/pam.d/common-auth)"]);
}
