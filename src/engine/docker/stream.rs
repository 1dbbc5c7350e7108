//! Connections that carry a stream: each is opened for one request and belongs to it alone.
//!
//! Not by bollard, which makes lines and messages of what passes: a program's output, a console and an archive have to pass as they
//! come, at the speed of the socket, and the end of one direction must not be the end of the other.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};

use super::dial::Stream;
use super::error::Failure;
pub(super) use super::lines::Content;
use super::lines::content;
use super::raw::{Http, refusal};
use crate::engine::EngineErrorKind;
use crate::engine::session::{Input, Output, Session};

/// A refusal is a line of text.
const LONGEST_REFUSAL: usize = 64 << 10;

/// Nothing for `null`: the engine does not read what it hands a connection over with, and a program would get it as its input.
pub(super) fn json(body: &serde_json::Value) -> Content {
    content(if body.is_null() { String::new() } else { body.to_string() })
}

pub(super) fn nothing() -> Content {
    content(Bytes::new())
}

/// Asks, and returns when the answer begins; one that is no success is an error.
pub(super) async fn ask(http: &Http, method: Method, path: &str, kind: &str, content: Content) -> Result<Response<Incoming>, Failure> {
    let request = http.request(&method, path).header("Content-Type", kind).body(content);
    answer(http, request.expect("paths are encoded and headers are constants")).await
}

/// Asks for the connection itself: what follows the answer's head is the program's.
pub(super) async fn hijack(http: &Http, path: &str, body: &serde_json::Value, tty: bool, doing: String) -> Result<Session, Failure> {
    let request = http.request(&Method::POST, path).header("Content-Type", "application/json");
    let request = request.header("Connection", "Upgrade").header("Upgrade", "tcp").body(json(body));
    let answer = answer(http, request.expect("paths are encoded and headers are constants")).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::new(EngineErrorKind::Other, "the engine, or something before it, does not hand over its connection"));
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(|error| Failure::broken(&error))?;
    let parts = upgraded.downcast::<TokioIo<Stream>>().map_err(|_| Failure::new(EngineErrorKind::Other, "not our own connection"))?;
    let (reader, writer) = tokio::io::split(parts.io.into_inner());
    Ok(Session { input: Input::new(writer), output: Output::new(reader, &parts.read_buf, tty, doing) })
}

async fn answer(http: &Http, request: Request<Content>) -> Result<Response<Incoming>, Failure> {
    let stream = http.dialer.dial().await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| Failure::broken(&error))?;
    // It ends with the connection; what goes wrong on it is told to whoever waits for an answer.
    tokio::spawn(async move { drop(connection.with_upgrades().await) });
    let answer = sender.send_request(request).await.map_err(|error| Failure::broken(&error))?;
    if answer.status().is_success() || answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(answer);
    }
    let status = answer.status().as_u16();
    let text = Limited::new(answer.into_body(), LONGEST_REFUSAL).collect().await.map(http_body_util::Collected::to_bytes);
    Err(Failure::answered(status, &refusal(&text.unwrap_or_default())))
}

/// An answer's body, to be read as a stream.
pub(super) struct BodyReader {
    body: Incoming,
    rest: Bytes,
}

impl BodyReader {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, rest: Bytes::new() }
    }
}

impl AsyncRead for BodyReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        let length = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest.split_to(length));
        Poll::Ready(Ok(()))
    }
}
