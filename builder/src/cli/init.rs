//! `sealift init`

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::profile::{Profile, is_name};
use sealift_layers::escape;
use sealift_layers::ingredients::deb::is_package_name;

use super::Context;
use crate::init::{Answers, Suite, files, venv};

/// Make a new profile, with comments, that locks and builds
///
/// The profile has one image and one service that runs PROGRAM, and with --proxy nginx with TLS in
/// front of it. On a terminal, what is not given is asked for. The result is a beginning:
/// profiles/README.md describes what else a profile can say.
///
/// Examples:
///   sealift init ships --python datasette --port 8001 --proxy \
///       -- datasette serve --host 0.0.0.0 --port 8001
///   sealift init cache --package valkey-server --port 6379 --data /var/lib/valkey \
///       -- /usr/bin/valkey-server --dir /var/lib/valkey --protected-mode no
///   sealift lock ships
///   sealift build ships
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Init {
    /// Name of the profile, the image and the service: lower-case letters, digits and `-`
    name: String,
    /// Install a Python distribution in a virtual environment: a requirement, such as `datasette<1` (repeatable)
    #[arg(long, value_name = "REQUIREMENT")]
    python: Vec<String>,
    /// Install a Debian package (repeatable)
    #[arg(long, value_name = "NAME")]
    package: Vec<String>,
    /// The suite of Debian that packages are from
    #[arg(long, value_enum, default_value_t = Suite::Trixie)]
    suite: Suite,
    /// Port on which the program listens in its container: of TCP, or of UDP with --udp
    #[arg(long)]
    port: Option<u16>,
    /// The port is one of UDP; needs --port
    #[arg(long, conflicts_with = "proxy")]
    udp: bool,
    /// Path of data that must be kept, for a volume
    #[arg(long, value_name = "PATH")]
    data: Option<String>,
    /// Put nginx in front, with TLS by an authority of each installation; needs --port
    #[arg(long)]
    proxy: bool,
    /// Folder for the profile [default: profiles/NAME]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The program that the service runs, and its arguments; one of the virtual environment by its name
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

impl Init {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let answers = self.answers()?;
        let folder = self.output.clone().unwrap_or_else(|| PathBuf::from("profiles").join(&self.name));
        if fs_err::symlink_metadata(&folder).is_ok() {
            return Err(Failure::usage(format!("{} exists already", folder.display()))
                .hint("choose another name, or another folder with --output")
                .into());
        }
        for (path, text) in files(&answers) {
            let path = folder.join(path);
            fs_err::create_dir_all(path.parent().unwrap_or(&folder))?;
            fs_err::write(path, text)?;
        }
        // What the answers make wrong, such as a package's name, is reported with its line.
        Profile::load(&folder).inspect_err(|_| drop(fs_err::remove_dir_all(&folder)))?;
        let next = answers.argument;
        context.note(format!("{}: a profile. Next: sealift lock {next}", folder.join("profile.toml").display()));
        Ok(())
    }

    /// How commands name the new profile: its name where they find it by that, else the path of its folder.
    fn argument(&self) -> String {
        match &self.output {
            None => self.name.clone(),
            Some(folder) => format!("./{}", folder.display()).replace(".//", "/").replace("././", "./"),
        }
    }

    /// What the options say, and on a terminal what the user answers.
    fn answers(&self) -> Result<Answers> {
        if !is_name(&self.name) || self.name == "proxy" {
            let message = format!("`{}` cannot be the name of a profile", self.name);
            let hint = "use lower-case letters and digits, with single `-` between them; `proxy` is taken by --proxy";
            return Err(Failure::usage(message).hint(hint).into());
        }
        let mut answers = Answers {
            name: self.name.clone(),
            argument: self.argument(),
            suite: self.suite,
            packages: self.package.clone(),
            python: self.python.clone(),
            command: self.program.clone(),
            port: self.port,
            udp: self.udp,
            data: self.data.clone(),
            proxy: self.proxy,
        };
        if answers.packages.is_empty() && answers.python.is_empty() {
            if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
                let hint = "for example: --python datasette, or --package valkey-server";
                return Err(Failure::usage("nothing is to be installed").hint(hint).into());
            }
            let (mut input, mut output) = (std::io::stdin().lock(), anstream::stderr());
            ask_all(&mut answers, &mut Console { input: &mut input, output: &mut output })?;
        }
        complete(answers)
    }
}

