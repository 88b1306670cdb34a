use super::*;

const TEXT: &str = "Origin: Debian\nSuite: testing\nCodename: forky\nDate: Fri, 30 Oct 2026 08:08:01 UTC\n\
    Valid-Until: Fri, 06 Nov 2026 08:08:01 UTC\nAcquire-By-Hash: yes\nComponents: main contrib\nMD5Sum:\n \
    6d41c06349a3da92b8a135bfde1838f9 1 main/Contents-all\nSHA256:\n \
    ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad        3 main/binary-amd64/Packages.xz\n";
const DATE: u64 = 1_793_347_681;

fn read(text: &str) -> Result<Release> {
    Release::read(text, "ABCD".into())
}

#[test]
fn parses_the_fields_that_a_build_needs() {
    let release = read(TEXT).unwrap();
    assert_eq!((release.date, release.valid_until), (DATE, Some(DATE + 7 * DAY)));
    assert!(release.acquire_by_hash);
    let IndexFile { path, file } = release.package_indexes(Some("main"), "amd64").unwrap().remove(0);
    assert_eq!(path, "main/binary-amd64/Packages.xz");
    file.verify(&path, b"abc").unwrap();
    assert_eq!(
        file.by_hash(&path),
        "main/binary-amd64/by-hash/SHA256/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    let messages = [
        file.verify("P", b"abcd").unwrap_err().to_string(),
        file.verify("P", b"abd").unwrap_err().to_string(),
        release.package_indexes(Some("contrib"), "amd64").unwrap_err().to_string(),
    ];
    insta::assert_snapshot!(messages.join("\n"), @"
    P has 4 bytes instead of 3
    P has digest sha256:a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9 instead of sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
    the suite forky has no index contrib/binary-amd64/Packages
    ");
}

#[test]
fn refuses_malformed_texts() {
    let cases = [
        TEXT.replace("Date: ", "Dat: "),
        TEXT.replace("08:01 UTC", "08:01 CET"),
        TEXT.replace("SHA256", "SHA1"),
        TEXT.replace("  3 main", " -3 main"),
        TEXT.replace("  3 main", "  3 /main"),
        TEXT.replace("main/binary", "../binary"),
        TEXT.replace("Origin:", "Suite:"),
        format!("{TEXT}\nSuite: unstable\n"),
    ];
    let messages: Vec<String> = cases.iter().map(|text| format!("{:#}", read(text).unwrap_err())).collect();
    insta::assert_snapshot!(messages.join("\n"), @"
    the field Date is missing
    the field Date is not a date: `Fri, 30 Oct 2026 08:08:01 CET`
    the field SHA256 is missing
    the field SHA256 has a malformed line: `ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad       -3 main/binary-amd64/Packages.xz`
    the field SHA256 has a malformed line: `ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad        3 /main/binary-amd64/Packages.xz`
    the field SHA256 has a malformed line: `ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad        3 ../binary-amd64/Packages.xz`
    the field Suite occurs twice
    it has more than one stanza
    ");
}

#[test]
fn checks_suite_and_dates() {
    let (text, keyring) = openpgp::tests::signed(TEXT);
    let outcome = |suite: &str, now: u64, allow_expired: bool| match Release::parse(
        text.as_bytes(),
        &Policy { suite, keyring: &keyring, now, allow_expired },
    ) {
        Ok(release) => format!("Release of {}", release.codename),
        Err(error) => {
            let hint = Failure::within(&error).and_then(|failure| failure.hint.clone()).unwrap_or_default();
            format!("{error:#}\nhint: {hint}")
        }
    };
    insta::assert_snapshot!([
        outcome("testing", DATE, false),
        outcome("forky", DATE + 7 * DAY, false),
        outcome("forky", DATE - DAY, false),
        outcome("forky", DATE - DAY - 1, true),
        outcome("forky", DATE + 7 * DAY + 1, false),
        outcome("forky", DATE + 25 * DAY, false),
        outcome("forky", DATE + 25 * DAY, true),
        outcome("trixie", DATE, false),
    ].join("\n"), @"
    Release of forky
    Release of forky
    Release of forky
    the Release file of the suite forky has a date in the future: 2026-10-30 (1 day from now)
    hint: correct the clock of this machine
    the Release file of the suite forky expired on 2026-11-06 (less than a day ago)
    hint: try a mirror that is up to date; to accept an expired index, run `sealift lock --allow-expired` or set `allow-expired = true` in [debian] of the profile
    the Release file of the suite forky expired on 2026-11-06 (18 days ago)
    hint: try a mirror that is up to date; to accept an expired index, run `sealift lock --allow-expired` or set `allow-expired = true` in [debian] of the profile
    Release of forky
    the Release file in dists/trixie is of the suite `testing`, codename `forky`
    hint: use the archive's own name of the suite in [debian] of the profile, or try another mirror
    ");
}

#[test]
fn verifies_and_decompresses_package_indexes() {
    let plain = b"Package: a\n".repeat(100);
    let mut packed = Vec::new();
    liblzma::read::XzEncoder::new(&plain[..], 1).read_to_end(&mut packed).unwrap();
    let of = |bytes: &[u8]| File { size: bytes.len() as u64, sha256: Digest::of(bytes) };
    let mut release = read(TEXT).unwrap();
    release.files = BTreeMap::from([("P.xz".into(), of(&packed)), ("P".into(), of(&plain))]);
    assert_eq!(release.unpack("P.xz", &packed).unwrap().0.as_bytes(), plain);
    let mut messages = vec![release.unpack("P.xz", &packed[1..]).unwrap_err().to_string()];
    // Longer, and shorter, than listed.
    for listed in [&plain[1..], &[&plain[..], b"a"].concat()] {
        release.files.insert("P".into(), of(listed));
        messages.push(release.unpack("P.xz", &packed).unwrap_err().to_string());
    }
    release.files.insert("P.xz".into(), of(&plain));
    messages.push(release.unpack("P.xz", &plain).unwrap_err().to_string());
    // Some archives list the compressed form only.
    release.files = BTreeMap::from([("P.xz".into(), of(&packed))]);
    assert_eq!(release.unpack("P.xz", &packed).unwrap().0.as_bytes(), plain);
    messages.push(release.unpack("P", &plain).unwrap_err().to_string());
    insta::assert_snapshot!(messages.join("\n"), @"
    P.xz has 87 bytes instead of 88
    P has 1100 bytes instead of 1099
    P has 1100 bytes instead of 1101
    cannot decompress P.xz
    the Release file does not list P
    ");
}

#[test]
fn bytes_that_are_not_utf8_are_replaced() {
    let plain = b"Package: a\nMaintainer: b\nVersion: J\xf6rg\n";
    let mut packed = Vec::new();
    liblzma::read::XzEncoder::new(&plain[..], 1).read_to_end(&mut packed).unwrap();
    let of = |bytes: &[u8]| File { size: bytes.len() as u64, sha256: Digest::of(bytes) };
    let mut release = read(TEXT).unwrap();
    release.files = BTreeMap::from([("P.xz".into(), of(&packed)), ("P".into(), of(plain))]);
    assert_eq!(release.unpack("P.xz", &packed).unwrap().0, "Package: a\nVersion: J\u{fffd}rg\n");
}

#[test]
fn an_index_is_read_in_the_forms_that_are_listed() {
    let plain = b"Package: a\n";
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(&plain[..], flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
    let of = |bytes: &[u8]| File { size: bytes.len() as u64, sha256: Digest::of(bytes) };
    let mut release = read(TEXT).unwrap();
    let path = "main/binary-amd64/Packages";
    release.files = BTreeMap::from([(format!("{path}.gz"), of(&packed)), (path.into(), of(plain))]);
    assert_eq!(release.package_indexes(Some("main"), "amd64").unwrap()[0].path, format!("{path}.gz"));
    assert_eq!(release.unpack(&format!("{path}.gz"), &packed).unwrap().0.as_bytes(), plain);
    release.files.remove(&format!("{path}.gz"));
    assert_eq!(release.package_indexes(Some("main"), "amd64").unwrap()[0].path, path);
    assert_eq!(release.unpack(path, plain).unwrap().0.as_bytes(), plain);
}
