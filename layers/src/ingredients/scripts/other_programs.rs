//! Programs that scripts run and that no rule imitates: what they make needs a running system, secrets of its own, or is large.

use super::{Said, Words};

/// Their names, and what they make that the programs of an image miss.
const PROGRAMS: [(&str, &str); 12] = [
    ("gdk-pixbuf-query-loaders", "the list of loaders of gdk-pixbuf"),
    ("make-ssl-cert", "a certificate of its own in /etc/ssl"),
    ("mariadb-install-db", "the first database in /var/lib/mysql"),
    ("mysql_install_db", "the first database in /var/lib/mysql"),
    ("newaliases", "/etc/aliases.db"),
    ("pg_createcluster", "a cluster in /var/lib/postgresql"),
    ("postconf", "settings in /etc/postfix/main.cf"),
    ("rndc-confgen", "/etc/bind/rndc.key"),
    ("slapadd", "the first directory in /var/lib/ldap"),
    ("sqlite3", "a database"),
    ("ssh-keygen", "keys of the host in /etc/ssh"),
    ("update-mime-database", "the list of MIME types in /usr/share/mime"),
];

/// What `name` makes, if it is one of them. `words` are its arguments: some of these programs also only look.
pub(super) fn made_by(name: &str, words: Words<'_>) -> Option<(String, Said)> {
    // A shell that is given a script runs what that is.
    let name = match name {
        "bash" | "sh" => words.iter().flatten().find(|word| !word.starts_with('-'))?.rsplit('/').next()?,
        name => name,
    };
    let (program, what) = PROGRAMS.iter().find(|(program, _)| *program == name)?;
    let only_looks = words.iter().flatten().any(|word| matches!(word.as_str(), "-l" | "-n" | "-h"));
    (!only_looks).then(|| (format!("{program} ({what})"), Said::Left))
}
