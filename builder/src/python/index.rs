//! The Python indexes that this machine is configured to use. There is no built-in one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use url::Url;

use super::settings::{Pip, Setting, UvFiles, is_true, variable};
use crate::mirrors::Config;
use crate::mirrors::access::{Access, Address};
use crate::mirrors::credentials::Credentials;
use crate::mirrors::proxy::{NoProxy, Proxy};

/// What an index is for. As in uv, a distribution is taken from the first index that has it: [`Role::Extra`] ones come
/// before the default one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `--extra-index-url`, `UV_INDEX`, `[[index]]`.
    Extra,
    /// `--index-url`, `UV_DEFAULT_INDEX`.
    Default,
    /// `--find-links`: a folder of wheels, or a page with links to them.
    Links,
    /// Only for the distributions that a project assigns to it (`explicit = true`).
    Explicit,
}

/// An index, and where it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// uv's name for it: a lock remembers it.
    pub name: Option<String>,
    /// Root of the simple repository API (PEP 503), or of [`Role::Links`], the folder or page.
    pub address: Address,
    /// For messages: `--python-index`, a variable, the path of a file, or `uv`.
    pub source: String,
    /// What it is for.
    pub role: Role,
    /// uv finds it itself, in one of its files.
    known_to_uv: bool,
}

/// The indexes of a machine, in the order in which uv asks them.
#[derive(Clone)]
pub struct Indexes {
    list: Vec<Index>,
    /// `no-index`: only those of [`Role::Links`] count.
    links_only: bool,
    /// Variables for uv, about what it does not read itself.
    environment: BTreeMap<&'static str, OsString>,
}

/// Without the variables, which may have passwords.
impl fmt::Debug for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.list).finish()
    }
}

impl Indexes {
    /// Whether uv is to use no index, only folders and pages of links.
    #[must_use]
    pub fn links_only(&self) -> bool {
        self.links_only
    }

    /// The indexes.
    #[must_use]
    pub fn list(&self) -> &[Index] {
        &self.list
    }

    /// The indexes to ask for a locked wheel: the named one first, then the default one, then the others.
    #[must_use]
    pub fn for_wheel(&self, name: Option<&str>) -> Vec<&Index> {
        let mut list: Vec<&Index> = self.list.iter().collect();
        list.sort_by_key(|index| match name {
            Some(_) if index.name.as_deref() == name => 0,
            _ if index.role == Role::Default => 1,
            _ => 2,
        });
        list
    }

    /// The name of the index at `url`, if it has one and is not the default one.
    #[must_use]
    pub fn named(&self, url: &str) -> Option<String> {
        let plain = |url: &str| url.trim_end_matches('/').to_owned();
        let others = self.list.iter().filter(|index| index.role != Role::Default);
        let mut found = others.filter(|index| plain(index.address.url().as_str()) == plain(url));
        found.next().and_then(|index| index.name.clone())
    }

    /// Variables with which uv uses the same indexes, credentials, proxies and certificates. They are not its arguments,
    /// because every user of the machine can see those.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, Option<OsString>)> {
        let urls = |role: Role, separator: &str| {
            let own =
                self.list.iter().filter(|index| index.role == role && (!index.known_to_uv || role == Role::Default));
            let texts: Vec<String> = own.map(Index::for_uv).collect();
            Some(texts.join(separator)).filter(|text| !text.is_empty()).map(OsString::from)
        };
        let mut all = vec![
            ("UV_DEFAULT_INDEX", urls(Role::Default, " ")),
            ("UV_INDEX", urls(Role::Extra, " ")),
            ("UV_FIND_LINKS", urls(Role::Links, ",")),
            // Replaced by those above.
            ("UV_INDEX_URL", None),
            ("UV_EXTRA_INDEX_URL", None),
        ];
        all.extend(self.environment.iter().map(|(name, value)| (*name, Some(value.clone()))));
        all
    }
}

impl Index {
    /// Its URL with credentials, after its name if it has one.
    fn for_uv(&self) -> String {
        let url = self.address.with_credentials();
        let url = url.as_str().replace(',', "%2C");
        match &self.name {
            Some(name) if self.role != Role::Links => format!("{name}={url}"),
            _ => url,
        }
    }
}

