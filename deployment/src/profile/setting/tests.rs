//! Values of each kind, and the messages about invalid ones.

use proptest::prelude::*;

use super::*;

fn setting(text: &str) -> Setting {
    toml::from_str(&format!("title = \"It\"\n{text}")).unwrap()
}

/// The value read from a TOML expression, or the messages about it.
fn outcome(setting: &Setting, value: &str) -> String {
    let table: toml::Table = toml::from_str(&format!("it = {value}")).unwrap();
    let mut invalid = Vec::new();
    let value = setting.read(table.get("it"), &["it"], &mut invalid);
    let lines =
        invalid.iter().map(|invalid| format!("{} {} ({})", invalid.path.join("."), invalid.message, invalid.hint));
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { format!("{value:?}") } else { lines.join("\n") }
}

#[test]
fn values_of_each_kind() {
    let kind = |kind| setting(&format!("kind = \"{kind}\"\nschemes = [\"https\"]\nchoices = [\"A\", \"B\"]"));
    let good = [
        ("text", "\"a b\"", r#"Text("a b")"#),
        ("text", "\"\"", "None"),
        ("word", "\"a:b\"", r#"Text("a:b")"#),
        ("url", "\"https://a.example:9000/x\"", r#"Text("https://a.example:9000/x")"#),
        ("host", "\"::1\"", r#"Text("::1")"#),
        ("port", "25", "Number(25)"),
        ("integer", "0", "Number(0)"),
        ("boolean", "true", "Boolean(true)"),
        ("choice", "\"A\"", r#"Text("A")"#),
        ("list", "[\"A\", \"B\"]", r#"List(["A", "B"])"#),
        ("list", "[]", "List([])"),
    ];
    for (name, value, expected) in good {
        assert_eq!(outcome(&kind(name), value), expected, "{name} {value}");
    }
    let bad = [
        ("text", "1"),
        ("text", "\"a\\nb\""),
        ("text", "\" a\""),
        ("word", "\"a b\""),
        ("url", "\"a.example\""),
        ("url", "\"http://a.example\""),
        ("url", "\"https://a.example:99999\""),
        ("url", "\"https://\""),
        ("url", "\"https:a b\""),
        ("host", "\"https://a.example\""),
        ("host", "\"a.example:25\""),
        ("port", "0"),
        ("port", "65536"),
        ("port", "\"25\""),
        ("integer", "-1"),
        ("boolean", "\"yes\""),
        ("choice", "\"C\""),
        ("list", "\"a\""),
        ("list", "[1]"),
        ("tables", "[1]"),
    ];
    let messages: Vec<String> = bad.iter().map(|(name, value)| outcome(&kind(name), value)).collect();
    insta::assert_snapshot!(messages.join("\n"), @r#"
    it is 1, which is not a line of text in quotes (It)
    it is `a
    b`, which is not one line without blanks at its ends (write it in one line, without an escape such as \n)
    it is ` a`, which is not one line without blanks at its ends (write it in one line, without an escape such as \n)
    it is `a b`, which is not without blanks (remove the blanks)
    it is `a.example`, which is not a URL (begin with https://, then a host and optionally :PORT)
    it is `http://a.example`, which is a URL with another scheme (begin with https://, then a host and optionally :PORT)
    it is `https://a.example:99999`, which is not a URL (begin with https://, then a host and optionally :PORT)
    it is `https://`, which is not a URL (begin with https://, then a host and optionally :PORT)
    it is `https:a b`, which is not a URL (begin with https://, then a host and optionally :PORT)
    it is `https://a.example`, which is not a DNS name or an IP address (remove scheme, port and path)
    it is `a.example:25`, which is not a DNS name or an IP address (remove scheme, port and path)
    it is 0, which is not a port number from 1 to 65535 (It)
    it is 65536, which is not a port number from 1 to 65535 (It)
    it is "25", which is not a port number from 1 to 65535 (It)
    it is -1, which is not a whole number that is not negative (It)
    it is "yes", which is not true or false (It)
    it is `C`, which is not one of the choices (use one of: A, B)
    it is "a", which is not an array of texts without blanks: ["..."] (It)
    it.0 is not a text without blanks (write an array such as ["one", "two"])
    it.0 is not a table (write its keys below a line [[...]])
    "#);
}

#[test]
fn missing_and_weak_values_are_reported() {
    let secret = setting("kind = \"text\"\nrequired = true\nsecret = true\nexample = \"TOKEN\"\nmin-length = 8");
    insta::assert_snapshot!(outcome(&secret, "\"\""), @r#"it is not set (It, such as "TOKEN")"#);
    insta::assert_snapshot!(outcome(&secret, "\"TOKEN\""), @"
    it is still the example (set your own value)
    it is too weak: 5 characters (use at least 8: openssl rand -hex 32)
    ");
    insta::assert_snapshot!(outcome(&secret, "\"hunter2\""), @"it is too weak: 7 characters (use at least 8: openssl rand -hex 32)");
    insta::assert_snapshot!(outcome(&secret, "\"aaaaaaaaaaaaaaaa\""), @"it is too weak: it repeats the same characters (create it at random: openssl rand -hex 32)");
    insta::assert_snapshot!(outcome(&secret, "12345678"), @"it is not a line of text in quotes (It)");
    assert_eq!(outcome(&secret, "\"correct horse\""), r#"Text("correct horse")"#);
}

#[test]
fn tables_are_checked_by_field() {
    let tables = setting(
        "kind = \"tables\"\n[fields.key]\ntitle = \"Key\"\nkind = \"word\"\nrequired = true\n\
         [fields.max-size]\ntitle = \"Size\"\nkind = \"integer\"\ndefault = 7\n",
    );
    assert_eq!(outcome(&tables, "[{ key = \"k\" }]"), r#"Tables([{"key": Text("k"), "max_size": Number(7)}])"#);
    insta::assert_snapshot!(outcome(&tables, "[{ key = \"k\" }, { kye = \"k\" }]"), @"
    it.1.kye is not known (did you mean `key`? its keys: `key`, `max-size`)
    it.1.key is not set (Key)
    ");
}

proptest! {
    #[test]
    fn secrets_are_in_no_message(text in "[a-z]{3,12}[ \n:/]?[a-z]{3,12}", kind in "text|word|url|host|choice|port|list|tables") {
        let setting = setting(&format!("kind = \"{kind}\"\nsecret = true\nmin-length = 50"));
        let message = outcome(&setting, &toml::Value::String(text.clone()).to_string());
        prop_assert!(!message.contains(&text), "{}", message);
    }
}
