//! What operators set, and options of commands: none of it becomes syntax of nginx, YAML, env files, units or shell.

use sealift_tests::lab::Lab;

use super::Group;

const SETTINGS: &str = r#"
[site.settings.plain]
title = "A text for a configuration file"
kind = "text"
[site.settings.quoted]
title = "A text for a configuration file, in quotes"
kind = "text"
[site.settings.word]
title = "A word"
kind = "word"
[site.settings.url]
title = "An address"
kind = "url"
schemes = ["https"]
[site.settings.host]
title = "A host"
kind = "host"
[site.settings.port]
title = "A port"
kind = "port"
[site.settings.count]
title = "A number"
kind = "integer"
[site.settings.switch]
title = "A switch"
kind = "boolean"
[site.settings.level]
title = "A choice"
kind = "choice"
choices = ["low", "high"]
[site.settings.words]
title = "Words"
kind = "list"
[site.settings.key]
title = "A key"
kind = "text"
secret = true
min-length = 8
[site.settings.variable]
title = "A text for an env file"
kind = "text"
"#;

const CONF: &str = "\
title {{ settings.plain }};
name \"{{ settings.quoted | backslashed('\"') }}\";
word {{ settings.word }};
url {{ settings.url }};
server {{ settings.host }} {{ settings.port }} {{ settings.count }} {{ settings.switch }} {{ settings.level }};
words {{ settings.words | join(' ') }};
";

const ENV: &str = "TOKEN={{ secrets.token }}\nKEY={{ settings.key }}\nVARIABLE={{ settings.variable }}\n";