/// An index as it is configured.
struct Named {
    name: Option<String>,
    text: Setting,
    role: Role,
    known_to_uv: bool,
}

impl Named {
    fn new(text: Setting, role: Role) -> Self {
        // uv accepts a name before the URL: `NAME=URL`.
        let (name, text) = match text.text.split_once('=').filter(|(name, _)| !name.contains([':', '/', '?'])) {
            Some((name, url)) if role != Role::Links => (Some(name.trim().to_owned()), Setting::new(url, &text.source)),
            _ => (None, text),
        };
        Self { name, text, role, known_to_uv: false }
    }

    fn in_uvs_file(self) -> Self {
        Self { known_to_uv: true, ..self }
    }
}

/// The indexes to use. The default one is the first that is set among `option`, the environment, Sealift's configuration,
/// pip's, uv's, and uv's built-in default ([`super::resolve::Uv::default_index`]). The others are those of uv and pip.
///
/// # Errors
/// A usage failure if none is set, or if one is not a URL or a folder.
pub fn find(option: Option<&str>, machine: &Machine, uv: impl FnOnce() -> Option<String>) -> Result<Indexes> {
    let own = Config::read(machine)?;
    let (pip, files) = (Pip::read(machine), UvFiles::read(machine));
    let none = [pip.option("no-index"), machine.var("UV_NO_INDEX").map(|value| Setting::new(value, "UV_NO_INDEX"))];
    let none = none.into_iter().chain([files.option("no-index")]).flatten().any(|setting| is_true(&setting));
    let links_only = none && option.is_none();
    let mut named = Vec::new();
    if !none {
        named.extend(extra(machine, &pip, &files));
    }
    if !links_only {
        named.extend(default(option, machine, &own, &pip, &files, uv));
    }
    named.extend(links(machine, &pip, &files));
    if named.is_empty() {
        return Err(Failure::usage("no Python index is configured on this machine")
            .hint(
                "name one with --python-index URL, in the variable PIP_INDEX_URL, or in the configuration of pip or uv; or \
                 install uv, whose default index is then used",
            )
            .into());
    }
    let mut access = Access::of_environment(machine)?;
    access.read_netrc(machine);
    let environment = network(&mut access, machine, &pip, &files)?;
    let mut found = Vec::new();
    for index in named {
        let url = url(machine, &index)?;
        let url = access.configured(url, &index.text.source);
        if let Some(credentials) = index.name.as_deref().and_then(|name| of_variables(machine, name)) {
            access.add_credentials(&url, credentials);
        }
        found.push((index, url));
    }
    let access = Arc::new(access);
    let list = found.into_iter().map(|(index, url)| Index {
        name: index.name,
        address: Address::new(url, &access),
        source: index.text.source,
        role: index.role,
        known_to_uv: index.known_to_uv,
    });
    Ok(Indexes { list: list.collect(), links_only, environment })
}

fn default(
    option: Option<&str>,
    machine: &Machine,
    own: &Config,
    pip: &Pip<'_>,
    files: &UvFiles,
    uv: impl FnOnce() -> Option<String>,
) -> Option<Named> {
    let variables = ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"];
    let setting = option
        .map(|url| Setting::new(url, "--python-index"))
        .or_else(|| variables.iter().find_map(|name| Some(Setting::new(machine.var(name)?, name))))
        .or_else(|| own.python_index.as_ref().map(|url| Setting::new(url, &own.path)))
        .or_else(|| pip.in_files("index-url"));
    if let Some(setting) = setting {
        return Some(Named::new(setting, Role::Default));
    }
    let in_file = files.indexes().into_iter().find(|(index, _)| index.default).map(|(index, file)| Named {
        name: index.name,
        text: Setting::new(&index.url, file),
        role: Role::Default,
        known_to_uv: true,
    });
    in_file
        .or_else(|| Some(Named::new(files.option("index-url")?, Role::Default).in_uvs_file()))
        .or_else(|| Some(Named::new(Setting::new(&uv()?, "uv"), Role::Default)))
}

