//! A few words of HTTP to the engine: faster than starting its client, and independent of the code under test.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

pub(super) struct Api {
    socket: PathBuf,
}

impl Api {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub(super) fn ping(&self) -> Result<(), String> {
        self.request("GET /_ping", &[]).map(|_| ())
    }

    /// The answer to a GET; panics when it is not a success.
    pub(super) fn get(&self, path: &str) -> Value {
        let body = self.text(path);
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("GET {path}: {error}: {body}"))
    }

    /// The same, as it comes.
    pub(super) fn text(&self, path: &str) -> String {
        self.request(&format!("GET {path}"), &[]).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Loads an archive of images.
    pub(super) fn load(&self, archive: &[u8]) {
        let answer = self.request("POST /images/load?quiet=1", archive);
        assert!(answer.as_ref().is_ok_and(|it| !it.contains("\"error\"")), "loading the images: {answer:?}");
    }

    /// HTTP/1.0: the answer is not chunked and ends with the connection.
    fn request(&self, what: &str, body: &[u8]) -> Result<String, String> {
        let text = |error: std::io::Error| error.to_string();
        let mut stream = UnixStream::connect(&self.socket).map_err(text)?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(text)?;
        let head = format!("{what} HTTP/1.0\r\nHost: lab\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).map_err(text)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(text)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("no answer: {answer}"))?;
        if head.split(' ').nth(1) == Some("200") { Ok(body.to_owned()) } else { Err(answer) }
    }
}