/// Name, reason, and a line of `settings.toml`.
const CASES: [(&str, &str, &str); 66] = [
    ("nginx-directive", "`;` ends a directive of nginx", r#"plain = "x; return 301 http://other.example""#),
    ("nginx-block", "braces are blocks of nginx", r#"plain = "x { deny all }""#),
    ("nginx-variable", "nginx replaces variables", r#"plain = "$document_root""#),
    ("nginx-comment", "`#` hides the rest of a line", r##"plain = "x # y""##),
    ("nginx-newline", "a second line", r#"plain = "x\nreturn 301""#),
    ("nginx-carriage-return", "a second line", r#"plain = "x\rreturn 301""#),
    ("quote-double", "a quote ends a text", r#"plain = 'x"'"#),
    ("quote-single", "a quote ends a text", r#"plain = "x'""#),
    ("quote-backslash", "a backslash escapes what follows", r#"plain = 'x\'"#),
    ("shell-substitution", "a shell runs it", r#"plain = "`reboot`""#),
    ("shell-expansion", "a shell runs it", r#"plain = "$(reboot)""#),
    ("shell-pipe", "a shell runs it", r#"plain = "x | reboot""#),
    ("shell-redirect", "a shell writes it", r#"plain = "x > /etc/passwd""#),
    ("markup", "a tag of XML or HTML", r#"plain = "<script>""#),
    ("yaml-flow", "braces are a mapping of YAML", r#"plain = "{a: b}""#),
    ("word-directive", "a word without blanks can end a directive, too", r#"word = "x;y""#),
    ("word-blank", "a word has no blanks", r#"word = "x y""#),
    ("word-tab", "a word has no blanks", r#"word = "x\ty""#),
    ("word-wide-blank", "a blank of Unicode is a blank", r#"word = "x\u3000y""#),
    ("url-scheme", "another scheme", r#"url = "file:///etc/passwd""#),
    ("url-script", "another scheme", r#"url = "javascript:alert(1)""#),
    ("url-nohost", "a URL without a host", r#"url = "https:///x""#),
    ("url-backslash", "some programs read a slash", r#"url = 'https://x.example\@y.example/'"#),
    ("url-directive", "`;` ends a directive of nginx", r#"url = "https://x.example/;y""#),
    ("url-newline", "parsers of URLs leave line breaks out", r#"url = "https://x.exa\nmple/""#),
    ("host-port", "a host has no port", r#"host = "x.example:80""#),
    ("host-directive", "a host is a name", r#"host = "x.example;y""#),
    ("host-userinfo", "a host has no user", r#"host = "user@x.example""#),
    ("port-text", "a port is a number", r#"port = "80; y""#),
    ("port-large", "a port has 16 bits", r#"port = 65536"#),
    ("port-zero", "0 is any port", r#"port = 0"#),
    ("count-negative", "a number that is not negative", r#"count = -1"#),
    ("count-float", "a whole number", r#"count = 1e3"#),
    ("switch-text", "a switch is true or false", r#"switch = "on; y""#),
    ("choice-other", "one of the choices", r#"level = "low; y""#),
    ("list-blank", "each is one word", r#"words = ["a b"]"#),
    ("list-directive", "each is checked", r#"words = ["a", "b;c"]"#),
    ("list-table", "each is a text", r#"words = [{ a = 1 }]"#),
    ("env-variable", "some programs replace variables in env files", r#"variable = "$HOME""#),
    ("env-comment", "some programs end a value there", r##"variable = "x #y""##),
    ("env-newline", "a second variable", r#"variable = "x\nLD_PRELOAD=/x""#),
    ("env-quote", "some programs remove quotes", r#"variable = "'x'""#),
    ("env-continuation", "some programs read on in the next line", r"variable = 'x\'"),
    ("env-escape", "a terminal obeys escape sequences", r#"variable = "x\u001b[2J""#),
    ("line-separator", "programs end a line there", r#"plain = "x\u2028return 301""#),
    ("next-line", "programs end a line there", r#"plain = "x\u0085return 301""#),
    ("direction", "the text is not what it looks like", r#"plain = "x\u202ey""#),
    ("isolate", "the text is not what it looks like", r#"word = "x\u2066y\u2069""#),
    ("no-width", "the text is not what it looks like", r#"word = "x\u200by""#),
    ("tag", "the text is not what it looks like", r#"plain = "x\U000E0041y""#),
    ("c1", "a terminal obeys escape sequences", r#"plain = "x\u009b31m""#),
    ("nul", "programs end the text there", r#"plain = "x\u0000y""#),
    ("list-no-width", "the text is not what it looks like", r#"words = ["a\u200bb"]"#),
    ("list-empty", "each is one word", r#"words = [""]"#),
    ("template", "a template in a value", r#"plain = "{{ secrets.token }}""#),
    ("url-variable", "nginx replaces variables", r#"url = "https://x.example/$host""#),
    ("url-template", "a template in a value", r#"url = "https://x.example/{{ secrets.token }}""#),
    ("url-other-host", "the host is not what it looks like", r#"url = "https://\u0440arsec.example/""#),
    ("url-direction", "the text is not what it looks like", r#"url = "https://x.example/\u202e""#),
    ("url-fragment", "the host is not what it looks like", r##"url = "https://x.example#@y.example/""##),
    ("host-decimal", "a name that resolvers read as an address", r#"host = "127.1""#),
    ("host-hex", "a name that resolvers read as an address", r#"host = "0x7f000001""#),
    ("host-octal", "a name that resolvers read as an address", r#"host = "0177.0.0.1""#),
    ("host-dot", "a dot that is none", r#"host = "x.example\u3002y""#),
    ("key-escape", "a terminal obeys escape sequences", r#""\u001b[2J" = 1"#),
    ("secret-short", "a secret that can be guessed is not shown", r#"key = "hunter2""#),
];

/// Name, reason, and the arguments of `site new` after the folder.
const OPTIONS: [(&str, &str, &[&str]); 16] = [
    ("host-newline", "the host is part of every file", &["--host", "x.example\nreturn"]),
    ("host-option-directive", "the host is part of every file", &["--host", "x.example;y"]),
    ("host-quote", "the host is part of every file", &["--host", "x.example\"y"]),
    ("host-expansion", "the host is part of every file", &["--host", "$(reboot).example"]),
    ("host-scheme", "a host is no URL", &["--host", "http://x.example/"]),
    ("host-option-port", "a host has no port", &["--host", "x.example:443"]),
    ("host-wildcard", "a wildcard is no host", &["--host", "*.example"]),
    (
        "host-label",
        "a label has 63 characters",
        &["--host", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example"],
    ),
    ("host-number", "a name that some programs read as an address", &["--host", "0x7f.1"]),
    ("host-hex-option", "a name that some programs read as an address", &["--host", "0x7f000001"]),
    ("host-direction", "the name is not what it looks like", &["--host", "x\u{202e}.example"]),
    ("host-script", "a name of letters that look alike", &["--host", "\u{440}arsec.example"]),
    ("host-empty", "no host", &["--host", ""]),
    ("port-name", "a port of the profile", &["--host", "x.example", "--port", "$(x)=1"]),
    ("port-number", "a number of a port", &["--host", "x.example", "--port", "https=443;y"]),
    ("port-none", "0 is any port", &["--host", "x.example", "--port", "https=0"]),
];

/// Name, reason, and a line that is added to an env file of the site.
const EDITS: [(&str, &str, &str); 12] = [
    ("edited-quote", "some programs remove quotes", "A=\"x\""),
    ("edited-variable", "some programs replace variables", "A=${HOME}"),
    ("edited-export", "shell syntax", "export A=1"),
    ("edited-command", "shell syntax", "reboot"),
    ("edited-name", "an option in the place of a name", "--privileged=1"),
    ("edited-twice", "programs take the first or the last", "TOKEN=other"),
    ("edited-comment", "some programs end a value there", "A=x #y"),
    ("edited-escape", "a terminal obeys escape sequences", "A=\u{1b}[2J"),
    ("edited-continuation", "some programs read on in the next line", "A=x\\"),
    ("edited-separator", "programs end a line there", "A=x\u{2028}B=y"),
    ("edited-direction", "the text is not what it looks like", "A=x\u{202e}y"),
    ("edited-blank", "some programs remove blanks", "A= x"),
];

#[test]
fn hostile_settings() {
    let lab = Lab::locked();
    let profile = fs_err::read_to_string(lab.path("tiny/profile.toml")).unwrap();
    fs_err::write(lab.path("tiny/profile.toml"), format!("{profile}{SETTINGS}")).unwrap();
    fs_err::write(lab.path("tiny/files/clock.conf"), CONF).unwrap();
    fs_err::write(lab.path("tiny/files/token.env"), ENV).unwrap();
    let mut group = Group::new("settings");
    let new = ["site", "new", "site", "--profile", "tiny", "--host", "greeter.example"];
    for (name, reason, line) in CASES {
        let _ = fs_err::remove_dir_all(lab.path("site"));
        fs_err::create_dir(lab.path("site")).unwrap();
        fs_err::write(lab.path("site/settings.toml"), format!("{line}\n")).unwrap();
        group.refused(name, reason, &lab.run(&new));
    }
    for (name, reason, arguments) in OPTIONS {
        let _ = fs_err::remove_dir_all(lab.path("site"));
        group.refused(name, reason, &lab.run(&[&["site", "new", "site", "--profile", "tiny"], arguments].concat()));
    }
    group.finish(75);
}

#[test]
fn hostile_env_files_of_a_site() {
    let lab = Lab::locked();
    let mut group = Group::new("env-files");
    let ended = lab.run(&["site", "new", "site", "--profile", "tiny", "--host", "greeter.example"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let good = fs_err::read_to_string(lab.path("site/env/token.env")).unwrap();
    for (name, reason, line) in EDITS {
        fs_err::write(lab.path("site/env/token.env"), format!("{good}{line}\n")).unwrap();
        let build = ["build", "tiny", "--locked", "--quiet", "--site", "site", "--output", "out.tar"];
        group.refused(name, reason, &lab.run(&build));
    }
    group.finish(12);
}

/// A text in quotes keeps its meaning, and what the kinds allow is not refused.
#[test]
fn settings_that_are_not_hostile() {
    let lab = Lab::new();
    let profile = fs_err::read_to_string(lab.path("tiny/profile.toml")).unwrap();
    fs_err::write(lab.path("tiny/profile.toml"), format!("{profile}{SETTINGS}")).unwrap();
    fs_err::write(lab.path("tiny/files/clock.conf"), CONF).unwrap();
    fs_err::create_dir(lab.path("site")).unwrap();
    let settings = r#"
plain = "Dépôt no. 1, (main): a=b & c~d @ 50% [x] *!?+/"
quoted = 'a "quoted" text; $x {y} \ # <z>'
word = "a,b:c"
url = "https://user:p%24w@x.example:8443/a?b=c&d=e"
words = ["one", "two"]
"#;
    fs_err::write(lab.path("site/settings.toml"), settings).unwrap();
    let ended = lab.run(&["site", "new", "site", "--profile", "tiny", "--host", "greeter.example"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    insta::assert_snapshot!(fs_err::read_to_string(lab.path("site/clock.conf")).unwrap(), @r#"
    title Dépôt no. 1, (main): a=b & c~d @ 50% [x] *!?+/;
    name "a \"quoted\" text; $x {y} \\ # <z>";
    word a,b:c;
    url https://user:p%24w@x.example:8443/a?b=c&d=e;
    server None None None None None;
    words one two;
    "#);
}