/// Asks for what is installed and how it runs. A question with a wrong answer is asked again.
fn ask_all(answers: &mut Answers, console: &mut Console<'_>) -> Result<()> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    while answers.python.is_empty() && answers.packages.is_empty() {
        answers.python = console.ask("Python distributions, such as `datasette` (none: Enter)", |text| {
            let wrong = words(text).into_iter().find(|word| !word.starts_with(|c: char| c.is_ascii_alphanumeric()));
            wrong.map_or_else(|| Ok(words(text)), |word| Err(format!("`{word}` is not the name of a distribution")))
        })?;
        answers.packages = console.ask("Debian packages, such as `valkey-server` (none: Enter)", |text| {
            let wrong = words(text).into_iter().find(|word| !is_package_name(word));
            wrong.map_or_else(|| Ok(words(text)), |word| Err(format!("`{word}` is not the name of a Debian package")))
        })?;
        if answers.python.is_empty() && answers.packages.is_empty() {
            console.say("nothing is to be installed: name at least one")?;
        }
    }
    if answers.command.is_empty() {
        let is_named = !answers.python.is_empty();
        answers.command = console.ask("Program and arguments", |text| match words(text) {
            words if words.is_empty() && !is_named => Err("name a program, such as /usr/bin/valkey-server".to_owned()),
            words => Ok(words),
        })?;
    }
    if answers.port.is_none() {
        answers.port = console.ask("Port on which it listens (none: Enter)", |text| match text {
            "" => Ok(None),
            port => match port.parse() {
                Ok(port @ 1024..) => Ok(Some(port)),
                Ok(1..) => {
                    Err(format!("without a right of root no program can listen on port {port}: use a higher one"))
                }
                _ => Err(format!("`{port}` is not a port: 1024 to 65535")),
            },
        })?;
        answers.proxy |= answers.port.is_some()
            && !answers.udp
            && console.ask("nginx with TLS in front? (y/N)", |text| match text.to_ascii_lowercase().as_str() {
                "" | "n" | "no" => Ok(false),
                "y" | "yes" => Ok(true),
                _ => Err("answer y or n".to_owned()),
            })?;
    }
    if answers.data.is_none() {
        answers.data = console.ask("Path of data to keep (none: Enter)", |text| match text {
            "" => Ok(None),
            path if path.starts_with('/') && path.len() > 1 => Ok(Some(path.to_owned())),
            path => Err(format!("`{path}` is not an absolute path in the image, such as /var/lib/data")),
        })?;
    }
    Ok(())
}

/// Where questions are asked.
struct Console<'a> {
    input: &'a mut dyn BufRead,
    output: &'a mut dyn std::io::Write,
}

impl Console<'_> {
    /// What `read` makes of the answer; asks again as long as that is an error.
    fn ask<T>(&mut self, question: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T> {
        loop {
            write!(self.output, "{question}: ")?;
            self.output.flush()?;
            let mut line = String::new();
            if self.input.read_line(&mut line)? == 0 {
                return Err(Failure::usage("the input ended before all questions were answered").into());
            }
            match read(line.trim()) {
                Ok(answer) => return Ok(answer),
                Err(wrong) => self.say(&wrong)?,
            }
        }
    }

    fn say(&mut self, text: &str) -> Result<()> {
        Ok(writeln!(self.output, "  {}", escape::lines(text))?)
    }
}

/// Checks that the answers fit together, and names the program by its path.
fn complete(mut answers: Answers) -> Result<Answers> {
    if let Some(port @ ..1024) = answers.port {
        let hint = "let it listen on a higher one; `publish` and [site.ports] lead there from any other";
        return Err(Failure::usage(format!("no program can listen on port {port} without a right of root"))
            .hint(hint)
            .into());
    }
    if answers.proxy && answers.port.is_none() {
        let hint = "add --port with the port on which the program listens";
        return Err(Failure::usage("a proxy needs the port of the service").hint(hint).into());
    }
    if answers.udp && answers.port.is_none() {
        let hint = "add --port with the port on which the program listens";
        return Err(Failure::usage("--udp says of which protocol a port is").hint(hint).into());
    }
    if answers.command.is_empty() {
        let name = answers.python.first().map(|requirement| {
            requirement.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect::<String>()
        });
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            let hint = "name it and its arguments after `--`, such as: -- /usr/bin/valkey-server";
            return Err(Failure::usage("the program that the service runs is missing").hint(hint).into());
        };
        answers.command = vec![name];
    }
    // Packages have their programs in several folders of the image's `PATH`.
    if !answers.command[0].contains('/') && !answers.python.is_empty() {
        answers.command[0] = format!("{}/bin/{}", venv(&answers.name), answers.command[0]);
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One wrong answer ended `init`, after all others were given.
    #[test]
    fn a_question_with_a_wrong_answer_is_asked_again() {
        let typed = "\n\n\nNGINX!\nvalkey-server\n\n/usr/bin/valkey-server --dir /data\nmany\n80\n6379\nperhaps\nn\ndata\n/data\n";
        let mut answers = Answers {
            name: "cache".into(),
            argument: "cache".into(),
            suite: Suite::Trixie,
            packages: Vec::new(),
            python: Vec::new(),
            command: Vec::new(),
            port: None,
            udp: false,
            data: None,
            proxy: false,
        };
        let mut output = Vec::new();
        let mut input = typed.as_bytes();
        ask_all(&mut answers, &mut Console { input: &mut input, output: &mut output }).unwrap();
        assert_eq!(
            (answers.packages.join(" ").as_str(), answers.port, answers.proxy),
            ("valkey-server", Some(6379), false)
        );
        assert_eq!((answers.command.len(), answers.data.as_deref()), (3, Some("/data")));
        let output = String::from_utf8(output).unwrap();
        let told: Vec<&str> =
            output.lines().filter_map(|line| line.rsplit_once(":   ").map(|(_, told)| told)).collect();
        assert_eq!(told.len(), 7, "{output}");
        let error = ask_all(
            &mut Answers { port: None, ..answers },
            &mut Console { input: &mut "".as_bytes(), output: &mut Vec::new() },
        );
        assert!(error.unwrap_err().to_string().starts_with("the input ended"));
    }
}
