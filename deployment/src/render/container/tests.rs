use super::*;
use crate::profile::sample;

fn layout(variables: &[(&str, &str)]) -> HostLayout {
    let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    HostLayout::new(&sample(), "/srv/shop", variables)
}

/// An option and its value in a line.
fn lines(arguments: &[String]) -> String {
    let mut text = String::new();
    for argument in arguments {
        text += if argument.starts_with("--") || text.is_empty() { "\n" } else { " " };
        text += argument;
    }
    text.trim().to_owned()
}

#[test]
fn the_sample_as_engines_see_it() {
    let (model, layout) = (sample(), layout(&[("SEALIFT_HTTPS_PORT", "8443"), ("SEALIFT_ADMIN_PORT", "")]));
    let containers = ["shop-web", "shop-database"].map(|name| lines(&create(&model, name, &layout, Networks::All)));
    let task = &model.tasks["migrate"];
    let task = lines(&run_once(&model, task, &layout, Networks::All, &task.command));
    let networks = network::names(&model).into_iter().map(|name| lines(&network::create(&model, name, &layout, None)));
    let networks: Vec<String> = networks.collect();
    let volume = lines(&volume(&layout, "orders"));
    insta::assert_snapshot!([containers.join("\n\n"), task, networks.join("\n\n"), volume].join("\n\n"));
}

#[test]
fn a_service_on_the_host_s_network_has_no_other() {
    let text = include_str!("../../profile/sample.toml").replace(
        "networks = [\"data\"]\nstop-grace = 90",
        "host-network = \"because\"\nprivileged = \"because\"\nroot = \"because\"",
    );
    let model: Model = toml::from_str(&text.replace("user = \"999:999\"\ngroups", "user = \"0\"\ngroups")).unwrap();
    let options = lines(&create(&model, "shop-database", &layout(&[]), Networks::First));
    for (part, is_there) in [
        ("--network host", true),
        ("--network-alias", false),
        ("--privileged", true),
        ("--cap-", false),
        ("no-new-privileges", false),
        ("--user 0", true),
    ] {
        assert_eq!(options.contains(part), is_there, "{part}: {options}");
    }
    assert!(connect(&model, "shop-database", &layout(&[]), "x", None).is_empty());
}

#[test]
fn logs_are_kept_small_where_the_engine_s_driver_takes_that() {
    let service = &sample().services["shop-database"];
    let options = |dialect, driver| log_options(service, dialect, driver).join(" ");
    assert_eq!(options(Dialect::Podman, ""), "--log-opt max-size=104857600");
    assert_eq!(options(Dialect::Docker, "json-file"), "--log-opt max-size=50m --log-opt max-file=2");
    assert_eq!(options(Dialect::Docker, "journald"), "");
}

#[test]
fn docker_runs_health_checks_through_a_shell_and_podman_does_not() {
    let model = sample();
    let check = |dialect| {
        let layout = HostLayout { dialect, ..layout(&[]) };
        let arguments = create(&model, "shop-web", &layout, Networks::All);
        let at = arguments.iter().position(|word| word == "--health-cmd").unwrap();
        arguments[at + 1].clone()
    };
    let words = r#"["wget","-q","--header=Accept: */*","http://127.0.0.1:8080/"]"#;
    assert_eq!(check(Dialect::Podman), words);
    assert_eq!(check(Dialect::Docker), "wget -q '--header=Accept: */*' http://127.0.0.1:8080/");
}

#[test]
fn a_folder_of_the_host_is_where_the_site_says() {
    let text = include_str!("../../profile/sample.toml").replace(
        "[services.shop-database]",
        "[services.shop-database]\npaths = { media = \"/media\", dumps = { path = \"/dumps\", writable = true } }",
    ) + "[site.settings]\nmedia = { title = \"Media\", kind = \"folder\", required = true }\n\
         dumps = { title = \"Dumps\", kind = \"folder\", default = \"/var/dumps\" }\n";
    let model: Model = toml::from_str(&text).unwrap();
    let options = lines(&create(&model, "shop-database", &layout(&[("SEALIFT_MEDIA_PATH", "/a b")]), Networks::All));
    assert!(options.contains("--mount type=bind,source=/a b,target=/media,readonly\n"), "{options}");
    assert!(options.contains("--mount type=bind,source=/var/dumps,target=/dumps\n"), "{options}");
    let compose = crate::render::compose::render(&model, "linux/amd64");
    assert!(compose.contains("- ${SEALIFT_DUMPS_PATH:-/var/dumps}:/dumps\n"), "{compose}");
    assert!(compose.contains("${SEALIFT_MEDIA_PATH:?set it in .env}:/media:ro"), "{compose}");
}

