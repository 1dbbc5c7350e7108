//! One binary, several roles: the role is looked at first, the rest is the role's.

use std::process::ExitCode;

fn main() -> ExitCode {
    fly::cli::main()
}
