//! What can be typed. What it means is decided in `settings` and in the commands.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

/// Machines from a file: containers with network cards, addresses and names of their own
#[derive(Debug, Parser)]
#[command(name = "fly", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Start with `fly plan`: it says what would be done, and changes nothing.")]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Options for every command")]
pub(super) struct Global {
    /// The file, or - for the standard input [default: fly.yml or fly.yaml here or in the nearest folder above]
    #[arg(short, long, global = true, value_name = "PATH")]
    pub(super) file: Option<PathBuf>,
    /// The project's name, in place of the file's
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(super) project: Option<String>,
    /// Variables for the file; can be given several times [default: .env beside the file]
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) env_file: Vec<PathBuf>,
    /// Colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: When,
    /// Say more on stderr; -vv says yet more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say what would change, in which order, why, and with what impact; change nothing
    Plan(PlanArgs),
    /// Make the machines as the file says, and check that they are
    Up(UpArgs),
    /// Take the project's machines and networks away
    Down(DownArgs),
    /// List the project's machines: state, addresses, ports, uptime
    Ps(PsArgs),
    /// Print the file with everything decided: defaults, names, addresses
    Config,
    /// Print the JSON Schema of fly.yml
    Schema,
    /// Print the version
    Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "With --check: exit code 0 means nothing to do, 2 changes, 3 changes that interrupt or lose something.")]
pub(super) struct PlanArgs {
    /// Say by the exit code whether there is something to do
    #[arg(long)]
    pub(super) check: bool,
    #[arg(long, value_name = "FORMAT", default_value = "text", help = "How to print it")]
    pub(super) format: Format,
    /// Plan from a recorded world; no engine is asked
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    pub(super) snapshot: Option<PathBuf>,
    /// Record the world that the plan is made from, without the values of the machines' environment
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Steps at a time
    #[arg(long, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) parallel: u16,
    /// Wait while another run holds the project
    #[arg(long)]
    pub(super) wait_lock: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "It asks first when something would be lost or interrupted. Ctrl-C finishes what is being done and starts nothing new."
)]
pub(super) struct UpArgs {
    #[command(flatten)]
    pub(super) run: Run,
}

#[derive(Debug, Args)]
#[command(after_help = "Volumes are kept without --volumes. With it, it asks first when there is data to be lost.")]
pub(super) struct DownArgs {
    /// Delete the project's volumes and the data in them, too
    #[arg(long)]
    pub(super) volumes: bool,
    #[command(flatten)]
    pub(super) run: Run,
}

#[derive(Debug, Args)]
pub(super) struct PsArgs {
    #[arg(long, value_name = "FORMAT", default_value = "text", help = "How to print it")]
    pub(super) format: Format,
}
