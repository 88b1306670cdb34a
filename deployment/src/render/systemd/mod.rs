//! A deployment without containers: programs in `bin/`, and units of systemd that run them.
//!
//! The image's files lie below `root/` in the bundle's folder, which may be anywhere: every program finds it from its own
//! place. The image's Python is run by the image's own dynamic loader with the image's own libraries, so that it does not
//! matter what the host has. `/PATH` of the image is `root/PATH` here; `/run/secrets/NAME` is `root/run/secrets/NAME`, a
//! link into the site, or what systemd hands over as credentials: then the service's user need not be able to read the
//! site, and nobody has to make a user.

pub mod readme;
#[cfg(test)]
mod tests;
mod unit;

use std::collections::BTreeMap;

use super::compose::quoted;
use crate::profile::model::{Image, Model, Run, Service, Venv};
use crate::profile::names::{Program, credential, mounted_path, program};

pub use unit::{FOLDER, GENERATED, unit_path};

/// Where the image's files are in the bundle.
pub const ROOT: &str = "root";

/// Where services look for the files of the site.
const SECRETS: &str = "/run/secrets/";

/// A file of the bundle: its text and permission bits.
pub type Text = (String, u32);

/// Where the dynamic loader and the libraries of an architecture (as OCI names it) are in a Debian tree.
#[must_use]
pub fn libraries(architecture: &str) -> Option<(&'static str, &'static str)> {
    match architecture {
        "amd64" => Some(("usr/lib/x86_64-linux-gnu", "ld-linux-x86-64.so.2")),
        "arm64" => Some(("usr/lib/aarch64-linux-gnu", "ld-linux-aarch64.so.1")),
        _ => None,
    }
}

/// The launcher in the place of the venv's interpreter: its path in the image, and its text.
///
/// The interpreter takes its own path (`sys.executable`) from `--argv0`, so that what it starts in turn comes by here
/// again; and, from the `pyvenv.cfg` above that, the venv.
#[must_use]
pub fn launcher(venv: &Venv, architecture: &str) -> Option<(String, String)> {
    let (libraries, loader) = libraries(architecture)?;
    let (bin, python) = (format!("{}/bin", venv.path.get_ref()), venv.python.get_ref());
    let text = format!(
        "\
#!/bin/sh
# The Python of this folder, with the libraries of this folder: wherever it is, and whatever the host has.
here=$(dirname -- \"$(readlink -f -- \"$0\")\")
root=${{here%{bin}}}
unset LD_PRELOAD LD_LIBRARY_PATH
export PYTHONHOME=\"$root/usr\" PYTHONDONTWRITEBYTECODE=1 PYTHONTZPATH=\"$root/usr/share/zoneinfo\"
export LOCPATH=\"$root/usr/lib/locale\" TZDIR=\"$root/usr/share/zoneinfo\" GCONV_PATH=\"$root/{libraries}/gconv\"
export SSL_CERT_FILE=\"${{SSL_CERT_FILE:-$root/etc/ssl/certs/ca-certificates.crt}}\"
export OPENSSL_CONF=\"${{OPENSSL_CONF:-$root/etc/ssl/openssl.cnf}}\"
exec \"$root/{libraries}/{loader}\" --inhibit-cache --library-path \"$root/{libraries}\" \\
    --argv0 \"$here/python\" \"$root/usr/bin/{python}\" \"$@\"
"
    );
    Some((format!("{bin}/python"), text))
}

/// The links below `root/run/secrets`, each with its target: where services find the files of the site when nobody hands
/// them over.
#[must_use]
pub fn links(model: &Model) -> BTreeMap<String, String> {
    let mut links = BTreeMap::new();
    for service in model.services.values() {
        for (name, path) in site_files(model, service) {
            links.insert(format!("{ROOT}{SECRETS}{name}"), format!("../../../site/{path}"));
        }
    }
    links
}

/// The files of the site that a service reads: the name by which it finds each, and the path below the site.
fn site_files<'m>(model: &'m Model, service: &'m Service) -> Vec<(&'m str, String)> {
    let env = service.env_files.iter().map(|file| (credential(file.get_ref()), file.get_ref().clone()));
    let secrets = service.secrets.iter().map(|secret| {
        let name = secret.get_ref().as_str();
        // What the site does not have, the check of the profile has refused.
        (name, mounted_path(model, name).unwrap_or_else(|| format!("secrets/{name}")))
    });
    env.chain(secrets).collect()
}

