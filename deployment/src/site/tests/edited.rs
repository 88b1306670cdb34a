//! Rendered files that the operator edited.

use super::*;

#[test]
fn edited_env_file_that_tools_read_differently_is_refused() {
    let bench = Bench::new();
    bench.create();
    bench.write("site/env/shop.env", "URL=https://shop.example/\n# more\nGREETING=\"hello\"\n");
    let before = bench.contents();
    let error = bench.create_at(NOW, Some("other.example"), &[]).unwrap_err();
    insta::assert_snapshot!(error.to_string().replace(bench.path("").to_str().unwrap(), ""), @"
    site: the operator's input is incomplete or wrong:
      env/shop.env: line 3: the value of GREETING starts with a quote, which some tools remove and some keep: write it without quotes
    ");
    assert_eq!(bench.contents(), before);
    // Corrected, it is kept.
    bench.write("site/env/shop.env", "GREETING=hello\n");
    bench.create_at(NOW, Some("other.example"), &[]).unwrap();
    assert_eq!(bench.read("site/env/shop.env"), "GREETING=hello\n");
}

#[test]
fn edited_file_is_kept() {
    let bench = Bench::new();
    bench.create();
    bench.write("site/env/shop.env", "URL=https://mine/\n");
    let report = bench.create_at(NOW, Some("other.example"), &[]).unwrap();
    assert_eq!(bench.read("site/env/shop.env"), "URL=https://mine/\n");
    insta::assert_snapshot!(report.warnings.0.last().unwrap(), @"
    warning: env/shop.env: was edited, and is kept unchanged
      hint: to render it again, remove env/shop.env and run this again
    ");
    // A file that equals the rendered one does not count as edited.
    bench.write("site/env/shop.env", "URL=https://other.example:443/\n");
    assert_eq!(bench.create_at(NOW, None, &[]).unwrap().warnings.0, []);
    bench.create_at(NOW, Some("third.example"), &[]).unwrap();
    assert_eq!(bench.read("site/env/shop.env"), "URL=https://third.example:443/\n");
}

#[test]
fn variables_are_written_into_an_unpacked_bundle() {
    let bench = Bench::new();
    bench.create();
    assert!(!bench.path(".env").exists());
    bench.write("bundle.json", "{}");
    bench.create();
    assert_eq!(bench.read(".env"), bench.read("site/ports.env"));
}

/// The site kept its own port: links then had a port on which nothing listened.
#[test]
fn a_port_edited_in_the_env_file_is_written_into_the_site() {
    let bench = Bench::new();
    bench.write("bundle.json", "{}");
    bench.create();
    let edited = "# mine\nSEALIFT_HTTPS_ADDRESS=127.0.0.1\nSEALIFT_HTTPS_PORT=8443\n";
    bench.write(".env", edited);
    let report = bench.create_at(NOW, None, &[]).unwrap();
    // What the settings decide is written in any case.
    let edited = edited.to_owned() + "SEALIFT_OUTSIDE_INTERNAL=true\n";
    assert_eq!((report.ports["https"], bench.read(".env")), (8443, edited.clone()));
    assert!(bench.read("site/env/shop.env").contains(":8443/"));
    // A port of the command line has precedence, and is written into the file.
    let report = bench.create_at(NOW, None, &[("https", 9443)]).unwrap();
    assert_eq!((report.ports["https"], bench.read(".env")), (9443, edited.replace("8443", "9443")));
    bench.write(".env", "SEALIFT_HTTPS_PORT=web\n");
    let error = bench.create_at(NOW, None, &[]).unwrap_err();
    assert_eq!(error.to_string(), ".env: SEALIFT_HTTPS_PORT: `web` is not a port number");
}
