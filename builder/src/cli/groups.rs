//! Groups of commands in `sealift --help` and in the reference. clap lists all subcommands under one heading.

use std::fmt::Write as _;

use clap::Command;

/// Commands that are listed under one heading.
pub(super) struct Group {
    pub(super) heading: &'static str,
    /// Names of the commands, in order.
    pub(super) commands: &'static [&'static str],
}

/// All visible commands, in the order in which they are used.
pub(super) const GROUPS: &[Group] = &[
    Group {
        heading: "Build bundles, on the release machine",
        commands: &[
            "init", "profiles", "mirrors", "lock", "plan", "build", "image", "closure", "fetch", "store", "key", "sign",
        ],
    },
    Group {
        heading: "Examine bundles and prepare sites, on any machine",
        commands: &["site", "inspect", "verify", "sbom", "licenses", "audit"],
    },
    Group {
        heading: "Run an unpacked bundle, on the host",
        commands: &["up", "status", "doctor", "logs", "task", "run-scheduled", "down"],
    },
];

/// Replaces the list of subcommands in the help of `command` by one with groups.
pub(super) fn with_groups(command: Command) -> Command {
    let header = *command.get_styles().get_header();
    let literal = *command.get_styles().get_literal();
    let mut list = String::new();
    for group in GROUPS {
        let _infallible = writeln!(list, "{header}{}:{header:#}", group.heading);
        for name in group.commands {
            let about = command.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string);
            let _infallible = writeln!(list, "  {literal}{name:<13}{literal:#} {}", about.unwrap_or_default());
        }
        list.push('\n');
    }
    let template = format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}{header}Options:{header:#}\n\
         {{options}}{{after-help}}"
    );
    command.help_template(template)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_visible_command_is_in_one_group() {
        let command = Cli::command();
        let visible = command.get_subcommands().filter(|command| !command.is_hide_set()).map(Command::get_name);
        let grouped = GROUPS.iter().flat_map(|group| group.commands).copied();
        assert_eq!(visible.collect::<Vec<_>>(), grouped.collect::<Vec<_>>());
    }

    #[test]
    fn the_lines_of_the_list_fit_into_a_terminal() {
        let help = with_groups(Cli::command()).render_help().to_string();
        let long: Vec<_> = help.lines().filter(|line| line.chars().count() > 100).collect();
        assert_eq!(long, [""; 0]);
        assert!(help.contains("Run an unpacked bundle, on the host:\n  up "), "{help}");
    }

    /// clap breaks longer ones, and leaves a word or two on a line of their own.
    #[test]
    fn the_lines_of_help_with_examples_fit_as_they_are() {
        fn check(command: &Command) {
            let about = command.get_long_about().map(ToString::to_string).unwrap_or_default();
            if about.contains("\nExamples:\n") {
                let long: Vec<_> = about.lines().filter(|line| line.chars().count() > 100).collect();
                assert_eq!(long, [""; 0], "{}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