/// All that the bundle has beside `root/` to run the profile: programs, settings and units, by their path.
#[must_use]
pub fn files(model: &Model) -> BTreeMap<String, Text> {
    let mut files = BTreeMap::new();
    for (name, service) in &model.services {
        let (name, image) = (name.get_ref().as_str(), &model.images[&service.image]);
        let Some(venv) = &image.venv else { continue };
        files.insert(settings_path(name), (settings(name, service, image), 0o644));
        files.insert(unit_path(name), (unit::render(model, name, service), 0o644));
        let command = if service.command.is_empty() { &image.command } else { &service.command };
        let words: Vec<&str> = image.entrypoint.iter().chain(command).map(String::as_str).collect();
        let title = format!("{}. Runs until it is told to end (SIGTERM).", one_line(&service.title));
        files.insert(run_path(name), (script(&title, name, image, venv, &words, None), 0o755));
        if let Some(health) = &service.health {
            let words: Vec<&str> = health.command.iter().map(String::as_str).collect();
            let title = format!("Exits with 0 when {name} is well.");
            files.insert(health_path(name), (script(&title, name, image, venv, &words, Some(&[])), 0o755));
        }
    }
    for (name, task) in &model.tasks {
        let service = &model.services[&task.service];
        let image = &model.images[&service.image];
        let Some(venv) = &image.venv else { continue };
        let entrypoint = if task.run == Run::Once { &image.entrypoint[..] } else { &[] };
        let words: Vec<&str> = entrypoint.iter().chain(&task.command).map(String::as_str).collect();
        let arguments: Vec<&str> = task.arguments.iter().map(|name| name.get_ref().as_str()).collect();
        let title = format!("{}.", one_line(&task.title));
        let text = script(&title, task.service.get_ref(), image, venv, &words, Some(&arguments));
        files.insert(task_path(name.get_ref()), (text, 0o755));
    }
    files
}

/// The program that runs a service.
#[must_use]
pub fn run_path(service: &str) -> String {
    format!("bin/run-{service}")
}

/// The program that tells a service's health.
#[must_use]
pub fn health_path(service: &str) -> String {
    format!("bin/health-{service}")
}

/// The program that runs a task.
#[must_use]
pub fn task_path(task: &str) -> String {
    format!("bin/{task}")
}

fn settings_path(service: &str) -> String {
    format!("lib/{service}.sh")
}

fn one_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_end_matches('.')
}

/// What the programs of a service begin with: its environment.
fn settings(name: &str, service: &Service, image: &Image) -> String {
    let mut text = format!(
        "\
# The settings of {name}, for the programs in bin/, which say in $folder where all of it is.
root=$folder/{ROOT}
unset PYTHONPATH
# systemd hands the site's files over; by hand they are read where they are.
"
    );
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
        echo \"error: $file of the site cannot be read\" >&2
        echo \"  hint: make the site first: ./sealift site new site --host HOST; run this as whoever made it\" >&2
        exit 1
    fi
done
";
    }
    text += &format!(
        "
# NAME VALUE: in the value, files of the site are where they are here.
set_variable() {{
    value= rest=$2
    while :; do
        case $rest in *{SECRETS}*) ;; *) break ;; esac
        value=$value${{rest%%{SECRETS}*}}${{CREDENTIALS_DIRECTORY:-}}/
        rest=${{rest#*{SECRETS}}}
    done
    export \"$1=$value$rest\"
}}

# FILE: lines NAME=VALUE, each value as it stands. Empty lines and those that start with # are passed over.
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
    );
    // The container's PATH leads to nothing here.
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

/// A program in `bin/`: `words` are the command as the image has it; `arguments` are the names of what is given to it,
/// `None` takes any.
fn script(
    title: &str,
    service: &str,
    image: &Image,
    venv: &Venv,
    words: &[&str],
    arguments: Option<&[&str]>,
) -> String {
    let mut text = format!(
        "\
#!/bin/sh
# {title}
set -eu
"
    );
    if let Some(arguments) = arguments {
        let usage: String = arguments.iter().map(|name| format!(" {}", name.to_uppercase())).collect();
        text += &format!("[ $# = {} ] || {{ echo \"usage: $0{usage}\" >&2; exit 2; }}\n", arguments.len());
    }
    let python = format!("\"$root\"{}/bin/python", quoted(venv.path.get_ref()));
    let first = words.first().and_then(|word| program(venv, word));
    let mut line = match first {
        Some((Program::Script, name)) => {
            format!("{python} \"$root\"{}/bin/{}", quoted(venv.path.get_ref()), quoted(name))
        }
        // What is neither, the check of the profile has refused.
        _ => python,
    };
    for word in &words[1.min(words.len())..] {
        line.push(' ');
        line += &place(image, word);
    }
    text += &format!(
        "\
folder=$(dirname -- \"$(dirname -- \"$(readlink -f -- \"$0\")\")\")
. \"$folder/{}\"
exec {line} \"$@\"
",
        settings_path(service)
    );
    text
}

/// A word of a command for the shell: a file that the profile puts into the image is below `root/`, one of the site where
/// the service finds it.
fn place(image: &Image, word: &str) -> String {
    let mut files = image.files.iter().map(|file| file.path.get_ref()).chain(image.config_files.values());
    match word.strip_prefix(SECRETS) {
        Some(name) => format!("\"$CREDENTIALS_DIRECTORY\"/{}", quoted(name)),
        None if files.any(|path| path == word) => format!("\"$root\"{}", quoted(word)),
        None => quoted(word),
    }
}
