//! The shell code of the programs in `bin/`, and of the settings in `lib/` that they share.

use super::paths::{ROOT, SECRETS, settings_path};
use crate::profile::model::{Health, Image, Part, Service, Task, Venv};
use crate::profile::names::{Program, credential, program};
use crate::render::compose::quoted;

/// The shell code that sets the environment of a service's programs.
pub(super) fn settings(name: &str, service: &Service, image: &Image) -> String {
    let mut text = format!(
        "\
# The settings of {name}, for the programs in bin/. They set $folder to the folder of the bundle.
root=$folder/{ROOT}
unset PYTHONPATH
# systemd passes the site's files as credentials; otherwise they are read from the site.
"
    );
    text += &credentials(service);
    text += &shell_functions();
    // The container's PATH is of no use here.
    for (name, value) in image.env.iter().filter(|(name, _)| *name != "PATH") {
        text += &format!("set_variable {name} {}\n", quoted(value));
    }
    for file in &image.env_files {
        text += &format!("set_variables \"$root{}/{}\"\n", image.env_directory, credential(file.get_ref()));
    }
    for file in &service.env_files {
        text += &format!("set_variables \"$CREDENTIALS_DIRECTORY/{}\"\n", credential(file.get_ref()));
    }
    for (name, value) in &service.environment {
        text += &format!("set_variable {name} {}\n", quoted(value));
    }
    if let Some(directory) = &image.workdir {
        text += &format!("cd \"$root\"{}\n", quoted(directory));
    }
    text
}

