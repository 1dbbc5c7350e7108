//! A socket between fly and the engine that passes everything on and writes down what was asked.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::api::Api;

/// Records `METHOD /path?query` of every request, without the API version.
pub(crate) struct Proxy {
    socket: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    engine: PathBuf,
    seen: Mutex<Vec<String>>,
    /// Requests that are answered with a failure and do not reach the engine: a part of their record, and the status.
    refused: Mutex<Vec<(String, u16)>>,
    /// Requests that wait: a part of their record.
    held: Mutex<Option<String>>,
    over: AtomicBool,
}

impl Proxy {
    pub(super) fn start(socket: PathBuf, engine: PathBuf) -> Self {
        let listener = UnixListener::bind(&socket).expect("a socket in our own folder");
        // As the engine's own: for its group.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o660)).expect("our own socket");
        let over = AtomicBool::new(false);
        let shared = Arc::new(Shared { engine, seen: Mutex::default(), refused: Mutex::default(), held: Mutex::default(), over });
        let state = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if state.over.load(Ordering::Relaxed) {
                    return;
                }
                let state = Arc::clone(&state);
                // A connection that breaks is the client's to notice, as with the engine itself.
                thread::spawn(move || serve(&client, &state));
            }
        });
        Self { socket, shared }
    }

    /// For `DOCKER_HOST`.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.seen.lock().expect("no holder panics").clone()
    }

    /// Those that may change something: all but GET and HEAD. A helper that fly had beside the engine, as whoever may use the engine
    /// and nothing else has one, is no change: its own container and image come and go with it.
    pub(crate) fn mutations(&self) -> Vec<String> {
        let requests = self.requests();
        let helpers = self.helpers(&requests);
        let mut unnamed = helpers.len();
        let mut is_helpers = |it: &str| {
            let is_image = it.contains("repo=fly-guest&") || it.starts_with("DELETE /images/fly-guest");
            let is_container = helpers.iter().any(|id| it.starts_with(&format!("POST /containers/{id}/")));
            // The only container that fly gives no name; one for each.
            let is_creation = it == "POST /containers/create" && unnamed > 0;
            unnamed -= usize::from(is_creation);
            is_container || is_creation || (is_image && !helpers.is_empty())
        };
        let mut changes: Vec<String> = requests.into_iter().filter(|it| !(it.starts_with("GET ") || it.starts_with("HEAD "))).collect();
        changes.retain(|it| !is_helpers(it));
        changes
    }

    /// The ids of the helpers that were started by these requests, by the label that the engine has seen.
    fn helpers(&self, requests: &[String]) -> Vec<String> {
        let filters = "%7B%22label%22%3A%5B%22fly.helper%22%5D%2C%22event%22%3A%5B%22create%22%5D%7D";
        let events = Api::new(self.shared.engine.clone()).text(&format!("/events?since=0&until={}&filters={filters}", seconds()));
        let events: Vec<serde_json::Value> = events.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let ids = events.iter().filter_map(|event| event["Actor"]["ID"].as_str().map(str::to_owned));
        ids.filter(|id| requests.iter().any(|it| *it == format!("POST /containers/{id}/start"))).collect()
    }

    /// Forgets what it has seen.
    pub(crate) fn clear(&self) {
        self.shared.seen.lock().expect("no holder panics").clear();
    }

    /// From now on answers requests whose record contains `part` with `status`, in the engine's place.
    pub(crate) fn refuse(&self, part: &str, status: u16) {
        self.shared.refused.lock().expect("no holder panics").push((part.to_owned(), status));
    }
}

impl Proxy {
    /// From now on requests whose record contains `part` wait on their way to the engine, until the test has acted.
    pub(crate) fn hold(&self, part: &str) {
        *self.shared.held.lock().expect("no holder panics") = Some(part.to_owned());
    }

    pub(crate) fn let_go(&self) {
        *self.shared.held.lock().expect("no holder panics") = None;
    }
}

/// Since 1970, until now.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() + 1)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Wakes the listener, which then ends.
        let _ = UnixStream::connect(&self.socket);
    }
}

/// One connection, request by request; the answers are copied as they come.
fn serve(client: &UnixStream, shared: &Shared) -> io::Result<()> {
    let engine = UnixStream::connect(&shared.engine)?;
    let (mut back, mut to_client) = (engine.try_clone()?, client.try_clone()?);
    let answers = thread::spawn(move || {
        let _ = io::copy(&mut back, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
    let _ = requests(client, &engine, shared);
    let _ = engine.shutdown(Shutdown::Write);
    let _ = answers.join();
    Ok(())
}

fn requests(client: &UnixStream, mut engine: &UnixStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let record = record(&head);
        let refused = shared.refused.lock().expect("no holder panics").clone();
        shared.seen.lock().expect("no holder panics").push(record.clone());
        while shared.held.lock().expect("no holder panics").as_ref().is_some_and(|part| record.contains(part)) {
            thread::sleep(Duration::from_millis(2));
        }
        if let Some((_, status)) = refused.iter().find(|(part, _)| record.contains(part)) {
            body(&head, &mut reader, &mut io::sink())?;
            return refuse(client, *status);
        }
        engine.write_all(head.as_bytes())?;
        if header(&head, "upgrade").is_some() {
            // From here on it is no longer HTTP.
            io::copy(&mut reader, &mut engine)?;
            return Ok(());
        }
        body(&head, &mut reader, &mut engine)?;
    }
}

fn refuse(mut client: &UnixStream, status: u16) -> io::Result<()> {
    let text = r#"{"message":"refused by the test"}"#;
    write!(
        client,
        "HTTP/1.1 {status} Refused\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )?;
    client.shutdown(Shutdown::Both)
}

/// Passes a request's body on.
fn body(head: &str, reader: &mut impl BufRead, to: &mut impl Write) -> io::Result<()> {
    if let Some(length) = header(head, "content-length").and_then(|it| it.parse().ok()) {
        io::copy(&mut reader.by_ref().take(length), to)?;
    }
    let mut chunked = header(head, "transfer-encoding").is_some_and(|it| it.contains("chunked"));
    while chunked {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        to.write_all(line.as_bytes())?;
        let size = line.split([';', '\r']).next().unwrap_or_default();
        let size = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        // The chunk and the line end behind it; behind the last one, where there are no trailers, the empty line.
        io::copy(&mut reader.by_ref().take(size + 2), to)?;
        chunked = size > 0;
    }
    Ok(())
}

fn header(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_ascii_lowercase())
}

/// `POST /v1.41/containers/create?name=x HTTP/1.1` as `POST /containers/create?name=x`.
fn record(head: &str) -> String {
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.strip_prefix("http://localhost").unwrap_or(path);
    let version = path.split('/').nth(1).filter(|it| it.starts_with("v1."));
    let path = version.map_or(path, |version| &path[version.len() + 1..]);
    format!("{method} {path}")
}
