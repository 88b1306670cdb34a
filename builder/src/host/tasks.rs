//! The profile's tasks.

use anyhow::Result;

use super::{Deployment, Engine};
use crate::failure::Failure;
use crate::profile::model::{Run, Task};

impl Deployment {
    /// The task `name`, if it is there and takes so many arguments.
    ///
    /// # Errors
    /// [`Failure::usage`] that says what there is.
    pub fn task(&self, name: &str, arguments: &[String]) -> Result<&Task> {
        let tasks = &self.profile.model.tasks;
        let Some(task) = tasks.get(name) else {
            let names: Vec<&str> = tasks.keys().map(|name| name.get_ref().as_str()).collect();
            return Err(Failure::usage(format!("no task is called `{name}`")).hint(names.join(", ")).into());
        };
        let wanted: Vec<String> = task.arguments.iter().map(|argument| argument.get_ref().to_uppercase()).collect();
        if wanted.len() != arguments.len() {
            let message = format!("the task {name} takes {} arguments, not {}", wanted.len(), arguments.len());
            return Err(Failure::usage(message).hint(format!("sealift task {name} {}", wanted.join(" "))).into());
        }
        Ok(task)
    }

    /// Runs a task; what it prints goes where this program's output goes.
    ///
    /// # Errors
    /// When it exits with anything but 0.
    pub fn run_task(&self, engine: &Engine, name: &str, task: &Task, arguments: &[String]) -> Result<()> {
        let worked = match task.run {
            Run::Once => engine.compose_run(&once(task, arguments), &mut std::io::stdout())?,
            Run::Exec => {
                let container = self.container(task.service.get_ref())?;
                let mut command = engine.command(&["exec", &container]);
                command.args(task.command.iter().chain(arguments));
                command.stdin(std::process::Stdio::null()).status()?.success()
            }
        };
        if worked {
            return Ok(());
        }
        Err(Failure::failed(format!("the task {name} failed")).hint("it says why above; `sealift status`").into())
    }
}

/// The compose command that runs `task` in a container of its own.
pub(super) fn once<'t>(task: &'t Task, arguments: &'t [String]) -> Vec<&'t str> {
    let mut words = vec!["run", "--rm", "-T", "--no-deps", task.service.get_ref().as_str()];
    words.extend(task.command.iter().chain(arguments).map(String::as_str));
    words
}
