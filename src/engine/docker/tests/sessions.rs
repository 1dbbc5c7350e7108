//! Sessions with an engine that says exactly what is written here.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::block_on;
use crate::engine::session::{Channel, Exec, Found, LogQuery, Member, PathKind, Session};
use crate::engine::{Docker, EngineErrorKind as Kind, RunState};

const UPGRADE: &str =
    "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// Runs `test` with an engine in which `serve` answers every request but the first, of the connecting.
fn with_engine<S: Future<Output = ()> + Send + 'static, T: Future<Output = ()>>(
    serve: impl Fn(Request, UnixStream) -> S + Send + 'static,
    test: impl FnOnce(Docker) -> T,
) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let socket = PathBuf::from(format!("/tmp/fly-session-{}-{}.sock", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    block_on(async {
        let listener = UnixListener::bind(&socket).unwrap();
        let work = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read(&mut stream).await else { continue };
                match request.path.as_str() {
                    "/_ping" => stream.write_all(answer("200 OK", "OK").as_bytes()).await.unwrap(),
                    path if path.ends_with("/info") => stream.write_all(answer("200 OK", "{}").as_bytes()).await.unwrap(),
                    _ => drop(tokio::spawn(serve(request, stream))),
                }
            }
        });
        let docker = Docker::connect(Some(&format!("unix://{}", socket.display()))).await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), test(docker)).await.unwrap();
        work.abort();
    });
    let _ = std::fs::remove_file(&socket);
}

struct Request {
    line: String,
    path: String,
    head: String,
    body: Value,
}

