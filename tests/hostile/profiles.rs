//! Profiles whose texts try to become something else in `compose.yaml`, units, scripts, arguments or paths.

use sealift_tests::lab::Lab;

use super::{Group, with_edit};

/// Name, reason, and what of the profile `tiny` is replaced by what.
const CASES: [(&str, &str, &str, &str); 53] = [
    (
        "title-cr",
        "a carriage return ends a comment of YAML",
        "title = \"A greeting and a clock\"",
        r#"title = "A\rservices: {}""#,
    ),
    (
        "title-nel",
        "U+0085 ends a line of YAML 1.1",
        "title = \"A greeting and a clock\"",
        r#"title = "A\u0085services: {}""#,
    ),
    (
        "title-ls",
        "U+2028 ends a line of YAML 1.1",
        "title = \"A greeting and a clock\"",
        r#"title = "A\u2028services: {}""#,
    ),
    (
        "title-lf",
        "a second line of a comment is no comment",
        "title = \"A greeting and a clock\"",
        r#"title = "A\nservices: {}""#,
    ),
    (
        "title-escape",
        "a terminal obeys escape sequences",
        "title = \"A greeting and a clock\"",
        r#"title = "A\u001b]0;x\u0007""#,
    ),
    ("title-nul", "no program takes a NUL", "title = \"A greeting and a clock\"", r#"title = "A\u0000""#),
    ("image-title-lf", "the title is an image label of one line", "title = \"A greeting\"", r#"title = "A\ngreeting""#),
    ("label-cr", "labels are shown by engines", "vendor = \"Example\"", r#"vendor = "Example\rroot""#),
    ("name-path", "the name is part of file names", "name = \"tiny\"", "name = \"../tiny\""),
    ("name-option", "a name that is an option", "name = \"tiny\"", "name = \"--privileged\""),
    ("product-tag", "the product is part of image names", "product = \"demo\"", "product = \"demo:latest@x\""),
    ("version-path", "the version is part of file names", "version = \"1.2\"", "version = \"1.2/../../x\""),
    ("version-shell", "the version is part of commands in README.md", "version = \"1.2\"", "version = \"1.2;reboot\""),
    ("suite-path", "the suite is part of a URL", "suite = \"tiny\"", "suite = \"../../other\""),
    ("suite-query", "the suite is part of a URL", "suite = \"tiny\"", "suite = \"tiny?x=\""),
    ("component-path", "components are part of a URL", "components = [\"main\"]", "components = [\"../main\"]"),
    (
        "keyring-outside",
        "files of the profile are below it",
        "keyring = \"files/archive-key.asc\"",
        "keyring = \"../../etc/passwd\"",
    ),
    (
        "keyring-absolute",
        "files of the profile are below it",
        "keyring = \"files/archive-key.asc\"",
        "keyring = \"/etc/passwd\"",
    ),
    (
        "package-option",
        "package names are not options",
        "packages = [\"clock\"]",
        "packages = [\"--allow-unauthenticated\"]",
    ),
    ("package-version", "the lock has the version", "packages = [\"clock\"]", "packages = [\"clock=1.0\"]"),
    ("package-newline", "a second stanza", "packages = [\"clock\"]", r#"packages = ["clock\nPackage: other"]"#),
    ("drop-relative", "patterns are absolute", "drop = [\"/usr/share/doc/*/*\"]", "drop = [\"../etc/shadow\"]"),
    (
        "link-outside",
        "links are made in the image",
        "links = { \"/usr/bin/sh\" = \"hello\" }",
        "links = { \"/../sh\" = \"hello\" }",
    ),
    (
        "link-newline",
        "paths have one line",
        "links = { \"/usr/bin/sh\" = \"hello\" }",
        r#"links = { "/usr/bin/s\nh" = "hello" }"#,
    ),
    ("user-root", "no service runs as root", "user = \"1000:1000\"", "user = \"0:0\""),
    ("user-sign", "a signed number is not a user", "user = \"1000:1000\"", "user = \"+0:0\""),
    (
        "user-name-passwd",
        "a name with fields of /etc/passwd",
        "name = \"greeter\", uid = 1234",
        "name = \"g:x:0:0\", uid = 1234",
    ),
    (
        "user-name-newline",
        "a second line of /etc/passwd",
        "name = \"greeter\", uid = 1234",
        r#"name = "g\nroot2", uid = 1234"#,
    ),
    ("user-home-fields", "a home with fields of /etc/passwd", "gid = 1234 }]", "gid = 1234, home = \"/x:/bin/sh\" }]"),
    (
        "user-home-newline",
        "a second line of /etc/passwd",
        "gid = 1234 }]",
        r#"gid = 1234, home = "/x\nroot2:x:0:0::/:/bin/sh" }]"#,
    ),
    (
        "env-name",
        "an option in the place of a variable",
        "env = { LANG = \"C.UTF-8\" }",
        "env = { \"--privileged\" = \"\" }",
    ),
    (
        "env-name-equals",
        "a variable within a name",
        "env = { LANG = \"C.UTF-8\" }",
        "env = { \"LD_PRELOAD=/x\" = \"\" }",
    ),
    (
        "env-nul",
        "no environment takes a NUL",
        "env = { LANG = \"C.UTF-8\" }",
        r#"env = { LANG = "C\u0000LD_PRELOAD=/x" }"#,
    ),
    (
        "env-directory-shell",
        "a script has the path",
        "env-directory = \"/etc/greeter/env\"",
        "env-directory = \"/etc/$(reboot)\"",
    ),
    (
        "env-directory-quote",
        "a script has the path in quotes",
        "env-directory = \"/etc/greeter/env\"",
        "env-directory = \"/etc/\\\";reboot;\\\"\"",
    ),
    ("venv-path-shell", "the launcher has the path", "path = \"/opt/greeter\"", "path = \"/opt/$(reboot)\""),
    (
        "venv-path-brace",
        "the launcher has the path in an expansion",
        "path = \"/opt/greeter\"",
        "path = \"/opt/}`reboot`\"",
    ),
    ("venv-path-blank", "a first line `#!` ends at a blank", "path = \"/opt/greeter\"", "path = \"/opt/gree ter\""),
    (
        "requirement-option",
        "a requirement that is an option of uv",
        "requirements = [\"greeter==1.2\", \"words\"]",
        "requirements = [\"--index-url=http://other.example\"]",
    ),
    (
        "requirement-line",
        "a second line is an option of uv",
        "requirements = [\"greeter==1.2\", \"words\"]",
        r#"requirements = ["words; python_version>'3'\n--index-url http://other.example"]"#,
    ),
    (
        "requirement-address",
        "wheels come from the index",
        "requirements = [\"greeter==1.2\", \"words\"]",
        "requirements = [\"words @ file:///etc/passwd\"]",
    ),
    (
        "files-source-outside",
        "files of the profile are below it",
        "source = \"files/greet\", path",
        "source = \"../home/x\", path",
    ),
    (
        "files-path-parent",
        "files are in the image",
        "path = \"/usr/local/bin/greet\", mode",
        "path = \"/usr/../../bin/greet\", mode",
    ),
    ("files-mode", "a mode is octal", "mode = \"0755\" }]", "mode = \"0o755; rm\" }]"),
    ("service-name", "names are host names and units", "[services.clock]", "[services.\"clock.service\\nExecStart\"]"),
    ("service-name-percent", "units expand `%`", "[services.clock]", "[services.\"%n\"]"),
    (
        "mount-options",
        "compose reads options after a `:`",
        "image = \"clock\"\nconfig-files = { \"clock.conf\" = \"/etc/clock.conf\" }",
        "image = \"clock\"\nconfig-files = { \"clock.conf\" = \"/etc/clock.conf:rw\" }",
    ),
    (
        "tmpfs-options",
        "engines read options after a `:`",
        "image = \"clock\"\nconfig-files",
        "image = \"clock\"\ntmpfs = [\"/tmp:exec,suid\"]\nconfig-files",
    ),
    (
        "volume-name",
        "a volume that is a path of the host",
        "image = \"clock\"\nconfig-files",
        "image = \"clock\"\nvolumes = { \"/etc\" = \"/data\" }\nconfig-files",
    ),
    ("address-name", "an address of a port is an IP address", "address = \"127.0.0.1\"", "address = \"127.0.0.1:1:2\""),
    (
        "prefix-newline",
        "a secret's prefix is part of an env file",
        "encoding = \"hex\"",
        r#"encoding = "hex", prefix = "a\nB=""#,
    ),
    (
        "authority-newline",
        "the name is part of a certificate",
        "name = \"Mini Certificate Authority\"",
        r#"name = "Mini\nCertificate""#,
    ),
    (
        "template-variable",
        "compose replaces variables in a path",
        "\"clock.conf\" = { source = \"files/clock.conf\" }",
        "\"clock$HOME.conf\" = { source = \"files/clock.conf\" }",
    ),
];

/// What is added at the end of the profile, as a table of its own.
const ADDED: [(&str, &str, &str); 16] = [
    (
        "task-name",
        "a task's name is a file's name",
        "[tasks.\"../x\"]\ntitle = \"T\"\nservice = \"clock\"\ncommand = [\"x\"]\n",
    ),
    (
        "task-title",
        "a task's title is a comment of a script",
        "[tasks.x]\ntitle = \"T\\nreboot\"\nservice = \"clock\"\ncommand = [\"x\"]\n",
    ),
    (
        "task-argument",
        "an argument's name is part of a script",
        "[tasks.x]\ntitle = \"T\"\nservice = \"clock\"\ncommand = [\"x\"]\narguments = [\"$(reboot)\"]\n",
    ),
    (
        "task-nul",
        "no command takes a NUL",
        "[tasks.x]\ntitle = \"T\"\nservice = \"clock\"\ncommand = [\"x\\u0000y\"]\n",
    ),
    (
        "setting-name",
        "a setting's name is a key of TOML",
        "[site.settings.\"a = 1\\nb\"]\ntitle = \"T\"\nkind = \"text\"\n",
    ),
    (
        "setting-title",
        "a title is a comment of settings.toml",
        "[site.settings.a]\ntitle = \"T\\rb = 1\"\nkind = \"text\"\n",
    ),
    (
        "setting-choice",
        "a choice is in a comment of settings.toml",
        "[site.settings.a]\ntitle = \"T\"\nkind = \"choice\"\nchoices = [\"x\\nb = 1\"]\n",
    ),
    (
        "setting-default",
        "a default is checked as a value is",
        "[site.settings.a]\ntitle = \"T\"\nkind = \"text\"\ndefault = \"x\\nB=1\"\n",
    ),
    (
        "setting-secret-default",
        "a default in the profile is no secret",
        "[site.settings.a]\ntitle = \"T\"\nkind = \"text\"\nsecret = true\ndefault = \"x\"\n",
    ),
    (
        "rule-expression",
        "a rule is an expression",
        "[site.rules.a]\ntest = \"{% include '/etc/passwd' %}\"\nmessage = \"M\"\n",
    ),
    (
        "certificate-name",
        "a certificate's name is a file's name",
        "[site.certificates.\"../x\"]\nnames = [\"a\"]\ndays = 1\n",
    ),
    (
        "certificate-host",
        "a certificate's names are host names",
        "[site.certificates.x]\nnames = [\"a\\nb\"]\ndays = 1\n",
    ),
    (
        "certificate-mode",
        "a key is not for everyone",
        "[site.certificates.x]\nnames = [\"a\"]\ndays = 1\nkey-mode = \"0644\"\n",
    ),
    ("secret-name", "a secret's name is a file's name", "[site.secrets.\"../../x\"]\nbytes = 32\nencoding = \"hex\"\n"),
    (
        "secret-mode",
        "a secret is not for everyone",
        "[site.secrets.x]\nbytes = 32\nencoding = \"hex\"\nmode = \"0666\"\n",
    ),
    (
        "volume-files",
        "a shell expands the patterns",
        "[volumes.x]\nversion-files = [\"$(reboot)\"]\nversion = \"1\"\nupgrade = \"U\"\n",
    ),
];

#[test]
fn hostile_profiles() {
    let lab = Lab::new();
    let mut group = Group::new("profiles");
    for (name, reason, from, to) in CASES {
        group.refused(name, reason, &with_edit(&lab, "tiny/profile.toml", from, to, &["lock", "tiny"]));
    }
    let profile = fs_err::read_to_string(lab.path("tiny/profile.toml")).unwrap();
    for (name, reason, table) in ADDED {
        fs_err::write(lab.path("tiny/profile.toml"), format!("{profile}\n{table}")).unwrap();
        group.refused(name, reason, &lab.run(&["lock", "tiny"]));
    }
    group.finish(60);
}
