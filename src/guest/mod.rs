//! The guest: what fly is inside a machine. First process, ssh server, and what an ssh session is made of.
//!
//! The same static binary as on the host, out of a read-only volume. It is told what to do by one file (`types::GuestConfig`) and knows
//! nothing of projects, plans or engines. Each role is a process of its own, so that the first process stays tiny and without `async`:
//!
//! | `fly guest …` | who starts it | what it is |
//! |---|---|---|
//! | `init PROGRAM…` | the engine, as process 1 | holds the program until the cards are there, reaps, forwards signals, exits as the program did |
//! | `keep` | init | init's work for the ssh server, where init itself becomes the program |
//! | `serve` | init, keep | the ssh server |
//! | `openssh` | init, instead of `serve` | keeps the image's own sshd |
//! | `session …` | serve | becomes the user who has logged in, and then the shell or command |
//! | `sftp` | session | the sftp subsystem on stdin and stdout |
//! | `hostkey` | the same | prints the machine's public host key |
//! | `channel` | whoever has the engine, by an exec | stdin and stdout to the server's own socket |

mod channel;
mod files;
#[cfg(test)]
mod fuzz;
mod hostkey;
mod init;
mod log;
mod memory;
mod openssh;
mod processes;
mod rights;
mod session;
pub mod sftp;
mod ssh;
mod status;
mod users;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::types::GUEST_HOME;

/// Wrong arguments, as elsewhere in fly.
const USAGE: u8 = 64;

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
        Some("hostkey") => hostkey::main(&rest),
        Some("init") => init::main(&rest),
        Some("keep") => init::keep(&rest),
        Some("openssh") => openssh::main(&rest),
        Some("program") => init::program::main(&rest),
        Some("sftp") => sftp::run(rest.into_iter()),
        Some("serve") => ssh::main(&rest),
        Some("session") => session::main(&rest),
        Some("channel") => channel::main(&rest),
        _ => {
            log::line("this is what fly runs inside a machine; it is not meant to be called by hand");
            ExitCode::from(USAGE)
        }
    })
}

/// The folder of `--home DIR`, or the machine's own.
fn home(arguments: &[OsString]) -> Result<PathBuf, String> {
    match arguments {
        [] => Ok(PathBuf::from(GUEST_HOME)),
        [option, folder] if option == "--home" => Ok(PathBuf::from(folder)),
        _ => Err("only `--home DIR` is understood here".to_owned()),
    }
}
