//! What can be typed. What it means is decided in `settings` and in the commands.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::capture::Limit;
use crate::net::LARGEST_SNAPLEN;
use crate::types::{MAX_DELAY, Percent, Rate, Seconds};

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
    /// Record the world that a plan is made from, without secrets: for `fly plan --world`
    Snapshot(SnapshotArgs),
    /// Make the machines as the file says, and check that they are
    Up(UpArgs),
    /// Take the project's machines and networks away
    Down(DownArgs),
    /// List the project's machines: state, addresses, ports, uptime
    Ps(PsArgs),
    /// List every network card: what it hangs on, addresses, state, counters
    Nics(NicsArgs),
    /// Record the packets of a machine's network cards
    Capture(CaptureArgs),
    /// Log into a machine, or run a command there, by ssh
    Ssh(SshArgs),
    /// Print what ~/.ssh/config needs for `ssh MACHINE.PROJECT.fly`, or put it there
    SshConfig(SshConfigArgs),
    /// Run a command in a machine
    Exec(ExecArgs),
    /// Show what machines have written
    Logs(LogsArgs),
    /// Copy files between this computer and a machine
    Cp(CpArgs),
    /// Join the console of a machine: what its first process writes and reads
    Console(ConsoleArgs),
    /// What puts network cards back when machines start again
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Draw machines, networks and cables, from the file alone
    Graph(GraphArgs),
    /// Make a machine's cards slow or lossy for a while; then they are as the file says again
    Impair(ImpairArgs),
    /// Write a small fly.yml to begin with, and its JSON Schema for editors
    Init(InitArgs),
    /// Say what is wrong with the file, without asking the engine
    Validate(ValidateArgs),
    /// Print the file with everything decided: defaults, names, addresses
    Config,
    /// Print the JSON Schema of fly.yml
    Schema,
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
pub(super) enum AgentCommand {
    /// Say whether it runs, and for which projects; exit code 1 if it does not
    Status(AgentStatusArgs),
    /// Show what it has done
    Logs {
        /// And what it does, until Ctrl-C
        #[arg(long)]
        follow: bool,
    },
    /// Stop it until the next `fly up`
    Stop,
}

#[derive(Debug, Args)]
pub(super) struct AgentStatusArgs {
    #[arg(long, value_name = "FORMAT", default_value = "text", help = "How to print it")]
    pub(super) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PlanFormat {
    Text,
    Json,
    Markdown,
    Comment,
    Github,
}

#[derive(Debug, Args)]
#[command(after_help = "With --check: exit code 0 means nothing to do, 2 changes, 3 changes that interrupt or lose something.")]
pub(super) struct PlanArgs {
    /// Say by the exit code whether there is something to do
    #[arg(long)]
    pub(super) check: bool,
    /// Also the steps, in waves of what can be done at once
    #[arg(long)]
    pub(super) steps: bool,
    /// How to print it: json for programs, markdown for a comment on a pull or merge request, comment for the same as its API takes
    /// it, github for annotations on the file's lines
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) format: PlanFormat,
    /// Compare with the file of a git revision instead of the machines: no engine, no variables, nothing outside of the repository
    #[arg(long, value_name = "REVISION", allow_hyphen_values = true, conflicts_with = "world")]
    pub(super) base: Option<String>,
    /// Plan against a world that `fly snapshot` has recorded; no engine is asked
    #[arg(long, value_name = "FILE")]
    pub(super) world: Option<PathBuf>,
    /// Also write the plan down: `fly up --plan FILE` does it, as long as it holds
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["base", "world"])]
    pub(super) out: Option<PathBuf>,
    /// Plan for this machine alone, with what it needs; can be given several times
    #[arg(long, value_name = "MACHINE")]
    pub(super) only: Vec<String>,
    #[command(flatten)]
    pub(super) agent: AgentArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What only this computer lacks, as variables without a default and files outside the project, is a warning here.
