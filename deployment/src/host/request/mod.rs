//! Tasks that are one HTTP request to a service of this host: the request is made here, and its answer shown. Another part of
//! the program sends it.

mod answer;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use x509_parser::pem::Pem;

pub use answer::{Format, show};

use super::deployment::Deployment;
use super::ports::reached;
use crate::failure::Failure;
use crate::files;
use crate::profile::model::{Basic, Endpoint, Request, Task, placeholders};
use crate::profile::setting::{Kind, Setting};
use crate::site;

/// What is not percent-encoded (RFC 3986, section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request that can be sent.
pub struct Prepared {
    /// Where the service listens on this host.
    pub address: SocketAddr,
    /// The site's public host, without a port: the name that the connection is for.
    pub host: String,
    /// The certificate that the service has to show, in DER. `None`: the connection has no TLS.
    pub certificate: Option<Vec<u8>>,
    /// The whole request, in HTTP/1.0: the answer ends with the connection.
    pub bytes: Vec<u8>,
}

/// The arguments of a task with their values, by name.
pub type Values = BTreeMap<String, String>;

/// The values of the arguments of `task`.
#[must_use]
pub fn values(task: &Task, arguments: &[String]) -> Values {
    task.values_of(arguments).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The request of a task with these values.
///
/// # Errors
/// [`Failure::usage`] when there is no site yet; when a secret or a certificate of it cannot be read.
pub fn prepare(deployment: &Deployment, task: &Task, request: &Request, values: &Values) -> Result<Prepared> {
    let model = &deployment.profile.model;
    let recorded = site::recorded_host(&deployment.site(), model)?.ok_or_else(|| {
        Failure::usage("this installation has no site yet").hint("./sealift up makes it and starts the services")
    })?;
    let host: site::PublicHost = recorded.parse()?;
    let endpoint = &model.endpoints[request.endpoint.get_ref().as_str()];
    let (address, number) = deployment.address_of(endpoint.port.get_ref())?;
    let address = reached(address);
    let default = if endpoint.certificate.is_some() { 443 } else { 80 };
    let authority = if number == default { host.in_url() } else { format!("{}:{number}", host.in_url()) };
    Ok(Prepared {
        address: SocketAddr::new(address, number),
        host: host.as_str().to_owned(),
        certificate: certificate(deployment, endpoint)?,
        bytes: bytes(request, task, values, &authority, &headers(deployment, endpoint)?),
    })
}

/// The first certificate of the file, which is the service's own.
fn certificate(deployment: &Deployment, endpoint: &Endpoint) -> Result<Option<Vec<u8>>> {
    let Some(name) = &endpoint.certificate else { return Ok(None) };
    let path = format!("tls/{}.crt", name.get_ref());
    let text = read(deployment, &path)?;
    let first = Pem::iter_from_buffer(&text).next().and_then(Result::ok);
    let first = first.ok_or_else(|| Failure::failed(format!("site/{path} has no certificate")).hint("./sealift up"))?;
    Ok(Some(first.contents))
}

/// The headers with the secrets of the site.
fn headers(deployment: &Deployment, endpoint: &Endpoint) -> Result<String> {
    let mut text = String::new();
    for (name, value) in &endpoint.headers {
        let mut value = value.clone();
        for placeholder in placeholders(&value.clone()) {
            let Some(name) = placeholder.strip_prefix("secrets.") else { continue };
            value = value.replace(&format!("{{{placeholder}}}"), &secret(deployment, name)?);
        }
        text += &format!("{name}: {value}\r\n");
    }
    if let Some(Basic { user, secret: password }) = &endpoint.basic {
        let both = format!("{}:{}", user.get_ref(), secret(deployment, password.get_ref())?);
        text += &format!("Authorization: Basic {}\r\n", STANDARD.encode(both));
    }
    Ok(text)
}

/// A secret of the site.
fn secret(deployment: &Deployment, name: &str) -> Result<String> {
    let bytes = read(deployment, &format!("secrets/{name}"))?;
    let secret = String::from_utf8_lossy(&bytes).trim().to_owned();
    if secret.contains(char::is_control) {
        return Err(Failure::failed(format!("site/secrets/{name} is not one line of text"))
            .hint("./sealift site new site makes it anew once it is removed; the service needs the same one")
            .into());
    }
    Ok(secret)
}

fn read(deployment: &Deployment, path: &str) -> Result<Vec<u8>> {
    let opened = files::open_below(&deployment.site(), path);
    opened
        .and_then(|file| files::read_up_to(file, files::DOCUMENT_LIMIT))
        .with_context(|| format!("cannot read site/{path}"))
}

fn bytes(request: &Request, task: &Task, values: &Values, authority: &str, headers: &str) -> Vec<u8> {
    let encoded = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
    let pair = |(name, value): (&String, &String)| {
        format!("{}={}", encoded(name), encoded(&filled(value, values, str::to_owned)))
    };
    let query: Vec<String> = request.query.iter().map(pair).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let (method, path) = (request.method.word(), filled(&request.path, values, encoded));
    let mut text = format!("{method} {path}{query} HTTP/1.0\r\nHost: {authority}\r\nUser-Agent: sealift\r\n{headers}");
    let body = request.body.as_ref().map(|body| {
        // The check of the profile has read it.
        let template = serde_json::from_str(body).unwrap_or(Value::Null);
        typed(&template, task, values).to_string()
    });
    if let Some(body) = &body {
        text += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    text += "Accept: application/json\r\nConnection: close\r\n\r\n";
    text += body.as_deref().unwrap_or_default();
    text.into_bytes()
}

/// A text with the values in the place of their names. A value is no template.
pub(super) fn filled(text: &str, values: &Values, encode: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out += before;
        let value = after.split_once('}').and_then(|(name, after)| Some((values.get(name)?, after)));
        if let Some((value, after)) = value {
            out += &encode(value);
            rest = after;
        } else {
            out.push('{');
            rest = after;
        }
    }
    out + rest
}

/// The body with the values: a string that is nothing else becomes a number or a boolean if that is its kind.
fn typed(template: &Value, task: &Task, values: &Values) -> Value {
    match template {
        Value::String(text) => {
            let alone = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
            match alone.and_then(|name| Some((values.get(name)?, task.values.get(name)))) {
                Some((value, Some(setting))) => json(&setting.of_text(value)),
                _ => Value::String(filled(text, values, str::to_owned)),
            }
        }
        Value::Array(array) => array.iter().map(|value| typed(value, task, values)).collect(),
        Value::Object(object) => {
            let entries = object.iter();
            let filled = entries.map(|(key, value)| (filled(key, values, str::to_owned), typed(value, task, values)));
            Value::Object(filled.collect())
        }
        other => other.clone(),
    }
}

fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Boolean(value) => (*value).into(),
        toml::Value::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    }
}

