//! `[endpoints.NAME]` and `[tasks.NAME.request]`: tasks that are one HTTP request to a service.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// Where requests of tasks go: a published port of the site, and what every request has.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Endpoint {
    /// Name of a TCP port in `site.ports`.
    pub port: Spanned<String>,
    /// Name of the certificate in `site.certificates` that the service shows there. Without it, there is no TLS.
    pub certificate: Option<Spanned<String>>,
    /// Headers. `{secrets.NAME}` in a value is that secret of the site.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// User and password of each request.
    pub basic: Option<Basic>,
}

/// User and password of a request, as the header `Authorization` has them (RFC 7617).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Basic {
    /// The user.
    pub user: Spanned<String>,
    /// Name in `site.secrets`: the password.
    pub secret: Spanned<String>,
}

/// An HTTP request. `{NAME}` in its texts is the value of that argument of the task.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Request {
    /// Name in `endpoints`.
    pub endpoint: Spanned<String>,
    /// Its method.
    pub method: Method,
    /// Its path. Values of arguments are percent-encoded.
    pub path: String,
    /// Its query, by name.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Its body: JSON. A string that is `{NAME}` alone becomes the value in its own type.
    pub body: Option<String>,
    /// Where the rows of the table are in the answer: names of keys, joined by `.`. Without it, the answer itself is.
    pub rows: Option<String>,
    /// The columns of the table, or the lines of an answer that is no array.
    #[serde(default)]
    pub columns: Vec<Column>,
    /// What is printed after a success, in the place of the answer.
    pub done: Option<String>,
    /// Messages for answers with other statuses than 200 to 299, by status.
    #[serde(default)]
    pub errors: BTreeMap<String, String>,
}

/// A column of the table of a [`Request`].
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Column {
    /// Its heading.
    pub title: String,
    /// Where its values are in a row: names of keys, joined by `.`.
    pub value: String,
}

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, or does something.
    Post,
    /// Replaces.
    Put,
    /// Changes a part.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// As it is written in a request.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl Request {
    /// All texts that may name arguments.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        let texts = [Some(&self.path), self.body.as_ref(), self.done.as_ref()].into_iter().flatten();
        texts.chain(self.query.values()).chain(self.errors.values()).map(String::as_str).collect()
    }
}

/// The names in braces in a text: `{organization}`.
#[must_use]
pub fn placeholders(text: &str) -> Vec<&str> {
    let is_name =
        |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).filter(is_name).collect()
}
