//! What uv says when nothing satisfies the requirements, in a few lines.
//!
//! uv tells the whole derivation, which may have a hundred thousand lines: one for each version of each distribution. Its
//! last sentences are about the versions that it tried first, the newest, and name what is required.

use std::process::Output;

use sealift_deployment::failure::Failure;
use sealift_layers::ingredients::wheel::normalize;

/// The longest output that is shown as it is, in lines.
const LINES: usize = 10;
/// The longest sentence that is shown, in characters.
const LENGTH: usize = 300;

/// Why requirements cannot be satisfied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsatisfiable {
    /// What is wrong, in at most ten lines.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Normalised names of the requirements that it is about.
    pub required: Vec<String>,
    /// The normalised name of the distribution that is missing, if one is: without it there may be others.
    pub missing: Option<String>,
}

impl Unsatisfiable {
    /// The same where the user has wheels of these distributions that do not fit, a line of `unfit` for each: that is the
    /// reason then, and not what uv says of the index. `python` is the package of the interpreter.
    #[must_use]
    pub fn with_unfit(self, unfit: &[String], python: &str) -> Self {
        if unfit.is_empty() {
            return self;
        }
        let version = python.trim_start_matches("python");
        Self {
            message: format!("{}\n  {}", unfit.join("\n  "), self.message),
            hint: format!("build it for this Python, such as with `uv build --wheel --python {version}`"),
            ..self
        }
    }
}

/// Whether uv failed because of the requirements themselves.
pub(super) fn unsatisfiable(output: &Output, target: &str) -> Option<Unsatisfiable> {
    let text = text_of(output);
    text.contains("No solution found").then(|| of_derivation(&text, target))
}

/// Extras that the requirements name and that their distributions do not have: uv only warns, and leaves them out.
pub(super) fn unknown_extras(output: &Output, requirements: &[String]) -> Option<Unsatisfiable> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let (mut lines, mut required) = (Vec::new(), Vec::new());
    for line in stderr.lines().filter(|line| line.starts_with("warning: ") && line.contains("have an extra named")) {
        let [_, package, _, extra, ..] = line.split('`').collect::<Vec<_>>()[..] else { continue };
        let (name, extra) = (normalize(name_of(package)), normalize(extra));
        // Other distributions may ask for extras of old versions: nobody here can mend that.
        let is_own = |text: &&String| {
            let extras =
                text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(extras, _)| extras);
            normalize(name_of(text)) == name && extras.split(',').any(|named| normalize(named.trim()) == extra)
        };
        if requirements.iter().any(|text| is_own(&text)) {
            lines.push(format!("`{package}` has no extra `{extra}`"));
            required.push(name);
        }
    }
    lines.dedup();
    (!lines.is_empty()).then(|| Unsatisfiable {
        message: lines.join("\n  "),
        hint: "extras are the words behind `Provides-Extra:` in the METADATA of its wheel; check the spelling".into(),
        required,
        missing: None,
    })
}

/// The error for uv's output, for every other cause.
pub(super) fn failure(output: &Output) -> Failure {
    let text = text_of(output);
    let has = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    let message = format!("uv cannot resolve the Python requirements:\n{text}");
    if has(&["authentication credentials", "401 Unauthorized", "403 Forbidden"]) {
        Failure::network(message).hint(
            "put the user name and password into the index's URL, ~/.netrc, or UV_INDEX_NAME_USERNAME and \
             UV_INDEX_NAME_PASSWORD; `sealift mirrors` shows what is used",
        )
    } else if has(&["network was disabled", "error sending request", "Failed to fetch", "dns error", "timed out"]) {
        Failure::network(message)
            .hint("check the Python index (--python-index), the proxy variables and the certificates")
    } else if has(&["No interpreter found"]) {
        Failure::failed(message).hint("uv needs a Python 3 of any version on this machine: install python3")
    } else {
        Failure::failed(message)
    }
}

fn text_of(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("warning:")).collect();
    lines.join("\n").trim().to_owned()
}