/// The shell code that finds the service's files of the site, and ends the program when one cannot be read. Empty for a
/// service that reads none.
fn credentials(service: &Service) -> String {
    let mut text = String::new();
    let files = service.env_files.iter().chain(&service.secrets).map(|file| credential(file.get_ref()));
    if let Some(first) = files.clone().next() {
        text += &format!(
            "\
[ -e \"${{CREDENTIALS_DIRECTORY:-}}/{first}\" ] || CREDENTIALS_DIRECTORY=$root{}
export CREDENTIALS_DIRECTORY
",
            SECRETS.trim_end_matches('/')
        );
        text += "for file in";
        for file in files {
            text += &format!(" {}", quoted(file));
        }
        text += "; do
    if [ ! -r \"$CREDENTIALS_DIRECTORY/$file\" ]; then
        echo \"error: cannot read $file of the site\" >&2
        echo \"  hint: make the site with ./sealift site new site --host HOST, and run this as the same user\" >&2
        exit 1
    fi
done
";
    }
    text
}

/// The shell functions that set environment variables.
fn shell_functions() -> String {
    format!(
        "
# NAME VALUE: exports a variable; {SECRETS} in the value becomes the folder of the site's files.
set_variable() {{
    value= rest=$2
    while :; do
        case $rest in *{SECRETS}*) ;; *) break ;; esac
        value=$value${{rest%%{SECRETS}*}}${{CREDENTIALS_DIRECTORY:-}}/
        rest=${{rest#*{SECRETS}}}
    done
    export \"$1=$value$rest\"
}}

# FILE: exports lines NAME=VALUE, the values unchanged. Empty lines and comments (#) are skipped.
carriage_return=$(printf '\\r')
set_variables() {{
    while IFS= read -r line || [ -n \"$line\" ]; do
        line=${{line%\"$carriage_return\"}}
        case ${{line#\"${{line%%[! ]*}}\"}} in
            '' | '#'*) ;;
            *) set_variable \"${{line%%=*}}\" \"${{line#*=}}\" ;;
        esac
    done <\"$1\"
}}

"
    )
}

/// A program in `bin/`.
pub(super) struct Script<'a> {
    /// The comment at its start, in one line.
    pub(super) title: String,
    /// The service whose settings it uses.
    pub(super) service: &'a str,
    pub(super) image: &'a Image,
    pub(super) venv: &'a Venv,
    /// The command as the image has it.
    pub(super) words: Vec<&'a str>,
    pub(super) arguments: Arguments<'a>,
}

/// The arguments of a program, which follow its command.
pub(super) enum Arguments<'a> {
    /// Any number of them.
    Any,
    /// None.
    None,
    /// The words of a task's command from this one on, with its arguments in their places.
    Placed(&'a Task, usize),
}

/// The text of a program in `bin/`.
pub(super) fn script(script: &Script<'_>) -> String {
    let Script { title, service, image, venv, words, arguments } = script;
    let mut text = format!(
        "\
#!/bin/sh
# {title}
set -eu
"
    );
    text += &match arguments {
        Arguments::Any => String::new(),
        Arguments::None => "[ $# = 0 ] || { echo \"usage: $0\" >&2; exit 2; }\n".to_owned(),
        Arguments::Placed(task, _) => counted(task),
    };
    let python = format!("\"$root\"{}/bin/python", quoted(venv.path.get_ref()));
    let first = words.first().and_then(|word| program(venv, word));
    let mut line = match first {
        Some((Program::Script, name)) => {
            format!("{python} \"$root\"{}/bin/{}", quoted(venv.path.get_ref()), quoted(name))
        }
        // The check of the profile refuses other programs.
        _ => python,
    };
    for word in &words[1.min(words.len())..] {
        line.push(' ');
        line += &shell_word(image, word);
    }
    line += &match arguments {
        Arguments::Placed(task, first) => placed(image, task, *first),
        Arguments::Any | Arguments::None => " \"$@\"".to_owned(),
    };
    text += &format!(
        "\
folder=$(dirname -- \"$(dirname -- \"$(readlink -f -- \"$0\")\")\")
. \"$folder/{}\"
exec {line}
",
        settings_path(service)
    );
    text
}

/// The shell code that checks the number of a task's arguments. With a repeated one, it takes the others out of `$@`.
fn counted(task: &Task) -> String {
    let (needed, more) = task.needs();
    let test = if more { "-ge" } else { "=" };
    let usage = task.usage("$0");
    let mut text = format!("[ $# {test} {needed} ] || {{ echo \"usage: {usage}\" >&2; exit 2; }}\n");
    for number in (1..=needed).filter(|_| more) {
        text += &format!("argument_{number}=$1; shift\n");
    }
    text
}

/// The words of a task's command from the word `first` on, with its arguments, each with a blank before it.
fn placed(image: &Image, task: &Task, first: usize) -> String {
    let (_, more) = task.needs();
    let part = |part: &Part<'_>| match part {
        Part::Text(text) => quoted(text),
        Part::Argument(at) if more => format!("\"$argument_{}\"", at + 1),
        Part::Argument(at) => format!("\"${{{}}}\"", at + 1),
    };
    let word = |parts: Vec<Part<'_>>| match parts[..] {
        [Part::Text(word)] => shell_word(image, word),
        [Part::Argument(at)] if task.is_repeated(at) => "\"$@\"".to_owned(),
        _ => parts.iter().map(part).collect(),
    };
    let words = task.parts().into_iter().skip(first).map(word);
    words.map(|word| format!(" {word}")).collect()
}

/// The text of a health check that the bundle's own program makes.
pub(super) fn probe(title: &str, health: &Health) -> String {
    let words: Vec<String> = health.probe().iter().map(|word| quoted(word)).collect();
    format!(
        "\
#!/bin/sh
# {title}
set -eu
folder=$(dirname -- \"$(dirname -- \"$(readlink -f -- \"$0\")\")\")
exec \"$folder/sealift\" {}
",
        words.join(" ")
    )
}

/// A word of a command for the shell. A file that the profile puts into the image is below `root/`, one of the site is
/// where the service finds it.
fn shell_word(image: &Image, word: &str) -> String {
    let mut files = image.files.iter().map(|file| file.path.get_ref()).chain(image.config_files.values());
    match word.strip_prefix(SECRETS) {
        Some(name) => format!("\"$CREDENTIALS_DIRECTORY\"/{}", quoted(name)),
        None if files.any(|path| path == word) => format!("\"$root\"{}", quoted(word)),
        None => quoted(word),
    }
}
