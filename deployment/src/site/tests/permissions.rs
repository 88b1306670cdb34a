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
