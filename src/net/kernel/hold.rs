//! Who works on a project's network: one at a time on a host, whichever engine, user or computer it is for.
//!
//! A socket with an abstract name, in the host's namespace: it goes with the process that holds it, needs no folder, and is seen by
//! everybody who works there, in whatever container.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, UCred};

use super::error::Refused;
use crate::types::Name;

/// Work on a project's network, until it is dropped.
pub struct Hold {
    /// Nothing where a stranger has the name, who may keep nobody from work.
    _socket: Option<UnixListener>,
}

/// Nobody accepts what comes here: a queue that is full must keep nobody waiting.
fn holder(project: &Name) -> Result<UCred, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(format!("fly/{project}").as_bytes())?)?;
    socket_peercred(&socket)
}

/// In the namespace of the calling thread. Nothing: somebody else is at it.
pub(super) fn take(project: &Name) -> Result<Option<Hold>, Refused> {
    let address = SocketAddr::from_abstract_name(format!("fly/{project}"))?;
    match UnixListener::bind_addr(&address) {
        Ok(socket) => Ok(Some(Hold { _socket: Some(socket) })),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            // Anybody may take a name; only root works on links.
            let is_strangers = holder(project).is_ok_and(|holder| !holder.uid.is_root());
            Ok(is_strangers.then_some(Hold { _socket: None }))
        }
        Err(error) => Err(error.into()),
    }
}
