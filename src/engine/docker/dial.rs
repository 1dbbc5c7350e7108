//! One way to a connection with the engine, whatever leads there. All that speaks to it speaks over one of these.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_user_timeout};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::address::{Address, DEFAULT};
use super::error::Failure;
use super::ssh::Logins;
use super::tls::Client;
use crate::engine::EngineEndpoint;

/// A connection.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
pub(super) type Stream = Box<dyn Duplex>;

pub(super) struct Dialer {
    pub(super) address: Address,
    way: Way,
}

enum Way {
    /// The address says all.
    Plain,
    Tls(Client),
    Ssh(Arc<Logins>),
}

impl Dialer {
    pub(super) fn new(endpoint: &EngineEndpoint) -> Result<Self, Failure> {
        let text = endpoint.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(DEFAULT);
        let address = Address::parse(text, endpoint.tls.is_some())?;
        let way = match &address {
            Address::Unix(_) | Address::Tcp(_) => Way::Plain,
            Address::Tls(host) => Way::Tls(Client::new(host, endpoint.tls.as_ref())?),
            Address::Ssh(ssh) => Way::Ssh(Logins::new(ssh.clone(), endpoint.private.as_deref().map(Path::to_owned))),
        };
        Ok(Self { address, way })
    }

    pub(super) async fn dial(&self) -> Result<Stream, Failure> {
        match (&self.address, &self.way) {
            (Address::Unix(path), _) => Ok(Box::new(UnixStream::connect(path).await.map_err(|error| self.refused(&error))?)),
            (_, Way::Tls(client)) => client.wrap(self.tcp().await?).await,
            (_, Way::Ssh(logins)) => logins.connect().await,
            _ => Ok(Box::new(self.tcp().await?)),
        }
    }

    async fn tcp(&self) -> Result<TcpStream, Failure> {
        let stream = TcpStream::connect(self.address.host()).await.map_err(|error| self.refused(&error))?;
        // Small requests, each waited for, and keys that are pressed: gathering them only delays.
        stream.set_nodelay(true).map_err(|error| self.refused(&error))?;
        // A host that has gone away without a word is noticed within a minute.
        let kept = set_socket_keepalive(&stream, true)
            .and_then(|()| set_tcp_keepidle(&stream, Duration::from_secs(20)))
            .and_then(|()| set_tcp_keepintvl(&stream, Duration::from_secs(10)))
            .and_then(|()| set_tcp_keepcnt(&stream, 3))
            .and_then(|()| set_tcp_user_timeout(&stream, 60_000));
        kept.map_err(|error| self.refused(&error.into()))?;
        Ok(stream)
    }

    fn refused(&self, error: &io::Error) -> Failure {
        Failure::connecting(&self.address, error)
    }

    /// Requests that are worth being under way at one time. Over ssh each new connection is a program that starts there.
    pub(super) fn parallel(&self) -> usize {
        if matches!(self.way, Way::Ssh(_)) { 6 } else { 16 }
    }
}
