//! Rendered files that the operator edited.

use super::*;

#[test]
fn an_edited_env_file_that_tools_would_read_differently_is_refused() {
    let bench = Bench::new();
    bench.create();
    bench.write("site/env/shop.env", "URL=https://shop.example/\n# more\nGREETING=\"hello\"\n");
    let before = bench.contents();
    let error = bench.create_at(NOW, Some("other.example"), &[]).unwrap_err();
    insta::assert_snapshot!(error.to_string().replace(bench.path("").to_str().unwrap(), ""), @"
    site: these are the operator's to give or to mend:
      env/shop.env: line 3: the value of GREETING starts with a quote, which some tools take off and some keep: write it without
    ");
    assert_eq!(bench.contents(), before);
    // As it is meant.
    bench.write("site/env/shop.env", "GREETING=hello\n");
    bench.create_at(NOW, Some("other.example"), &[]).unwrap();
    assert_eq!(bench.read("site/env/shop.env"), "GREETING=hello\n");
}