fn of_derivation(text: &str, target: &str) -> Unsatisfiable {
    let sentences = sentences(text);
    let required = required(&sentences);
    if let Some((name, by)) = without_wheel(&sentences) {
        let message = format!("no wheel of `{name}` fits {target}, and source distributions are not built\n  {by}");
        // A wheel of C code is for one version of Python.
        let python = target.split(' ').nth(1).unwrap_or("3");
        let make = format!(
            "make a wheel of it in the profile's folder, such as with `uvx --python {python} pip wheel --no-deps -w wheels \
             {name}`, and name that folder in the venv: wheels = [\"wheels\"]"
        );
        let hint = if required.contains(&name) {
            make
        } else {
            format!("{make}; or leave it out, if the application runs without it: exclude = {{ {name} = \"REASON\" }}")
        };
        return Unsatisfiable { message, hint, required, missing: Some(name) };
    }
    let has = |sign: &str| text.contains(sign);
    let hint = if has("was not found in the package registry") {
        "check the name, and that the Python index has it (--python-index); name wheels of your own in `wheels` of the venv"
    } else if has("there is no version of") || has("there are no versions of") {
        "require another version, or check that the Python index has it (--python-index)"
    } else {
        "change the versions that are required so that one of each distribution fits all"
    };
    let shown = if text.lines().count() <= LINES {
        text.lines().filter(|line| !line.contains("No solution found")).map(str::to_owned).collect()
    } else {
        conclusion(&sentences)
    };
    let shown: Vec<&str> = shown.iter().map(|line| line.trim().trim_start_matches("cause: ")).collect();
    let message = format!("uv cannot resolve the Python requirements:\n  {}", shown.join("\n  "));
    Unsatisfiable { message, hint: hint.to_owned(), required, missing: unknown(&sentences) }
}

/// The sentences of a derivation, each in one line. Hints follow it and are no part of it.
fn sentences(text: &str) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    for line in text.lines().take_while(|line| !line.starts_with("hint:")) {
        let line = line.trim().trim_start_matches("cause: ");
        if line.starts_with("Because ") || line.starts_with("And because ") {
            sentences.push(line.to_owned());
        } else if let Some(sentence) = sentences.last_mut().filter(|_| !line.is_empty()) {
            // Of lists of versions the beginning is sufficient.
            if sentence.len() < 4 * LENGTH {
                sentence.push(' ');
                sentence.push_str(line);
            }
        }
    }
    sentences
}

/// The last sentences, from the start of the last step.
fn conclusion(sentences: &[String]) -> Vec<String> {
    let start = sentences.iter().rposition(|sentence| sentence.starts_with("Because ")).unwrap_or(0);
    let shown = sentences[start..].iter().take(LINES / 2);
    shown.map(|sentence| shortened(&without_markers(sentence))).collect()
}

fn shortened(sentence: &str) -> String {
    match sentence.char_indices().nth(LENGTH) {
        None => sentence.to_owned(),
        Some((end, _)) => format!("{} ...", &sentence[..end]),
    }
}

/// A sentence without markers: `psycopg2{platform_python_implementation != 'PyPy'}>=2.8` is `psycopg2>=2.8`.
fn without_markers(sentence: &str) -> String {
    let mut out = String::new();
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    out + rest
}

/// The distribution that has no wheel, and who requires it, of the last sentence that says so.
fn without_wheel(sentences: &[String]) -> Option<(String, String)> {
    let sign =
        |sentence: &str| [" has no usable wheels", " have no usable wheels"].iter().find_map(|s| sentence.find(s));
    sentences.iter().rev().find_map(|sentence| {
        let sentence = without_markers(sentence);
        let end = sign(&sentence)?;
        let subject = sentence[..end].rsplit([',', ' ']).find(|word| !word.is_empty())?;
        let name = normalize(name_of(subject));
        let reason = sentence[end..].split_once(" and ")?.1.split(", we can conclude").next()?;
        // The newest version of a distribution without a wheel does not matter where an older one has it.
        let by = if reason.contains("depends on") || reason.contains("depend on") || reason.contains("you require") {
            shortened(reason)
        } else {
            return None;
        };
        Some((name, by))
    })
}

