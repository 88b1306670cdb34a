//! A deployment without containers: programs in `bin/`, and units of systemd that run them.
//!
//! The image's files are in `root/` of the bundle's folder, which may be anywhere: programs find it relative to themselves.
//! The image's Python is run by the image's own dynamic loader with the image's own libraries, independent of the host's.
//! `/PATH` of the image is `root/PATH` here. `/run/secrets/NAME` is `root/run/secrets/NAME`, a link into the site; under
//! systemd it is a credential, so that the service's user cannot read the site and does not have to be created.

pub mod readme;
#[cfg(test)]
pub(crate) mod tests;
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

/// A text file of the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFile {
    /// Its content.
    pub text: String,
    /// Its permission bits: 0644 or 0755.
    pub mode: u32,
}

impl TextFile {
    fn plain(text: String) -> Self {
        Self { text, mode: 0o644 }
    }

    fn executable(text: String) -> Self {
        Self { text, mode: 0o755 }
    }
}

/// Where the dynamic loader and the libraries of an architecture (as OCI names it) are in a Debian tree.
#[must_use]
pub fn libraries(architecture: &str) -> Option<(&'static str, &'static str)> {
    match architecture {
        "amd64" => Some(("usr/lib/x86_64-linux-gnu", "ld-linux-x86-64.so.2")),
        "arm64" => Some(("usr/lib/aarch64-linux-gnu", "ld-linux-aarch64.so.1")),
        _ => None,
    }
}

/// The launcher that replaces the venv's interpreter: its path in the image, and its text.
///
/// The interpreter takes its own path (`sys.executable`) from `--argv0`, so that programs which it starts use the launcher,
/// too; it finds the venv by the `pyvenv.cfg` above that path.
#[must_use]
pub fn launcher(venv: &Venv, architecture: &str) -> Option<(String, String)> {
    let (libraries, loader) = libraries(architecture)?;
    let (bin, python) = (format!("{}/bin", venv.path.get_ref()), venv.python.get_ref());
    let text = format!(
        "\
#!/bin/sh
# Runs the Python of this folder with the libraries of this folder, independent of the host's.
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

/// The links below `root/run/secrets`, each with its target: where services find the files of the site without systemd.
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

/// The files of the site that a service reads: each with its name for the service, and its path below the site.
fn site_files<'m>(model: &'m Model, service: &'m Service) -> Vec<(&'m str, String)> {
    let env = service.env_files.iter().map(|file| (credential(file.get_ref()), file.get_ref().clone()));
    let secrets = service.secrets.iter().map(|secret| {
        let name = secret.get_ref().as_str();
        // The check of the profile refuses names that the site does not have.
        (name, mounted_path(model, name).unwrap_or_else(|| format!("secrets/{name}")))
    });
    env.chain(secrets).collect()
}

/// The files of the bundle that run the profile: programs, settings and units, by their path.
#[must_use]
pub fn files(model: &Model) -> BTreeMap<String, TextFile> {
    let mut files = BTreeMap::new();
    for (name, service) in &model.services {
        let (name, image) = (name.get_ref().as_str(), &model.images[&service.image]);
        let Some(venv) = &image.venv else { continue };
        files.insert(settings_path(name), TextFile::plain(settings(name, service, image)));
        files.insert(unit_path(name), TextFile::plain(unit::render(model, name, service)));
        let command = if service.command.is_empty() { &image.command } else { &service.command };
        let words: Vec<&str> = image.entrypoint.iter().chain(command).map(String::as_str).collect();
        let title = format!("{}. Runs until SIGTERM.", one_line(&service.title));
        files.insert(run_path(name), TextFile::executable(script(&title, name, image, venv, &words, None)));
        if let Some(health) = &service.health {
            let words: Vec<&str> = health.command.iter().map(String::as_str).collect();
            let title = format!("Exits with 0 when {name} is healthy.");
            files.insert(health_path(name), TextFile::executable(script(&title, name, image, venv, &words, Some(&[]))));
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
        files.insert(task_path(name.get_ref()), TextFile::executable(text));
    }
    files
}

/// The program that runs a service.
#[must_use]
pub fn run_path(service: &str) -> String {
    format!("bin/run-{service}")
}

/// The program that checks a service's health.
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

/// The shell code that sets the environment of a service's programs.
fn settings(name: &str, service: &Service, image: &Image) -> String {
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

/// A program in `bin/`. `words` is the command as the image has it; `arguments` are the names of its arguments, `None`
/// accepts any.
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
        // The check of the profile refuses other programs.
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

/// A word of a command for the shell. A file that the profile puts into the image is below `root/`, one of the site is
/// where the service finds it.
fn place(image: &Image, word: &str) -> String {
    let mut files = image.files.iter().map(|file| file.path.get_ref()).chain(image.config_files.values());
    match word.strip_prefix(SECRETS) {
        Some(name) => format!("\"$CREDENTIALS_DIRECTORY\"/{}", quoted(name)),
        None if files.any(|path| path == word) => format!("\"$root\"{}", quoted(word)),
        None => quoted(word),
    }
}
