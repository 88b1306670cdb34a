//! `entry_points.txt` ("Entry points specification"): the commands of a distribution.

use std::collections::BTreeMap;

use super::WheelErrorKind;
use crate::limits::{COMMANDS, Exceeded};

/// The function that a command calls: `module:object`, where both are dotted names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callable {
    module: String,
    object: String,
}

/// Parses the commands of `console_scripts` and `gui_scripts`: name to function. Extras are ignored, since the resolver has
/// already decided which distributions are installed.
///
/// # Errors
/// [`WheelErrorKind::EntryPoint`] for the first line that is invalid, or there are too many commands.
pub fn commands(text: &str) -> Result<BTreeMap<String, Callable>, WheelErrorKind> {
    // On Linux both kinds are the same: of a name in both sections the graphical one counts, as pip writes it last.
    let (mut console, mut gui) = (BTreeMap::new(), BTreeMap::new());
    let mut section_of_scripts = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let error = |why| WheelErrorKind::EntryPoint(index + 1, why);
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            let section = section.strip_suffix(']').ok_or_else(|| error("it has no closing bracket"))?.trim();
            section_of_scripts = match section {
                "console_scripts" => Some(false),
                "gui_scripts" => Some(true),
                _ => None,
            };
            continue;
        }
        let Some(is_gui) = section_of_scripts else { continue };
        let (name, value) = line.split_once('=').ok_or_else(|| error("it has no `=`"))?;
        let name = name.trim();
        if matches!(name, "" | "." | "..") || name.contains(|c: char| c == '/' || c == '\\' || c.is_control()) {
            return Err(error("its name is not a file name"));
        }
        let reference = value.split('[').next().unwrap_or_default();
        let (module, object) =
            reference.split_once(':').ok_or_else(|| error("it has no `:` between module and object"))?;
        let (module, object) = (module.trim().to_owned(), object.trim().to_owned());
        if !is_dotted(&module) || !is_dotted(&object) {
            return Err(error("its value is not of the form `module:object`"));
        }
        if console.len() + gui.len() == COMMANDS {
            return Err(Exceeded::Count(COMMANDS as u64, "commands").into());
        }
        let commands = if is_gui { &mut gui } else { &mut console };
        if commands.insert(name.to_owned(), Callable { module, object }).is_some() {
            return Err(error("its name is already used"));
        }
    }
    console.extend(gui);
    Ok(console)
}

/// Whether `text` is a list of identifiers separated by dots. This keeps other code out of the generated scripts.
fn is_dotted(text: &str) -> bool {
    text.split('.').all(|part| {
        let mut letters = part.chars();
        letters.next().is_some_and(|c| c == '_' || c.is_alphabetic())
            && letters.all(|c| c == '_' || c.is_alphanumeric())
    })
}

impl Callable {
    /// A script that calls the function. `interpreter` is the absolute path of Python in the image.
    #[must_use]
    pub fn script(&self, interpreter: &str) -> String {
        let Self { module, object } = self;
        // Only the first part of the object can be imported: the rest are attributes.
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
    fn a_command_of_both_kinds_is_the_graphical_one() {
        for text in [
            "[gui_scripts]\nx = m:gui\n[console_scripts]\nx = m:text\ny = m:y",
            "[console_scripts]\nx = m:text\ny = m:y\n[gui_scripts]\nx = m:gui",
        ] {
            let commands = commands(text).unwrap();
            assert_eq!(commands.keys().collect::<Vec<_>>(), ["x", "y"]);
            assert!(commands["x"].script("/p").contains("import gui"));
        }
    }

    #[test]
    fn invalid_commands_are_rejected() {
        for (line, why) in [
            ("x", "it has no `=`"),
            ("../x = a:b", "its name is not a file name"),
            ("x = a", "it has no `:` between module and object"),
            ("x = os:system('id') or f", "its value is not of the form `module:object`"),
            ("x = a:b;c", "its value is not of the form `module:object`"),
            ("y = a:b\ny = a:c", "its name is already used"),
        ] {
            let error = commands(&format!("[console_scripts]\n{line}")).unwrap_err().to_string();
            assert!(error.ends_with(why), "{error}");
        }
    }

    proptest! {
        /// No value adds a line to the script or another statement.
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
