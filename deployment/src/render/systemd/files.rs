//! The files of a bundle that run its profile without containers.

use std::collections::BTreeMap;

use super::paths::{health_path, one_line, run_path, settings_path, task_path, timer_path, unit_path};
use super::script::{Arguments, Script, probe, script, settings};
use super::unit;
use crate::profile::model::{Model, Run};

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

/// The files of the bundle that run the profile: programs, settings and units, by their path.
#[must_use]
pub fn files(model: &Model) -> BTreeMap<String, TextFile> {
    let mut files = BTreeMap::new();
    for (name, service) in &model.services {
        let (name, image) = (name.get_ref().as_str(), &model.images[&service.image]);
        let Some(venv) = &image.venv else { continue };
        files.insert(settings_path(name), TextFile::plain(settings(name, service, image)));
        files.insert(unit_path(name), TextFile::plain(unit::render(model, name, service)));
        if let Some(event) = service.schedule() {
            files.insert(timer_path(name), TextFile::plain(unit::timer(model, name, event.get_ref())));
        }
        let command = if service.command.is_empty() { &image.command } else { &service.command };
        let words: Vec<&str> = image.entrypoint.iter().chain(command).map(String::as_str).collect();
        let until = if service.schedule().is_some() { "Does its work and ends" } else { "Runs until SIGTERM" };
        let title = format!("{}. {until}.", one_line(&service.title));
        let run = Script { title, service: name, image, venv, words, arguments: Arguments::Any };
        files.insert(run_path(name), TextFile::executable(script(&run)));
        if let Some(health) = &service.health {
            let title = format!("Exits with 0 when {name} is healthy.");
            if health.is_probe() {
                files.insert(health_path(name), TextFile::executable(probe(&title, health)));
                continue;
            }
            let words = health.command.iter().map(String::as_str).collect();
            let health = Script { title, service: name, image, venv, words, arguments: Arguments::None };
            files.insert(health_path(name), TextFile::executable(script(&health)));
        }
    }
    for (name, task) in model.tasks.iter().filter(|(_, task)| task.request.is_none()) {
        let service = &model.services[&task.service];
        let image = &model.images[&service.image];
        let Some(venv) = &image.venv else { continue };
        // What runs in the service's place starts with the image's program, the others with their own.
        let (start, first) = match task.run {
            Run::Once if task.entrypoint.is_empty() => (&image.entrypoint[..], 0),
            Run::Once => (&task.entrypoint[..], 0),
            Run::Exec => (&task.command[..1.min(task.command.len())], 1),
        };
        let words = start.iter().map(String::as_str).collect();
        let arguments = Arguments::Placed(task, first);
        let title = format!("{}.", one_line(&task.title));
        let script_of_task = Script { title, service: task.service.get_ref(), image, venv, words, arguments };
        files.insert(task_path(name.get_ref()), TextFile::executable(script(&script_of_task)));
    }
    files
}
