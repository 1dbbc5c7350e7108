//! One binary, several roles: the role is looked at first, the rest is the role's.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The guest before all else: it may be a machine's first process, where nothing of the command line is of use.
    let arguments = || std::env::args_os().skip(1);
    fly::guest::role(arguments()).or_else(|| fly::agent::role(arguments())).unwrap_or_else(fly::cli::main)
}
