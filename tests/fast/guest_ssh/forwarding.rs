//! `-L`, `-R`, `-D`, unix sockets and the agent.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use super::lab::{Guest, ask, echo, ended, errors, eventually, free_port, noise, run, text};

/// A client that only forwards.
struct Forwarding(Child);

impl Forwarding {
    fn start(guest: &Guest, options: &[&str]) -> Forwarding {
        let mut ssh = guest.ssh_with("id", &["-N", "-o", "ExitOnForwardFailure=yes"]);
        // The host comes last, and options before it.
        let host = format!("{}@127.0.0.1", guest.user);
        let mut command = Command::new("ssh");
        command.args(ssh.get_args().filter(|word| *word != host.as_str())).args(options).arg(&host);
        command.current_dir(&guest.home).env_remove("SSH_AUTH_SOCK");
        ssh = command;
        Forwarding(ssh.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn echo_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    echo(listener);
    port
}

#[test]
fn ports_are_forwarded_both_ways() {
    let guest = Guest::start();
    let (target, near, far) = (echo_server(), free_port(), free_port());
    let there = format!("{near}:localhost:{target}");
    let back = format!("{far}:127.0.0.1:{target}");
    let nowhere_port = free_port();
    let nowhere = format!("{nowhere_port}:no-such-host.invalid:1");
    let _ssh = Forwarding::start(&guest, &["-L", &there, "-R", &back, "-L", &nowhere]);
    let bytes = noise(5_000_000);
    for port in [near, far] {
        guest.until("the port is there", || ask(port, b"hello").is_ok_and(|answer| answer == b"hello"));
        assert!(ask(port, &bytes).unwrap() == bytes);
    }
    // Many at once.
    let asked: Vec<_> = (0..20).map(|number| thread::spawn(move || ask(near, &noise(50_000 + number)).unwrap().len())).collect();
    for (number, asked) in asked.into_iter().enumerate() {
        assert_eq!(asked.join().unwrap(), 50_000 + number);
    }
    // Where nobody is, the connection ends and the others stay.
    assert!(ask(nowhere_port, b"x").unwrap_or_default().is_empty());
    assert!(ask(near, b"still").unwrap() == b"still");
}

#[test]
fn a_forwarded_port_is_on_loopback_only_and_can_be_cancelled() {
    let guest = Guest::start();
    let target = echo_server();
    let path = format!("ControlPath={}", guest.home.join("master").display());
    let back = format!("*:0:127.0.0.1:{target}");
    let named = format!("*:{}:127.0.0.1:{target}", free_port());
    let mut master = guest.ssh_with("id", &["-o", &path, "-M", "-N"]).stdin(Stdio::null()).spawn().unwrap();
    guest.until("the master is there", || guest.home.join("master").exists());
    let added = run(guest.ssh_with("id", &["-o", &path, "-O", "forward", "-R", &back]).stderr(Stdio::piped()));
    let port: u16 = text(&added).parse().unwrap_or_else(|_| panic!("no port: {}", errors(&added)));
    assert_eq!(ask(port, b"hi").unwrap(), b"hi");
    let listening = fs::read_to_string("/proc/net/tcp").unwrap();
    assert!(listening.contains(&format!("0100007F:{port:04X} 00000000:0000 0A")), "on 127.0.0.1");
    assert!(!listening.contains(&format!("00000000:{port:04X} 00000000:0000 0A")), "not on all addresses");
    // The client cancels by what it was asked for, so with a port that was named.
    let port: u16 = named.split(':').nth(1).unwrap().parse().unwrap();
    run(&mut guest.ssh_with("id", &["-o", &path, "-O", "forward", "-R", &named]));
    assert_eq!(ask(port, b"hi").unwrap(), b"hi");
    let cancelled = run(&mut guest.ssh_with("id", &["-o", &path, "-O", "cancel", "-R", &named]));
    assert!(eventually(|| ask(port, b"hi").is_err()), "{}", errors(&cancelled));
    // With the connection go its listeners.
    let other = free_port();
    run(&mut guest.ssh_with("id", &["-o", &path, "-O", "forward", "-R", &format!("{other}:127.0.0.1:{target}")]));
    assert_eq!(ask(other, b"hi").unwrap(), b"hi");
    master.kill().unwrap();
    master.wait().unwrap();
    guest.until("the port is closed with its connection", || ask(other, b"hi").is_err());
}

#[test]
fn a_browser_goes_through_the_machine() {
    let guest = Guest::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let socks = free_port();
    let _ssh = Forwarding::start(&guest, &["-D", &socks.to_string()]);
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("http://{host}:{target}/");
        let proxy = format!("127.0.0.1:{socks}");
        let asked = || text(&run(Command::new("curl").args(["-sS", "--max-time", "20", "--socks5-hostname", &proxy, &url])));
        guest.until("the page comes", || asked() == "hello");
    }
}

#[test]
fn unix_sockets_are_forwarded_both_ways() {
    let guest = Guest::start();
    let at = |name: &str| guest.home.join(name);
    let target = UnixListener::bind(at("target")).unwrap();
    thread::spawn(move || {
        for stream in target.incoming() {
            let (mut from, mut to) = {
                let stream = stream.unwrap();
                (stream.try_clone().unwrap(), stream)
            };
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    let there = format!("{}:{}", at("near").display(), at("target").display());
    let back = format!("{}:{}", at("far").display(), at("target").display());
    let none = format!("{}:{}", at("none").display(), at("nothing-there").display());
    let ssh = Forwarding::start(&guest, &["-L", &there, "-R", &back, "-L", &none]);
    let ask = |name: &str, words: &[u8]| -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(at(name))?;
        stream.set_read_timeout(Some(super::lab::PATIENCE))?;
        let (mut writer, words) = (stream.try_clone()?, words.to_vec());
        thread::spawn(move || {
            let _ = writer.write_all(&words);
            let _ = writer.shutdown(std::net::Shutdown::Write);
        });
        let mut all = vec![];
        stream.read_to_end(&mut all)?;
        Ok(all)
    };
    let bytes = noise(1_000_000);
    for name in ["near", "far"] {
        guest.until(name, || ask(name, b"hello").is_ok_and(|answer| answer == b"hello"));
        let answer = ask(name, &bytes).unwrap();
        assert!(answer == bytes, "{name}: {} bytes came back", answer.len());
    }
    assert_eq!(fs::metadata(at("far")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(ask("none", b"x").unwrap_or_default().is_empty());
    assert!(ask("near", b"still").unwrap() == b"still");
    // One that is there already is not taken over.
    fs::write(at("file"), "mine").unwrap();
    let mut refused = Forwarding::start(&guest, &["-R", &format!("{}:{}", at("file").display(), at("target").display())]);
    assert!(!ended(&mut refused.0).unwrap().success());
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "mine");
    drop(ssh);
    guest.until("the socket goes with its connection", || !at("far").exists());
}

#[test]
fn the_agent_of_the_client_can_be_asked() {
    let guest = Guest::start();
    let socket = guest.home.join("agent");
    let mut agent = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    guest.until("the agent is there", || socket.exists());
    guest.make_key("carried");
    run(Command::new("ssh-add").arg(guest.home.join("carried")).env("SSH_AUTH_SOCK", &socket));
    let mut ssh = guest.ssh_with("id", &["-A"]);
    ssh.env("SSH_AUTH_SOCK", &socket);
    let output = run(ssh.arg("ssh-add -l; ssh-add -l; stat -c '%a %U' $(dirname $SSH_AUTH_SOCK) $SSH_AUTH_SOCK; echo $SSH_AUTH_SOCK"));
    let said = text(&output);
    assert_eq!(said.matches("carried (ED25519)").count(), 2, "{said}\n{}", errors(&output));
    assert!(said.contains(&format!("700 {}", guest.user)) && said.contains(&format!("600 {}", guest.user)), "{said}");
    let path = said.lines().last().unwrap().to_owned();
    assert!(path.starts_with("/tmp/ssh-"), "{path}");
    guest.until("the socket and its folder go with the connection", || !fs::exists(std::path::Path::new(&path).parent().unwrap()).unwrap());
    assert_eq!(text(&guest.ssh(&["-a"], "echo ${SSH_AUTH_SOCK-none}")), "none");
    agent.kill().unwrap();
    agent.wait().unwrap();
}
