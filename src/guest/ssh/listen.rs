//! The server's own listeners: on every address of the machine, and on the socket in its home.

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;

use super::auth::Peer;
use super::limits::MISSED;
use super::{Server, connection};
use crate::guest::log;
use crate::guest::{status, users};
use crate::types::GUEST_SOCKET;
use crate::types::SshdStatus;

const BACKLOG: i32 = 128;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
const SHORTAGE: Duration = Duration::from_millis(100);

/// What listens, each with the address that it was opened for.
#[derive(Default)]
struct Open(Vec<(Place, JoinHandle<()>)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Network(SocketAddr),
    Socket,
}

impl Open {
    /// Closes what is not wanted any more. It is closed when this returns.
    async fn keep(&mut self, wanted: &[Place]) {
        let (keep, close): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.0).into_iter().partition(|(place, task)| wanted.contains(place) && !task.is_finished());
        self.0 = keep;
        for (_, task) in close {
            task.abort();
            let _ = task.await;
        }
    }

    fn has(&self, place: Place) -> bool {
        self.0.iter().any(|(open, _)| *open == place)
    }
}

/// For ever: what is wanted is open, or is tried again, and the status says which.
pub(crate) async fn follow(server: &Arc<Server>) {
    let mut settings = server.settings.subscribe();
    let mut open = Open::default();
    let mut told = SshdStatus { error: None, listening: vec!["nothing yet".to_owned()] };
    let mut retry = FIRST_RETRY;
    loop {
        let port = settings.borrow_and_update().port;
        let wanted = port.map_or(vec![], |port| {
            vec![Place::Network((Ipv4Addr::UNSPECIFIED, port).into()), Place::Network((Ipv6Addr::UNSPECIFIED, port).into()), Place::Socket]
        });
        open.keep(&wanted).await;
        // Whoever is to be able to log in, and is not there: also one that a machine's program has yet to make.
        let mut errors = port.map_or(vec![], |_| users::missing(settings.borrow().users.keys()));
        for place in &wanted {
            if !open.has(*place)
                && let Err(error) = start(server, &mut open, *place)
            {
                errors.push(error);
            }
        }
        let error = (!errors.is_empty()).then(|| errors.join("; "));
        let listening = open.0.iter().filter_map(|(place, _)| match place {
            Place::Network(address) => Some(address.to_string()),
            Place::Socket => None,
        });
        let status = SshdStatus { error, listening: listening.collect() };
        if status != told {
            tell(&server.home, &status);
            told = status;
        }
        let wait = async {
            if told.error.is_none() {
                pending::<()>().await;
            }
            tokio::time::sleep(retry).await;
        };
        tokio::select! {
            changed = settings.changed() => {
                retry = FIRST_RETRY;
                if changed.is_err() {
                    return;
                }
            }
            () = wait => retry = (retry * 2).min(LONGEST_RETRY),
        }
    }
}

/// The server cannot be at all.
pub(crate) fn fail(home: &Path, error: &str) {
    tell(home, &SshdStatus { error: Some(error.to_owned()), listening: vec![] });
}

fn tell(home: &Path, told: &SshdStatus) {
    status::say(told);
    if let Err(error) = status::write(home, told) {
        log::line(&format!("ssh: the status cannot be written to {}: {error}", home.display()));
    }
}

fn start(server: &Arc<Server>, open: &mut Open, place: Place) -> Result<(), String> {
    let server = Arc::clone(server);
    let task = match place {
        Place::Network(address) => match tcp(address) {
            Ok(listener) => tokio::spawn(accept(server, listener)),
            // A kernel without IPv6 is not a fault.
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if address.is_ipv6() => return Ok(()),
            Err(Errno::ADDRINUSE) => return Err(format!("port {} is in use in this machine ({address})", address.port())),
            Err(error) => return Err(format!("cannot listen on {address}: {error}")),
        },
        Place::Socket => {
            let path = server.home.join(GUEST_SOCKET);
            let listener = unix(&path).map_err(|error| format!("cannot listen on {}: {error}", path.display()))?;
            tokio::spawn(accept_trusted(server, listener))
        }
    };
    open.0.push((place, task));
    Ok(())
}

fn tcp(address: SocketAddr) -> rustix::io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket: OwnedFd = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    TcpListener::from_std(socket.into()).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Only root, or whoever this server is, can connect to it.
fn unix(path: &Path) -> io::Result<UnixListener> {
    // One of a server that was killed. Anything else there is not ours to remove.
    if std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    listener
}

async fn accept(server: Arc<Server>, listener: TcpListener) {
    loop {
        let Ok((stream, client)) = listener.accept().await else {
            tokio::time::sleep(SHORTAGE).await;
            continue;
        };
        let Some(place) = server.connections.admit(Some(client.ip())) else {
            server.audit.refuse(&format!("{client} is turned away: too many connections that have not logged in"));
            continue;
        };
        let Ok(local) = prepare(&stream, server.times.keepalive) else { continue };
        tokio::spawn(connection(Arc::clone(&server), stream, Peer::Network { client, server: local }, place));
    }
}

/// Keys go at once, and a client whose host has vanished is noticed also when nothing is read from it.
fn prepare(stream: &TcpStream, keepalive: Duration) -> io::Result<SocketAddr> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, keepalive)?;
    sockopt::set_tcp_keepintvl(stream, keepalive)?;
    sockopt::set_tcp_keepcnt(stream, MISSED)?;
    stream.local_addr()
}

async fn accept_trusted(server: Arc<Server>, listener: UnixListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(SHORTAGE).await;
            continue;
        };
        // The socket's mode says so already; the kernel says it once more.
        let own = rustix::process::geteuid().as_raw();
        if !stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own) {
            continue;
        }
        if let Some(place) = server.connections.admit(None) {
            tokio::spawn(connection(Arc::clone(&server), stream, Peer::Engine, place));
        }
    }
}
