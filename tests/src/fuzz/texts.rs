//! Paths, patterns and short texts.

use sealift_deployment::site::PublicHost;
use sealift_layers::digest::Digest;
use sealift_layers::escape::{is_unsafe, json, line, lines};
use sealift_layers::limits::parse_bytes;
use sealift_layers::platform::{Architecture, Platform};
use sealift_layers::tree::{Pattern, TreePath, bytes_of, text_of};

use super::text;

/// Names come back byte by byte, paths are normal, and nothing that a terminal acts on is shown.
///
/// # Panics
/// They do not.
pub fn paths(data: &[u8]) {
    let name = text_of(data);
    assert_eq!(&*bytes_of(&name), data);
    for c in line(&name).chars() {
        assert!(!is_unsafe(c));
    }
    assert!(lines(&name).chars().all(|c| !is_unsafe(c) || matches!(c, '\n' | '\t')));
    let document = serde_json::to_string(&name).expect("a text");
    assert_eq!(serde_json::from_str::<String>(&json(&document)).expect("still JSON"), name);
    let mut words = name.split('\n');
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Ok(path) = TreePath::new(first) else { return };
    assert_eq!(TreePath::new(path.as_str()).as_ref(), Ok(&path));
    match path.parent() {
        Some(parent) => assert_eq!(parent.join(path.file_name()).as_ref(), Ok(&path)),
        None => assert_eq!(path.as_str(), path.file_name()),
    }
    let pattern = Pattern::new(second);
    if pattern.matches(&path) {
        assert!(pattern.matches(&path.join("below").unwrap()), "what is below it matches, too");
    }
    if !path.as_str().contains('*') {
        assert!(Pattern::new(path.as_str()).matches(&path));
        assert!(Pattern::new(&format!("**/{}", path.file_name())).matches(&path));
    }
    if pattern.matches(&path)
        && let Some(parent) = path.parent()
    {
        assert!(pattern.reaches(&parent));
    }
}

/// Short texts come back when they are shown.
///
/// # Panics
/// They do not.
pub fn numbers(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(bytes) = parse_bytes(text) {
        assert_eq!(parse_bytes(&bytes.to_string()), Ok(bytes));
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.hex().parse(), Ok(digest));
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(platform.to_string().parse(), Ok(platform));
    }
    if let Ok(architecture) = text.parse::<Architecture>() {
        assert_eq!(architecture.to_string().parse(), Ok(architecture));
    }
    if let Ok(host) = text.parse::<PublicHost>() {
        assert!(!host.in_url().contains(|c: char| c.is_control() || c.is_whitespace() || "/@?#\"'".contains(c)));
        assert_eq!(host.to_string().parse::<PublicHost>().ok().map(|host| host.to_string()), Some(host.to_string()));
    }
}