fn extra(machine: &Machine, pip: &Pip<'_>, files: &UvFiles) -> Vec<Named> {
    let words = |name: &str| variable(machine, name, char::is_whitespace);
    let settings = words("UV_INDEX").into_iter().chain(words("UV_EXTRA_INDEX_URL")).chain(pip.list("extra-index-url"));
    let mut all: Vec<Named> = settings.map(|setting| Named::new(setting, Role::Extra)).collect();
    for (index, file) in files.indexes().into_iter().filter(|(index, _)| !index.default) {
        let role = match (index.flat, index.explicit) {
            (_, true) => Role::Explicit,
            (true, _) => Role::Links,
            _ => Role::Extra,
        };
        all.push(Named { name: index.name, text: Setting::new(&index.url, file), role, known_to_uv: true });
    }
    all.extend(files.list("extra-index-url").into_iter().map(|text| Named::new(text, Role::Extra).in_uvs_file()));
    all
}

fn links(machine: &Machine, pip: &Pip<'_>, files: &UvFiles) -> Vec<Named> {
    let by_variable = variable(machine, "UV_FIND_LINKS", |c| c == ',').into_iter().chain(pip.list("find-links"));
    let mut all: Vec<Named> = by_variable.map(|text| Named::new(text, Role::Links)).collect();
    all.extend(files.list("find-links").into_iter().map(|text| Named::new(text, Role::Links).in_uvs_file()));
    all
}

/// `UV_INDEX_NAME_USERNAME` and `UV_INDEX_NAME_PASSWORD`.
fn of_variables(machine: &Machine, name: &str) -> Option<Credentials> {
    let upper: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    let value = |end: &str| machine.var(&format!("UV_INDEX_{upper}_{end}"));
    let (user, password) = (value("USERNAME"), value("PASSWORD"));
    (user.is_some() || password.is_some()).then(|| {
        let origin = format!("UV_INDEX_{upper}_USERNAME and UV_INDEX_{upper}_PASSWORD");
        Credentials::new(user.unwrap_or_default(), password.unwrap_or_default(), &origin)
    })
}

/// The settings of pip and uv about proxies and certificates. Returns the variables by which uv gets those of pip.
fn network(
    access: &mut Access,
    machine: &Machine,
    pip: &Pip<'_>,
    files: &UvFiles,
) -> Result<BTreeMap<&'static str, OsString>> {
    let mut environment = BTreeMap::new();
    for (scheme, key) in [("http", "http-proxy"), ("https", "https-proxy")] {
        if let Some(setting) = files.option(key).filter(|_| !access.proxies().by_scheme.contains_key(scheme)) {
            access.proxies().by_scheme.insert(scheme.to_owned(), Proxy::parse(&setting.text, &setting.source)?);
        }
    }
    let direct: Vec<String> = files.list("no-proxy").into_iter().map(|setting| setting.text).collect();
    if !direct.is_empty() && access.proxies().direct == NoProxy::default() {
        access.proxies().direct = NoProxy::parse(&direct.join(","));
    }
    if let Some(setting) = pip.option("proxy") {
        access.proxies().set_all(&Proxy::parse(&setting.text, &setting.source)?);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            environment.insert(name, setting.text.clone().into());
        }
    }
    let file = |setting: Setting| (machine.path(&setting.text), setting.source);
    if machine.var("SSL_CERT_FILE").is_none() && machine.var("SSL_CERT_DIR").is_none() {
        let variables = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].into_iter();
        let mut variables = variables.filter_map(|name| Some(Setting::new(machine.var(name)?, name)));
        access.tls().authorities = pip.option("cert").or_else(|| variables.next()).map(file);
        if let Some((path, _)) = &access.tls().authorities {
            environment.insert("SSL_CERT_FILE", path.clone().into());
        }
    }
    let certificate = machine.var("SSL_CLIENT_CERT").map(|path| Setting::new(path, "SSL_CLIENT_CERT"));
    access.tls().certificate = certificate.or_else(|| pip.option("client-cert")).map(file);
    if let Some((path, _)) = &access.tls().certificate {
        environment.insert("SSL_CLIENT_CERT", path.clone().into());
    }
    let mut trusted = variable(machine, "UV_INSECURE_HOST", char::is_whitespace);
    trusted.extend(pip.list("trusted-host"));
    if !trusted.is_empty() {
        let names: Vec<&str> = trusted.iter().map(|setting| setting.text.as_str()).collect();
        environment.insert("UV_INSECURE_HOST", names.join(" ").into());
    }
    for setting in trusted.into_iter().chain(files.list("allow-insecure-host")) {
        access.do_not_check(setting.text.split("://").last().unwrap_or_default(), &setting.source);
    }
    Ok(environment)
}

