//! The command line: the only code that prints, prompts or reads the environment.
//!
//! Three layers: what was typed (`args`), what is meant (`settings`), and a function that takes only what is meant (one file a
//! command). Data goes to stdout, talk to stderr. Errors arrive here as data and become text and exit code in one place each.

mod agent;
mod args;
mod ask;
mod base;
mod capture;
mod color;
mod config;
mod confine;
mod console;
mod cp;
mod detach;
pub mod diagnostic;
mod down;
mod elsewhere;
mod engine;
mod environment;
mod events;
mod exec;
mod exit;
mod failure;
mod graph;
mod impair;
mod init;
mod keys;
mod load;
mod log_lines;
mod logs;
mod machine;
mod nics;
mod only;
mod passwd;
mod pipeline;
mod plan;
mod progress;
mod ps;
mod pump;
mod recorded;
mod saved;
mod schema;
mod settings;
mod ssh;
mod ssh_config;
mod stop;
mod streams;
mod summary;
mod terminal;
mod trouble;
mod ui;
mod up;
mod validate;
mod version;
mod world;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use args::{Cli, Command};
use environment::Environment;
use exit::Exit;
use failure::Failure;
use settings::Settings;
use ui::Ui;

/// The whole program, from the arguments to the exit code.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(trouble::apologise));
    std::panic::catch_unwind(run).unwrap_or(Exit::Failed.into())
}

fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A reader that went away is no trouble: whoever closes the pipe has read enough.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done.into(),
                _ => Exit::Usage.into(),
            };
        }
    };
    let environment = Environment::gather();
    let ui = Ui::new(&environment, cli.global.color);
    let verbose = cli.global.verbose;
    trouble::trace(verbose);
    let done = Settings::resolve(cli.global, environment).map_err(Failure::from).and_then(|settings| command(cli.command, &settings, &ui));
    done.unwrap_or_else(|failure| {
        ui.failure(&failure);
        failure.exit().into()
    })
}

/// What it ends with: fly's own exit codes, or those of a command in a machine.
fn command(command: Command, settings: &Settings, ui: &Ui) -> Result<ExitCode, Failure> {
    let exit = match command {
        Command::Exec(args) => return exec::run(&args, settings, ui),
        Command::Ssh(args) => return ssh::run(&args, settings, ui),
        Command::Console(args) => return console::run(&args, settings, ui),
        Command::Plan(args) => plan::run(&args, settings, ui),
        Command::Snapshot(args) => recorded::snapshot(&args, settings, ui),
        Command::Up(args) => up::run(&args, settings, ui),
        Command::Down(args) => down::run(&args, settings, ui),
        Command::Ps(args) => ps::run(&args, settings, ui),
        Command::Nics(args) => nics::run(&args, settings, ui),
        Command::SshConfig(args) => ssh_config::run(&args, settings, ui),
        Command::Logs(args) => logs::run(&args, settings, ui),
        Command::Cp(args) => cp::run(&args, settings, ui),
        Command::Agent(command) => agent::run(&command, settings, ui),
        Command::Capture(args) => capture::run(&args, settings, ui),
        Command::Graph(args) => graph::run(&args, settings, ui),
        Command::Impair(args) => impair::run(&args, settings, ui),
        Command::Config => config::run(settings, ui),
        Command::Validate(args) => validate::run(&args, settings, ui),
        Command::Init(args) => init::run(&args, settings, ui),
        Command::Schema => schema::run(ui),
        Command::Version => version::run(ui),
    };
    exit.map(ExitCode::from)
}
