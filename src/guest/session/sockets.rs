//! Unix sockets with the user's own rights: made here, and handed to the server through the socket that is this process's standard input.
//!
//! Only the user's own process can say what the user may connect to or where it may write; the server, which is root, could not ask the
//! kernel without a race.

use std::ffi::OsStr;
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::umask;
use rustix::rand::{GetRandomFlags, getrandom};

use super::super::log;
use super::BROKEN;

/// Connects to a socket and hands the connection over.
pub(super) fn connect(path: &OsStr) -> ExitCode {
    result(UnixStream::connect(path).and_then(|socket| hand_over(&socket, path)))
}

/// Listens at a path. The path goes when the server lets go of this process.
pub(super) fn listen(path: &OsStr) -> ExitCode {
    result(listen_at(Path::new(path)).and_then(|()| remove(Path::new(path))))
}

/// Listens for the agent in a folder that is the user's alone.
pub(super) fn agent() -> ExitCode {
    result(private_folder().and_then(|folder| {
        let path = folder.join(format!("agent.{}", std::process::id()));
        let listened = listen_at(&path).and_then(|()| remove(&path));
        std::fs::remove_dir(&folder)?;
        listened
    }))
}

fn listen_at(path: &Path) -> io::Result<()> {
    let before = umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    umask(before);
    hand_over(&listener?, path.as_os_str())?;
    // Until the server closes its end, or dies.
    let mut end = [0; 1];
    while io::stdin().read(&mut end)? > 0 {}
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn private_folder() -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom(&mut random, GetRandomFlags::empty())?;
    let folder = PathBuf::from(format!("/tmp/ssh-{:016x}", u64::from_ne_bytes(random)));
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    Ok(folder)
}

/// The path as text, with the socket beside it.
fn hand_over(socket: &impl AsFd, path: &OsStr) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let sockets = [socket.as_fd()];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::Error::other("no room for the socket"));
    }
    let text = path.as_encoded_bytes();
    sendmsg(io::stdin(), &[IoSlice::new(text)], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

/// In the log of the server, which is this process's standard error.
fn result(done: io::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(&format!("ssh: a unix socket: {error}"));
            ExitCode::from(BROKEN)
        }
    }
}