/// The URL of an index: what is configured may be a path, too.
fn url(machine: &Machine, index: &Named) -> Result<Url> {
    let Setting { text, source } = &index.text;
    let expected = match index.role {
        Role::Links => "a folder, or an http, https or file URL",
        _ => "an http, https or file URL",
    };
    let wrong = || {
        let shown = text.rsplit_once('@').map_or(&**text, |(_, rest)| rest);
        Failure::usage(format!("the Python index `{shown}` (from {source}) is not {expected}"))
    };
    if let Ok(url) = text.parse::<Url>() {
        return if matches!(url.scheme(), "http" | "https" | "file") { Ok(url) } else { Err(wrong().into()) };
    }
    if index.role != Role::Links && !text.starts_with(['/', '.']) {
        return Err(wrong().into());
    }
    let base = match Path::new(source).parent() {
        Some(folder) if index.known_to_uv => folder.to_owned(),
        _ => machine.current_directory().map(Path::to_owned).unwrap_or_else(|_| machine.path("/")),
    };
    let path = base.join(text.strip_prefix("./").unwrap_or(text));
    Ok(Url::from_file_path(path).map_err(|()| wrong())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [`find`] on a machine with `settings`: variables, files (names with `/` at the start) and uv's default (`uv`).
    fn all_with(option: Option<&str>, settings: &[(&str, &str)]) -> Result<Indexes> {
        let root = tempfile::tempdir().unwrap();
        let (files, variables): (Vec<_>, Vec<_>) = settings.iter().partition(|(name, _)| name.starts_with('/'));
        for (name, text) in files {
            let path = root.path().join(name.trim_start_matches('/'));
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let uv = || settings.iter().find(|(name, _)| *name == "uv").map(|(_, url)| (*url).to_owned());
        find(option, &Machine::of(root.path(), &variables), uv)
    }

    /// The default one of them.
    fn find_with(option: Option<&str>, settings: &[(&str, &str)]) -> Result<Index> {
        let all = all_with(option, settings)?.list;
        Ok(all.into_iter().find(|index| index.role == Role::Default).unwrap())
    }

    #[test]
    fn settings_have_an_order_of_precedence() {
        let mut settings = vec![
            ("HOME", "/home/me"),
            ("PIP_INDEX_URL", "https://mirror.example/1"),
            ("UV_DEFAULT_INDEX", "internal=https://mirror.example/2"),
            ("PIP_CONFIG_FILE", "/pip.conf"),
            (
                "/pip.conf",
                "[download]\nindex-url = x\n[global]\n# index-url = y\nindex_url: https://mirror.example/3\n",
            ),
            ("/home/me/.config/pip/pip.conf", "[global]\nindex-url=https://mirror.example/4"),
            ("/home/me/.pip/pip.conf", "[global]\nindex-url=https://mirror.example/5"),
            ("/etc/pip.conf", "[global]\nindex-url=https://mirror.example/6"),
            (
                "/home/me/.config/uv/uv.toml",
                "[[index]]\nname = 'a'\nurl = 'https://mirror.example/no'\n[[index]]\nurl = 'https://mirror.example/7'\ndefault = true",
            ),
            ("/etc/uv/uv.toml", "index-url = 'https://mirror.example/8'"),
            ("uv", "https://mirror.example/9"),
        ];
        let mut order = vec![find_with(Some("https://mirror.example/0"), &settings).unwrap()];
        // Removes the settings one by one; PIP_CONFIG_FILE (3) together with the file that it names.
        while settings.len() > 1 {
            order.push(find_with(None, &settings).unwrap());
            settings.remove(1);
            if settings.get(1).is_some_and(|(name, _)| *name == "PIP_CONFIG_FILE") {
                order.push(find_with(None, &settings).unwrap());
                settings.drain(1..3);
            }
        }
        let lines: Vec<_> =
            order.iter().map(|index| format!("{} {}", index.address.url().path(), index.source)).collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        /0 --python-index
        /1 PIP_INDEX_URL
        /2 UV_DEFAULT_INDEX
        /3 /pip.conf
        /4 /home/me/.config/pip/pip.conf
        /5 /home/me/.pip/pip.conf
        /6 /etc/pip.conf
        /7 /home/me/.config/uv/uv.toml
        /8 /etc/uv/uv.toml
        /9 uv
        ");
    }

    #[test]
    fn pips_configuration_can_be_disabled() {
        let settings = [
            ("HOME", "/h"),
            ("PIP_CONFIG_FILE", "/dev/null"),
            ("/etc/pip.conf", "[global]\nindex-url=https://mirror.example/"),
        ];
        assert!(find_with(None, &settings).is_err());
        assert!(
            find_with(
                None,
                &[("XDG_CONFIG_HOME", "/x"), ("/x/pip/pip.conf", "[global]\nindex-url=https://mirror.example/")]
            )
            .is_ok()
        );
    }

    #[test]
    fn errors_name_the_settings() {
        let error = find_with(None, &[("PIP_INDEX_URL", "")]).unwrap_err();
        let failure = Failure::within(&error).unwrap();
        insta::assert_snapshot!(format!("{failure}\n{}", failure.hint.as_ref().unwrap()), @"
        no Python index is configured on this machine
        name one with --python-index URL, in the variable PIP_INDEX_URL, or in the configuration of pip or uv; or install uv, whose default index is then used
        ");
        let error = find_with(None, &[("PIP_INDEX_URL", "mirror.example")]).unwrap_err();
        insta::assert_snapshot!(error, @"the Python index `mirror.example` (from PIP_INDEX_URL) is not an http, https or file URL");
    }

    #[test]
    fn further_indexes_come_in_uvs_order() {
        let settings = [
            ("HOME", "/h"),
            ("UV_INDEX", "gpu=https://a:b@one.example/simple https://two.example/simple"),
            ("UV_INDEX_GPU_USERNAME", "ignored, the URL has them"),
            ("PIP_FIND_LINKS", "/srv/wheels"),
            (
                "/etc/pip.conf",
                "[global]\nindex-url = https://main.example/\nextra-index-url =\n  https://three.example\n  https://four.example\n",
            ),
            (
                "/h/.config/uv/uv.toml",
                "find-links = ['links']\n[[index]]\nname = 'five'\nurl = 'https://five.example'\n\
                 [[index]]\nname = 'six'\nurl = 'https://six.example'\nexplicit = true\n\
                 [[index]]\nurl = 'https://seven.example/links.html'\nformat = 'flat'\n",
            ),
        ];
        let found = all_with(None, &settings).unwrap();
        let line = |index: &Index| format!("{:?} {:?} {} {}", index.role, index.name, index.address, index.source);
        insta::assert_snapshot!(found.list.iter().map(line).collect::<Vec<_>>().join("\n"), @r#"
        Extra Some("gpu") https://one.example/simple UV_INDEX
        Extra None https://two.example/simple UV_INDEX
        Extra None https://three.example/ /etc/pip.conf
        Extra None https://four.example/ /etc/pip.conf
        Extra Some("five") https://five.example/ /h/.config/uv/uv.toml
        Explicit Some("six") https://six.example/ /h/.config/uv/uv.toml
        Links None https://seven.example/links.html /h/.config/uv/uv.toml
        Default None https://main.example/ /etc/pip.conf
        Links None file:///srv/wheels PIP_FIND_LINKS
        Links None file:///h/.config/uv/links /h/.config/uv/uv.toml
        "#);
        // What uv finds itself is not repeated.
        let environment = found.environment();
        let of = |name: &str| {
            environment.iter().find(|(own, _)| *own == name).and_then(|(_, value)| value.clone()?.into_string().ok())
        };
        assert_eq!(
            of("UV_INDEX").unwrap(),
            "gpu=https://a:b@one.example/simple https://two.example/simple https://three.example/ https://four.example/"
        );
        assert_eq!(of("UV_DEFAULT_INDEX").unwrap(), "https://main.example/");
        assert_eq!(of("UV_FIND_LINKS").unwrap(), "file:///srv/wheels");
        assert_eq!(found.for_wheel(Some("five"))[0].name.as_deref(), Some("five"));
        assert_eq!(found.for_wheel(None)[0].role, Role::Default);
    }

    #[test]
    fn credentials_are_found_where_uv_and_pip_find_them() {
        let settings = [
            ("HOME", "/h"),
            ("PIP_INDEX_URL", "https://main.example/simple"),
            ("UV_INDEX", "my-own=https://own.example/simple"),
            ("UV_INDEX_MY_OWN_USERNAME", "me"),
            ("UV_INDEX_MY_OWN_PASSWORD", "secret"),
            ("/h/.netrc", "machine main.example login a password b"),
        ];
        let found = all_with(None, &settings).unwrap();
        let credentials = |index: &Index| {
            let files = index.address.at(index.address.url().join("/files/a.whl").unwrap());
            files.route().unwrap().credentials.unwrap().to_string()
        };
        assert_eq!(
            credentials(&found.list[0]),
            "the user name and password from UV_INDEX_MY_OWN_USERNAME and UV_INDEX_MY_OWN_PASSWORD"
        );
        assert!(credentials(&found.list[1]).ends_with("/h/.netrc"));
        assert!(!format!("{found:?}").contains("secret"));
    }

    #[test]
    fn pips_proxy_and_certificates_are_used_and_passed_to_uv() {
        let settings = [
            ("PIP_CONFIG_FILE", "/pip.conf"),
            (
                "/pip.conf",
                "[global]\nindex-url = https://main.example\nproxy = p.example:3128\ncert = /own.pem\nclient-cert = /me.pem\ntrusted-host = old.example:8443\n",
            ),
        ];
        let found = all_with(None, &settings).unwrap();
        let route = found.list[0].address.route().unwrap();
        assert_eq!(route.proxy.unwrap().to_string(), "the proxy http://p.example:3128 (from /pip.conf)");
        let shown = |file: Option<(std::path::PathBuf, String)>| {
            let (path, source) = file.unwrap();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), source)
        };
        assert_eq!(shown(route.tls.authorities), ("own.pem".into(), "/pip.conf".into()));
        assert_eq!(shown(route.tls.certificate), ("me.pem".into(), "/pip.conf".into()));
        assert_eq!(route.tls.unchecked, None);
        let old = found.list[0].address.at("https://old.example:8443/x".parse().unwrap()).route().unwrap();
        assert_eq!(old.tls.unchecked.as_deref(), Some("/pip.conf"));
        let names: Vec<&str> = found.environment.keys().copied().collect();
        assert_eq!(
            names,
            [
                "HTTPS_PROXY",
                "HTTP_PROXY",
                "SSL_CERT_FILE",
                "SSL_CLIENT_CERT",
                "UV_INSECURE_HOST",
                "http_proxy",
                "https_proxy"
            ]
        );
    }

    #[test]
    fn an_index_may_be_a_folder_and_there_may_be_none() {
        let found = find_with(Some("/srv/simple"), &[]).unwrap();
        assert_eq!(found.address.file().unwrap(), Path::new("/srv/simple"));
        let settings = [
            ("PIP_NO_INDEX", "1"),
            ("UV_FIND_LINKS", "/srv/wheels,https://x.example/links"),
            ("uv", "https://uv.example"),
        ];
        let found = all_with(None, &settings).unwrap();
        assert!(found.links_only());
        let roles: Vec<Role> = found.list.iter().map(|index| index.role).collect();
        assert_eq!(roles, [Role::Links, Role::Links]);
    }
}