#[test]
fn docker_connects_a_container_to_its_other_networks() {
    let (model, layout) = (sample(), layout(&[]));
    let first = lines(&create(&model, "shop-web", &layout, Networks::First));
    assert_eq!(first.matches("--network ").count(), 1, "{first}");
    let others = connect(&model, "shop-web", &layout, "shop-small_shop-web", Some("shop-web"));
    let others: Vec<String> = others.iter().map(|arguments| arguments.join(" ")).collect();
    insta::assert_snapshot!(others.join("\n"), @"
    connect --alias shop-web shop-small_data shop-small_shop-web
    connect --alias shop-web shop-small_outside shop-small_shop-web
    ");
    assert!(connect(&model, "shop-database", &layout, "x", None).is_empty());
}

#[test]
fn all_addresses_are_those_of_ipv6_too() {
    let model = sample();
    let published = |variables: &[(&str, &str)], ipv6: &str| {
        let layout = HostLayout { ipv6: [ipv6.to_owned()].into(), ..layout(variables) };
        let arguments = create(&model, "shop-web", &layout, Networks::All);
        let values = arguments.iter().zip(&arguments[1..]).filter(|(option, _)| *option == "--publish");
        values.map(|(_, value)| value.clone()).collect::<Vec<_>>().join(" ")
    };
    let admin = "127.0.0.1:8080:8080";
    assert_eq!(published(&[], "front"), format!("{admin} 443:8443"));
    assert_eq!(published(&[], "other"), format!("{admin} 0.0.0.0:443:8443"));
    for written in ["::", "[::]"] {
        let found = published(&[("SEALIFT_HTTPS_ADDRESS", written)], "front");
        assert_eq!(found, format!("{admin} [::]:443:8443"));
    }
}

#[test]
fn the_project_variable_of_the_host_changes_all_names() {
    assert_eq!(layout(&[("SEALIFT_PROJECT", "mine")]).resource_name("web"), "mine_web");
    assert_eq!(layout(&[("SEALIFT_PROJECT", "")]).resource_name("web"), "shop-small_web");
}

#[test]
fn paths_with_characters_of_csv_are_quoted() {
    assert_eq!(mount(&["type=bind", &source("/a,b/\"c\""), "readonly"]), r#"type=bind,"source=/a,b/""c""",readonly"#);
    assert_eq!(mount(&["type=bind", &source("/a:b")]), "type=bind,source=/a:b");
}

/// A file has one group: programs of others read a copy.
#[test]
fn each_service_reads_the_file_of_its_group() {
    let mut model = sample();
    model.site.secrets.get_mut("database-password").unwrap().group = crate::profile::model::Groups(vec![1000, 44]);
    let web = model.services.get_mut("shop-web").unwrap();
    web.secrets.push(toml::Spanned::new(0..0, "database-password".to_owned()));
    let mounted = |model: &Model, name: &str| {
        let arguments = create(model, name, &layout(&[]), Networks::All).join(" ");
        let (before, _) = arguments.split_once(",target=/run/secrets/database-password,").unwrap();
        before.rsplit_once("source=/srv/shop/site/").unwrap().1.to_owned()
    };
    assert_eq!(mounted(&model, "shop-web"), "secrets/database-password");
    assert_eq!(mounted(&model, "shop-database"), "by-group/44/secrets/database-password");
    let compose = crate::render::compose::render(&model, "linux/amd64");
    assert!(compose.contains("- ./site/by-group/44/secrets/database-password:/run/secrets/database-password:ro"));
    assert!(compose.contains("file: ./site/secrets/database-password"), "{compose}");
}

#[test]
fn compose_starts_replicas_and_leaves_scheduled_services() {
    let text = include_str!("../../profile/sample.toml")
        .replace("volumes = { orders = \"/var/lib/database\" }\n", "replicas = 3\n");
    let model: Model = toml::from_str(&text).unwrap();
    let compose = crate::render::compose::render(&model, "linux/amd64");
    let service = |name: &str| {
        let (_, rest) = compose.split_once(&format!("\n  {name}:\n")).unwrap();
        rest.split("\n  shop").next().unwrap().to_owned()
    };
    let database = service("shop-database");
    assert!(database.contains("deploy:\n      replicas: 3\n") && !database.contains("container_name"), "{database}");
    assert!(!database.contains("hostname") && !service("shop-web").contains("deploy"), "{database}");

    let mut model = sample();
    let event = toml::Spanned::new(0..0, "daily".to_owned());
    model.services.get_mut("shop-database").unwrap().run = crate::profile::model::Running::Schedule(event);
    let compose = crate::render::compose::render(&model, "linux/amd64");
    assert!(compose.contains("profiles:\n    - scheduled\n"), "{compose}");
}

/// A database's image has one entrypoint, and the task that restores a dump another program.
#[test]
fn a_task_in_a_container_of_its_own_may_have_another_entrypoint() {
    let (mut model, layout) = (sample(), layout(&[]));
    let task = model.tasks.get_mut("migrate").unwrap();
    (task.entrypoint, task.command) = (vec!["/bin/restore".into(), "-v".into()], vec!["all".into()]);
    let task = &model.tasks["migrate"];
    let arguments = run_once(&model, task, &layout, Networks::All, &task.command);
    let option = arguments.iter().position(|word| word == "--entrypoint").unwrap();
    assert_eq!(arguments[option + 1], "/bin/restore");
    assert_eq!(arguments[arguments.len() - 2..], ["-v", "all"]);
    assert_eq!(task.by_hand(&[]), "--entrypoint /bin/restore shop-web -v all");
}
