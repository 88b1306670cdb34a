//! Warnings: what looks like a secret that the profile itself has.

use super::super::document::Document;
use super::super::model::Model;
use crate::diagnostic::Diagnostic;

/// How the last word of a variable ends whose value is a secret.
const SECRET: [&str; 9] =
    ["PASSWORD", "PASSWD", "PASSPHRASE", "PGPASS", "_AUTH", "SECRET", "TOKEN", "APIKEY", "CREDENTIALS"];
/// What stands before `_KEY` where the key is a secret, and not one of a table or a public one.
const KEYS: [&str; 9] =
    ["API", "SECRET", "ACCESS", "PRIVATE", "ENCRYPTION", "SIGNING", "MASTER", "SESSION", "AUTHENTICATION"];
/// Values that are none, in lower case.
const NONE: [&str; 10] = ["", "true", "false", "yes", "no", "on", "off", "none", "null", "auto"];

/// The variables of `model` whose names say that they are secret, and that have a value in the profile.
pub(super) fn found(document: &Document<'_>, model: &Model) -> Vec<Diagnostic> {
    let of_images = model.images.iter().flat_map(|(name, image)| {
        image.env.iter().map(move |(variable, value)| (["images", name.get_ref(), "env", variable], value))
    });
    let of_services = model.services.iter().flat_map(|(name, service)| {
        let variables = service.environment.iter();
        variables.map(move |(variable, value)| (["services", name.get_ref(), "environment", variable], value))
    });
    let is_plain = |(path, value): &([&str; 4], &String)| is_secret(path[3]) && is_plain(value) || has_password(value);
    let found = of_images.chain(of_services).filter(is_plain);
    let report = |(path, _): ([&str; 4], _)| {
        let variable = path[3];
        let hint = format!(
            "everybody who has the bundle can read it, and it is the same in all installations: make one of [site.secrets], write \
             {variable}={{{{ secrets.NAME }}}} into a secret file of [site.templates], and name that in `env-files` of the service"
        );
        Diagnostic::new(document.value(&path), format!("`{variable}` seems to be a secret, in plain text"), hint)
    };
    found.map(report).collect()
}

fn is_secret(variable: &str) -> bool {
    let variable = variable.to_ascii_uppercase();
    SECRET.iter().any(|word| variable.ends_with(word))
        || KEYS.iter().any(|word| variable.strip_suffix("_KEY").is_some_and(|start| start.ends_with(word)))
}

/// Whether a value is a URL with a password (RFC 3986, 3.2.1).
fn has_password(value: &str) -> bool {
    let authority = value.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    let user = authority.and_then(|authority| authority.rsplit_once('@'));
    user.and_then(|(user, _)| user.split_once(':')).is_some_and(|(_, password)| !password.is_empty())
}

/// Whether a value can be a secret: it is no path, URL, number or switch.
fn is_plain(value: &str) -> bool {
    let value = value.trim();
    !NONE.contains(&value.to_ascii_lowercase().as_str())
        && !value.starts_with(['/', '.'])
        && !value.contains("://")
        && value.parse::<f64>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known() {
        for secret in
            ["PASSWORD", "PGPASSWORD", "db_password", "ADMIN_TOKEN", "CLIENT_SECRET", "SECRET_KEY", "S3_API_KEY"]
        {
            assert!(is_secret(secret), "{secret}");
        }
        let others =
            ["POSTGRES_PASSWORD_FILE", "TOKEN_TTL", "SECRETS_DIR", "PUBLIC_KEY", "SORT_KEY", "KEY", "TOKENIZERS_X"];
        for other in others {
            assert!(!is_secret(other), "{other}");
        }
    }

    #[test]
    fn passwords_in_urls_are_found() {
        assert!(has_password("postgres://shop:hunter2@db/shop") && has_password("amqp://:x@mq"));
        for other in ["redis://cache:6379/0", "http://user@host:80/a:b@c", "postgres://shop:@db", "a:b@c", ""] {
            assert!(!has_password(other), "{other}");
        }
    }

    #[test]
    fn paths_numbers_and_switches_are_no_secrets() {
        for secret in ["changeme", "s3cret", "a b", "deadbeef"] {
            assert!(is_plain(secret), "{secret}");
        }
        for other in ["", "true", "No", "3600", "/run/secrets/token", "./token", "https://id.example/token"] {
            assert!(!is_plain(other), "{other}");
        }
    }
}
