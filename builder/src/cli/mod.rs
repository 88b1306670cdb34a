//! The command line: one file per command, whose doc comments are its help.
//!
//! Data goes to [`Context::out`] (never to `println!`, which panics when the reader exits), messages to stderr. Commands
//! return their errors; [`report`] prints them. Help with examples is `verbatim_doc_comment`: its lines stay under 96
//! columns, and `docs/cli.md` shows the lines below `Examples:` as a block. [`groups`] arranges the commands in both.

mod audit;
mod build;
mod closure;
mod common;
mod deployment;
mod doctor;
mod down;
mod exchange;
mod fetch;
mod gateway;
mod groups;
mod image;
mod init;
mod inspect;
mod key;
mod licenses;
mod lock;
mod logs;
mod mirrors;
mod options;
pub mod output;
mod plan;
mod probe;
mod profiles;
mod rebuild;
#[cfg(test)]
mod reference;
pub mod report;
mod run_scheduled;
mod sbom;
mod shell;
mod sign;
mod site;
mod status;
mod store;
mod task;
mod up;
mod verify;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use sealift_deployment::host;

use self::output::Output;

/// Build reproducible OCI images and deployment bundles for hosts without a network
///
/// A profile describes a deployment: its images, services, and the settings of an installation. `sealift lock` resolves
/// it to exact packages. `sealift build` makes a bundle from the lock: one file with everything that a host needs,
/// including this program. The same lock gives the same bytes on any machine. Builds need no container engine and no root.
#[derive(Debug, Parser)]
#[command(name = "sealift", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(after_long_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Part of `--help` and of the reference.
const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  the build or a check failed
  2  the command line, the profile or a settings file has an error
  3  a server cannot be reached, or does not have a file
  4  a digest or a signature does not match
  5  `sealift audit` found what `--fail-on` names

Data goes to standard output, messages and progress to standard error.";

/// Heading in `--help` of commands.
const GLOBAL: &str = "Global options";

/// Options of every command.
#[derive(Args, Debug)]
struct Global {
    /// When to use colours; `auto` uses them on a terminal unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto, help_heading = GLOBAL)]
    color: Color,
    /// Print no progress and no notes
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Profiles(profiles::Profiles),
    Mirrors(mirrors::Mirrors),
    Lock(lock::LockCommand),
    Plan(plan::PlanCommand),
    Build(build::Build),
    Image(image::ImageCommand),
    Closure(closure::ClosureCommand),
    Fetch(fetch::Fetch),
    Store(store::StoreCommand),
    Key(key::KeyCommand),
    Sign(sign::Sign),
    Site(site::SiteCommand),
    Inspect(inspect::Inspect),
    Verify(verify::Verify),
    Sbom(sbom::Sbom),
    Licenses(licenses::Licenses),
    Audit(audit::Audit),
    Up(up::Up),
    Status(status::Status),
    Doctor(doctor::Doctor),
    Logs(logs::Logs),
    Task(task::Task),
    RunScheduled(run_scheduled::RunScheduled),
    Down(down::Down),
    #[command(hide = true)]
    Completions(shell::Completions),
    #[command(hide = true)]
    Man(shell::Man),
    #[command(hide = true)]
    Probe(probe::Probe),
    #[command(name = host::LOOK, hide = true)]
    LookIntoVolume(shell::LookIntoVolume),
}

/// The state that all commands share.
#[derive(Debug)]
pub struct Context {
    /// Standard output, for data.
    pub out: Output,
    /// `--quiet`: print no progress and no notes.
    pub quiet: bool,
}

impl Context {
    /// Prints a line to standard error, unless `--quiet` is set.
    pub fn note(&self, line: impl std::fmt::Display) {
        if !self.quiet {
            anstream::eprintln!("{}", sealift_layers::escape::lines(&line.to_string()));
        }
    }
}

impl Cli {
    /// Parses the command line of the process. Prints help and exits on `--help`, and exits on a usage error.
    #[must_use]
    pub fn parse_or_exit() -> Self {
        let matches = groups::with_groups(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// Applies `--color` to the whole process.
    pub fn choose_color(&self) {
        match self.global.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }

    /// Runs the command.
    ///
    /// # Errors
    /// Those of the command; [`sealift_deployment::failure::Kind::of`] returns their kind.
    pub fn run(self) -> anyhow::Result<()> {
        let mut context = Context { out: Output::stdout(), quiet: self.global.quiet };
        match self.command {
            Command::Init(command) => command.run(&mut context)?,
            Command::Profiles(command) => command.run(&mut context)?,
            Command::Mirrors(command) => command.run(&mut context)?,
            Command::Lock(command) => command.run(&mut context)?,
            Command::Plan(command) => command.run(&mut context)?,
            Command::Build(command) => command.run(&mut context)?,
            Command::Image(command) => command.run(&mut context)?,
            Command::Fetch(command) => command.run(&mut context)?,
            Command::Closure(command) => command.run(&mut context)?,
            Command::Store(command) => command.run(&mut context)?,
            Command::Site(command) => command.run(&mut context)?,
            Command::Inspect(command) => command.run(&mut context)?,
            Command::Key(command) => command.run(&mut context)?,
            Command::Sign(command) => command.run(&mut context)?,
            Command::Verify(command) => command.run(&mut context)?,
            Command::Sbom(command) => command.run(&mut context)?,
            Command::Licenses(command) => command.run(&mut context)?,
            Command::Audit(command) => command.run(&mut context)?,
            Command::Up(command) => command.run(&mut context)?,
            Command::Status(command) => command.run(&mut context)?,
            Command::Doctor(command) => command.run(&mut context)?,
            Command::Logs(command) => command.run(&mut context)?,
            Command::Task(command) => command.run(&mut context)?,
            Command::RunScheduled(command) => command.run(&mut context)?,
            Command::Down(command) => command.run(&mut context)?,
            Command::Completions(command) => command.run(&mut context)?,
            Command::Man(command) => command.run()?,
            Command::Probe(command) => command.run()?,
            Command::LookIntoVolume(command) => command.run(&mut context)?,
        }
        context.out.finish()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn clap_accepts_the_definition() {
        super::groups::with_groups(super::Cli::command()).debug_assert();
    }
}
