//! The files of a bundle without containers: their text, and its scripts run by a shell.

use std::process::Command;

use super::{TextFile, files, launcher, links};
use crate::profile::model::Model;
use crate::profile::names::{Program, program};

pub(crate) fn sample() -> Model {
    toml::from_str(include_str!("sample.toml")).unwrap()
}

#[test]
fn the_sample_as_a_host_sees_it() {
    let files = files(&sample());
    let shown = ["bin/export", "bin/order", "bin/run-shop-web", "lib/shop-web.sh", "systemd/shop-web.service"];
    let text: String =
        shown.iter().map(|path| format!("=== {path} {:o}\n{}", files[*path].mode, files[*path].text)).collect();
    insta::assert_snapshot!(text);
    insta::assert_snapshot!(files.keys().map(String::as_str).collect::<Vec<_>>().join("\n"), @r"
    bin/export
    bin/health-shop-web
    bin/migrate
    bin/order
    bin/run-shop-mail
    bin/run-shop-web
    lib/shop-mail.sh
    lib/shop-web.sh
    systemd/shop-mail.service
    systemd/shop-web.service
    ");
    let links: String = links(&sample()).iter().map(|(path, target)| format!("{path} -> {target}\n")).collect();
    insta::assert_snapshot!(links, @r"
    root/run/secrets/custom-ca.crt -> ../../../site/custom-ca.crt
    root/run/secrets/shop-web.crt -> ../../../site/tls/shop-web.crt
    root/run/secrets/shop-web.key -> ../../../site/tls/shop-web.key
    root/run/secrets/shop.env -> ../../../site/env/shop.env
    root/run/secrets/token -> ../../../site/secrets/token
    root/run/secrets/token.env -> ../../../site/env/token.env
    ");
}

#[test]
fn only_programs_of_the_venv_are_accepted() {
    let venv = sample().images["web"].venv.clone().unwrap();
    for python in ["python", "python3", "python3.14", "/opt/shop/bin/python"] {
        assert_eq!(program(&venv, python).unwrap().0, Program::Python, "{python}");
    }
    assert_eq!(program(&venv, "/opt/shop/bin/shop"), Some((Program::Script, "shop")));
    for other in ["shop", "/usr/bin/wget", "/usr/bin/python3.14"] {
        assert_eq!(program(&venv, other), None, "{other}");
    }
}

/// A bundle whose interpreter is a shell script, at a place with a blank in it.
fn unpacked(interpreter: &str) -> tempfile::TempDir {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let place = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str, mode: u32| {
        let path = place.path().join("a b").join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    };
    let model = sample();
    for (path, TextFile { text, mode }) in files(&model) {
        write(&path, &text, mode);
    }
    write("root/opt/shop/bin/python", interpreter, 0o755);
    write("root/etc/shop/shop.env", "A=default\nB=default\n", 0o644);
    write(
        "site/env/shop.env",
        "# comment\n\n  # another\nB=s3:host\\:9000:a=b#c\r\nKEY=a=/run/secrets/shop-web.key&b=/run/secrets/token",
        0o644,
    );
    write("site/env/token.env", "TOKEN=a'\"`!\n", 0o600);
    for file in ["site/tls/shop-web.key", "site/tls/shop-web.crt", "site/custom-ca.crt", "site/secrets/token"] {
        write(file, "", 0o600);
    }
    for (path, target) in links(&model) {
        let path = place.path().join("a b").join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }
    place
}

fn run(command: &mut Command, place: &tempfile::TempDir) -> String {
    let output = command.env_clear().env("PATH", "/usr/bin:/bin").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    text.replace(&place.path().canonicalize().unwrap().display().to_string(), "PLACE")
}

#[test]
fn a_service_gets_its_settings_and_arguments_in_any_folder() {
    let place = unpacked(
        "#!/bin/sh\nprintf '<%s> ' \"$0\" \"$@\"; echo\nfor v in A B KEY TOKEN CA PRICE LANG; do eval echo $v=\\\"\\$$v\\\"; done; pwd\n",
    );
    let program = place.path().join("a b/bin/run-shop-web");
    insta::assert_snapshot!(run(Command::new(&program).args(["--more", "x y"]), &place), @r#"
    <PLACE/a b/root/opt/shop/bin/python> <PLACE/a b/root/opt/shop/bin/shop> <--config> <PLACE/a b/root/etc/shop.toml> <serve> <it's> <--more> <x y> 
    A=default
    B=s3:host\:9000:a=b#c
    KEY=a=PLACE/a b/root/run/secrets/shop-web.key&b=PLACE/a b/root/run/secrets/token
    TOKEN=a'"`!
    CA=PLACE/a b/root/run/secrets/custom-ca.crt
    PRICE=5$
    LANG=C.UTF-8
    PLACE/a b/root/opt/shop
    "#);
    let order = place.path().join("a b/bin/order");
    insta::assert_snapshot!(run(Command::new("sh").arg("-c").arg("exec \"$0\" \"$@\" | head -n 1").arg(&order).args(["a b", "2"]), &place), @"<PLACE/a b/root/opt/shop/bin/python> <-m> <shop.order> <--config> <PLACE/a b/root/etc/shop.toml> <a b> <2>");
    assert!(run(Command::new(&order).arg("one"), &place).contains("usage: "));
    let export = place.path().join("a b/bin/export");
    let exported = |arguments: &[&str]| {
        let head = "exec \"$0\" \"$@\" | head -n 1";
        run(Command::new("sh").arg("-c").arg(head).arg(&export).args(arguments), &place)
    };
    insta::assert_snapshot!(exported(&["a b", "--all", "", "$x y"]), @"<PLACE/a b/root/opt/shop/bin/python> <-m> <shop.export> <--all> <> <$x y> <--to=a b>");
    insta::assert_snapshot!(exported(&["a"]), @"<PLACE/a b/root/opt/shop/bin/python> <-m> <shop.export> <--to=a>");
    insta::assert_snapshot!(exported(&[]), @"usage: PLACE/a b/bin/export FILE [OPTIONS...]");
}

#[test]
fn credentials_of_systemd_are_read_instead_of_the_site() {
    let place = unpacked("#!/bin/sh\necho $B $KEY\n");
    let handed = place.path().join("handed");
    fs_err::create_dir(&handed).unwrap();
    for file in ["token.env", "shop-web.key", "shop-web.crt", "custom-ca.crt", "token"] {
        fs_err::write(handed.join(file), "").unwrap();
    }
    fs_err::write(handed.join("shop.env"), "B=2\nKEY=/run/secrets/shop-web.key\n").unwrap();
    let script = "CREDENTIALS_DIRECTORY=$0 exec \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(&handed).arg(place.path().join("a b/bin/run-shop-web"));
    insta::assert_snapshot!(run(&mut command, &place), @"2 PLACE/handed/shop-web.key");
    fs_err::remove_file(handed.join("token")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(&handed).arg(place.path().join("a b/bin/run-shop-web"));
    insta::assert_snapshot!(run(&mut command, &place), @r"
    error: cannot read token of the site
      hint: make the site with ./sealift site new site --host HOST, and run this as the same user
    ");
}

#[test]
fn the_launcher() {
    let venv = sample().images["web"].venv.clone().unwrap();
    let (path, text) = launcher(&venv, "amd64").unwrap();
    assert_eq!(path, "/opt/shop/bin/python");
    insta::assert_snapshot!(text);
    assert!(launcher(&venv, "riscv64").is_none());
}
