//! Clients that stall, flood or send rubbish: a bounded cost, and others get in all the same.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::lab::{Guest, eventually, noise, run};

pub(super) fn resident(guest: &Guest) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", guest.server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

pub(super) fn connect(guest: &Guest) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", guest.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    stream
}

/// How long the server bears it. `None`: longer than any client may take.
fn borne(mut stream: TcpStream) -> Option<Duration> {
    let start = Instant::now();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => return None,
            _ => return Some(start.elapsed()),
        }
    }
}

/// Who is turned away hears nothing; who is kept hears the greeting, and is shown out in the end.
fn greeted(mut stream: &TcpStream) -> bool {
    let mut heard = vec![];
    let ended = stream.read_to_end(&mut heard);
    let waited = ended.is_err_and(|error| matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
    assert!(!waited, "nobody stays for ever");
    heard.starts_with(b"SSH-2.0-fly")
}

#[test]
fn who_says_nothing_is_shown_out_and_others_get_in() {
    let guest = Guest::start_with_grace(6);
    // More than one address may hold; those above are turned away at once.
    let silent: Vec<TcpStream> = (0..40).map(|_| connect(&guest)).collect();
    let mut half = connect(&guest);
    let _ = half.write_all(b"SSH-2.0-half\r\n");
    guest.until("some are turned away", || guest.log().contains("is turned away"));
    // The machine's own socket is another door.
    let proxy = format!("ProxyCommand={} guest channel --home {}", super::lab::FLY, guest.home.display());
    assert!(run(guest.client("ssh").args(["-o", &proxy, &format!("{}@web", guest.user), "true"])).status.success());
    let greeted = silent.into_iter().filter(greeted).count();
    assert!((1..=16).contains(&greeted), "{greeted} were kept");
    assert!(guest.ssh(&[], "true").status.success());
    let log = guest.log();
    assert!(log.lines().count() < 40, "a flood does not fill the log: {}", log.lines().count());
}

#[test]
fn who_is_shown_out_is_told_of() {
    let guest = Guest::start_with_grace(1);
    assert!(greeted(&connect(&guest)));
    guest.until("it is told", || guest.log().contains("did not log in in time"));
}

#[test]
fn rubbish_costs_little_and_nothing_else() {
    let guest = Guest::start();
    assert!(guest.ssh(&[], "true").status.success());
    let before = resident(&guest);
    let mut rubbish: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.0\r\n\r\n".to_vec(),
        noise(100_000),
        vec![b'A'; 1_000_000],
        b"SSH-1.0-old\r\n".to_vec(),
        [b"SSH-2.0-x\r\n".as_slice(), &[0xff; 64]].concat(),
        [b"SSH-2.0-x\r\n".as_slice(), &[0, 0, 0, 0], &noise(5000)].concat(),
        [b"SSH-2.0-x\r\n".as_slice(), &[0x7f, 0xff, 0xff, 0xff, 4], &noise(500_000)].concat(),
        vec![],
    ];
    // Well-formed packets that mean nothing (SSH_MSG_IGNORE), far more than a login needs.
    let ignore = [&[0, 0, 0, 12, 6, 2, 0, 0, 0, 0][..], &[0; 6]].concat();
    rubbish.push([b"SSH-2.0-x\r\n".as_slice(), &ignore.repeat(200_000)].concat());
    for round in 0..5 {
        for words in &rubbish {
            let mut stream = connect(&guest);
            let _ = stream.write_all(words);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let time = borne(stream);
            assert!(time.is_some_and(|time| time < Duration::from_secs(25)), "round {round}: {time:?}");
        }
    }
    assert!(guest.ssh(&[], "true").status.success());
    let after = resident(&guest);
    assert!(after < before + 8 * 1024, "{before} kB before, {after} kB after");
    assert!(!guest.log().contains("panicked"), "{}", guest.log());
}

#[test]
fn a_key_exchange_that_stops_half_way_holds_nobody_up() {
    let guest = Guest::start();
    let mut streams: Vec<TcpStream> = (0..10).map(|_| connect(&guest)).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        let _ = stream.write_all(b"SSH-2.0-slow\r\n");
        // The server's greeting and offer, and then a piece of an answer.
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(&noise(number));
    }
    let start = Instant::now();
    assert!(guest.ssh(&[], "true").status.success());
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[test]
fn a_client_cannot_open_channels_without_end() {
    let guest = Guest::start();
    let path = format!("ControlPath={}", guest.home.join("master").display());
    let mut master = guest.ssh_with("id", &["-o", &path, "-M", "-N"]).spawn().unwrap();
    guest.until("the master is there", || guest.home.join("master").exists());
    let mut sessions: Vec<_> = (0..70)
        .map(|_| {
            guest
                .ssh_with("id", &["-o", &path])
                .arg("echo in; cat")
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    let children = || fs::read_to_string(format!("/proc/{0}/task/{0}/children", guest.server.id())).unwrap().split_whitespace().count();
    guest.until("the sessions run", || children() >= 50);
    std::thread::sleep(Duration::from_secs(1));
    assert!(children() <= 70, "{}", children());
    for session in &mut sessions {
        let _ = session.kill();
        let _ = session.wait();
    }
    master.kill().unwrap();
    master.wait().unwrap();
    assert!(eventually(|| children() == 0), "what ran goes with the connection: {}", children());
    assert!(guest.ssh(&[], "true").status.success());
}
