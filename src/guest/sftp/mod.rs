//! The sftp subsystem: version 3 of the protocol on stdin and stdout, with the extensions of OpenSSH.
//!
//! It runs as the user who has logged in, so the kernel decides what may be done. As OpenSSH's `sftp-server` it keeps no state but open
//! files. It differs where that one is poor: a renaming never replaces anything and needs no hard link, an error says what the kernel
//! said, a request that makes no sense is answered instead of ending the session, and what a client can make it hold is bounded.
//!
//! The codec is our own: a file name is bytes, and the crates for the protocol make text of it.
//!
//! | module | what is in it |
//! |---|---|
//! | [`codec`], [`request`], `output`, `status` | bytes to requests, answers to bytes |
//! | `stream` | the two descriptors |
//! | `server` | which request is done where |
//! | `files`, `paths`, `listing`, `realpath` | doing it |
//! | `handles`, `accounts`, `longname` | what that needs |

mod accounts;
pub mod codec;
mod files;
mod handles;
mod listing;
mod longname;
mod output;
mod paths;
mod realpath;
pub mod request;
mod server;
mod status;
mod stream;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::io::Errno;

use output::Output;
use server::Server;
use status::Broken;
use stream::{Input, flush};

/// `fly guest sftp [-R] [-d DIR]`: `-R` lets nothing be changed, `-d` is where relative paths begin. 0 when the client has gone.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Ok(options) = options(arguments) else {
        complain("usage: fly guest sftp [-R] [-d DIR]");
        return ExitCode::from(64);
    };
    if let Some(folder) = &options.folder
        && let Err(errno) = rustix::process::chdir(folder)
    {
        // The user gets in all the same, as with OpenSSH: it is one more thing that can be put right over sftp.
        complain(&format!("{}: {errno}", folder.display()));
    }
    match serve(&mut Server::new(options.read_only), std::io::stdin(), std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => {
            complain(&end.to_string());
            ExitCode::FAILURE
        }
    }
}

struct Options {
    read_only: bool,
    folder: Option<std::path::PathBuf>,
}

fn options(mut arguments: impl Iterator<Item = OsString>) -> Result<Options, ()> {
    let mut options = Options { read_only: false, folder: None };
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("-R") => options.read_only = true,
            Some("-d") => options.folder = Some(arguments.next().ok_or(())?.into()),
            _ => return Err(()),
        }
    }
    Ok(options)
}

/// Why a session ends before its client has gone.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("{0}: this is not sftp")]
    Broken(#[from] Broken),
    #[error("cannot read from the client: {0}")]
    Read(Errno),
    #[error("cannot write to the client: {0}")]
    Write(Errno),
}

/// Until the client goes.
fn serve(server: &mut Server, from: impl AsFd, to: impl AsFd) -> Result<(), End> {
    let (mut input, mut output) = (Input::new(), Output::new());
    loop {
        // Small answers wait for each other while there are more requests at hand, so that they leave in one write.
        while let Some(packet) = input.next()? {
            server.answer(input.bytes(packet), &mut output)?;
            if output.is_full() && !flush(&mut output, &to).map_err(End::Write)? {
                return Ok(());
            }
        }
        if !flush(&mut output, &to).map_err(End::Write)? || !input.fill(&from).map_err(End::Read)? {
            return Ok(());
        }
    }
}

/// To whoever has started us; the ssh server passes it on to the client.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "fly guest sftp: {text}");
}