Exit code 0: nothing is wrong, or there are warnings alone; 65: a file is wrong; 64: there is none.")]
pub(super) struct ValidateArgs {
    #[arg(long, value_name = "FORMAT", default_value = "text", help = "How to print it; github: annotations of a workflow's run")]
    pub(super) format: Annotated,
    /// Which, or - for the standard input [default: that of --file]
    #[arg(value_name = "FILE", conflicts_with = "file")]
    pub(super) files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Annotated {
    Text,
    Json,
    Github,
}

#[derive(Debug, Args)]
#[command(after_help = "Files that are there already are not touched. `fly validate` checks the file, `fly plan` says what would be done.")]
pub(super) struct InitArgs {
    /// Where to [default: here]
    #[arg(value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
It holds no values of the machines' environment, no passwords, and no words that variables are part of.
Names, addresses and public keys are in it.")]
pub(super) struct SnapshotArgs {
    /// Where to write it, readable by nobody else [default: the standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    /// Do without the agent that puts network cards back when a machine starts again, as with `agent: false` in the file
    #[arg(long, env = "FLY_NO_AGENT", hide_env = true)]
    pub(super) no_agent: bool,
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
    #[arg(long, value_name = "FORMAT", default_value = "text", help = "How to say on stdout how it goes")]
    pub(super) format: Progression,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Progression {
    Text,
    // One JSON object a line.
    Jsonl,
}

#[derive(Debug, Args)]
#[command(after_help = "\
It asks first when something would be lost or interrupted. Ctrl-C finishes what is being done and starts nothing new.
--plan: it observes and plans again, and does what is left of the saved plan, without asking. If
anything else would have to be done, or fly.yml says something else, it does nothing and ends with 4.
--format jsonl: one object a line, with `version` and `event`: start, plan, step (`state`: started,
progress, done, failed, skipped), verify, end.")]
pub(super) struct UpArgs {
    /// Do what a plan says that `fly plan --out FILE` has written
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "renew_guests", "no_probe"])]
    pub(super) plan: Option<PathBuf>,
    /// Only this machine, with what it needs; can be given several times. Nothing else is touched
    #[arg(long, value_name = "MACHINE")]
    pub(super) only: Vec<String>,
    /// Replace machines whose guest is not of this version of fly
    #[arg(long)]
    pub(super) renew_guests: bool,
    /// Do not ask whether somebody else has an address before it is first used
    #[arg(long)]
    pub(super) no_probe: bool,
    #[command(flatten)]
    pub(super) agent: AgentArgs,
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
#[command(after_help = "\
It runs OpenSSH's `ssh`, which reaches the machine through the engine: no address, no key and no known_hosts is needed.
The exit code is the command's; 255: ssh itself failed.")]
pub(super) struct SshArgs {
    /// Who logs in [default: root, or the first of the machine's `users`]
    #[arg(short = 'l', long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// An option for ssh itself: -o Compression=yes
    #[arg(short, long, value_name = "OPTION")]
    pub(super) option: Vec<String>,
    /// Be the way to the machine's ssh server: as a `ProxyCommand`
    #[arg(long, conflicts_with_all = ["user", "option", "host_key"])]
    pub(super) stdio: bool,
    /// Print the machine's host key in the form of `known_hosts`, as a `KnownHostsCommand`
    #[arg(long, conflicts_with_all = ["user", "option"])]
    pub(super) host_key: bool,
    /// The machine
    #[arg(value_name = "MACHINE")]
    pub(super) machine: String,
    /// A command with its arguments [default: a login shell]
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = "With it, ssh, scp, sftp, rsync, Ansible and editors reach machines by name.")]
pub(super) struct SshConfigArgs {
    /// Write it to ~/.ssh/fly/PROJECT.conf, which ~/.ssh/config is made to include
    #[arg(long)]
    pub(super) install: bool,
    /// Remove that file again
    #[arg(long, conflicts_with = "install")]
    pub(super) remove: bool,
}

