//! `sealift task`

use std::io::Write;

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::host;
use sealift_deployment::host::request::{self, Format};
use sealift_deployment::machine::Machine;
use sealift_deployment::site::KnownSites;

use super::Context;
use super::deployment::DeploymentOptions;
use super::exchange;

/// List the operator's tasks of an unpacked bundle, or run one
///
/// The profile defines the tasks: commands that run in the containers of its services, or on the host
/// for a bundle without containers, or requests to them.
///
/// Examples:
///   ./sealift task
///   ./sealift task create-organization MyOrg
///   ./sealift task list-users MyOrg --csv
///   ./sealift task dump orders -- --clean -t users
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Task {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Print the answer of a request as JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print the table of a request as CSV
    #[arg(long)]
    csv: bool,
    /// Name of the task; without it, all tasks are listed
    name: Option<String>,
    /// Arguments of the task, in the order of the list. Those that begin with `-` come after `--`
    arguments: Vec<String>,
}

impl Task {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let deployment = self.deployment.open(&machine)?;
        let Some(name) = &self.name else {
            if deployment.profile.model.tasks.is_empty() {
                context.note("the profile of this bundle defines no tasks");
            }
            for (name, task) in &deployment.profile.model.tasks {
                writeln!(context.out, "{:40} {}", task.usage(name.get_ref()), task.title)?;
            }
            return Ok(());
        };
        let task = deployment.task(name, &self.arguments)?;
        host::refuse_former(&deployment, &KnownSites::of(&machine))?;
        // The task is a command from the bundle's files.
        deployment.verify_files()?;
        if let Some(request) = &task.request {
            let values = request::values(task, &self.arguments);
            let answer = exchange::send(&request::prepare(&deployment, task, request, &values)?)?;
            let format = match (self.json, self.csv) {
                (true, _) => Format::Json,
                (_, true) => Format::Csv,
                _ => Format::Text,
            };
            return request::show(request, &values, (answer.0, &answer.1), format, &mut context.out);
        }
        if self.json || self.csv {
            let hint = "leave out --json and --csv: they are for requests";
            return Err(Failure::usage(format!("the task {name} is a command, with output of its own"))
                .hint(hint)
                .into());
        }
        self.deployment.runtime(&deployment, &machine)?.run_task(name, task, &self.arguments)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        task: Task,
    }

    /// Programs behind tasks have options of their own.
    #[test]
    fn arguments_that_begin_with_a_hyphen_come_after_two() {
        let parsed = |words: &str| {
            let task = Alone::try_parse_from(std::iter::once("task").chain(words.split(' '))).unwrap().task;
            format!("{} json={}", task.arguments.join("|"), task.json)
        };
        assert_eq!(parsed("dump orders -- --clean -t a*"), "orders|--clean|-t|a* json=false");
        assert_eq!(parsed("list orders --json"), "orders json=true");
        assert_eq!(parsed("list -- orders --json"), "orders|--json json=false");
        // Without `--` it would not be known whose option it is.
        let error = Alone::try_parse_from(["task", "dump", "--clean"]).map(drop).unwrap_err();
        assert!(error.to_string().contains("use '-- --clean'"), "{error}");
    }
}
