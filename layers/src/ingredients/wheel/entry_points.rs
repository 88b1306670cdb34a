//! `entry_points.txt` ("Entry points specification"): the commands that a distribution asks for.

use std::collections::BTreeMap;

use super::WheelErrorKind;

/// What a command calls: `module:object`, the object by a dotted path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Callable {
    module: String,
    object: String,
}

/// Reads the commands of `console_scripts` and `gui_scripts`: name to what it calls. Extras are ignored: whether their
/// distributions are there was decided when the environment was resolved.
pub(super) fn commands(text: &str) -> Result<BTreeMap<String, Callable>, WheelErrorKind> {
    let mut commands = BTreeMap::new();
    let mut ours = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let bad = |why| WheelErrorKind::EntryPoint(index + 1, why);
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            let section = section.strip_suffix(']').ok_or_else(|| bad("its bracket is open"))?.trim();
            ours = matches!(section, "console_scripts" | "gui_scripts");
            continue;
        }
        if !ours {
            continue;
        }
        let (name, value) = line.split_once('=').ok_or_else(|| bad("it has no `=`"))?;
        let name = name.trim();
        if matches!(name, "" | "." | "..") || name.contains(|c: char| c == '/' || c == '\\' || c.is_control()) {
            return Err(bad("its name is not a file name"));
        }
        let reference = value.split('[').next().unwrap_or_default();
        let (module, object) =
            reference.split_once(':').ok_or_else(|| bad("it names a module, and nothing to call"))?;
        let (module, object) = (module.trim().to_owned(), object.trim().to_owned());
        if !is_dotted(&module) || !is_dotted(&object) {
            return Err(bad("its value is not of the form `module:object`"));
        }
        if commands.insert(name.to_owned(), Callable { module, object }).is_some() {
            return Err(bad("its name is taken"));
        }
    }
    Ok(commands)
}

/// Identifiers with dots between. This is what keeps other code out of the scripts that we write.
fn is_dotted(text: &str) -> bool {
    text.split('.').all(|part| {
        let mut letters = part.chars();
        letters.next().is_some_and(|c| c == '_' || c.is_alphabetic())
            && letters.all(|c| c == '_' || c.is_alphanumeric())
    })
}

impl Callable {
    /// The script that calls it, for the interpreter at an absolute image path.
    pub(super) fn script(&self, interpreter: &str) -> String {
        let Self { module, object } = self;
        // The object may hang below a class or another module: only its first part can be imported.
        let (first, rest) = object.split_at(object.find('.').unwrap_or(object.len()));
        format!(
            "#!{interpreter}\n\
             from {module} import {first} as entry\n\
             \n\
             if __name__ == \"__main__\":\n\
             \x20   raise SystemExit(entry{rest}())\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_become_scripts() {
        let text =
            "[pytest11]\nx = y\n# no\n[console_scripts]\nparsec = parsec.cli:cli\n[gui_scripts]\n a.b = m : C.run [x]";
        let commands = commands(text).unwrap();
        assert_eq!(commands.keys().collect::<Vec<_>>(), ["a.b", "parsec"]);
        insta::assert_snapshot!(commands["a.b"].script("/opt/x/bin/python"), @r#"
        #!/opt/x/bin/python
        from m import C as entry

        if __name__ == "__main__":
            raise SystemExit(entry.run())
        "#);
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for (line, why) in [
            ("x", "it has no `=`"),
            ("../x = a:b", "its name is not a file name"),
            ("x = a", "it names a module, and nothing to call"),
            ("x = os:system('id') or f", "its value is not of the form `module:object`"),
            ("x = a:b;c", "its value is not of the form `module:object`"),
            ("y = a:b\ny = a:c", "its name is taken"),
        ] {
            let error = commands(&format!("[console_scripts]\n{line}")).unwrap_err().to_string();
            assert!(error.ends_with(why), "{error}");
        }
    }

    proptest! {
        /// No value, however odd, adds a line to the script or leaves the expected form.
        #[test]
        fn a_script_has_five_lines(value in "[a-z:.; ()'\"\\[=]{0,12}") {
            if let Ok(found) = commands(&format!("[console_scripts]\nx = {value}")) {
                for callable in found.values() {
                    prop_assert_eq!(callable.script("/p").lines().count(), 5);
                    prop_assert!(!callable.script("/p").contains([';', '\'']));
                }
            }
        }
    }
}
