//! The profile's tasks.

use std::process::Command;

use anyhow::Result;

use super::{Deployment, Engine};
use crate::failure::Failure;
use crate::profile::model::{Run, Task};
use crate::render::container;

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
            Run::Once => self.once(engine, task, arguments)?.status()?.success(),
            Run::Exec => {
                let container = self.container(task.service.get_ref())?;
                let mut command = engine.command(&["exec", &container]);
                command.args(task.command.iter().chain(arguments));
                command.status()?.success()
            }
        };
        if worked {
            return Ok(());
        }
        Err(Failure::failed(format!("the task {name} failed")).hint("it says why above; `sealift status`").into())
    }

    /// The command that runs `task` in a container of its own.
    pub(super) fn once(&self, engine: &Engine, task: &Task, arguments: &[String]) -> Result<Command> {
        let command = [&task.command[..], arguments].concat();
        let service = task.service.get_ref();
        let mut run = engine.command(&["run", "--rm"]);
        run.args(container::once(&self.profile.model, service, &self.place()?, &command));
        Ok(run)
    }
}