/// Checks the values of a task's arguments.
///
/// # Errors
/// [`Failure::usage`] for the first one that is not of its kind.
pub(super) fn check_values(task: &Task, arguments: &[String]) -> Result<()> {
    for (name, text) in task.values_of(arguments) {
        let shown = name.to_uppercase();
        let Some(setting) = task.values.get(name) else {
            if text.is_empty() || text.contains(char::is_control) {
                return Err(Failure::usage(format!("{shown} is empty or has control characters")).into());
            }
            continue;
        };
        let mut invalid = Vec::new();
        let value = setting.of_text(text);
        Setting { required: true, ..setting.clone() }.read(Some(&value), &[name], &mut invalid);
        if let Some(first) = invalid.into_iter().next() {
            let hint = if setting.kind == Kind::Boolean { "write true or false" } else { first.hint.as_str() };
            return Err(Failure::usage(format!("{shown} {}", first.message)).hint(hint).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = r#"
title = "Limit the users of an organization"
service = "shop-web"
arguments = ["organization", "limit"]
values.limit = { title = "Most users", kind = "integer" }
request.endpoint = "administration"
request.method = "PATCH"
request.path = "/organizations/{organization}"
request.query = { at = "{organization} {x}" }
request.body = '{"limit": "{limit}", "name": "<{organization}{limit}>", "{limit}": [null, true]}'
request.done = "{organization} has {limit}"
"#;

    #[test]
    fn values_are_encoded_where_they_stand() {
        let task: Task = toml::from_str(TASK).unwrap();
        let values = values(&task, &["a/b ?{limit}\"".to_owned(), "5".to_owned()]);
        let request = task.request.as_ref().unwrap();
        let bytes = bytes(request, &task, &values, "x.test:8443", "Authorization: Bearer t\r\n");
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap().replace('\r', ""), @r#"
        PATCH /organizations/a%2Fb%20%3F%7Blimit%7D%22?at=a%2Fb%20%3F%7Blimit%7D%22%20%7Bx%7D HTTP/1.0
        Host: x.test:8443
        User-Agent: sealift
        Authorization: Bearer t
        Content-Type: application/json
        Content-Length: 54
        Accept: application/json
        Connection: close

        {"5":[null,true],"limit":5,"name":"<a/b ?{limit}\"5>"}
        "#);
    }

    #[test]
    fn secrets_are_put_into_headers() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = crate::host::testing::deployment(folder.path());
        fs_err::create_dir_all(folder.path().join("site/secrets")).unwrap();
        let put = |text: &str| fs_err::write(folder.path().join("site/secrets/admin"), text).unwrap();
        let text = "port = 'https'\nheaders = { X-Token = 'a {secrets.admin}' }\n\
                    basic = { user = 'Aladdin', secret = 'admin' }";
        let endpoint: Endpoint = toml::from_str(text).unwrap();
        put("open sesame\n");
        // The example of RFC 7617, section 2.
        let expected = "X-Token: a open sesame\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
        assert_eq!(headers(&deployment, &endpoint).unwrap(), expected);
        put("open\nsesame");
        let error = format!("{:#}", headers(&deployment, &endpoint).unwrap_err());
        assert!(error.starts_with("site/secrets/admin is not one line") && !error.contains("sesame"), "{error}");
    }

    #[test]
    fn values_of_another_kind_are_refused() {
        let task: Task = toml::from_str(TASK).unwrap();
        let refused = |limit: &str| {
            let error = check_values(&task, &["a".to_owned(), limit.to_owned()]).unwrap_err();
            format!("{error}; {}", Failure::hint_in(&error).unwrap_or_default())
        };
        assert!(check_values(&task, &["a".to_owned(), "0".to_owned()]).is_ok());
        assert_eq!(refused("many"), "LIMIT is \"many\", which is not a whole number that is not negative; Most users");
        assert_eq!(refused("-1"), "LIMIT is -1, which is not a whole number that is not negative; Most users");
        assert_eq!(refused(""), "LIMIT is not set; Most users");
        assert!(check_values(&task, &[String::new(), "1".to_owned()]).is_err());
        // Each value of a repeated argument is checked.
        let task: Task = toml::from_str(&TASK.replace("\"limit\"]", "\"limit...\"]")).unwrap();
        let check =
            |values: &[&str]| check_values(&task, &values.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert!(check(&["a"]).is_ok() && check(&["a", "1", "2"]).is_ok());
        assert!(check(&["a", "1", "many"]).is_err());
    }
}
