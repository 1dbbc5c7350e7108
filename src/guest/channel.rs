//! `fly guest channel`: standard input and output to the ssh server. The engine's exec carries it, so that a machine can be
//! reached where its addresses cannot.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{Shutdown, shutdown};

use super::log;
use crate::types::{GUEST_CONFIG, GUEST_SOCKET, GuestConfig, SshServer};

/// The guest may just be starting.
const PATIENCE: Duration = Duration::from_secs(5);
/// What ssh itself ends with when the connection is what failed.
const FAILED: u8 = 255;

pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let done = super::home(arguments).and_then(|home| {
        let socket = connect(&home)?;
        carry(socket).map_err(|error| format!("the way to the ssh server broke: {error}"))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(&error);
            ExitCode::from(FAILED)
        }
    }
}

/// fly's own server has a socket for whoever has the engine; the image's listens on the loopback as everywhere.
fn connect(home: &Path) -> Result<OwnedFd, String> {
    let path = home.join(GUEST_SOCKET);
    let end = Instant::now() + PATIENCE;
    loop {
        let (place, tried) = match openssh_port(home) {
            Some(port) => (format!("127.0.0.1:{port}"), TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(OwnedFd::from)),
            None => (path.display().to_string(), UnixStream::connect(&path).map(OwnedFd::from)),
        };
        match tried {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied || Instant::now() >= end => {
                return Err(unreachable_server(&place, &error));
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn openssh_port(home: &Path) -> Option<u16> {
    let config: GuestConfig = serde_json::from_slice(&std::fs::read(home.join(GUEST_CONFIG)).ok()?).ok()?;
    config.sshd.filter(|sshd| sshd.server == SshServer::Openssh).map(|sshd| sshd.port)
}

fn unreachable_server(place: &str, error: &io::Error) -> String {
    format!("the machine's ssh server does not answer at {place}: {error}; is `sshd` on, and the machine running?")
}

/// Both ways, each ending on its own: an end of input is passed on, and the answer still comes.
fn carry(socket: OwnedFd) -> io::Result<()> {
    // Files, because the standard library's streams hold back what does not end in a newline.
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut up = File::from(socket.try_clone()?);
    thread::spawn(move || {
        let _ = copy(&mut input, &mut up);
        let _ = shutdown(&up, Shutdown::Write);
    });
    copy(&mut File::from(socket), &mut output)
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
