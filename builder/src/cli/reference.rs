//! `docs/cli.md`: the reference of the command line, made from clap's model of it.

use clap::{Arg, Command, CommandFactory};

/// The whole document.
fn reference() -> String {
    let mut root = super::Cli::command();
    root.build();
    let mut text = String::from(
        "# Command line reference\n\nMade from the program's own help: \
         `UPDATE=1 cargo test -p sealift cli_reference` writes it anew.\n",
    );
    section(&root, "sealift", &mut text);
    text
}

/// One command and those below it; hidden ones apart.
fn section(command: &Command, path: &str, text: &mut String) {
    let mut add = |part: &str| {
        text.push('\n');
        text.push_str(part.trim_end());
        text.push('\n');
    };
    add(&format!("## `{path}`"));
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let (about, examples) = about.split_once("\nExamples:\n").unwrap_or((&about, ""));
    add(about);
    add(&format!("```text\n{}\n```", command.clone().render_usage()));
    let arguments: Vec<String> = command.get_arguments().filter(|arg| shown(arg, path)).map(argument).collect();
    if !arguments.is_empty() {
        add(&arguments.join("\n"));
    }
    if !examples.is_empty() {
        let lines: Vec<&str> = examples.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
        add(&format!("```sh\n{}\n```", lines.join("\n").trim_end()));
    }
    if let Some(after) = command.get_after_long_help() {
        add(&format!("```text\n{after}\n```"));
    }
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        section(sub, &format!("{path} {}", sub.get_name()), text);
    }
}

/// Global options stand in the first section only; `--help` and `--version` go without saying.
fn shown(arg: &Arg, path: &str) -> bool {
    let global = arg.is_global_set() && path != "sealift";
    !(arg.is_hide_set() || global || matches!(arg.get_id().as_str(), "help" | "version"))
}

/// A line of the list of arguments.
fn argument(arg: &Arg) -> String {
    let names: Vec<&str> = arg.get_value_names().into_iter().flatten().map(|name| name.as_str()).collect();
    let value = if arg.get_action().takes_values() { names.join(" ") } else { String::new() };
    let flags = [arg.get_short().map(|c| format!("-{c}")), arg.get_long().map(|long| format!("--{long}"))];
    let mut title = flags.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if !value.is_empty() {
        if !title.is_empty() {
            title.push(' ');
        }
        title.push_str(&value);
    }
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut line = format!("- `{title}`: {}", help.replace('\n', "\n  "));
    let choices = arg.get_possible_values();
    if arg.get_action().takes_values() && !choices.is_empty() {
        let choices: Vec<String> = choices.iter().map(|choice| format!("`{}`", choice.get_name())).collect();
        line.push_str(&format!(" ({})", choices.join(", ")));
    }
    line
}

#[test]
fn cli_reference_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
    let wanted = reference();
    if std::env::var_os("UPDATE").is_some() {
        fs_err::write(path, &wanted).unwrap();
    }
    let present = fs_err::read_to_string(path).unwrap_or_default();
    assert!(present == wanted, "docs/cli.md is out of date: run `UPDATE=1 cargo test -p sealift cli_reference`");
}
