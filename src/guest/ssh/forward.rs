//! Forwarded connections, both ways, of TCP and of unix sockets.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::server::{ChannelOpenHandle, Handle, Msg};
use russh::{Channel, ChannelOpenFailure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use super::auth::Login;
use super::channels::{Channels, Input, Output, Words, feed, pour};
use super::session::Setup;
use super::transport::Gate;
use super::{helper, resolve};

const CONNECT: Duration = Duration::from_secs(20);
/// What the client gets to close a channel that is done, so that both sides forget it.
const CLOSE: Duration = Duration::from_secs(5);
/// What is left of a closed channel gets this long to be taken.
const DELIVER: Duration = Duration::from_secs(60);
const CHUNK: usize = 32 * 1024;

/// A channel that nobody works for yet.
pub(crate) enum Waiting {
    /// A session, for what it is to do.
    Session(Box<Setup>),
    /// One that this side has opened, for the task that has asked for it.
    Opened(Input, Words),
}

/// What the tasks of a connection share.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) channels: Arc<Channels<Waiting>>,
    /// Of channels that this side opens, which the client may leave unanswered.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) handle: Handle,
    /// Ends with the connection.
    pub(crate) gone: watch::Receiver<()>,
}

impl Link {
    /// Until the connection is gone: then `None`.
    pub(crate) async fn alive<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut gone = self.gone.clone();
        tokio::select! {
            result = work => Some(result),
            // Only its end is of interest, and nothing is ever sent.
            _ = gone.changed() => None,
        }
    }
}

/// Where the client wants to be connected to.
pub(crate) enum Target {
    Tcp(String, u32),
    Unix(OsString),
}

/// `-L` and `-D`: the channel is confirmed when the connection stands, as clients expect.
pub(crate) fn direct(link: Link, login: Arc<Login>, target: Target, channel: Channel<Msg>, reply: ChannelOpenHandle) {
    let (tap, input, words) = feed(&link.gate);
    // Counted at once, and not when the task first runs: a client may open many in one breath.
    link.channels.insert(channel.id(), tap, None);
    tokio::spawn(reach(link, login, target, channel, reply, input, words));
}

async fn reach(link: Link, login: Arc<Login>, target: Target, channel: Channel<Msg>, reply: ChannelOpenHandle, input: Input, words: Words) {
    let id = channel.id();
    let (reader, half) = channel.split();
    drop(reader);
    let output = Output { half, gate: Arc::clone(&link.gate) };
    match target {
        Target::Tcp(host, port) => match link.alive(tokio::time::timeout(CONNECT, tcp(&host, port))).await {
            Some(Ok(Ok(stream))) => {
                reply.accept().await;
                relay(stream, output, input, words).await;
            }
            _ => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        },
        Target::Unix(path) => match link.alive(helper::connect(&login, &path)).await {
            Some(Ok(stream)) => {
                reply.accept().await;
                relay(stream, output, input, words).await;
            }
            _ => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        },
    }
    link.channels.remove(id);
}

async fn tcp(host: &str, port: u32) -> io::Result<TcpStream> {
    let port = u16::try_from(port).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for address in resolve::addresses(host).await? {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Both ways, each with its own end; over when both have ended, or the client closes.
async fn relay(stream: impl AsyncRead + AsyncWrite, output: Output, mut input: Input, mut words: Words) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let inwards = async {
        // Somebody who takes no more may still have something to say.
        let _ = pour(&mut input, &mut writer).await;
        while input.next().await.is_some() {}
    };
    let outwards = async {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count) = reader.read(&mut buffer).await {
            if count == 0 || !output.send(None, buffer.get(..count).unwrap_or_default().to_vec()).await {
                break;
            }
        }
        let _ = output.half.eof().await;
    };
    let closed = async { while words.recv().await.is_some() {} };
    tokio::pin!(inwards, outwards, closed);
    let (mut all_in, mut all_out, mut over) = (false, false, false);
    while !(over || all_in && all_out) {
        tokio::select! {
            () = &mut inwards, if !all_in => all_in = true,
            () = &mut outwards, if !all_out => all_out = true,
            () = &mut closed => over = true,
        }
    }
    if !over {
        let _ = tokio::time::timeout(CLOSE, closed).await;
    } else if !all_in {
        // Closed is not cut off: what came before is still delivered.
        let _ = tokio::time::timeout(DELIVER, inwards).await;
    }
    let _ = output.half.close().await;
}

/// A channel that this side has opened, for somebody who has connected here.
pub(crate) async fn carry(link: &Link, channel: Channel<Msg>, stream: impl AsyncRead + AsyncWrite) {
    let id = channel.id();
    let (reader, half) = channel.split();
    drop(reader);
    // Made when the client confirmed the channel: its first data may have come before this task ran again.
    if let Some(Waiting::Opened(input, words)) = link.channels.take(id) {
        let output = Output { half, gate: Arc::clone(&link.gate) };
        relay(stream, output, input, words).await;
    }
    link.channels.remove(id);
}
