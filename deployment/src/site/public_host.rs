//! The public host of an installation: a DNS name or an IP address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::failure::Failure;
use crate::profile::is_number_label;

/// A DNS name in lower case, or an IP address in its canonical text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicHost {
    text: String,
    ip: Option<IpAddr>,
}

impl PublicHost {
    /// The host as a URL writes it (RFC 3986, section 3.2.2): IPv6 addresses in brackets.
    #[must_use]
    pub fn in_url(&self) -> String {
        if self.ip.is_some_and(|ip| ip.is_ipv6()) { format!("[{}]", self.text) } else { self.text.clone() }
    }

    /// The host as the domain of a mail address (RFC 5321, section 4.1.3): IP addresses as literals in brackets.
    #[must_use]
    pub fn in_mail(&self) -> String {
        match self.ip {
            Some(IpAddr::V4(_)) => format!("[{}]", self.text),
            Some(IpAddr::V6(_)) => format!("[IPv6:{}]", self.text),
            None => self.text.clone(),
        }
    }

    /// The text, without brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for PublicHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for PublicHost {
    type Err = Failure;

    /// Takes no scheme, port, path or brackets. A DNS name has labels of 1 to 63 letters, digits and inner hyphens, 253
    /// characters in all (RFC 1123, section 2.1), and its last label is not a number.
    fn from_str(text: &str) -> Result<Self, Failure> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self { text: ip.to_string(), ip: Some(ip) });
        }
        if is_dns_name(text) {
            return Ok(Self { text: text.to_ascii_lowercase(), ip: None });
        }
        let hint = if text.contains("://") || text.contains('/') {
            "leave out the scheme and the path"
        } else if text.starts_with('[') {
            "write IPv6 addresses without brackets and without a port"
        } else if text.contains(':') {
            "leave out the port: each published port has its own option"
        } else if !text.is_ascii() {
            "write the name in its ASCII form (xn--...)"
        } else {
            "use a name or address such as server.example.com, 192.0.2.7 or 2001:db8::7"
        };
        Err(Failure::usage(format!("`{text}` is not a DNS name or an IP address")).hint(hint))
    }
}

fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or(text);
    text.len() <= 253 && text.split('.').all(label) && !is_number_label(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses() {
        for (text, host, url, mail) in [
            ("Parsec.Example.com", "parsec.example.com", "parsec.example.com", "parsec.example.com"),
            ("localhost", "localhost", "localhost", "localhost"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.7", "[192.0.2.7]"),
            ("2001:DB8:0::7", "2001:db8::7", "[2001:db8::7]", "[IPv6:2001:db8::7]"),
        ] {
            let parsed: PublicHost = text.parse().unwrap();
            assert_eq!((parsed.as_str(), parsed.in_url(), parsed.in_mail()), (host, url.to_owned(), mail.to_owned()));
        }
    }

    #[test]
    fn invalid_hosts_are_refused_with_a_hint() {
        let long = "a".repeat(64);
        for (text, hint) in [
            ("https://x.example", "scheme"),
            ("x.example:443", "port"),
            ("[::1]", "brackets"),
            ("café.example", "ASCII"),
            ("", "such as"),
            ("300.1.1.1", "such as"),
            ("-a.example", "such as"),
            ("a..example", "such as"),
            ("a_b.example", "such as"),
            ("0x7f000001", "such as"),
            ("x.0X7F", "such as"),
            ("*.example", "such as"),
            (&long, "such as"),
        ] {
            let failure = text.parse::<PublicHost>().unwrap_err();
            assert!(failure.hint.as_deref().unwrap().contains(hint), "{text}: {failure:?}");
        }
    }
}
