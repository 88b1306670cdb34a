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
    insta::assert_snapshot!(report.warnings.0[0], @"
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
    bench.write(".env", "SEALIFT_HTTPS_PORT=1\n");
    let report = bench.create();
    assert_eq!((bench.read(".env").as_str(), report.warnings.0.len()), ("SEALIFT_HTTPS_PORT=1\n", 1));
}
