//! Checks of `[endpoints.*]`, of `[tasks.*.request]` and of the values that arguments of tasks may have.

use toml::Spanned;

use super::super::model::{Basic, Endpoint, Protocol, Request, Run, Task, placeholders};
use super::super::setting::Kind;
use super::super::{suggest, words};
use super::Check;

impl Check<'_> {
    pub(super) fn endpoint(&mut self, key: &Spanned<String>, endpoint: &Endpoint) {
        let name = key.get_ref().as_str();
        let site = &self.model.site;
        self.name(key.span(), name, "an endpoint");
        let wanted = endpoint.port.get_ref();
        match site.ports.get(wanted) {
            None => {
                let hint = suggest::hint(wanted, "site.ports", site.ports.keys().map(String::as_str));
                self.report(endpoint.port.span(), format!("there is no site port `{wanted}`"), hint);
            }
            Some(port) if port.protocol != Protocol::Tcp => {
                self.report(endpoint.port.span(), "requests need a port of TCP", "name another port");
            }
            Some(_) => {}
        }
        if let Some(certificate) = &endpoint.certificate
            && !site.certificates.contains_key(certificate.get_ref())
        {
            let (known, wanted) = (site.certificates.keys().map(String::as_str), certificate.get_ref());
            let hint = suggest::hint(wanted, "site.certificates", known);
            self.report(certificate.span(), format!("there is no certificate `{wanted}`"), hint);
        }
        if let Some(basic) = &endpoint.basic {
            self.basic(name, endpoint, basic);
        }
        for (header, value) in &endpoint.headers {
            let span = self.document.value(&["endpoints", name, "headers", header]);
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if header.is_empty() || !header.bytes().all(token) || value.contains(char::is_control) {
                self.report(span.clone(), format!("`{header}` is not a header"), "such as Authorization = \"...\"");
            }
            for placeholder in placeholders(value) {
                let secret = placeholder.strip_prefix("secrets.");
                if !secret.is_some_and(|secret| site.secrets.contains_key(secret)) {
                    let hint = suggest::hint(
                        secret.unwrap_or(placeholder),
                        "site.secrets",
                        site.secrets.keys().map(String::as_str),
                    );
                    let message = format!("the site has no secret for `{{{placeholder}}}`");
                    self.report(span.clone(), message, format!("write {{secrets.NAME}}; {hint}"));
                }
            }
        }
    }

    fn basic(&mut self, name: &str, endpoint: &Endpoint, basic: &Basic) {
        let secrets = &self.model.site.secrets;
        let (user, wanted) = (basic.user.get_ref(), basic.secret.get_ref());
        if user.is_empty() || user.contains(|c: char| c == ':' || c.is_control()) {
            let message = "this cannot be the user of a request: it is empty, or has a `:` or control characters";
            self.report(basic.user.span(), message, "such as \"admin\"");
        }
        if !secrets.contains_key(wanted) {
            let hint = suggest::hint(wanted, "site.secrets", secrets.keys().map(String::as_str));
            self.report(basic.secret.span(), format!("the site has no secret `{wanted}`"), hint);
        }
        for header in endpoint.headers.keys().filter(|header| header.eq_ignore_ascii_case("authorization")) {
            let span = self.document.key(&["endpoints", name, "headers", header]);
            self.report(span, format!("`basic` is the header `{header}` already"), "remove one of them");
        }
    }

    pub(super) fn request(&mut self, name: &str, task: &Task, request: &Request) {
        let at = |check: &Self, key: &str| check.document.value(&["tasks", name, "request", key]);
        let wanted = request.endpoint.get_ref().as_str();
        if !self.model.endpoints.contains_key(wanted) {
            let known = self.model.endpoints.keys().map(|name| name.get_ref().as_str());
            let hint = suggest::hint(wanted, "endpoints", known);
            self.report(request.endpoint.span(), format!("there is no endpoint `{wanted}`"), hint);
        }
        if !words::is_request_path(&request.path) || request.path.contains('?') {
            let message = format!("`{}` is not the path of a request", request.path);
            self.report(at(self, "path"), message, "begin with `/`; the query is a table of its own, `query`");
        }
        if let Some(body) = &request.body
            && let Err(error) = serde_json::from_str::<serde_json::Value>(body)
        {
            let hint = "write \"{NAME}\" in quotes: a value that is alone gets its own type";
            self.report(at(self, "body"), format!("the body is not JSON: {error}"), hint);
        }
        for column in &request.columns {
            if column.title.trim().is_empty() || column.value.is_empty() {
                self.report(at(self, "columns"), "a column needs a title and a value", "such as \"user.name\"");
            }
        }
        for status in request.errors.keys() {
            let number = status.parse::<u16>().unwrap_or_default();
            if !(300..=599).contains(&number) {
                let message = format!("`{status}` is not the status of an error");
                self.report(at(self, "errors"), message, "use 300 to 599");
            }
        }
        let arguments: Vec<&str> = task.arguments.iter().map(|argument| argument.get_ref().name.as_str()).collect();
        let used: Vec<&str> = request.texts().into_iter().flat_map(placeholders).collect();
        for placeholder in used.iter().filter(|placeholder| !arguments.contains(placeholder)) {
            let hint = suggest::hint(placeholder, "arguments", arguments.iter().copied());
            let span = self.document.key(&["tasks", name, "request"]);
            self.report(span, format!("the task has no argument `{placeholder}`"), hint);
        }
        for argument in task.arguments.iter().filter(|argument| !used.contains(&argument.get_ref().name.as_str())) {
            let message = format!("the request does not use the argument `{}`", argument.get_ref().name);
            self.report(argument.span(), message, "write it in braces where its value belongs, or remove it");
        }
        let conflicts = [("on", task.on.is_some()), ("run", task.run != Run::Exec), ("terminal", task.terminal)];
        for (key, _) in conflicts.into_iter().filter(|(_, set)| *set) {
            let span = self.document.key(&["tasks", name, key]);
            self.report(span, format!("a task with a `request` has no `{key}`"), "remove it");
        }
    }

    /// Checks the values that arguments may have.
    pub(super) fn values(&mut self, name: &str, task: &Task) {
        for (argument, setting) in &task.values {
            let path = ["tasks", name, "values", argument];
            let arguments = task.arguments.iter().map(|argument| argument.get_ref().name.as_str());
            if !arguments.clone().any(|known| known == argument) {
                let hint = suggest::hint(argument, "arguments", arguments);
                self.report(self.document.key(&path), format!("the task has no argument `{argument}`"), hint);
            }
            self.setting(&path, setting);
            if matches!(setting.kind, Kind::List | Kind::Tables) {
                let span = self.document.value(&[&path[..], &["kind"]].concat());
                self.report(span, "an argument is one value", "choose another kind");
            }
            if setting.required || setting.secret || setting.default.is_some() {
                let message = "arguments are always required, seen by all users of the host, and have no default";
                self.report(self.document.key(&path), message, "remove `required`, `secret` and `default`");
            }
        }
    }
}
