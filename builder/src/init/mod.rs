//! A new profile from a few answers: the text of its `profile.toml`, with comments, and of the files that it names.

use std::fmt::Write as _;

use toml::Value;

/// nginx in front of the service.
const NGINX: &str = include_str!("files/nginx.conf");
/// The entrypoint of the proxy's image.
const START_PROXY: &str = include_str!("files/start-proxy");

/// A suite of Debian, and the Python that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// Debian 12
    Bookworm,
    /// Debian 13
    Trixie,
    /// Debian 14, under development
    Forky,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Forky => "forky",
        }
    }

    fn python(self) -> &'static str {
        match self {
            Self::Bookworm => "python3.11",
            Self::Trixie => "python3.13",
            Self::Forky => "python3.14",
        }
    }
}

/// What is asked of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Name of the profile, the product, the image and the service.
    pub name: String,
    /// How commands name the profile: its name, or the path of its folder.
    pub argument: String,
    /// Suite of the packages.
    pub suite: Suite,
    /// Debian packages.
    pub packages: Vec<String>,
    /// Requirements of Python distributions (PEP 508), installed in a virtual environment.
    pub python: Vec<String>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The port on which the program listens.
    pub port: Option<u16>,
    /// The port is one of UDP.
    pub udp: bool,
    /// The path of the data that must outlive a container.
    pub data: Option<String>,
    /// Put nginx with TLS in front.
    pub proxy: bool,
}

/// A file of the new profile: its path below the profile's folder, and its text.
pub type File = (&'static str, String);

/// All files of the new profile.
#[must_use]
pub fn files(answers: &Answers) -> Vec<File> {
    let mut files = vec![("profile.toml", profile(answers))];
    if let Some(port) = answers.port.filter(|_| answers.proxy) {
        let nginx = NGINX.replace("@NAME@", &answers.name).replace("@PORT@", &port.to_string());
        files.extend([("files/nginx.conf", nginx), ("files/start-proxy", START_PROXY.to_owned())]);
    }
    files
}

/// Where the virtual environment of `name` is.
#[must_use]
pub fn venv(name: &str) -> String {
    format!("/opt/{name}")
}

fn profile(answers: &Answers) -> String {
    let mut text = String::new();
    let parts = [head(answers), image(answers), service(answers), site(answers)];
    for part in parts {
        text.push_str(&part);
    }
    text
}

/// `value` in the notation of TOML.
fn quoted(value: &str) -> Value {
    Value::from(value)
}

fn list(values: &[String]) -> Value {
    Value::Array(values.iter().map(|value| quoted(value)).collect())
}

fn head(answers: &Answers) -> String {
    let Answers { name, suite, argument, .. } = answers;
    let mut text = format!(
        "# Each key is described in Sealift's profiles/README.md. What to do next:\n\
         #     sealift lock {argument}      # resolve it to exact versions\n\
         #     sealift build {argument}     # make the bundle, one file\n\
         \n\
         schema = 1\n\
         name = \"{name}\"\n\
         product = \"{name}\"\n\
         version = \"1.0\"\n\
         title = \"{name}\"\n\
         \n\
         [debian]\n\
         suite = \"{}\"\n\
         components = [\"main\"]\n",
        suite.name()
    );
    if *suite == Suite::Forky {
        text.push_str("# Mirrors of a suite under development lag behind now and then.\nallow-expired = true\n");
    } else {
        let _infallible = write!(
            text,
            "\n# A stable suite changes with its point releases only: security updates are in a suite of their own.\n\
             [debian.archives.security]\n\
             suite = \"{}-security\"\n",
            suite.name()
        );
    }
    text.push_str(
        "\n# What all images have. `base-files` has the file hierarchy, and os-release for scanners; `libc-bin` the locale C.UTF-8.\n\
         [base]\npackages = [\"base-files\", \"libc-bin\", \"netbase\", \"tzdata\"]\n",
    );
    text
}

/// Ports that a program of this protocol has by default, or with 1000 or more added where that is below 1024.
const WELL_KNOWN: [(u16, &str); 20] = [
    (1025, "smtp"),
    (1053, "dns"),
    (1389, "ldap"),
    (1883, "mqtt"),
    (2525, "smtp"),
    (3306, "mysql"),
    (3478, "stun"),
    (4222, "nats"),
    (5060, "sip"),
    (5222, "xmpp"),
    (5353, "dns"),
    (5432, "postgres"),
    (5672, "amqp"),
    (6379, "redis"),
    (8443, "https"),
    (8883, "mqtts"),
    (9042, "cassandra"),
    (9092, "kafka"),
    (11211, "memcached"),
    (27017, "mongodb"),
];

impl Answers {
    /// The name of the port on the host: the protocol, as far as the port or the program tells it.
    fn port_name(&self, port: u16) -> &'static str {
        let known = WELL_KNOWN.iter().find(|(known, _)| *known == port).map(|(_, name)| *name);
        let is_web = !self.udp && (!self.python.is_empty() || matches!(port, 3000 | 5000 | 8000..=8999));
        known.unwrap_or(if is_web { "http" } else { "port" })
    }
}

