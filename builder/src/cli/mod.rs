//! The command line: one file per command, whose doc comments are its help.
//!
//! Data goes to [`Context::out`] (never to `println!`, which panics when the reader goes away), messages to stderr.
//! Commands return their errors; [`report`] prints them. Help that has examples is `verbatim_doc_comment`: its lines stay
//! under 96 columns, and `docs/cli.md` shows what follows `Examples:` as a block.

mod build;
mod closure;
mod common;
mod deployment;
mod doctor;
mod down;
mod image;
mod inspect;
mod lock;
mod logs;
pub mod output;
mod plan;
mod profiles;
#[cfg(test)]
mod reference;
pub mod report;
mod sbom;
mod shell;
mod site;
mod status;
mod store;
mod task;
mod up;
mod verify;

use clap::{Args, Parser, Subcommand, ValueEnum};

use self::output::Output;

/// Assembles reproducible OCI images and air-gapped deployment bundles
///
/// A profile says what is deployed: its images, its services, and what each installation needs. Sealift resolves it
/// to exact packages once (the lock) and builds the same bytes from it anywhere, without a container engine and
/// without root. The result is one file that brings everything to a host with no network.
#[derive(Debug, Parser)]
#[command(name = "sealift", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(after_long_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Said in the long help and in the reference.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the build or a check failed
  2  the command line or the profile is wrong
  3  a server cannot be reached, or lacks what was asked for
  4  a digest or a signature is not what it must be

Data goes to standard output, messages and progress to standard error.";

/// Options of every command.
#[derive(Args, Debug)]
struct Global {
    /// When to colour messages; `auto` does on a terminal unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    color: Color,
    /// Print no progress and no notes, only data and errors
    #[arg(long, short, global = true)]
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
    Profiles(profiles::Profiles),
    Lock(lock::LockCommand),
    Plan(plan::PlanCommand),
    Build(build::Build),
    Image(image::ImageCommand),
    Closure(closure::ClosureCommand),
    Inspect(inspect::Inspect),
    Sbom(sbom::Sbom),
    Verify(verify::Verify),
    Store(store::StoreCommand),
    Site(site::SiteCommand),
    Up(up::Up),
    Down(down::Down),
    Status(status::Status),
    Doctor(doctor::Doctor),
    Logs(logs::Logs),
    Task(task::Task),
    #[command(hide = true)]
    Completions(shell::Completions),
    #[command(hide = true)]
    Man(shell::Man),
}

/// What every command is given.
#[derive(Debug)]
pub struct Context {
    /// Standard output, for data.
    pub out: Output,
    /// Print no progress and no notes.
    pub quiet: bool,
}

impl Context {
    /// Prints a line to stderr, unless the user asked for quiet.
    pub fn note(&self, line: impl std::fmt::Display) {
        if !self.quiet {
            anstream::eprintln!("{line}");
        }
    }
}

impl Cli {
    /// Makes `--color` the choice of the whole process.
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
    /// The command's own; [`sealift_deployment::failure::Kind::of`] tells their kind.
    pub fn run(self) -> anyhow::Result<()> {
        let mut context = Context { out: Output::stdout(), quiet: self.global.quiet };
        match self.command {
            Command::Profiles(command) => command.run(&mut context)?,
            Command::Lock(command) => command.run(&mut context)?,
            Command::Plan(command) => command.run(&mut context)?,
            Command::Build(command) => command.run(&mut context)?,
            Command::Image(command) => command.run(&mut context)?,
            Command::Closure(command) => command.run(&mut context)?,
            Command::Inspect(command) => command.run(&mut context)?,
            Command::Sbom(command) => command.run(&mut context)?,
            Command::Verify(command) => command.run(&mut context)?,
            Command::Store(command) => command.run(&mut context)?,
            Command::Site(command) => command.run(&mut context)?,
            Command::Up(command) => command.run(&mut context)?,
            Command::Down(command) => command.run(&mut context)?,
            Command::Status(command) => command.run(&mut context)?,
            Command::Doctor(command) => command.run(&mut context)?,
            Command::Logs(command) => command.run(&mut context)?,
            Command::Task(command) => command.run(&mut context)?,
            Command::Completions(command) => command.run(&mut context)?,
            Command::Man(command) => command.run()?,
        }
        context.out.finish()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        super::Cli::command().debug_assert();
    }
}
