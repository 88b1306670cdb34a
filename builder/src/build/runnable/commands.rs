//! What containers of an image run.

use std::collections::BTreeSet;

use sealift_deployment::profile::model::{Image, Model, Run, Service};
use sealift_layers::programs::shell;

/// Something that runs.
#[derive(Debug, serde::Serialize)]
pub(super) struct Command {
    /// Where the profile says so.
    pub(super) place: String,
    pub(super) program: String,
    /// `PATH`.
    pub(super) path: String,
    /// What it calls, as far as its words tell: the program itself; for a shell, its script, or what the text after `-c` calls.
    pub(super) calls: BTreeSet<String>,
}

/// What containers of the image run.
pub(super) fn of(model: &Model, name: &str, image: &Image, services: &[(&str, &Service)], path: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut add = |place: String, command: &[String], path: &str| {
        commands.extend(command.first().map(|program| {
            let (place, path) = (place, path.to_owned());
            Command { place, program: program.clone(), path, calls: calls(command) }
        }));
    };
    // One that every service replaces never runs.
    if services.is_empty() || services.iter().any(|(_, service)| service.entrypoint.is_none()) {
        add(format!("images.{name}.entrypoint"), &image.entrypoint, path);
    }
    for (name, service) in services {
        let path = service.environment.get("PATH").map_or(path, String::as_str);
        if let Some(entrypoint) = &service.entrypoint {
            add(format!("services.{name}.entrypoint"), entrypoint, path);
        }
        let command = match (&service.entrypoint, &service.command[..]) {
            (None, []) => &image.command,
            _ => &service.command,
        };
        let entrypoint = service.entrypoint.as_ref().unwrap_or(&image.entrypoint);
        add(format!("services.{name}.command"), started_by_init(entrypoint, command), path);
        if let Some(health) = &service.health {
            add(format!("services.{name}.health"), &health.command, path);
        }
        for (task, model) in &model.tasks {
            if model.service.get_ref() == name && model.run == Run::Exec && model.request.is_none() {
                add(format!("tasks.{}", task.get_ref()), &model.command, path);
            }
            if model.service.get_ref() == name {
                add(format!("tasks.{}.entrypoint", task.get_ref()), &model.entrypoint, path);
            }
        }
    }
    commands
}

/// Programs that only start another one, whose name follows `--`.
const INIT: [&str; 4] = ["tini", "tini-static", "dumb-init", "catatonit"];

/// The command that an init in the entrypoint starts; none where there is no such init.
fn started_by_init<'a>(entrypoint: &'a [String], command: &'a [String]) -> &'a [String] {
    let is_init = |program: &String| INIT.contains(&program.rsplit('/').next().unwrap_or(program));
    let end = entrypoint.iter().position(|word| word == "--").filter(|_| entrypoint.first().is_some_and(is_init));
    match end.map(|end| &entrypoint[end + 1..]) {
        None => &[],
        Some([]) => command,
        Some(own) => own,
    }
}

/// See [`Command::calls`].
fn calls(command: &[String]) -> BTreeSet<String> {
    let Some((program, arguments)) = command.split_first() else { return BTreeSet::new() };
    let mut calls = BTreeSet::from([program.clone()]);
    if shell::is_shell(program) {
        let is_option = |word: &&String| word.starts_with(['-', '+']);
        let options = arguments.iter().take_while(is_option).count();
        let is_text = arguments[..options].iter().any(|option| !option.starts_with("--") && option.contains('c'));
        match arguments.get(options) {
            Some(text) if is_text => calls.extend(shell::commands(text)),
            Some(script) if script.starts_with('/') => drop(calls.insert(script.clone())),
            _ => {}
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_program_after_an_init_is_known() {
        let started = |entrypoint: &str, command: &str| {
            started_by_init(&words(entrypoint), &words(command)).first().cloned().unwrap_or_default()
        };
        assert_eq!(started("/usr/bin/tini -g -- /usr/bin/app -x", "y"), "/usr/bin/app");
        assert_eq!(started("dumb-init --", "app y"), "app");
        assert_eq!(started("dumb-init app", "y"), "");
        assert_eq!(started("/usr/bin/app --", "y"), "");
    }

    #[test]
    fn a_shell_calls_what_its_text_or_script_says() {
        let called = |command: &[&str]| {
            let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
            calls(&command).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(called(&["/bin/sh", "-ec", "exec curl -f x | id", "wc"]), ["/bin/sh", "curl", "id"]);
        assert_eq!(called(&["bash", "-e", "/start.sh", "-c"]), ["/start.sh", "bash"]);
        assert_eq!(called(&["sh", "--posix", "id"]), ["sh"]);
        assert_eq!(called(&["app", "-c", "id"]), ["app"]);
    }
}
