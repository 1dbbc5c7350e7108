//! An engine of canned answers on a socket.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// Answers by path, version and query left out; what is not there is 404, null is never answered.
pub(super) struct Server {
    answers: BTreeMap<String, Value>,
    /// After so many answers a connection is closed without a word.
    patience: u32,
    pub(super) connections: AtomicU32,
    socket: PathBuf,
}

impl Server {
    pub(super) fn start(answers: BTreeMap<String, Value>, patience: u32) -> Arc<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let file = format!("fly-canned-{}-{}.sock", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let socket = PathBuf::from("/tmp").join(file);
        let listener = UnixListener::bind(&socket).unwrap();
        let server = Arc::new(Self { answers, patience, connections: AtomicU32::new(0), socket });
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::Relaxed);
                let serving = Arc::clone(&serving);
                tokio::spawn(async move { serving.serve(stream).await });
            }
        });
        server
    }

    pub(super) fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    async fn serve(&self, mut stream: UnixStream) {
        for _ in 0..self.patience {
            let Some(path) = request(&mut stream).await else { return };
            let (status, body) = match self.answers.get(&path) {
                None if path == "/_ping" => ("200 OK", "OK".to_owned()),
                None => ("404 Not Found", r#"{"message":"No such thing"}"#.to_owned()),
                Some(Value::Null) => return std::future::pending().await,
                Some(answer) => ("200 OK", answer.to_string()),
            };
            let head = format!("HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nContent-Length: {}\r\n\r\n", body.len());
            if stream.write_all((head + &body).as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The file alone: whoever listens on it ends with the test's runtime.
        let _ = std::fs::remove_file(&self.socket);
    }
}

async fn request(stream: &mut UnixStream) -> Option<String> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(text).ok()?;
    let path = text.split(' ').nth(1)?.split('?').next()?;
    let path = path.strip_prefix("/v1.41").unwrap_or(path);
    Some(path.to_owned())
}
