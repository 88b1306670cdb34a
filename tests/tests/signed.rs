//! Signed bundles: `build --sign`, `sign`, `verify --key`, and what stock minisign says of them.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealift_tests::bundle::program;
use sealift_tests::lab::{Lab, without_digests};
use sealift_tests::packed::members;

/// Runs `sealift` in the lab, which must succeed, and returns its standard output.
fn run(lab: &Lab, arguments: &[&str]) -> String {
    let ended = lab.run(arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

/// A lab with keys `one` and `two`, and a bundle that `one` signed when it was built.
fn lab() -> Lab {
    let lab = Lab::locked();
    for name in ["one", "two"] {
        run(&lab, &["key", "new", name, "--no-password"]);
    }
    run(&lab, &["build", "tiny", "--output", "signed.tar", "--sign", "one.key"]);
    lab
}

/// The text of a message, with the numbers of keys replaced by their names.
fn named(lab: &Lab, text: &str) -> String {
    let mut text = without_digests(text);
    for name in ["one", "two"] {
        let public = fs_err::read_to_string(lab.path(&format!("{name}.pub"))).unwrap();
        let id = public.lines().next().unwrap().rsplit(' ').next().unwrap();
        text = text.replace(id, &format!("KEY-{}", name.to_uppercase()));
    }
    text
}

#[test]
fn a_signature_can_be_made_with_the_bundle_or_later_with_the_same_bytes() {
    let lab = lab();
    run(&lab, &["build", "tiny", "--output", "plain.tar"]);
    let plain = fs_err::read(lab.path("plain.tar")).unwrap();
    run(&lab, &["sign", "plain.tar", "--key", "one.key"]);
    let read = |name: &str| fs_err::read(lab.path(name)).unwrap();
    assert!(read("plain.tar") == read("signed.tar") && read("plain.tar.minisig") == read("signed.tar.minisig"));
    // Without its signatures it has the bytes of the unsigned bundle.
    let members = members(&read("signed.tar"));
    let own: Vec<_> = members.iter().filter(|(name, ..)| name.starts_with("SHA256SUMS.")).collect();
    let [(minisig, from, _), (statement, at, size)] = own[..] else { panic!("{members:?}") };
    assert!(minisig.ends_with(".minisig") && statement.ends_with(".sigstore.json"));
    let (from, to) = (from - 512, at + size.next_multiple_of(512));
    assert!([&read("signed.tar")[..from], &read("signed.tar")[to..]].concat() == plain);
    // Signing again changes nothing; another key's signature stands beside it.
    run(&lab, &["sign", "plain.tar", "--key", "one.key"]);
    assert!(read("plain.tar") == read("signed.tar"));
    let second = lab.run(&["sign", "plain.tar", "--key", "two.key"]);
    // Who has the first key only finds no signature of the file by it any more.
    assert!(second.code == Some(0) && second.stderr.contains("plain.tar.minisig is by this key alone"), "{second:?}");
    for key in ["one.pub", "two.pub"] {
        run(&lab, &["verify", "plain.tar", "--key", key]);
    }
}

/// A password was asked for first, in what a script reads.
#[test]
fn without_a_terminal_a_password_is_not_asked_for() {
    let lab = lab();
    let mut setsid = Command::new("setsid");
    setsid.arg("--wait").arg(program().unwrap()).args(["key", "new", "three"]).current_dir(lab.path(""));
    let ended = lab.ended(&setsid.stdin(Stdio::null()).output().unwrap());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("there is no terminal to ask") && ended.stderr.contains("--password-file"));
    assert!(!lab.path("three.key").exists());
}

#[test]
fn verify_refuses_what_the_key_did_not_sign() {
    let lab = lab();
    let mut text = run(&lab, &["verify", "signed.tar", "--key", "one.pub"]);
    text.push_str(&run(&lab, &["verify", "signed.tar"]));
    run(&lab, &["build", "tiny", "--output", "plain.tar"]);
    for arguments in [
        &["verify", "signed.tar", "--key", "two.pub"][..],
        &["verify", "plain.tar", "--key", "one.pub"],
        &["verify", "plain.tar", "--key", "one.key"],
        &["sign", "plain.tar", "--key", "one.pub"],
        &["key", "new", "one"],
        &["sign", "one.pub", "--key", "one.key"],
    ] {
        let ended = lab.run(arguments);
        assert_ne!(ended.code, Some(0), "{arguments:?}");
        text.push_str(&format!("--- {} (exit code {})\n{}", arguments.join(" "), ended.code.unwrap(), ended.stderr));
    }
    insta::assert_snapshot!("refused", named(&lab, &text));
}

/// Somebody who changes a bundle can make all its sums right again, but not its signature.
#[test]
fn no_byte_of_a_signed_bundle_can_change() {
    let lab = lab();
    let whole = fs_err::read(lab.path("signed.tar")).unwrap();
    for (name, offset, size) in members(&whole) {
        let all = name.ends_with(".minisig") && size < 1000;
        let places = match name.ends_with(".sigstore.json") {
            true => (0..size).step_by(size / 40).chain([size - 1]).collect(),
            false if all => (0..size).collect(),
            false => vec![0, size / 2, size - 1],
        };
        for at in places {
            let mut bytes = whole.clone();
            bytes[offset + at] ^= 1;
            fs_err::write(lab.path("bad.tar"), bytes).unwrap();
            let ended = lab.run(&["verify", "bad.tar", "--key", "one.pub"]);
            assert_eq!(ended.code, Some(4), "byte {at} of {name}: {}{}", ended.stdout, ended.stderr);
            let text = format!("{}{}", ended.stdout, ended.stderr);
            let is_named = text.contains(&name) || (name == "SHA256SUMS" && text.contains("SHA256SUMS"));
            assert!(is_named || all, "{name} is not named: {text}");
        }
    }
}

#[test]
fn the_signature_of_the_whole_file_is_checked_first() {
    let lab = lab();
    let mut bytes = fs_err::read(lab.path("signed.tar")).unwrap();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    fs_err::write(lab.path("signed.tar"), bytes).unwrap();
    let ended = lab.run(&["verify", "signed.tar", "--key", "one.pub"]);
    assert_eq!(ended.code, Some(4));
    insta::assert_snapshot!(ended.stderr, @"
    error: signed.tar.minisig: the signature does not match signed.tar
    hint: do not use it: something was changed after it was signed
    ");
}

#[test]
fn a_bundle_without_containers_is_signed_too() {
    let lab = lab();
    lab.without_containers();
    run(&lab, &["build", "bare", "--output", "a.tar.gz", "--sign", "one.key"]);
    run(&lab, &["build", "bare", "--output", "b.tar.gz"]);
    run(&lab, &["sign", "b.tar.gz", "--key", "one.key"]);
    assert!(fs_err::read(lab.path("a.tar.gz")).unwrap() == fs_err::read(lab.path("b.tar.gz")).unwrap());
    run(&lab, &["verify", "a.tar.gz", "--key", "one.pub"]);
}

#[test]
fn a_machine_that_trusts_a_key_takes_nothing_else() {
    let lab = lab();
    run(&lab, &["build", "tiny", "--output", "plain.tar"]);
    let keys = lab.path("home/.config/sealift/keys.d");
    fs_err::create_dir_all(&keys).unwrap();
    fs_err::copy(lab.path("one.pub"), keys.join("one.pub")).unwrap();
    let mut text = run(&lab, &["verify", "signed.tar"]);
    for name in ["plain", "signed"] {
        fs_err::create_dir(lab.path(name)).unwrap();
        let tar = format!("{name}.tar");
        let done = Command::new("tar").args(["xf", &tar, "-C", name]).current_dir(lab.path("")).status().unwrap();
        assert!(done.success());
        let ended = lab.run(&["task", "-C", name]);
        text.push_str(&format!("--- task in {name}\n{}{}", ended.stdout, ended.stderr));
        let ended = lab.run(&["task", "-C", name, "--insecure-unsigned"]);
        text.push_str(&format!("--- task --insecure-unsigned in {name}\n{}{}", ended.stdout, ended.stderr));
    }
    // A file that it runs or reads was changed, and its sum, too.
    let changed = lab.path("signed/profile/profile.toml");
    fs_err::write(&changed, fs_err::read_to_string(&changed).unwrap() + "\n").unwrap();
    let ended = lab.run(&["task", "-C", "signed"]);
    text.push_str(&format!("--- changed\n{}{}", ended.stdout, ended.stderr));
    insta::assert_snapshot!("trusting", named(&lab, &text));
}

/// The path of an unpacked signature.
fn name_of(lab: &Lab, end: &str) -> String {
    let members = members(&fs_err::read(lab.path("signed.tar")).unwrap());
    format!("out/{}", members.into_iter().find(|(name, ..)| name.ends_with(end)).unwrap().0)
}

/// The statement says what the bundle was made of.
#[test]
fn the_statement_names_every_dependency() {
    let lab = lab();
    let tar = fs_err::read(lab.path("signed.tar")).unwrap();
    let (_, at, size) = members(&tar).into_iter().find(|(name, ..)| name.ends_with(".sigstore.json")).unwrap();
    let bundle: serde_json::Value = serde_json::from_slice(&tar[at..at + size]).unwrap();
    let payload = STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
    let statement: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    insta::assert_snapshot!("statement", without_digests(&serde_json::to_string_pretty(&statement).unwrap()));
}

/// Stock tools must agree. `.ci/run` installs minisign.
#[test]
#[ignore = "needs minisign: tests/run"]
fn stock_minisign_agrees() {
    let lab = lab();
    let minisign = |arguments: &[&str]| {
        let output = Command::new("minisign").args(arguments).current_dir(lab.path("")).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (good, said) = minisign(&["-V", "-m", "signed.tar", "-p", "one.pub"]);
    assert!(good && said.contains("sealift bundle: "), "{said}");
    assert!(!minisign(&["-V", "-m", "signed.tar", "-p", "two.pub"]).0);
    let unpack = "mkdir out && tar xf signed.tar -C out && cd out && sha256sum --quiet -c SHA256SUMS";
    assert!(Command::new("sh").args(["-c", unpack]).current_dir(lab.path("")).status().unwrap().success());
    let signature = name_of(&lab, ".minisig");
    assert!(minisign(&["-V", "-m", "out/SHA256SUMS", "-x", &signature, "-p", "one.pub"]).0);
    // The statement, by openssl: a tool that knows Ed25519 and nothing else of it. cosign does the same with the file as it is.
    let statement = fs_err::read_to_string(lab.path(&name_of(&lab, ".sigstore.json"))).unwrap();
    let bundle: serde_json::Value = serde_json::from_str(&statement).unwrap();
    let envelope = &bundle["dsseEnvelope"];
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let kind = envelope["payloadType"].as_str().unwrap();
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend(&payload);
    fs_err::write(lab.path("signed"), signed).unwrap();
    fs_err::write(lab.path("signature"), STANDARD.decode(envelope["signatures"][0]["sig"].as_str().unwrap()).unwrap())
        .unwrap();
    let openssl = |key: &str| {
        let arguments =
            ["pkeyutl", "-verify", "-pubin", "-rawin", "-in", "signed", "-sigfile", "signature", "-inkey", key];
        Command::new("openssl").args(arguments).current_dir(lab.path("")).output().unwrap().status.success()
    };
    assert!(openssl("one.pem") && !openssl("two.pem"));
    let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["predicateType"], "https://slsa.dev/provenance/v1");
    // And the other way: a key and a signature that minisign makes.
    assert!(minisign(&["-G", "-W", "-p", "stock.pub", "-s", "stock.key"]).0);
    run(&lab, &["build", "tiny", "--output", "stock.tar", "--sign", "stock.key"]);
    run(&lab, &["verify", "stock.tar", "--key", "stock.pub"]);
    assert!(minisign(&["-S", "-s", "stock.key", "-m", "stock.tar"]).0);
    run(&lab, &["verify", "stock.tar", "--key", "stock.pub"]);
}
