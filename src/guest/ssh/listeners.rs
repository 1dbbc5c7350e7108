//! Listeners that a client has asked for: `-R` with ports and with unix sockets, and the agent's.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::auth::Login;
use super::forward::{Link, carry};
use super::helper::{self, Listening};
use super::limits::LISTENERS;

/// Below this only root may listen, as everywhere.
const PRIVILEGED: u16 = 1024;
/// When the kernel has no more files for us, it is asked again a little later.
const SHORTAGE: Duration = Duration::from_millis(100);

/// A task that ends with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Of one connection.
#[derive(Default)]
pub(crate) struct Listeners {
    tcp: HashMap<(String, u32), Vec<Task>>,
    unix: HashMap<String, Task>,
    agent: Option<(OsString, Task)>,
}

impl Listeners {
    fn full(&self) -> bool {
        self.tcp.len() + self.unix.len() >= LISTENERS
    }

    /// Listens for the client, on loopback whatever address it names, as OpenSSH without `GatewayPorts`. The port that it has become.
    pub(crate) fn listen(&mut self, link: &Link, login: &Login, address: &str, port: u32) -> Option<u32> {
        let wanted = u16::try_from(port).ok()?;
        let forbidden = wanted != 0 && wanted < PRIVILEGED && login.user.uid != 0;
        if forbidden || self.full() || (wanted != 0 && self.tcp.contains_key(&(address.to_owned(), port))) {
            return None;
        }
        let sockets = bind(wanted).ok()?;
        let actual = sockets.first()?.local_addr().ok()?.port().into();
        let tasks =
            sockets.into_iter().map(|socket| Task(tokio::spawn(accept_tcp(link.clone(), socket, address.to_owned(), actual)))).collect();
        self.tcp.insert((address.to_owned(), actual), tasks);
        Some(actual)
    }

    pub(crate) fn stop(&mut self, address: &str, port: u32) -> bool {
        self.tcp.remove(&(address.to_owned(), port)).is_some()
    }

    pub(crate) async fn listen_at(&mut self, link: &Link, login: &Login, path: &str) -> bool {
        if self.full() || self.unix.contains_key(path) || path.is_empty() {
            return false;
        }
        let Ok(listening) = helper::listen(login, OsStr::new(path)).await else { return false };
        let task = Task(tokio::spawn(accept_unix(link.clone(), listening, Some(path.to_owned()))));
        self.unix.insert(path.to_owned(), task);
        true
    }

    pub(crate) fn stop_at(&mut self, path: &str) -> bool {
        self.unix.remove(path).is_some()
    }

    /// The socket to the client's agent: one for all sessions of a connection.
    pub(crate) async fn agent(&mut self, link: &Link, login: &Login) -> Option<OsString> {
        if let Some((path, _)) = &self.agent {
            return Some(path.clone());
        }
        let listening = helper::agent(login).await.ok()?;
        let path = listening.path.clone();
        let task = Task(tokio::spawn(accept_unix(link.clone(), listening, None)));
        self.agent = Some((path.clone(), task));
        Some(path)
    }
}

/// Both loopback addresses, on one port. The second one may be missing, as IPv6 may.
fn bind(port: u16) -> io::Result<Vec<TcpListener>> {
    let listen = |address: SocketAddr| {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    let first = listen((Ipv4Addr::LOCALHOST, port).into())?;
    let port = first.local_addr()?.port();
    let second = listen((Ipv6Addr::LOCALHOST, port).into());
    Ok([Ok(first), second].into_iter().flatten().collect())
}

async fn accept_tcp(link: Link, listener: TcpListener, address: String, port: u32) {
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(SHORTAGE).await;
            continue;
        };
        let Ok(room) = link.room.clone().try_acquire_owned() else { continue };
        let _ = stream.set_nodelay(true);
        let (link, address) = (link.clone(), address.clone());
        tokio::spawn(async move {
            let opened = link.handle.channel_open_forwarded_tcpip(address, port, from.ip().to_string(), from.port().into());
            if let Some(Ok(channel)) = link.alive(opened).await {
                carry(&link, channel, stream).await;
            }
            drop(room);
        });
    }
}

/// With a path it is a forwarded socket, without one the agent's.
async fn accept_unix(link: Link, listening: Listening, path: Option<String>) {
    loop {
        let Ok((stream, _)) = listening.listener.accept().await else {
            tokio::time::sleep(SHORTAGE).await;
            continue;
        };
        let Ok(room) = link.room.clone().try_acquire_owned() else { continue };
        let (link, path) = (link.clone(), path.clone());
        tokio::spawn(async move {
            let opened = async {
                match path {
                    Some(path) => link.handle.channel_open_forwarded_streamlocal(path).await,
                    None => link.handle.channel_open_agent().await,
                }
            };
            if let Some(Ok(channel)) = link.alive(opened).await {
                carry(&link, channel, stream).await;
            }
            drop(room);
        });
    }
}
