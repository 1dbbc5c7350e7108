//! `fly guest channel`: standard input and output to the ssh server's own socket. The engine's exec carries it, so that a machine can be
//! reached where its addresses cannot.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use super::log;
use crate::types::GUEST_SOCKET;

/// The guest may just be starting.
const PATIENCE: Duration = Duration::from_secs(5);
/// What ssh itself ends with when the connection is what failed.
const FAILED: u8 = 255;

pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let done = super::home(arguments).and_then(|home| {
        let socket = connect(&home.join(GUEST_SOCKET))?;
        carry(&socket).map_err(|error| format!("the way to the ssh server broke: {error}"))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(&error);
            ExitCode::from(FAILED)
        }
    }
}

fn connect(path: &Path) -> Result<UnixStream, String> {
    let end = Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(path) {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied || Instant::now() >= end => {
                return Err(unreachable_server(path, &error));
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn unreachable_server(path: &Path, error: &io::Error) -> String {
    format!("the machine's ssh server does not answer at {}: {error}; is `sshd` on, and the machine running?", path.display())
}

/// Both ways, each ending on its own: an end of input is passed on, and the answer still comes.
fn carry(socket: &UnixStream) -> io::Result<()> {
    // Files, because the standard library's streams hold back what does not end in a newline.
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut up = socket.try_clone()?;
    thread::spawn(move || {
        let _ = copy(&mut input, &mut up);
        let _ = up.shutdown(Shutdown::Write);
    });
    copy(&mut &*socket, &mut output)
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
