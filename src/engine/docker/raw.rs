//! Reads the engine's JSON over HTTP, without bollard.
//!
//! bollard's enums are closed: one container in a state that it does not know, and the whole list fails. What is *read* comes
//! by this way, into `answer`, which takes anything; what is *told* goes by bollard. Both use the connections of `lines`.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use hyper::http::request::Builder;
use hyper::{Method, Request, Response};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::dial::Dialer;
use super::error::Failure;
use super::lines::{Lines, content};
use crate::engine::EngineErrorKind;

const DEADLINE: Duration = Duration::from_secs(30);

pub(super) struct Http {
    pub(super) dialer: Arc<Dialer>,
    pub(super) lines: Arc<Lines>,
    /// `/v1.41`; empty before the versions are agreed.
    prefix: String,
    slots: Semaphore,
    deadline: Duration,
}

impl Http {
    pub(super) fn new(dialer: Dialer) -> Self {
        let (slots, dialer) = (Semaphore::new(dialer.parallel()), Arc::new(dialer));
        Self { lines: Arc::new(Lines::new(Arc::clone(&dialer))), dialer, prefix: String::new(), slots, deadline: DEADLINE }
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
        let answer = tokio::time::timeout(self.deadline, Box::pin(self.exchange(&Method::GET, "/_ping", Bytes::new())));
        let answer = answer.await.map_err(|_| Failure::timeout(self.deadline.as_secs()))??;
        // Go's server says so to whoever does not begin with TLS.
        if answer.status() == 400 && String::from_utf8_lossy(answer.body()).contains("HTTPS server") {
            let hint = "`export DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=…`, with a folder that has `ca.pem`, `cert.pem` and `key.pem`";
            let failure = Failure::new(EngineErrorKind::Way, format!("the engine at `{}` speaks TLS", self.dialer.address));
            return Err(failure.hinting(vec![hint.to_owned()]));
        }
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
        let answer = tokio::time::timeout(self.deadline, Box::pin(self.exchange(method, path, body)));
        let (head, body) = answer.await.map_err(|_| Failure::timeout(self.deadline.as_secs()))??.into_parts();
        if !head.status.is_success() {
            return Err(Failure::answered(head.status.as_u16(), &refusal(&body)));
        }
        Ok(body)
    }

    async fn exchange(&self, method: &Method, path: &str, body: Bytes) -> Result<Response<Bytes>, Failure> {
        let ask = async |anew: bool| {
            let request = self.request(method, path).header("Content-Type", "application/json").body(content(body.clone()));
            let request = request.expect("paths are encoded and headers are constants");
            let (answer, line) = if anew { self.lines.send_anew(request).await? } else { self.lines.send(request).await? };
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(|error| Failure::broken(&error))?.to_bytes();
            self.lines.keep(line);
            Ok::<_, Failure>(Response::from_parts(head, body))
        };
        match ask(false).await {
            // A kept connection may have been closed just now: reading once more on another is safe, telling twice is not.
            Err(failure) if *method == Method::GET && failure.is_broken_off() => ask(true).await,
            done => done,
        }
    }

    /// The beginning of a request: where to, and in which version.
    pub(super) fn request(&self, method: &Method, path: &str) -> Builder {
        Request::builder().method(method).uri(format!("{}{path}", self.prefix)).header("Host", self.dialer.address.host())
    }
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
