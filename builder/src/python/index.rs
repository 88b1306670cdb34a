//! The Python indexes that this machine is configured to use. There is no built-in one.

#[cfg(test)]
mod tests;

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

    /// Whether there should be a default index, and nobody says which one: uv, which has one of its own, is not installed.
    #[must_use]
    pub fn lacks_default(&self) -> bool {
        !self.links_only && !self.list.iter().any(|index| index.role == Role::Default)
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

/// Whether uv takes it for the name of an index. A name with blanks would make two indexes of one in `UV_INDEX`.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

impl Named {
    fn new(text: Setting, role: Role) -> Self {
        // uv accepts a name before the URL: `NAME=URL`.
        let (name, text) = match text.text.split_once('=').filter(|(name, _)| is_name(name.trim())) {
            Some((name, url)) if role != Role::Links => (Some(name.trim().to_owned()), Setting::new(url, &text.source)),
            _ => (None, text),
        };
        Self { name, text, role, known_to_uv: false }
    }

    fn in_uvs_file(self) -> Self {
        Self { known_to_uv: true, ..self }
    }
}

/// Hint where the default index is not known.
pub const NAME_ONE: &str = "name one with --python-index URL, in the variable PIP_INDEX_URL, or in the configuration of pip or uv; or \
                            install uv, whose default index is then used";

/// The indexes to use. The default one is the first that is set among `option`, the environment, Sealift's configuration,
/// pip's, uv's, and uv's built-in default ([`super::resolve::Uv::default_index`]). The others are those of uv and pip.
///
/// # Errors
/// A usage failure if none is set, or if one is not a URL or a folder.
pub fn find(option: Option<&str>, machine: &Machine, uv: impl FnOnce() -> Option<String>) -> Result<Indexes> {
    let own = Config::read(machine)?;
    let (pip, files) = (Pip::read(machine)?, UvFiles::read(machine)?);
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
        return Err(Failure::usage("no Python index is configured on this machine").hint(NAME_ONE).into());
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
