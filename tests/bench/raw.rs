//! The engine's calls without fly, and without anything else: what `up` cannot be faster than.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A connection that is kept.
struct Connection(BufReader<UnixStream>);

impl Connection {
    fn open(socket: &Path) -> Self {
        Self(BufReader::new(UnixStream::connect(socket).unwrap()))
    }

    fn call(&mut self, method: &str, path: &str, body: &str) {
        let length = body.len();
        let request = format!(
            "{method} /v1.41{path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "{method} {path}: no answer");
            if line == "\r\n" {
                break;
            }
            if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
                length = value.trim().parse().unwrap();
            }
            head.push_str(&line);
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).unwrap();
        assert!(head.split(' ').nth(1).unwrap().starts_with('2'), "{method} {path}: {head}{}", String::from_utf8_lossy(&answer));
    }
}

/// Does the same for each of `count` containers, so many at a time.
fn each(socket: &Path, count: usize, parallel: usize, work: impl Fn(&mut Connection, usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..parallel {
            scope.spawn(|| {
                let mut connection = Connection::open(socket);
                while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|it| *it < count) {
                    work(&mut connection, number);
                }
            });
        }
    });
}

/// Creates and starts them with nothing but a loopback, and each knows every other by name: what fly has the engine do.
pub(crate) fn up(socket: &Path, count: usize, parallel: usize) {
    let hosts: Vec<String> = (0..count).map(|number| format!("\"m{number}:192.168.77.{}\"", 100 + number)).collect();
    let hosts = hosts.join(", ");
    each(socket, count, parallel, |connection, number| {
        let body = format!(
            r#"{{"Image": "fly/busybox:test", "Hostname": "m{number}", "Labels": {{"bench": "raw"}},
                "HostConfig": {{"NetworkMode": "none", "ExtraHosts": [{hosts}]}}}}"#
        );
        connection.call("POST", &format!("/containers/create?name=raw{number}"), &body);
        connection.call("POST", &format!("/containers/raw{number}/start"), "");
    });
}

pub(crate) fn down(socket: &Path, count: usize, parallel: usize) {
    each(socket, count, parallel, |connection, number| {
        connection.call("DELETE", &format!("/containers/raw{number}?force=1&v=1"), "");
    });
}
