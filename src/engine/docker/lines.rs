//! Connections for requests, one request at a time on each. A few are kept open: the second observation costs no connect.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::{BollardRequest, ClientVersion};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;

use super::dial::Dialer;
use super::error::Failure;

/// What a request carries.
pub(super) type Content = UnsyncBoxBody<Bytes, io::Error>;

/// Connections kept; one more would be closed.
const KEPT: usize = 16;

pub(super) fn content(bytes: impl Into<Bytes>) -> Content {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(super) struct Line(SendRequest<Content>);

#[derive(Default)]
struct Kept {
    /// Their answers have been read to the end.
    idle: Vec<Line>,
    /// Perhaps not yet.
    busy: Vec<Line>,
}

pub(super) struct Lines {
    dialer: Arc<Dialer>,
    kept: Mutex<Kept>,
}

impl Lines {
    pub(super) fn new(dialer: Arc<Dialer>) -> Self {
        Self { dialer, kept: Mutex::default() }
    }

    /// Returns when the answer begins. The line is free again when the answer has been read: `keep` it then.
    pub(super) async fn send(&self, mut request: Request<Content>) -> Result<(Response<Incoming>, Line), Failure> {
        while let Some(mut line) = self.kept().await {
            match line.0.try_send_request(request).await {
                Ok(answer) => return Ok((answer, line)),
                // It was closed before anything was written: on another one it is as new.
                Err(mut error) => match error.take_message() {
                    Some(again) => request = again,
                    None => return Err(Failure::broken(error.error())),
                },
            }
        }
        self.send_anew(request).await
    }

    /// The same on a connection that nobody has used before.
    pub(super) async fn send_anew(&self, request: Request<Content>) -> Result<(Response<Incoming>, Line), Failure> {
        let mut line = self.open().await?;
        let answer = line.0.send_request(request).await.map_err(|error| Failure::broken(&error))?;
        Ok((answer, line))
    }

    pub(super) fn keep(&self, line: Line) {
        self.put(line, |kept| &mut kept.idle);
    }

    fn put(&self, line: Line, which: impl Fn(&mut Kept) -> &mut Vec<Line>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let list = which(&mut kept);
        list.retain(|line| !line.0.is_closed());
        if list.len() < KEPT && !line.0.is_closed() {
            list.push(line);
        }
    }

    async fn kept(&self) -> Option<Line> {
        if self.take(|kept| kept.idle.first().or(kept.busy.first()).map(drop)).is_some() {
            // Let the connections notice what has happened meanwhile: that the engine has gone, or an answer come to its end.
            tokio::task::yield_now().await;
        }
        while let Some(mut line) = self.take(|kept| kept.idle.pop()) {
            if line.0.ready().await.is_ok() {
                return Some(line);
            }
        }
        self.take(|kept| {
            kept.busy.retain(|line| !line.0.is_closed());
            let free = kept.busy.iter().position(|line| line.0.is_ready())?;
            Some(kept.busy.swap_remove(free))
        })
    }

    fn take<T>(&self, what: impl FnOnce(&mut Kept) -> Option<T>) -> Option<T> {
        what(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn open(&self) -> Result<Line, Failure> {
        let stream = self.dialer.dial().await?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(|error| Failure::broken(&error))?;
        // It ends with the connection; what goes wrong on it is told to whoever waits for an answer.
        tokio::spawn(async move { drop(driver.await) });
        Ok(Line(sender))
    }
}

/// bollard, over the same connections.
pub(super) fn bollard(lines: Arc<Lines>, patience: u64, version: &ClientVersion) -> Result<bollard::Docker, Failure> {
    type Answer = Pin<Box<dyn Future<Output = Result<Response<Incoming>, bollard::errors::Error>> + Send>>;
    let transport = move |request: BollardRequest| -> Answer {
        let lines = Arc::clone(&lines);
        Box::pin(async move {
            let broken = |failure: Failure| bollard::errors::Error::IOError { err: io::Error::other(failure) };
            let request = ours(request, lines.dialer.address.host()).map_err(broken)?;
            let (answer, line) = lines.send(request).await.map_err(broken)?;
            lines.put(line, |kept| &mut kept.busy);
            Ok(answer)
        })
    };
    Ok(bollard::Docker::connect_with_custom_transport(transport, Some("http://docker"), patience, version)?)
}

/// To a server one says the path alone, and the host beside it.
fn ours(request: BollardRequest, host: &str) -> Result<Request<Content>, Failure> {
    let (mut head, body) = request.into_parts();
    let wrong = |error: &dyn std::error::Error| Failure::new(crate::engine::EngineErrorKind::Other, error.to_string());
    let path = head.uri.path_and_query().map_or("/", |it| it.as_str());
    head.uri = path.parse::<Uri>().map_err(|error| wrong(&error))?;
    head.headers.insert(HOST, HeaderValue::from_str(host).map_err(|error| wrong(&error))?);
    Ok(Request::from_parts(head, body.map_err(io::Error::other).boxed_unsync()))
}