fn image(answers: &Answers) -> String {
    let Answers { name, suite, packages, python, command, port, udp, data, .. } = answers;
    let mut packages = packages.clone();
    if !python.is_empty() {
        packages.push(suite.python().to_owned());
    }
    let mut text = format!(
        "\n[images.{name}]\n\
         title = \"{name}\"\n\
         packages = {}         # and whatever they depend on\n\
         {}\
         user = \"app\"                            # never root\n\
         users = [{{ name = \"app\", uid = 1000, gid = 1000 }}]\n\
         entrypoint = {}\n",
        list(&packages),
        if answers.packages.is_empty() { "" } else { OWN_USER },
        list(command)
    );
    // Images declare ports of TCP only.
    if let Some(port) = port.filter(|_| !udp) {
        let _infallible = writeln!(text, "ports = [{port}]");
    }
    if let Some(data) = data {
        let _infallible =
            writeln!(text, "directories = [{{ path = {}, mode = \"0750\", owner = \"app\" }}]", quoted(data));
    }
    if !python.is_empty() {
        let _infallible = write!(
            text,
            "env = {{ PATH = \"{}/bin:/usr/bin\", LANG = \"C.UTF-8\", PYTHONUNBUFFERED = \"1\" }}\n\
             \n\
             # Wheels in a virtual environment. The lock pins them and what they require.\n\
             [images.{name}.venv]\n\
             path = {}\n\
             python = \"{}\"\n\
             requirements = {}\n",
            venv(name),
            quoted(&venv(name)),
            suite.python(),
            list(python)
        );
    }
    if answers.proxy {
        text.push_str(
            "\n[images.proxy]\n\
             title = \"TLS in front of the service\"\n\
             packages = [\"nginx\", \"dash\"]\n\
             user = \"proxy\"\n\
             users = [{ name = \"proxy\", uid = 1001, gid = 1001 }]\n\
             entrypoint = [\"/usr/local/bin/start-proxy\"]\n\
             ports = [8443]\n\
             files = [{ source = \"files/start-proxy\", path = \"/usr/local/bin/start-proxy\", mode = \"0755\" }]\n",
        );
    }
    text
}

/// What a package may bring.
const OWN_USER: &str = "# A package may bring an account of its own, to which its folders belong. Then write its name (user = \"postgres\", owner =\n\
                        # \"postgres\"), and leave out `users`. The build lists the accounts for a name that it does not know.\n";

/// What to do about a program that writes where it cannot.
const READ_ONLY: &str = "# The container's files cannot be changed. Where the program writes, such as logs, caches or a file of its process\n\
                         # (\"Read-only file system\" in its log), name that folder: in `tmpfs`, in memory and empty at each start, such as\n\
                         # \"/run/NAME\"; or in `volumes`, which are kept.\n";

fn service(answers: &Answers) -> String {
    let Answers { name, port, udp, data, proxy, .. } = answers;
    let mut text = format!(
        "\n[services.{name}]\n\
         image = \"{name}\"\n\
         {READ_ONLY}\
         read-only = true\n\
         tmpfs = [\"/tmp\"]\n"
    );
    if let Some(data) = data {
        let _infallible = writeln!(text, "volumes = {{ data = {} }}", quoted(data));
    }
    if let Some(port) = port.filter(|_| !proxy) {
        let _infallible = writeln!(text, "publish = {{ {} = {port} }}", answers.port_name(port));
    }
    // A check can connect with TCP only.
    if let Some(port) = port.filter(|_| !udp) {
        let _infallible = write!(
            text,
            "\n# `sealift up` waits until the port takes connections. `http` asks for a page, `command` runs a program.\n\
             [services.{name}.health]\n\
             tcp = {{ port = {port} }}\n"
        );
    }
    if *proxy {
        let _infallible = write!(
            text,
            "\n[services.proxy]\n\
             image = \"proxy\"\n\
             read-only = true\n\
             tmpfs = [\"/tmp\"]\n\
             config-files = {{ \"nginx.conf\" = \"/etc/nginx/nginx.conf\" }}\n\
             secrets = [\"proxy.key\", \"proxy.crt\"]\n\
             publish = {{ https = 8443 }}\n\
             depends-on = [\"{name}\"]\n\
             \n\
             [services.proxy.health]\n\
             tcp = {{ port = 8443 }}\n"
        );
    }
    text
}

