//! Reads the engine's JSON over HTTP, without bollard.
//!
//! bollard's enums are closed: one container in a state that it does not know, and the whole list fails. What is *read* comes
//! by this way, into `answer`, which takes anything; what is *told* goes by bollard. A few connections are kept open: the
//! second observation costs no connect.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::http::request::Builder;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;

use super::address::Address;
use super::error::Failure;
use crate::engine::EngineErrorKind;

/// Requests under way at one time, and connections kept.
const PARALLEL: usize = 16;
const DEADLINE: Duration = Duration::from_secs(30);

type Connection = SendRequest<Full<Bytes>>;

pub(super) struct Http {
    pub(super) address: Address,
    /// `/v1.41`; empty before the versions are agreed.
    prefix: String,
    slots: Semaphore,
    idle: Mutex<Vec<Connection>>,
    deadline: Duration,
}

impl Http {
    pub(super) fn new(address: Address) -> Self {
        Self { address, prefix: String::new(), slots: Semaphore::new(PARALLEL), idle: Mutex::default(), deadline: DEADLINE }
    }

    pub(super) fn with_version(mut self, (major, minor): (u16, u16)) -> Self {
        self.prefix = format!("/v{major}.{minor}");
        self
    }

    #[cfg(test)]
    pub(super) fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(&Method::GET, path, Bytes::new()).await
    }

    /// What is not there is nothing, not an error.
    pub(super) async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(failure) if failure.is(404) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &serde_json::Value) -> Result<T, Failure> {
        self.call(&Method::POST, path, Bytes::from(body.to_string())).await
    }

    /// Versions of the API and of the engine, from the head of the cheapest answer: `/version` starts three programs.
    pub(super) async fn ping(&self) -> Result<(String, String), Failure> {
        let answer = tokio::time::timeout(self.deadline, self.exchange(&Method::GET, "/_ping", Bytes::new()));
        let answer = answer.await.map_err(|_| Failure::timeout(self.deadline.as_secs()))??;
        let header = |name: &str| answer.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
        Ok((header("Api-Version"), header("Server")))
    }

    /// Tells the engine something; what it answers does not matter, as long as it is no refusal.
    pub(super) async fn tell(&self, path: &str, body: &serde_json::Value) -> Result<(), Failure> {
        self.ask(&Method::POST, path, Bytes::from(body.to_string())).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(&self, method: &Method, path: &str, body: Bytes) -> Result<T, Failure> {
        let body = self.ask(method, path, body).await?;
        serde_json::from_slice(&body)
            .map_err(|error| Failure::new(EngineErrorKind::Other, format!("the answer to `{method} {path}` cannot be read: {error}")))
    }

    async fn ask(&self, method: &Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        // The queue is ours, so waiting in it is not the engine's slowness.
        let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
        let answer = tokio::time::timeout(self.deadline, self.exchange(method, path, body));
        let (head, body) = answer.await.map_err(|_| Failure::timeout(self.deadline.as_secs()))??.into_parts();
        if !head.status.is_success() {
            return Err(Failure::answered(head.status.as_u16(), &refusal(&body)));
        }
        Ok(body)
    }

    async fn exchange(&self, method: &Method, path: &str, body: Bytes) -> Result<Response<Bytes>, Failure> {
        // A kept connection may have been closed meanwhile: reading once more on a new one is safe, telling twice is not.
        if *method == Method::GET
            && let Some(mut connection) = self.kept()
            && let Ok(answer) = self.send(&mut connection, method, path, body.clone()).await
        {
            self.keep(connection);
            return Ok(answer);
        }
        let mut connection = self.connect().await?;
        let answer = self.send(&mut connection, method, path, body).await.map_err(|error| Failure::broken(&error))?;
        self.keep(connection);
        Ok(answer)
    }

    async fn send(&self, connection: &mut Connection, method: &Method, path: &str, body: Bytes) -> Result<Response<Bytes>, hyper::Error> {
        let request = self.request(method, path).header("Content-Type", "application/json").body(Full::new(body));
        let request = request.expect("paths are encoded and headers are constants");
        connection.ready().await?;
        let (head, body) = connection.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }

    /// The beginning of a request: where to, and in which version.
    pub(super) fn request(&self, method: &Method, path: &str) -> Builder {
        let host = match &self.address {
            Address::Unix(_) => "docker",
            Address::Tcp(host) => host,
        };
        Request::builder().method(method).uri(format!("{}{path}", self.prefix)).header("Host", host)
    }

    fn kept(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(|connection| !connection.is_closed())
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < PARALLEL && !connection.is_closed() {
            idle.push(connection);
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let refused = |error| Failure::connecting(&self.address, &error);
        match &self.address {
            Address::Unix(path) => shake(UnixStream::connect(path).await.map_err(refused)?).await,
            Address::Tcp(host) => {
                let stream = TcpStream::connect(host).await.map_err(refused)?;
                // Small requests, each waited for: gathering them only delays.
                stream.set_nodelay(true).map_err(refused)?;
                shake(stream).await
            }
        }
    }
}

async fn shake<S>(stream: S) -> Result<Connection, Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (connection, driver) = handshake(TokioIo::new(stream)).await.map_err(|error| Failure::broken(&error))?;
    // It ends with the connection; what goes wrong on it is told to whoever waits for an answer.
    tokio::spawn(async move { drop(driver.await) });
    Ok(connection)
}

/// The words of an answer that is no success.
pub(super) fn refusal(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    serde_json::from_slice(body).map_or_else(|_| String::from_utf8_lossy(body).chars().take(300).collect(), |it: Refusal| it.message)
}

/// A name or reference as part of a path; `/`, `:` and `@` belong to image references and stay.
pub(super) fn encode(text: impl AsRef<[u8]>) -> String {
    let mut path = String::with_capacity(text.as_ref().len());
    for &byte in text.as_ref() {
        if byte.is_ascii_alphanumeric() || b"-._~/:@".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push('%');
            for half in [byte >> 4, byte & 15] {
                path.push(char::from(b"0123456789ABCDEF"[usize::from(half)]));
            }
        }
    }
    path
}
