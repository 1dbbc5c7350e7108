//! The guest: what fly is inside a machine. First process, ssh server, and what an ssh session is made of.
//!
//! The same static binary as on the host, out of a read-only volume. It is told what to do by one file (`types::GuestConfig`) and knows
//! nothing of projects, plans or engines. Each role is a process of its own, so that the first process stays tiny and without `async`:
//!
//! | `fly guest …` | who starts it | what it is |
//! |---|---|---|
//! | `init PROGRAM…` | the engine, as process 1 | holds the program until the cards are there, reaps, forwards signals, exits as the program did |
//! | `serve` | init | the ssh server |
//! | `session …` | serve | becomes the user who has logged in, and then the shell or command |
//! | `sftp` | session | the sftp subsystem on stdin and stdout |
//! | `channel` | whoever has the engine, by an exec | stdin and stdout to the server's own socket |

mod init;
mod log;
mod rights;
pub mod sftp;

use std::ffi::OsString;
use std::process::ExitCode;

/// The guest's work, if that is what the arguments (without the program's name) ask for.
pub fn role(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    // Whatever is asked for: in a machine anybody can run this binary.
    if rights::drop_unless_first().is_err() {
        return Some(ExitCode::from(125));
    }
    let mut arguments = arguments.into_iter();
    if arguments.next()? != "guest" {
        return None;
    }
    let role = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    Some(match role.to_str() {
        Some("init") => init::main(&rest),
        Some("program") => init::program::main(&rest),
        Some("sftp") => sftp::run(rest),
        _ => ExitCode::from(64),
    })
}
