//! `docs/cli.md`: the reference of the command line, generated from clap's definition of it.

use clap::{Arg, Command, CommandFactory};

use super::groups::GROUPS;

/// The whole document.
fn reference() -> String {
    let mut root = super::Cli::command();
    root.build();
    let mut text = String::from(
        "# Command line reference\n\nGenerated from the program's help: \
         `UPDATE=1 cargo test -p sealift cli_reference` updates this file.\n",
    );
    section(&root, "sealift", 2, &mut text);
    for group in GROUPS {
        paragraph(&format!("## {}", group.heading), &mut text);
        let command = |name: &str| root.find_subcommand(name).expect("a test checks the groups");
        let entry = |name: &&str| {
            let about = command(name).get_about().map(ToString::to_string).unwrap_or_default();
            format!("- [`{name}`](#sealift-{name}): {about}")
        };
        paragraph(&group.commands.iter().map(entry).collect::<Vec<_>>().join("\n"), &mut text);
        for name in group.commands {
            section(command(name), &format!("sealift {name}"), 3, &mut text);
        }
    }
    text
}

/// Adds a paragraph, with an empty line before it.
fn paragraph(part: &str, text: &mut String) {
    text.push('\n');
    text.push_str(part.trim_end());
    text.push('\n');
}

/// Adds a command, with a heading of this level, and its subcommands. Those of the root are not added.
fn section(command: &Command, path: &str, level: usize, text: &mut String) {
    paragraph(&format!("{} `{path}`", "#".repeat(level)), text);
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let (about, examples) = about.split_once("\nExamples:\n").unwrap_or((&about, ""));
    paragraph(about, text);
    paragraph(&format!("```text\n{}\n```", command.clone().render_usage()), text);
    let arguments: Vec<String> = command.get_arguments().filter(|arg| shown(arg, path)).map(argument).collect();
    if !arguments.is_empty() {
        paragraph(&arguments.join("\n"), text);
    }
    if !examples.is_empty() {
        let lines: Vec<&str> = examples.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
        paragraph(&format!("```sh\n{}\n```", lines.join("\n").trim_end()), text);
    }
    if let Some(after) = command.get_after_long_help() {
        paragraph(&format!("```text\n{after}\n```"), text);
    }
    if path == "sealift" {
        return;
    }
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        section(sub, &format!("{path} {}", sub.get_name()), level + 1, text);
    }
}

/// Global options are in the first section only; `--help` and `--version` are in none.
fn shown(arg: &Arg, path: &str) -> bool {
    let global = arg.is_global_set() && path != "sealift";
    !(arg.is_hide_set() || global || matches!(arg.get_id().as_str(), "help" | "version"))
}

/// A line of the list of arguments: name, help, values and default.
fn argument(arg: &Arg) -> String {
    let names: Vec<&str> = arg.get_value_names().into_iter().flatten().map(|name| name.as_str()).collect();
    let takes_values = arg.get_action().takes_values();
    let value = if takes_values { names.join(" ") } else { String::new() };
    let flags = [arg.get_short().map(|c| format!("-{c}")), arg.get_long().map(|long| format!("--{long}"))];
    let mut title = flags.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if !value.is_empty() {
        if !title.is_empty() {
            title.push(' ');
        }
        title.push_str(&value);
    }
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let (summary, details) = help.split_once('\n').unwrap_or((&help, ""));
    // Defaults that are not a fixed value are part of the help text.
    let summary = match summary.strip_suffix(']') {
        Some(open) => format!("{})", open.replace(" [default: ", " (default: ")),
        None => summary.to_owned(),
    };
    let mut line = format!("- `{title}`: {summary}");
    let mut notes = Vec::new();
    let choices: Vec<String> =
        arg.get_possible_values().iter().map(|choice| format!("`{}`", choice.get_name())).collect();
    if takes_values && !choices.is_empty() {
        notes.push(format!("one of {}", choices.join(", ")));
    }
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    if takes_values && !defaults.is_empty() {
        notes.push(format!("default: {}", defaults.join(", ")));
    }
    if !notes.is_empty() {
        line.push_str(&format!(" ({})", notes.join("; ")));
    }
    for detail in details.lines() {
        line.push('\n');
        if !detail.trim().is_empty() {
            line.push_str("  ");
            line.push_str(detail.trim_end());
        }
    }
    line
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test")]
fn cli_reference_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
    let wanted = reference();
    if std::env::var_os("UPDATE").is_some() {
        fs_err::write(path, &wanted).unwrap();
    }
    let present = fs_err::read_to_string(path).unwrap_or_default();
    assert!(present == wanted, "docs/cli.md is out of date: run `UPDATE=1 cargo test -p sealift cli_reference`");
}

#[test]
fn defaults_and_values_are_shown() {
    let text = reference();
    for line in [
        "- `--platform OS/ARCH`: Platform of the images, as OCI writes it (default: `linux/amd64`)\n",
        "(one of `auto`, `always`, `never`; default: `auto`)\n",
    ] {
        assert!(text.contains(line), "{line}");
    }
    assert!(!text.contains("default: `false`"), "flags have no default value");
}
