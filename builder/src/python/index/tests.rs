use super::*;

/// [`find`] on a machine with `settings`: variables, files (names with `/` at the start) and uv's default (`uv`).
fn all_with(option: Option<&str>, settings: &[(&str, &str)]) -> Result<Indexes> {
    let root = tempfile::tempdir().unwrap();
    let (files, variables): (Vec<_>, Vec<_>) = settings.iter().partition(|(name, _)| name.starts_with('/'));
    for (name, text) in files {
        let path = root.path().join(name.trim_start_matches('/'));
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    let uv = || settings.iter().find(|(name, _)| *name == "uv").map(|(_, url)| (*url).to_owned());
    find(option, &Machine::of(root.path(), &variables), uv)
}

/// The default one of them.
fn find_with(option: Option<&str>, settings: &[(&str, &str)]) -> Result<Index> {
    let all = all_with(option, settings)?.list;
    Ok(all.into_iter().find(|index| index.role == Role::Default).unwrap())
}

#[test]
fn settings_have_an_order_of_precedence() {
    let mut settings = vec![
        ("HOME", "/home/me"),
        ("PIP_INDEX_URL", "https://mirror.example/1"),
        ("UV_DEFAULT_INDEX", "internal=https://mirror.example/2"),
        ("PIP_CONFIG_FILE", "/pip.conf"),
        ("/pip.conf", "[download]\nindex-url = x\n[global]\n# index-url = y\nindex_url: https://mirror.example/3\n"),
        ("/home/me/.config/pip/pip.conf", "[global]\nindex-url=https://mirror.example/4"),
        ("/home/me/.pip/pip.conf", "[global]\nindex-url=https://mirror.example/5"),
        ("/etc/pip.conf", "[global]\nindex-url=https://mirror.example/6"),
        (
            "/home/me/.config/uv/uv.toml",
            "[[index]]\nname = 'a'\nurl = 'https://mirror.example/no'\n[[index]]\nurl = 'https://mirror.example/7'\ndefault = true",
        ),
        ("/etc/uv/uv.toml", "index-url = 'https://mirror.example/8'"),
        ("uv", "https://mirror.example/9"),
    ];
    let mut order = vec![find_with(Some("https://mirror.example/0"), &settings).unwrap()];
    // Removes the settings one by one; PIP_CONFIG_FILE (3) together with the file that it names.
    while settings.len() > 1 {
        order.push(find_with(None, &settings).unwrap());
        settings.remove(1);
        if settings.get(1).is_some_and(|(name, _)| *name == "PIP_CONFIG_FILE") {
            order.push(find_with(None, &settings).unwrap());
            settings.drain(1..3);
        }
    }
    let lines: Vec<_> = order.iter().map(|index| format!("{} {}", index.address.url().path(), index.source)).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
        /0 --python-index
        /1 PIP_INDEX_URL
        /2 UV_DEFAULT_INDEX
        /3 /pip.conf
        /4 /home/me/.config/pip/pip.conf
        /5 /home/me/.pip/pip.conf
        /6 /etc/pip.conf
        /7 /home/me/.config/uv/uv.toml
        /8 /etc/uv/uv.toml
        /9 uv
        ");
}

#[test]
fn pips_configuration_can_be_disabled() {
    let settings = [
        ("HOME", "/h"),
        ("PIP_CONFIG_FILE", "/dev/null"),
        ("/etc/pip.conf", "[global]\nindex-url=https://mirror.example/"),
    ];
    assert!(find_with(None, &settings).is_err());
    assert!(
        find_with(
            None,
            &[("XDG_CONFIG_HOME", "/x"), ("/x/pip/pip.conf", "[global]\nindex-url=https://mirror.example/")]
        )
        .is_ok()
    );
}

#[test]
fn errors_name_the_settings() {
    let error = find_with(None, &[("PIP_INDEX_URL", "")]).unwrap_err();
    let failure = Failure::within(&error).unwrap();
    insta::assert_snapshot!(format!("{failure}\n{}", failure.hint.as_ref().unwrap()), @"
        no Python index is configured on this machine
        name one with --python-index URL, in the variable PIP_INDEX_URL, or in the configuration of pip or uv; or install uv, whose default index is then used
        ");
    let error = find_with(None, &[("PIP_INDEX_URL", "mirror.example")]).unwrap_err();
    insta::assert_snapshot!(error, @"the Python index `mirror.example` (from PIP_INDEX_URL) is not an http, https or file URL");
}

#[test]
fn further_indexes_come_in_uvs_order() {
    let settings = [
        ("HOME", "/h"),
        ("UV_INDEX", "gpu=https://a:b@one.example/simple https://two.example/simple"),
        ("UV_INDEX_GPU_USERNAME", "ignored, the URL has them"),
        ("PIP_FIND_LINKS", "/srv/wheels"),
        (
            "/etc/pip.conf",
            "[global]\nindex-url = https://main.example/\nextra-index-url =\n  https://three.example\n  https://four.example\n",
        ),
        (
            "/h/.config/uv/uv.toml",
            "find-links = ['links']\n[[index]]\nname = 'five'\nurl = 'https://five.example'\n\
                 [[index]]\nname = 'six'\nurl = 'https://six.example'\nexplicit = true\n\
                 [[index]]\nurl = 'https://seven.example/links.html'\nformat = 'flat'\n",
        ),
    ];
    let found = all_with(None, &settings).unwrap();
    let line = |index: &Index| format!("{:?} {:?} {} {}", index.role, index.name, index.address, index.source);
    insta::assert_snapshot!(found.list.iter().map(line).collect::<Vec<_>>().join("\n"), @r#"
        Extra Some("gpu") https://one.example/simple UV_INDEX
        Extra None https://two.example/simple UV_INDEX
        Extra None https://three.example/ /etc/pip.conf
        Extra None https://four.example/ /etc/pip.conf
        Extra Some("five") https://five.example/ /h/.config/uv/uv.toml
        Explicit Some("six") https://six.example/ /h/.config/uv/uv.toml
        Links None https://seven.example/links.html /h/.config/uv/uv.toml
        Default None https://main.example/ /etc/pip.conf
        Links None file:///srv/wheels PIP_FIND_LINKS
        Links None file:///h/.config/uv/links /h/.config/uv/uv.toml
        "#);
    // What uv finds itself is not repeated.
    let environment = found.environment();
    let of = |name: &str| {
        environment.iter().find(|(own, _)| *own == name).and_then(|(_, value)| value.clone()?.into_string().ok())
    };
    assert_eq!(
        of("UV_INDEX").unwrap(),
        "gpu=https://a:b@one.example/simple https://two.example/simple https://three.example/ https://four.example/"
    );
    assert_eq!(of("UV_DEFAULT_INDEX").unwrap(), "https://main.example/");
    assert_eq!(of("UV_FIND_LINKS").unwrap(), "file:///srv/wheels");
    assert_eq!(found.for_wheel(Some("five"))[0].name.as_deref(), Some("five"));
    assert_eq!(found.for_wheel(None)[0].role, Role::Default);
}

#[test]
fn credentials_are_found_where_uv_and_pip_find_them() {
    let settings = [
        ("HOME", "/h"),
        ("PIP_INDEX_URL", "https://main.example/simple"),
        ("UV_INDEX", "my-own=https://own.example/simple"),
        ("UV_INDEX_MY_OWN_USERNAME", "me"),
        ("UV_INDEX_MY_OWN_PASSWORD", "secret"),
        ("/h/.netrc", "machine main.example login a password b"),
    ];
    let found = all_with(None, &settings).unwrap();
    let credentials = |index: &Index| {
        let files = index.address.at(index.address.url().join("/files/a.whl").unwrap());
        files.route().unwrap().credentials.unwrap().to_string()
    };
    assert_eq!(
        credentials(&found.list[0]),
        "the user name and password from UV_INDEX_MY_OWN_USERNAME and UV_INDEX_MY_OWN_PASSWORD"
    );
    assert!(credentials(&found.list[1]).ends_with("/h/.netrc"));
    assert!(!format!("{found:?}").contains("secret"));
}

#[test]
fn pips_proxy_and_certificates_are_used_and_passed_to_uv() {
    let settings = [
        ("PIP_CONFIG_FILE", "/pip.conf"),
        (
            "/pip.conf",
            "[global]\nindex-url = https://main.example\nproxy = p.example:3128\ncert = /own.pem\nclient-cert = /me.pem\ntrusted-host = old.example:8443\n",
        ),
    ];
    let found = all_with(None, &settings).unwrap();
    let route = found.list[0].address.route().unwrap();
    assert_eq!(route.proxy.unwrap().to_string(), "the proxy http://p.example:3128 (from /pip.conf)");
    let shown = |file: Option<(std::path::PathBuf, String)>| {
        let (path, source) = file.unwrap();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), source)
    };
    assert_eq!(shown(route.tls.authorities), ("own.pem".into(), "/pip.conf".into()));
    assert_eq!(shown(route.tls.certificate), ("me.pem".into(), "/pip.conf".into()));
    assert_eq!(route.tls.unchecked, None);
    let old = found.list[0].address.at("https://old.example:8443/x".parse().unwrap()).route().unwrap();
    assert_eq!(old.tls.unchecked.as_deref(), Some("/pip.conf"));
    let names: Vec<&str> = found.environment.keys().copied().collect();
    assert_eq!(
        names,
        [
            "HTTPS_PROXY",
            "HTTP_PROXY",
            "SSL_CERT_FILE",
            "SSL_CLIENT_CERT",
            "UV_INSECURE_HOST",
            "http_proxy",
            "https_proxy"
        ]
    );
}

#[test]
fn an_index_may_be_a_folder_and_there_may_be_none() {
    let found = find_with(Some("/srv/simple"), &[]).unwrap();
    assert_eq!(found.address.file().unwrap(), Path::new("/srv/simple"));
    let settings =
        [("PIP_NO_INDEX", "1"), ("UV_FIND_LINKS", "/srv/wheels,https://x.example/links"), ("uv", "https://uv.example")];
    let found = all_with(None, &settings).unwrap();
    assert!(found.links_only());
    let roles: Vec<Role> = found.list.iter().map(|index| index.role).collect();
    assert_eq!(roles, [Role::Links, Role::Links]);
}
