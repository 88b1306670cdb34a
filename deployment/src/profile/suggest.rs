//! "Did you mean ...?"

/// The name in `known` that `name` is most likely a misspelling of: at most a third of its letters differ.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = name.chars().count().div_ceil(3);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// A hint for an unknown `name`: the nearest of `known`, and all of them. `what` is their plural.
pub(crate) fn hint<'a>(name: &str, what: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let list = if known.is_empty() { "none".to_owned() } else { quoted(&known) };
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {what}: {list}"),
        None => format!("{what}: {list}"),
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_are_found() {
        assert_eq!(nearest("imgaes", ["services", "images"]), Some("images"));
        assert_eq!(nearest("depends_on", ["image", "depends-on"]), Some("depends-on"));
        assert_eq!(nearest("colour", ["image", "publish"]), None);
    }

    #[test]
    fn hints_list_all_names() {
        assert_eq!(hint("wbe", "services", ["db", "web"]), "did you mean `web`? services: `db`, `web`");
        assert_eq!(hint("x", "services", []), "services: none");
    }
}
