//! Project pages of an index: the URL of a file with a known name and digest, and what files there are (PEP 503, PEP 691).

use anyhow::{Context as _, Result};
use html5gum::{Token, Tokenizer};
use percent_encoding::percent_decode_str;
use sealift_layers::digest::Digest;
use sealift_layers::ingredients::wheel::normalize;
use serde::Deserialize;
use url::Url;

use crate::mirrors::access::Address;

/// The `Accept` header: JSON preferred, HTML for older indexes.
pub const ACCEPT: &str =
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// The project page of the distribution `name` on an index.
#[must_use]
pub fn page(index: &Address, name: &str) -> Address {
    index.below(&format!("{}/", normalize(name)))
}

#[derive(Deserialize)]
struct Page {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
    /// `true`, or the reason (PEP 592).
    #[serde(default)]
    yanked: serde_json::Value,
    #[serde(default, rename = "requires-python")]
    requires_python: Option<String>,
}

/// A file on a project page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub file_name: String,
    /// Whether it is withdrawn (PEP 592).
    pub is_yanked: bool,
    /// The versions of Python that it is for (PEP 345), if it says that.
    pub requires_python: Option<String>,
}

/// All files on a project page, in its order.
///
/// # Errors
/// A JSON page is malformed.
pub fn list(page: &[u8], content_type: &str, page_url: &Url) -> Result<Vec<Listed>> {
    if is_json(content_type) {
        let page = parse(page, page_url)?;
        let is_yanked = |value: &serde_json::Value| value.is_string() || value.as_bool() == Some(true);
        let files = page.files.into_iter();
        let files = files.map(|file| Listed {
            is_yanked: is_yanked(&file.yanked),
            file_name: file.filename,
            requires_python: file.requires_python,
        });
        return Ok(files.collect());
    }
    let mut files = Vec::new();
    for Ok(token) in Tokenizer::new(page) {
        let Token::StartTag(tag) = token else { continue };
        let Some(href) = tag.attributes.get(&b"href"[..]).filter(|_| &**tag.name == b"a") else { continue };
        let href = String::from_utf8_lossy(href).into_owned();
        let path = href.trim().split(['#', '?']).next().unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default();
        let file_name = percent_decode_str(last).decode_utf8_lossy().into_owned();
        let is_yanked = tag.attributes.contains_key(&b"data-yanked"[..]);
        let python = tag.attributes.get(&b"data-requires-python"[..]);
        let requires_python = python.map(|python| String::from_utf8_lossy(python).into_owned());
        files.push(Listed { file_name, is_yanked, requires_python });
    }
    Ok(files)
}

fn is_json(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/json" || media.ends_with("+json")
}

fn parse(page: &[u8], page_url: &Url) -> Result<Page> {
    serde_json::from_slice(page).with_context(|| format!("cannot parse the index page {page_url}"))
}

/// The URL of `file_name` on a project page. An entry with another SHA-256 is ignored; one without a SHA-256 is used,
/// because the download is verified anyway. `page_url` is the page's URL after redirects: links are relative to it.
///
/// # Errors
/// A JSON page is malformed.
pub fn find(page: &[u8], content_type: &str, page_url: &Url, file_name: &str, sha256: &Digest) -> Result<Option<Url>> {
    if is_json(content_type) {
        let page = parse(page, page_url)?;
        let found = page.files.iter().find(|file| {
            file.filename == file_name && file.hashes.get("sha256").is_none_or(|hash| is_digest(hash, sha256))
        });
        return Ok(found.and_then(|file| fetchable(page_url, &file.url)));
    }
    Ok(anchor(page, page_url, file_name, sha256))
}

/// The link of an HTML page whose last path component is `file_name`, with the digest in its fragment.
fn anchor(page: &[u8], page_url: &Url, file_name: &str, sha256: &Digest) -> Option<Url> {
    let mut base = page_url.clone();
    for Ok(token) in Tokenizer::new(page) {
        let Token::StartTag(tag) = token else { continue };
        let Some(href) = tag.attributes.get(&b"href"[..]) else { continue };
        let href = String::from_utf8_lossy(href).trim().to_owned();
        match &**tag.name {
            b"base" => base = fetchable(page_url, &href).unwrap_or(base),
            b"a" => {
                let Some(mut url) = fetchable(&base, &href) else { continue };
                let last = url.path().rsplit('/').next().unwrap_or_default();
                let named = percent_decode_str(last).decode_utf8_lossy() == file_name;
                let hash = url.fragment().and_then(|fragment| fragment.strip_prefix("sha256="));
                if named && hash.is_none_or(|hash| is_digest(hash, sha256)) {
                    url.set_fragment(None);
                    return Some(url);
                }
            }
            _ => {}
        }
    }
    None
}

fn is_digest(hash: &str, wanted: &Digest) -> bool {
    hash.to_ascii_lowercase().parse() == Ok(*wanted)
}