fn site(answers: &Answers) -> String {
    match (answers.port, answers.proxy) {
        (None, _) => String::new(),
        (Some(port), false) => format!(
            "\n# What each installation has for itself. The operator can choose another port and address.\n\
             [site.ports]\n\
             {} = {{ default = {port}, address = \"127.0.0.1\"{} }}\n",
            answers.port_name(port),
            if answers.udp { ", protocol = \"udp\"" } else { "" }
        ),
        (Some(_), true) => "\n\
             # What each installation has for itself. The operator can choose another port and address.\n\
             [site.ports]\n\
             https = { default = 8443, address = \"127.0.0.1\" }\n\
             \n\
             # `sealift up` makes an authority and a certificate; `sealift site renew` renews them.\n\
             [site.authority]\n\
             name = \"Local Certificate Authority\"\n\
             days = 1825\n\
             \n\
             [site.certificates.proxy]\n\
             names = [\"localhost\", \"127.0.0.1\"]\n\
             host = true\n\
             days = 365\n\
             key-mode = \"0640\"\n\
             key-group = 1001\n\
             \n\
             [site.templates]\n\
             \"nginx.conf\" = { source = \"files/nginx.conf\" }\n"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Answers {
        Answers {
            name: "ships".into(),
            argument: "ships".into(),
            suite: Suite::Trixie,
            packages: Vec::new(),
            python: vec!["datasette<1".into()],
            command: ["/opt/ships/bin/datasette", "serve", "--host", "0.0.0.0"].map(Into::into).into(),
            port: Some(8001),
            udp: false,
            data: Some("/var/lib/ships".into()),
            proxy: true,
        }
    }

    #[test]
    fn a_python_service_behind_a_proxy() {
        insta::assert_snapshot!(profile(&answers()));
    }

    /// The port of each service was called `http`, also that of a database.
    #[test]
    fn ports_are_called_by_what_is_known_of_them() {
        let name = |python: &[&str], port: u16, udp: bool| {
            let python = python.iter().map(|text| (*text).to_owned()).collect();
            Answers { python, udp, ..answers() }.port_name(port)
        };
        assert_eq!(
            [name(&[], 5432, false), name(&["aiosmtpd"], 2525, false), name(&[], 5353, true)],
            ["postgres", "smtp", "dns"]
        );
        assert_eq!([name(&[], 8001, false), name(&["datasette"], 7000, false)], ["http", "http"]);
        assert_eq!([name(&[], 7000, false), name(&["x"], 8000, true)], ["port", "port"]);
    }

    /// Whatever is answered, the profile has no mistakes.
    #[test]
    fn every_combination_is_a_valid_profile() {
        let python = answers();
        let package = Answers { packages: vec!["valkey-server".into()], python: Vec::new(), ..answers() };
        for answers in [python, package] {
            for suite in [Suite::Bookworm, Suite::Trixie, Suite::Forky] {
                let ports =
                    [(None, false), (Some(1024), false), (Some(65535), true)].map(|(port, proxy)| (port, proxy, false));
                for (port, proxy, udp) in ports.into_iter().chain([(Some(5353), false, true)]) {
                    for data in [None, Some("/a \"b\"".to_owned())] {
                        let answers = Answers { suite, port, proxy, udp, data, ..answers.clone() };
                        let folder = tempfile::tempdir().unwrap();
                        let folder = folder.path().join("ships");
                        for (path, text) in files(&answers) {
                            fs_err::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
                            fs_err::write(folder.join(path), text).unwrap();
                        }
                        let loaded = sealift_deployment::profile::Profile::load(&folder);
                        assert!(loaded.is_ok(), "{answers:?}: {:#}", loaded.unwrap_err());
                    }
                }
            }
        }
    }
}
