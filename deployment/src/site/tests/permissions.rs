use super::*;

fn mode(bench: &Bench, name: &str) -> u32 {
    fs_err::metadata(bench.path(name)).unwrap().permissions().mode() & 0o7777
}

/// Group 999 of a container is `systemd-journal` on some hosts: its members read the password of a site that an archive had
/// unpacked with open directories.
#[test]
fn no_other_user_gets_to_files_that_services_read_by_a_group() {
    let mut bench = Bench::new();
    let template = bench.model.site.templates.get_mut("env/token.env").unwrap();
    template.mode = Some(crate::profile::model::Mode(0o640));
    assert_eq!(private_directories(&bench.model).into_iter().collect::<Vec<_>>(), ["env", "secrets", "tls"]);
    bench.create();
    let directories = ["site/env", "site/secrets", "site/tls"];
    let closed = |bench: &Bench| directories.map(|name| mode(bench, name)) == [0o700; 3];
    assert!(closed(&bench));
    assert_eq!((mode(&bench, "site"), mode(&bench, "site/nginx")), (0o755, 0o755));

    // A site of an older version, or unpacked without modes.
    for name in directories {
        fs_err::set_permissions(bench.path(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let found = permissions(&bench.path("site"), &bench.model, false).unwrap();
    assert_eq!(found.0.len(), 3);
    assert_eq!(found.0[0].topic, "env/");
    assert_eq!(bench.create_at(NOW, None, &[]).unwrap().warnings.0, []);
    assert!(closed(&bench));
    assert_eq!(permissions(&bench.path("site"), &bench.model, false).unwrap().0, []);
}

#[test]
fn a_secret_file_at_the_top_closes_the_whole_site() {
    let mut bench = Bench::new();
    let mut template = bench.model.site.templates["env/token.env"].clone();
    template.mode = Some(crate::profile::model::Mode(0o640));
    bench.model.site.templates.insert(toml::Spanned::new(0..0, "token.env".into()), template);
    bench.create();
    assert_eq!(mode(&bench, "site"), 0o700);
}

/// A file has one group: the second service could not read the secret.
#[test]
fn each_group_that_reads_a_secret_has_a_copy() {
    use crate::profile::model::{Groups, Mode};
    let mut bench = Bench::new();
    let own = rustix::process::getegid().as_raw();
    let secret = bench.model.site.secrets.get_mut("token").unwrap();
    (secret.mode, secret.group) = (Mode(0o640), Groups(vec![own, own]));
    bench.create();
    let copy = format!("site/by-group/{own}/secrets/token");
    let read = |path: &str| fs_err::read_to_string(bench.path(path)).unwrap();
    assert_eq!((read(&copy), mode(&bench, &copy)), (read("site/secrets/token"), 0o640));
    assert_eq!(mode(&bench, &format!("site/by-group/{own}/secrets")), 0o700);
    assert!(private_directories(&bench.model).contains(&format!("by-group/{own}/secrets")));

    // It follows the secret, and goes when no group reads it.
    fs_err::write(bench.path("site/secrets/token"), "another secret of the operator").unwrap();
    let warnings = bench.create_at(NOW, None, &[]).unwrap().warnings.0;
    assert_eq!(warnings.iter().map(|warning| warning.topic.as_str()).collect::<Vec<_>>(), ["secrets/token"]);
    assert_eq!(fs_err::read_to_string(bench.path(&copy)).unwrap(), "another secret of the operator");
    assert_eq!(permissions(&bench.path("site"), &bench.model, false).unwrap().0, []);
    bench.model.site.secrets.get_mut("token").unwrap().group.0.truncate(1);
    bench.create();
    assert!(!bench.path(&copy).exists());
}

/// A profile had the wrong number: its correction reached no site that was made before.
#[test]
fn a_changed_group_reaches_files_that_are_kept() {
    use std::os::unix::fs::MetadataExt;

    use crate::profile::model::{Groups, Mode};
    let mut bench = Bench::new();
    let secret = bench.model.site.secrets.get_mut("token").unwrap();
    (secret.mode, secret.group) = (Mode(0o640), Groups(vec![999]));
    bench.create();
    let path = bench.path("site/secrets/token");
    let is_root = rustix::process::geteuid().is_root();
    let mut last = fs_err::metadata(&path).unwrap().gid();
    let mut group = |bench: &mut Bench, group: u32| {
        bench.model.site.secrets.get_mut("token").unwrap().group = Groups(vec![group]);
        let report = bench.create_at(NOW, None, &[]).unwrap();
        let new = fs_err::metadata(&path).unwrap().gid();
        if std::mem::replace(&mut last, new) != new {
            assert!(report.to_string().contains(&format!("secrets/token: group {new} instead of ")), "{report}");
        }
        new
    };
    // Only root gives files to groups that it is no member of.
    let own = rustix::process::getegid().as_raw();
    let expected = |number| if is_root { number } else { own };
    assert_eq!((group(&mut bench, 999), group(&mut bench, 158)), (expected(999), expected(158)));
    // An operator has given it to the user of a rootless engine.
    if is_root {
        std::os::unix::fs::chown(&path, None, Some(100_157)).unwrap();
        bench.model.site.secrets.get_mut("token").unwrap().group = Groups(vec![159]);
        bench.create();
        assert_eq!(fs_err::metadata(&path).unwrap().gid(), 100_157);
    }
}