fn fetchable(base: &Url, link: &str) -> Option<Url> {
    // Only a local page leads to local files.
    base.join(link).ok().filter(|url| matches!(url.scheme(), "http" | "https") || url.scheme() == base.scheme())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "a-1.0+x-py3-none-any.whl";

    fn page() -> Url {
        let index = Address::new("https://mirror.example/simple/".parse().unwrap(), &Default::default());
        super::page(&index, "A_b").url().clone()
    }

    fn digest() -> Digest {
        Digest::of(b"wheel")
    }

    fn html(text: &str) -> Option<String> {
        find(text.as_bytes(), "text/html; charset=utf-8", &page(), FILE, &digest()).unwrap().map(String::from)
    }

    fn json(text: &str) -> Option<String> {
        find(text.as_bytes(), "application/vnd.pypi.simple.v1+json", &page(), FILE, &digest())
            .unwrap()
            .map(String::from)
    }

    #[test]
    fn finds_the_url_on_a_json_page() {
        let of = |url: &str, hashes: &str| {
            json(&format!(r#"{{"meta":{{}},"files":[{{"filename":"{FILE}","url":"{url}","hashes":{hashes}}}]}}"#))
        };
        let good = format!(r#"{{"sha256":"{}"}}"#, digest().hex());
        assert_eq!(of("../../f/x?a=b", &good).unwrap(), "https://mirror.example/f/x?a=b");
        assert_eq!(of("https://other.example/x", "{}").unwrap(), "https://other.example/x");
        assert_eq!(of("x", &good.replace(&digest().hex(), &"0".repeat(64))), None);
        assert_eq!(of("javascript:x", &good), None);
        assert_eq!(of("file:///etc/passwd", &good), None);
        assert!(find(b"{", "application/json", &page(), FILE, &digest()).is_err());
    }

    #[test]
    fn finds_the_url_on_an_html_page() {
        let hash = digest().hex();
        let wrong = "0".repeat(64);
        let link = |href: &str| html(&format!("<!DOCTYPE html><body><a data-x='>' href=\"{href}\">{FILE}</a>"));
        let plain = "https://mirror.example/simple/a-b/a-1.0%2Bx-py3-none-any.whl";
        assert_eq!(link(&format!("a-1.0%2Bx-py3-none-any.whl#sha256={hash}")).unwrap(), plain);
        assert_eq!(
            link(&format!("a-1.0%2Bx-py3-none-any.whl?a=1&amp;b=2#sha256={hash}")).unwrap(),
            format!("{plain}?a=1&b=2")
        );
        assert_eq!(link(&format!("/f/{FILE}")).unwrap(), format!("https://mirror.example/f/{FILE}"));
        assert_eq!(link(&format!("{FILE}#sha256={wrong}")), None);
        assert_eq!(link("other-1.0-py3-none-any.whl"), None);
        let based = html(&format!("<HEAD><BASE HREF='/files/'></HEAD><A\nHREF={FILE}#sha256={hash}>x</A>"));
        assert_eq!(based.unwrap(), format!("https://mirror.example/files/{FILE}"));
        assert_eq!(html(&format!("<!-- <a href=\"{FILE}\">x</a> -->")), None);
    }

    #[test]
    fn files_that_were_withdrawn_are_marked_and_say_which_python_they_are_for() {
        let of = |text: &str, kind: &str| {
            let files = list(text.as_bytes(), kind, &page()).unwrap().into_iter();
            let line = |file: Listed| {
                let python = file.requires_python.map(|python| format!(" {python}")).unwrap_or_default();
                format!("{} {}{python}", file.file_name, file.is_yanked)
            };
            files.map(line).collect::<Vec<_>>()
        };
        let entry = |name: &str, more: &str| format!(r#"{{"filename":"{name}","url":"x"{more}}}"#);
        let (one, two) = (entry("a-1.whl", ""), entry("a-2.whl", r#","yanked":false,"requires-python":null"#));
        let three = entry("a-3.whl", r#","yanked":true,"requires-python":">=3.9""#);
        let four = entry("a-4.whl", r#","yanked":"a reason""#);
        let json = of(&format!(r#"{{"files":[{one},{two},{three},{four}]}}"#), "application/json");
        assert_eq!(json, ["a-1.whl false", "a-2.whl false", "a-3.whl true >=3.9", "a-4.whl true"]);
        let html = "<a href=\"../a-1%2Bx.whl#sha256=00\" data-requires-python=\"&gt;=3.9,&lt;4\">a</a>\
                    <a data-yanked href='a-2.whl?x'>b</a><p href=c>";
        assert_eq!(of(html, "text/html"), ["a-1+x.whl false >=3.9,<4", "a-2.whl true"]);
    }

    proptest! {
        /// No page causes a panic, or a link with another file name.
        #[test]
        fn arbitrary_pages_are_accepted(text in "[<a hrefbs=\"'/>&#;.!-]{0,60}") {
            prop_assert_eq!(html(&text), None);
        }
    }
}