/// The distribution that no index has, of the last sentence that says so.
fn unknown(sentences: &[String]) -> Option<String> {
    sentences.iter().rev().find_map(|sentence| {
        let (before, _) = sentence.split_once(" was not found in the package registry")?;
        before.rsplit([',', ' ']).find(|word| !word.is_empty()).map(|word| normalize(name_of(word)))
    })
}

/// The names in the last `you require A and B`.
fn required(sentences: &[String]) -> Vec<String> {
    let found = sentences.iter().rev().find_map(|sentence| sentence.split_once("you require ").map(|(_, rest)| rest));
    let list = found.unwrap_or_default().split(", we can conclude").next().unwrap_or_default();
    let names = list.split(" and ").map(|part| normalize(name_of(part.trim().trim_start_matches("you require "))));
    names.filter(|name| !name.is_empty()).collect()
}

/// The name at the start of a requirement.
fn name_of(requirement: &str) -> &str {
    let end =
        requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(requirement.len());
    &requirement[..end]
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use sealift_deployment::failure::Kind;

    use super::*;

    fn output(stderr: &str) -> Output {
        let status = std::process::ExitStatus::from_raw(256);
        Output { status, stdout: Vec::new(), stderr: stderr.as_bytes().to_vec() }
    }

    fn shown(derivation: &str) -> String {
        let text = format!("warning: x\nerror: No solution found when resolving dependencies\n  cause: {derivation}");
        let Unsatisfiable { message, hint, required, missing } =
            unsatisfiable(&output(&text), "Python 3.13 on x86_64").expect("there is no solution");
        assert!(message.lines().count() <= LINES, "{message}");
        let missing = missing.map(|name| format!("\nmissing: {name}")).unwrap_or_default();
        format!("{message}\nhint: {hint}\nrequired: {required:?}{missing}")
    }

    /// uv's whole derivation for `matrix-synapse[postgres]` has 127,850 lines.
    #[test]
    fn a_distribution_without_wheels_is_named_with_who_requires_it() {
        let versions: String =
            (0..5000).map(|n| format!("             matrix-synapse[postgres]==0.{n}rc1\n")).collect();
        let derivation = format!(
            "Because psycopg2>=2.7 has no usable wheels and all of:\n{versions}         depend on psycopg2>=2.7, we can \
             conclude that all of:\n{versions}          cannot be used. (413)\n\n         \
             Because psycopg2{{platform_python_implementation != 'PyPy'}}>=2.8 has no usable wheels and \
             matrix-synapse[postgres]==1.163.2 depends on psycopg2{{platform_python_implementation != 'PyPy'}}>=2.8, we can \
             conclude that matrix-synapse[postgres]==1.163.2 cannot be used.\n         And because we know from (413) that \
             all of:\n{versions}          cannot be used, we can conclude that all versions of matrix-synapse[postgres] \
             cannot be used.\n         And because you require matrix-synapse[postgres], we can conclude that your \
             requirements are unsatisfiable.\n\nhint: Wheels are required for `psycopg2` because building from source is \
             disabled"
        );
        insta::assert_snapshot!(shown(&derivation), @r#"
        no wheel of `psycopg2` fits Python 3.13 on x86_64, and source distributions are not built
          matrix-synapse[postgres]==1.163.2 depends on psycopg2>=2.8
        hint: make a wheel of it in the profile's folder, such as with `uvx --python 3.13 pip wheel --no-deps -w wheels psycopg2`, and name that folder in the venv: wheels = ["wheels"]; or leave it out, if the application runs without it: exclude = { psycopg2 = "REASON" }
        required: ["matrix-synapse"]
        missing: psycopg2
        "#);
    }

    #[test]
    fn other_causes_keep_their_words_and_have_their_own_hint() {
        let shown = [
            "Because there is no version of six==99 and you require six==99, we can conclude that your requirements are \
             unsatisfiable.",
            "Because own was not found in the package registry and you require own, we can conclude that your requirements \
             are unsatisfiable.",
            "Because all versions of psycopg2 have no usable wheels and you require psycopg2, we can conclude that your \
             requirements are unsatisfiable.",
            "Because flask>=3.1.0 depends on click>=8.1.3 and you require click==8.1.0, we can conclude that your \
             requirements and flask>=3.1.0 are incompatible.\n         And because you require flask>=3.1, we can conclude \
             that your requirements are unsatisfiable.",
        ]
        .map(shown);
        insta::assert_snapshot!(shown.join("\n---\n"), @r#"
        uv cannot resolve the Python requirements:
          Because there is no version of six==99 and you require six==99, we can conclude that your requirements are unsatisfiable.
        hint: require another version, or check that the Python index has it (--python-index)
        required: ["six"]
        ---
        uv cannot resolve the Python requirements:
          Because own was not found in the package registry and you require own, we can conclude that your requirements are unsatisfiable.
        hint: check the name, and that the Python index has it (--python-index); name wheels of your own in `wheels` of the venv
        required: ["own"]
        missing: own
        ---
        no wheel of `psycopg2` fits Python 3.13 on x86_64, and source distributions are not built
          you require psycopg2
        hint: make a wheel of it in the profile's folder, such as with `uvx --python 3.13 pip wheel --no-deps -w wheels psycopg2`, and name that folder in the venv: wheels = ["wheels"]
        required: ["psycopg2"]
        missing: psycopg2
        ---
        uv cannot resolve the Python requirements:
          Because flask>=3.1.0 depends on click>=8.1.3 and you require click==8.1.0, we can conclude that your requirements and flask>=3.1.0 are incompatible.
          And because you require flask>=3.1, we can conclude that your requirements are unsatisfiable.
        hint: change the versions that are required so that one of each distribution fits all
        required: ["flask"]
        "#);
    }

    #[test]
    fn long_conflicts_are_cut_to_their_conclusion() {
        let step = "Because a==1 depends on b>2, we can conclude that a==1 cannot be used. (1)\n\n         ";
        let derivation =
            format!("{}Because a==2 depends on b>3 and you require a, we can conclude that x.", step.repeat(50));
        let shown = shown(&derivation);
        assert!(shown.contains("Because a==2 depends on b>3"), "{shown}");
        assert!(!shown.contains("a==1"), "{shown}");
    }

    #[test]
    fn network_errors_are_distinguished_from_unsatisfiable_requirements() {
        let text = "warning: x\nerror: Failed to fetch: http://mirror.example/six/\n  cause: Connection refused";
        assert_eq!(unsatisfiable(&output(text), ""), None);
        let network = failure(&output(text));
        assert_eq!(network.kind, Kind::Network);
        insta::assert_snapshot!(network, @"
        uv cannot resolve the Python requirements:
        error: Failed to fetch: http://mirror.example/six/
          cause: Connection refused
        ");
        assert_eq!(failure(&output("error: No interpreter found")).kind, Kind::Failed);
    }

    /// The first words were that no version satisfies the requirement, with a hint at the index.
    #[test]
    fn a_wheel_of_the_user_that_does_not_fit_is_the_reason() {
        let text = "No solution found\nBecause there is no version of own==1 and you require own==1, we can conclude that \
                    your requirements are unsatisfiable.";
        let unfit = ["own-1-cp312-cp312-linux_x86_64.whl among `wheels` is for cp312-cp312".to_owned()];
        let found = of_derivation(text, "Python 3.13 on x86_64");
        let told = found.clone().with_unfit(&unfit, "python3.13");
        assert_eq!(told.message.lines().next(), Some(unfit[0].as_str()));
        assert!(told.hint.contains("--python 3.13`"), "{}", told.hint);
        assert_eq!(found.clone().with_unfit(&[], "python3.13"), found);
    }

    /// `[reddis]` was locked without a word, and the program had no redis.
    #[test]
    fn a_misspelt_extra_of_a_requirement_is_an_error() {
        let stderr = "warning: The package `my-queue==1.1` does not have an extra named `reddis`\n\
                      warning: The package `old==2` does not have an extra named `gone`\n";
        let requirements = ["My_Queue[binary, Reddis]>=1".to_owned(), "old".to_owned()];
        let found = unknown_extras(&output(stderr), &requirements).unwrap();
        assert_eq!(
            (found.message.as_str(), &found.required[..]),
            ("`my-queue==1.1` has no extra `reddis`", &["my-queue".to_owned()][..])
        );
        assert_eq!(unknown_extras(&output(stderr), &requirements[1..]), None);
    }
}
