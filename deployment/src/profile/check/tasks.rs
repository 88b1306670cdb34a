//! Checks of `[tasks.*]`.

use toml::Spanned;

use super::super::model::{Argument, On, Run, Running, Task};
use super::super::suggest;
use super::Check;

impl Check<'_> {
    pub(super) fn task(&mut self, key: &Spanned<String>, task: &Task) {
        let name = key.get_ref().as_str();
        self.name(key.span(), name, "a task");
        let service = self.model.services.get(&task.service);
        if service.is_none() {
            let wanted = task.service.get_ref();
            let services = self.model.services.keys().map(|name| name.get_ref().as_str());
            let hint = suggest::hint(wanted, "services", services);
            self.report(task.service.span(), format!("there is no service `{wanted}`"), hint);
        }
        match &task.request {
            Some(request) => {
                if !task.command.is_empty() {
                    let span = self.document.key(&["tasks", name, "command"]);
                    self.report(span, "a task is a command or a request", "remove `command` or `request`");
                }
                self.request(name, task, request);
            }
            None if task.command.is_empty() && (task.entrypoint.is_empty() || task.run == Run::Exec) => {
                let span = self.document.value(&["tasks", name, "command"]);
                self.report(span, "the command of the task is empty", "set a program of the image and its arguments");
            }
            None => {}
        }
        if !task.entrypoint.is_empty() && (task.run == Run::Exec || task.request.is_some()) {
            let span = self.document.key(&["tasks", name, "entrypoint"]);
            let hint = "write run = \"once\", or put the program first in `command`";
            self.report(span, "only a task in a container of its own has an entrypoint", hint);
        }
        self.values(name, task);
        if let Some(service) = service.filter(|service| service.run != Running::Always)
            && task.run == Run::Exec
        {
            let message =
                format!("`{}` does not keep running, so that nothing can be run in it", task.service.get_ref());
            self.report(task.service.span(), message, format!("write run = \"once\" in the task{}", match service.schedule() {
                Some(_) => format!("; to run the service itself now: sealift run-scheduled {}", task.service.get_ref()),
                None => String::new(),
            }));
        }
        self.arguments(name, task);
        if task.on == Some(On::Up) {
            let span = self.document.value(&["tasks", name, "on"]);
            if !task.arguments.is_empty() {
                self.report(
                    span.clone(),
                    "a task with `on = \"up\"` cannot have arguments",
                    "remove `arguments` or `on`",
                );
            }
            if service.is_some_and(|service| service.schedule().is_some()) {
                let message = format!("`up` does not start `{}`, which runs at times", task.service.get_ref());
                self.report(span.clone(), message, "remove `on`, or name another service");
            }
            if task.run != Run::Once {
                self.report(span, "a task with `on = \"up\"` runs before its service starts", "write run = \"once\"");
            }
        }
    }

    fn arguments(&mut self, name: &str, task: &Task) {
        let names =
            task.arguments.iter().map(|argument| Spanned::new(argument.span(), argument.get_ref().name.clone()));
        self.distinct(&names.collect::<Vec<_>>(), "argument");
        for (at, spanned) in task.arguments.iter().enumerate() {
            let argument = spanned.get_ref();
            self.name(spanned.span(), &argument.name, "an argument");
            let is_last = at + 1 == task.arguments.len();
            if argument.repeated && (!is_last || task.request.is_some()) {
                let message = format!("`{}` cannot have any number of values", argument.written());
                let hint = match task.request {
                    Some(_) => "a request has a value for each name: remove the `...`",
                    None => "only the last argument can: the values of the others come first",
                };
                self.report(spanned.span(), message, hint);
            }
            let (own, other) = (argument.placeholder(), Argument { repeated: !argument.repeated, ..argument.clone() });
            let has = |text: &str| task.command.iter().any(|word| word.contains(text));
            let alone = !argument.repeated || task.command.iter().all(|word| *word == own || !word.contains(&own));
            let problem = match (has(&other.placeholder()), alone) {
                (true, _) => format!("write `{own}`, as in `arguments`"),
                (false, false) => format!("write \"{own}\": each value is a word"),
                (false, true) => continue,
            };
            let span = self.document.value(&["tasks", name, "command"]);
            let message = format!("the argument `{}` cannot stand there", argument.written());
            self.report(span, message, problem);
        }
    }
}