/// With a body of known length at most.
async fn read(stream: &mut UnixStream) -> Option<Request> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let line = head.lines().next().unwrap().to_owned();
    let path = line.split(' ').nth(1).unwrap().trim_start_matches("/v1.41").to_owned();
    Some(Request { line, path, head, body: serde_json::from_slice(&body).unwrap_or_default() })
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn frame(channel: u8, bytes: &[u8]) -> Vec<u8> {
    [&[channel, 0, 0, 0][..], &u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn member() -> Member {
    Member {
        machine: "web".parse().unwrap(),
        id: "0123".into(),
        name: "shop.web".into(),
        state: RunState::Running,
        tty: false,
        stdin: true,
        started_at: String::new(),
    }
}

#[test]
fn a_command_goes_on_when_its_input_has_ended() {
    let serve = |request: Request, mut stream: UnixStream| async move {
        match request.path.as_str() {
            "/containers/shop.web/exec" => {
                assert_eq!(request.body["Cmd"], json!(["cat", "-"]));
                assert_eq!(
                    (&request.body["User"], &request.body["AttachStdin"], &request.body["Tty"]),
                    (&json!("1000"), &json!(true), &json!(false))
                );
                stream.write_all(answer("201 Created", r#"{"Id":"e1"}"#).as_bytes()).await.unwrap();
            }
            "/exec/e1/start" => {
                assert!(request.head.contains("upgrade: tcp"), "{}", request.head);
                // The first frame in the same breath as the head.
                stream.write_all(&[UPGRADE.as_bytes(), &frame(1, b"early ")].concat()).await.unwrap();
                let mut said = vec![];
                stream.read_to_end(&mut said).await.unwrap();
                stream.write_all(&frame(2, b"oh ")).await.unwrap();
                stream.write_all(&frame(1, &said)).await.unwrap();
            }
            "/exec/e1/json" => {
                stream.write_all(answer("200 OK", r#"{"Running":false,"ExitCode":7}"#).as_bytes()).await.unwrap();
            }
            other => panic!("{other}"),
        }
    };
    with_engine(serve, async |docker| {
        let exec = Exec { argv: vec!["cat".into(), "-".into()], user: Some("1000".into()), stdin: true, ..Exec::default() };
        let (execution, Session { mut input, output }) = docker.exec("shop.web", &exec).await.unwrap();
        input.write_all(b"some input").await.unwrap();
        input.shutdown().await.unwrap();
        let (mut stdout, mut stderr) = output.streams();
        let (mut out, mut err) = (String::new(), String::new());
        let (one, other) = tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err));
        assert_eq!((one.unwrap(), other.unwrap()), (16, 3));
        assert_eq!((out.as_str(), err.as_str()), ("early some input", "oh "));
        assert_eq!(execution.exit_code().await, Ok(7));
    });
}

#[test]
fn what_the_engine_refuses_is_said_in_its_words() {
    let serve = |request: Request, mut stream: UnixStream| async move {
        let text = match request.path.split('?').next().unwrap() {
            "/containers/gone/exec" => answer("404 Not Found", r#"{"message":"No such container: gone"}"#),
            "/containers/deaf/exec" => answer("201 Created", r#"{"Id":"deaf"}"#),
            "/exec/deaf/start" => answer("200 OK", "no upgrade"),
            "/containers/0123/logs" => answer("501 Not Implemented", r#"{"message":"the log driver does not support reading"}"#),
            "/containers/0123/archive" if request.line.starts_with("head") => {
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            // Before anything of the body is read.
            "/containers/0123/archive" => answer("403 Forbidden", r#"{"message":"mounted volume is marked read-only"}"#),
            other => panic!("{other}"),
        };
        stream.write_all(text.as_bytes()).await.unwrap();
    };
    with_engine(serve, async |docker| {
        let exec = |name: &'static str| {
            let docker = docker.clone();
            async move { docker.exec(name, &Exec { argv: vec!["ls".into()], ..Exec::default() }).await.map(drop).unwrap_err() }
        };
        let gone = exec("gone").await;
        assert_eq!((gone.kind, gone.to_string().as_str()), (Kind::NotFound, "run `ls` in gone: No such container: gone"));
        assert!(exec("deaf").await.message.contains("does not hand over its connection"));
        let log = docker.logs(&member(), &LogQuery::default()).await.map(drop).unwrap_err();
        assert_eq!(log.to_string(), "read the log of shop.web: the log driver does not support reading");
        assert_eq!(docker.stat(&member(), b"/no/such").await, Ok(None));
        let (tell, content) = mpsc::channel(1);
        let refused = docker.upload(&member(), b"/ro", false, content).await.unwrap_err();
        assert!(refused.message.contains("read-only"), "{refused}");
        assert!(tell.is_closed());
    });
}

#[test]
fn paths_and_times_are_asked_for_as_they_are() {
    let serve = |request: Request, mut stream: UnixStream| async move {
        let text = match request.path.as_str() {
            "/containers/0123/archive?path=/a%20b/%ff%26x%3d1" => {
                use base64::Engine as _;
                let stat = base64::engine::general_purpose::STANDARD.encode(r#"{"name":"x","size":5,"mode":420}"#);
                format!(
                    "HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: {stat}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
                )
            }
            "/containers/0123/logs?stdout=1&stderr=1&timestamps=1&follow=1&tail=3&since=1.000000001" => {
                let body = String::from_utf8(frame(2, b"2026-01-31T12:00:00Z oh\n")).unwrap();
                answer("200 OK", &body)
            }
            "/containers/shop.web/json" => answer("404 Not Found", "{}"),
            "/containers/shop.web.new/json" => answer(
                "200 OK",
                r#"{"Id":"9","Name":"/shop.web.new","State":{"Status":"running"},"Config":{"Tty":true,"Labels":{"fly.project":"shop","fly.machine":"web"}}}"#,
            ),
            path if path.starts_with("/images/") => answer("404 Not Found", "{}"),
            other => panic!("{other}"),
        };
        stream.write_all(text.as_bytes()).await.unwrap();
    };
    with_engine(serve, async |docker| {
        let (stat, mut download) = docker.download(&member(), b"/a b/\xff&x=1").await.unwrap();
        assert_eq!((stat.kind, stat.size), (PathKind::File, 5));
        let mut all = vec![];
        while download.read(&mut all).await.unwrap() {}
        assert_eq!(all, b"abcde");
        let query = LogQuery { follow: true, tail: Some(3), since: Some("1.000000001".into()), until: None };
        let mut log = docker.logs(&member(), &query).await.unwrap();
        let chunk = log.next().await.unwrap().unwrap();
        assert_eq!((chunk.channel, chunk.bytes, chunk.ends), (Channel::Stderr, &b"2026-01-31T12:00:00Z oh\n"[..], true));
        assert!(log.next().await.unwrap().is_none());
        // A replacement that was cut off before it got its name is the machine.
        let found = docker.member(&"shop".parse().unwrap(), &"web".parse().unwrap()).await.unwrap();
        assert!(matches!(found, Found::Ours(member) if member.name == "shop.web.new" && member.tty), "it is found");
    });
}