#[derive(Debug, Args)]
pub(super) struct PsArgs {
    #[arg(long, value_name = "FORMAT", default_value = "text", help = "How to print it")]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "A card that is not there, as while its machine rests, is shown as the file says: `absent`.")]
pub(super) struct NicsArgs {
    #[arg(long, value_name = "FORMAT", default_value = "text", help = "How to print it")]
    pub(super) format: Format,
    /// Whose [default: all]
    #[arg(value_name = "MACHINE")]
    pub(super) machines: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without a command: a login shell, /bin/bash if the machine has one, otherwise /bin/sh.
With a terminal on both sides the command gets one, too; otherwise its outputs stay apart, and Ctrl-C ends fly alone.
The exit code is the command's; 126 or 127: it cannot be run, or was not found.")]
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
pub(super) struct ExecArgs {
    /// No terminal for the command, even if there is one here
    #[arg(short = 'T', long)]
    pub(super) no_tty: bool,
    /// Nothing to read for the command
    #[arg(long)]
    pub(super) no_stdin: bool,
    /// Start it and do not wait
    #[arg(short, long, conflicts_with_all = ["no_tty", "no_stdin"])]
    pub(super) detach: bool,
    /// Run it as this user: NAME, UID, NAME:GROUP
    #[arg(short, long, value_name = "USER")]
    pub(super) user: Option<String>,
    /// Run it in this directory
    #[arg(short, long, value_name = "DIR")]
    pub(super) workdir: Option<String>,
    /// One more variable; can be given several times. NAME alone takes the value from here
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(super) env: Vec<String>,
    /// What docker's users type: both are so anyway
    #[arg(short, long, hide = true)]
    pub(super) interactive: bool,
    #[arg(short, long, hide = true, conflicts_with = "no_tty")]
    pub(super) tty: bool,
    /// Where
    #[arg(value_name = "MACHINE")]
    pub(super) machine: String,
    /// What, with all that follows
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without a machine: all of them. Their lines come in the order of time, with --follow as they are written.
TIME is a time as 2026-01-31T12:00:00Z, seconds since 1970, or how long ago: 90s, 10m, 2h30m.
--follow goes on when a machine restarts, and ends when all have ended.")]
pub(super) struct LogsArgs {
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Only the last lines of each machine: a number, or all
    #[arg(short = 'n', long, value_name = "N", default_value = "all", value_parser = tail)]
    pub(super) tail: Tail,
    /// Only what was written since
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// Only what was written until
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    pub(super) until: Option<String>,
    /// The time before each line
    #[arg(short, long)]
    pub(super) timestamps: bool,
    /// No name of the machine before each line
    #[arg(long)]
    pub(super) no_prefix: bool,
    /// The file [default: fly.yml or fly.yaml here or in the nearest folder above]
    // The option of every command, without its short form: here that is --follow, as with docker. Its value is found there.
    #[arg(id = "file", long = "file", value_name = "PATH", help_heading = "Options for every command")]
    _file: Option<PathBuf>,
    /// Whose [default: all]
    #[arg(value_name = "MACHINE")]
    pub(super) machines: Vec<String>,
}

/// Nothing is all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail(pub(super) Option<u64>);

fn tail(text: &str) -> Result<Tail, String> {
    match text {
        "all" => Ok(Tail(None)),
        number => number.parse().map(|lines| Tail(Some(lines))).map_err(|_| "a number of lines, or `all`".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
SRC, DEST or both are MACHINE:PATH, where PATH begins at the machine's root. `-` is a tar stream on stdin or stdout.
A directory is copied with all that is in it: into DEST if that is a directory, otherwise as DEST. SRC/. copies only what is in it.
Modes, times and links are kept. The machine need not run.")]
pub(super) struct CpArgs {
    /// Owners, too: what comes from a machine keeps its numbers, what goes to one is its user's
    #[arg(short, long)]
    pub(super) archive: bool,
    /// If SRC is a symbolic link, copy what it points to
    #[arg(short = 'L', long)]
    pub(super) follow_link: bool,
    /// Say nothing about how it goes
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// What
    #[arg(value_name = "SRC")]
    pub(super) source: OsString,
    /// Where to
    #[arg(value_name = "DEST")]
    pub(super) dest: OsString,
}

#[derive(Debug, Args)]
#[command(after_help = "\
First come the last lines of its log. Ctrl-P Ctrl-Q or Ctrl-] leaves a console with a terminal, Ctrl-C one without.
Leaving never stops the machine. If its first process ends meanwhile, its exit code is the command's.")]
pub(super) struct ConsoleArgs {
    /// Only look: nothing that is typed reaches the machine
    #[arg(long)]
    pub(super) no_stdin: bool,
    /// Keys that leave it, in place of the usual ones: one character or ctrl-CHARACTER, several with commas
    #[arg(long, value_name = "KEYS")]
    pub(super) detach_keys: Option<String>,
    /// Whose
    #[arg(value_name = "MACHINE")]
    pub(super) machine: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
mermaid is for Markdown on GitHub, GitLab and others, between ```mermaid and ```; dot for Graphviz: fly graph --format dot | dot -Tpdf;
svg for a browser: fly graph --format svg > graph.svg. No engine is asked.")]
pub(super) struct GraphArgs {
    #[arg(long, value_name = "FORMAT", default_value = "mermaid", help = "How to draw it")]
    pub(super) format: Picture,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Picture {
    Mermaid,
    Dot,
    Svg,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The file is pcapng, for Wireshark and tcpdump: fly capture web | wireshark -k -i -
Without a card: all but the loopback, each under its own name. FILTER is as in `man pcap-filter`, and needs tcpdump to compile it.
Ctrl-C ends it with a complete file.")]
pub(super) struct CaptureArgs {
    /// Where to [default: -, the standard output, if that is no terminal]
    #[arg(short, long, value_name = "FILE")]
    pub(super) write: Option<PathBuf>,
    /// Only such packets: 'icmp or port 53'
    #[arg(long, value_name = "FILTER")]
    pub(super) filter: Option<String>,
    /// End after so many packets
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// End after so long: 10s, 1m30s
    #[arg(long, value_name = "TIME")]
    pub(super) duration: Option<Limit>,
    /// So much of each packet, in bytes
    #[arg(short, long, value_name = "N", default_value_t = LARGEST_SNAPLEN, value_parser = clap::value_parser!(u32).range(1..=i64::from(LARGEST_SNAPLEN)))]
    pub(super) snaplen: u32,
    /// Also what is for other cards, as far as it comes by
    #[arg(long)]
    pub(super) promiscuous: bool,
    /// Whose, and of which card
    #[arg(value_name = "MACHINE[:NIC]")]
    pub(super) what: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What is not said stays as the file has it. It counts for what the card sends, and on a network of kind bridge or nat also for what
comes in; at a cable, for this end. Everything but --rate needs the kernel module sch_netem.
Without --for it lasts until Ctrl-C. If fly is killed, `fly plan` shows what is left, and `fly up` or --clear puts it right.")]
pub(super) struct ImpairArgs {
    /// At most so fast: 1mbit
    #[arg(long, value_name = "RATE")]
    pub(super) rate: Option<Rate>,
    /// So much later: 50ms
    #[arg(long, value_name = "TIME", value_parser = delay)]
    pub(super) delay: Option<Seconds>,
    /// The delay varies by so much
    #[arg(long, value_name = "TIME", value_parser = delay)]
    pub(super) jitter: Option<Seconds>,
    /// Packets that are lost: 1%
    #[arg(long, value_name = "SHARE")]
    pub(super) loss: Option<Percent>,
    /// Packets that arrive twice
    #[arg(long, value_name = "SHARE")]
    pub(super) duplicate: Option<Percent>,
    /// Packets that arrive with a wrong bit
    #[arg(long, value_name = "SHARE")]
    pub(super) corrupt: Option<Percent>,
    /// Packets that overtake those that are delayed
    #[arg(long, value_name = "SHARE")]
    pub(super) reorder: Option<Percent>,
    /// For so long: 30s
    #[arg(long = "for", value_name = "TIME")]
    pub(super) time: Option<Seconds>,
    /// Put back what the file says, now
    #[arg(long, conflicts_with_all = ["rate", "delay", "jitter", "loss", "duplicate", "corrupt", "reorder", "time"])]
    pub(super) clear: bool,
    /// Which card; without NIC, all of the machine's
    #[arg(value_name = "MACHINE[:NIC]")]
    pub(super) target: String,
}

fn delay(text: &str) -> Result<Seconds, String> {
    let delay: Seconds = text.parse().map_err(|error: crate::types::SecondsError| error.to_string())?;
    if delay > MAX_DELAY { Err(format!("the kernel delays a packet by at most {MAX_DELAY}")) } else { Ok(delay) }
}
