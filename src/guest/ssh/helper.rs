//! Unix sockets of a user: made by a process of that user, and handed over (see `guest::session::sockets`).

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::process::Stdio;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};

use super::auth::Login;
use super::process;
use crate::guest::session::COMMAND;

/// For a process to start and do one thing.
const PATIENCE: Duration = Duration::from_secs(10);

/// A listener of the user's. Its path goes when this is dropped.
pub(crate) struct Listening {
    pub(crate) listener: UnixListener,
    pub(crate) path: OsString,
    /// The user's process waits for its end.
    _held: UnixStream,
}

pub(crate) async fn connect(login: &Login, path: &OsStr) -> io::Result<UnixStream> {
    let (socket, _, _) = ask(login, "connect", Some(path)).await?;
    let stream = std::os::unix::net::UnixStream::from(socket);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

pub(crate) async fn listen(login: &Login, path: &OsStr) -> io::Result<Listening> {
    listening(ask(login, "listen", Some(path)).await?)
}

pub(crate) async fn agent(login: &Login) -> io::Result<Listening> {
    listening(ask(login, "agent", None).await?)
}

fn listening((socket, path, held): (OwnedFd, OsString, UnixStream)) -> io::Result<Listening> {
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(Listening { listener: UnixListener::from_std(listener)?, path, _held: held })
}

/// The socket, the path that it has, and what holds the helper.
async fn ask(login: &Login, work: &str, path: Option<&OsStr>) -> io::Result<(OwnedFd, OsString, UnixStream)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let ours = UnixStream::from_std(ours)?;
    let mut command = process::command(login, work, false);
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
    if let Some(path) = path {
        command.env(COMMAND, path);
    }
    let mut child = command.spawn()?;
    // Its standard input is ours no more: a helper that ends is seen as an end.
    drop(command);
    let answer = tokio::time::timeout(PATIENCE, ours.async_io(Interest::READABLE, || receive(&ours))).await;
    tokio::spawn(async move { child.wait().await });
    let (socket, path) = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok((socket, path, ours))
}

fn receive(from: &UnixStream) -> io::Result<(OwnedFd, OsString)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0; 4096];
    let received = recvmsg(from, &mut [IoSliceMut::new(&mut text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let socket = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    let path = OsString::from_vec(text.get(..received.bytes).unwrap_or_default().to_vec());
    // What went wrong stands in the log: the helper has said it.
    Ok((socket.ok_or_else(|| io::Error::other("refused"))?, path))
}
