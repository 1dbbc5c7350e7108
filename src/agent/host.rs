//! `fly agent host PROGRAM…`: a program of the host's, in the host's root.
//!
//! A helper's image has nothing but fly, and `iptables` has to be the one that the engine uses. The helper sees the host's processes,
//! and through any of them the host's root.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// Of the host's first process, as a helper sees it.
const ROOT: &str = "/proc/1/root";
/// As a shell says that there is no such program.
const NOT_FOUND: u8 = 127;
const CANNOT: u8 = 126;

/// The words that stand before a program of the host's.
pub(super) fn command() -> Vec<String> {
    ["/proc/self/exe", "agent", "host"].map(str::to_owned).to_vec()
}

pub(super) fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(program) = arguments.next() else { return ExitCode::from(64) };
    let entered = rustix::process::chroot(ROOT).and_then(|()| rustix::process::chdir("/"));
    if entered.is_err() {
        return ExitCode::from(CANNOT);
    }
    let error = Command::new(program).args(arguments).env_clear().env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin").exec();
    ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT })
}
