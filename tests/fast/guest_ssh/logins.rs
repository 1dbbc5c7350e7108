//! Who gets in, by what, and what a change of the settings does.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::json;

use super::lab::{FLY, Guest, ended, errors, free_port, run, run_with, script, text};

#[test]
fn a_wrong_key_is_refused_and_told() {
    let guest = Guest::start();
    guest.make_key("other");
    let output = run(guest.ssh_with("other", &[]).arg("id"));
    assert_eq!(output.status.code(), Some(255));
    assert!(errors(&output).contains("Permission denied (publickey)"), "{}", errors(&output));
    guest.until("the refusal is told", || guest.log().contains(&format!("ssh: refused {} from 127.0.0.1:", guest.user)));
    // A name that wants to write in the log.
    let mut ssh = guest.client("ssh");
    run(ssh.args([
        "-o",
        "BatchMode=yes",
        "-i",
        "id",
        "-p",
        &guest.port.to_string(),
        "-l",
        // Newer clients refuse control characters themselves.
        "x\u{202e}root",
        "127.0.0.1",
        "id",
    ]));
    guest.until("the odd name is told", || guest.log().contains("refused x\\u{202e}root from"));
    assert!(!guest.log().contains("\nfly: ssh: root logged in from nowhere"));
    // The right key for somebody else.
    let output =
        run(guest.client("ssh").args(["-o", "BatchMode=yes", "-i", "id", "-p", &guest.port.to_string(), "no-such-user@127.0.0.1", "id"]));
    assert_eq!(output.status.code(), Some(255));
    assert!(guest.ssh(&[], "true").status.success());
    let log = guest.log();
    assert!(log.contains(&format!("ssh: {} logged in from 127.0.0.1:", guest.user)) && log.contains("with ED25519 SHA256:"), "{log}");
}

#[test]
fn keys_change_live_and_sessions_stay() {
    let guest = Guest::start();
    guest.make_key("other");
    let works = |key: &str| run(guest.ssh_with(key, &[]).arg("true")).status.success();
    assert!(works("id") && !works("other"));
    let mut running = guest.ssh_with("id", &[]).arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    guest.until("the session is there", || guest.log().matches("logged in").count() > guest.log().matches("left after").count());
    guest.allow(&[&guest.public_key("other")]);
    guest.until("the other key is good", || works("other"));
    assert!(!works("id"), "the first one is gone");
    // Rubbish changes nothing.
    fs::write(guest.home.join("config.json"), "{").unwrap();
    guest.until("the rubbish is told", || guest.log().contains("the settings stay as they were"));
    assert!(works("other"));
    guest.allow(&["ssh-ed25519 rubbish", "permitopen=\"x:1\" ssh-ed25519 AAAA"]);
    guest.until("keys that are none are told", || guest.log().contains("`permitopen`") && guest.log().contains("not a public key"));
    assert!(!works("other"));
    assert!(running.try_wait().unwrap().is_none(), "a session outlives its key");
    drop(running.stdin.take());
    assert!(ended(&mut running).unwrap().success());
}

#[test]
fn rsa_and_ecdsa_keys_are_good_too() {
    let guest = Guest::start();
    for (kind, bits) in [("rsa", "2048"), ("ecdsa", "256"), ("ecdsa", "521")] {
        let name = format!("{kind}{bits}");
        run(Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-b", bits, "-f"]).arg(guest.home.join(&name)));
        guest.allow(&[&guest.public_key(&name)]);
        guest.until(&name, || run(guest.ssh_with(&name, &[]).arg("true")).status.success());
    }
    assert!(guest.log().contains("with RSA SHA256:") && guest.log().contains("with ECDSA SHA256:"), "{}", guest.log());
}

#[test]
fn options_of_a_key_are_kept() {
    let guest = Guest::start();
    let key = guest.public_key("id");
    let with = |options: &str| {
        guest.allow(&[&format!("{options} {key}")]);
        let mark = format!("{options:?}");
        // The sum is only made by what really runs.
        guest.until(&mark, || text(&guest.ssh(&[], "echo $((6 * 7))")).contains("42") != options.contains("command="));
    };
    with(r#"command="echo forced: $SSH_ORIGINAL_COMMAND""#);
    assert_eq!(text(&guest.ssh(&[], "rm -rf /")), "forced: rm -rf /");
    assert_eq!(text(&guest.ssh(&["-T"], "")), "forced:");
    with("restrict");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let output = guest.ssh(&["-tt"], "tty");
    assert!(errors(&output).contains("PTY allocation request failed"), "{}", errors(&output));
    let local = free_port();
    let output = guest.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", &format!("{local}:127.0.0.1:1")], "true");
    assert!(errors(&output).contains("remote port forwarding failed"), "{}", errors(&output));
    guest.allow(&[&format!("from=\"10.0.0.0/8,!127.0.0.1\" {key}")]);
    guest.until("the key is not good from here", || !guest.ssh(&[], "true").status.success());
    guest.until("it is told", || guest.log().contains("is not good from there"));
}

#[test]
fn a_password_is_good_only_if_there_is_one() {
    let guest = Guest::start();
    script(&guest.home.join("askpass"), "#!/bin/sh\necho 'Hello world!'\n");
    script(&guest.home.join("wrong"), "#!/bin/sh\necho 'hello world!'\n");
    let log_in = |program: &str| {
        let mut ssh = guest.client("ssh");
        ssh.env("SSH_ASKPASS", guest.home.join(program)).env("SSH_ASKPASS_REQUIRE", "force").env("DISPLAY", ":0");
        ssh.args(["-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=2", "-p", &guest.port.to_string()]);
        run(ssh.arg(format!("{}@127.0.0.1", guest.user)).arg("echo in"))
    };
    let output = log_in("askpass");
    assert!(errors(&output).contains("Permission denied (publickey)"), "{}", errors(&output));
    // crypt's own example: "Hello world!" with "saltstring".
    let hash = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
    guest.configure(&json!({"server": "fly", "port": guest.port, "users": {&guest.user: {"authorized_keys": [], "password_hash": hash}}}));
    guest.until("the password is good", || text(&log_in("askpass")) == "in");
    let output = log_in("wrong");
    assert!(errors(&output).contains("Permission denied (publickey,password)"), "{}", errors(&output));
    guest.until("it is told", || guest.log().contains("the password is wrong"));
}

#[test]
fn whoever_has_the_engine_needs_no_key() {
    let guest = Guest::start();
    let socket = guest.home.join("ssh.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let proxy = format!("ProxyCommand={FLY} guest channel --home {}", guest.home.display());
    let ssh = || {
        let mut ssh = guest.client("ssh");
        ssh.args(["-o", &proxy, "-o", "PubkeyAuthentication=no", "-o", "BatchMode=yes", &format!("{}@web", guest.user)]);
        ssh
    };
    let output = run(ssh().arg("echo $SSH_CONNECTION; exit 9"));
    assert_eq!((text(&output).as_str(), output.status.code()), ("UNKNOWN 65535 UNKNOWN 65535", Some(9)), "{}", errors(&output));
    let bytes = super::lab::noise(10_000_000);
    assert!(run_with(ssh().arg("cat"), &bytes).stdout == bytes);
    assert!(guest.log().contains("logged in from the engine with the machine's own socket"), "{}", guest.log());
    let output = run(guest.client("ssh").args(["-o", &proxy, "-o", "BatchMode=yes", "no-such-user@web", "true"]));
    assert!(errors(&output).contains("Permission denied"), "{}", errors(&output));
    // Over the network nothing is not enough.
    let output = run(guest.client("ssh").args([
        "-o",
        "PubkeyAuthentication=no",
        "-p",
        &guest.port.to_string(),
        &format!("{}@127.0.0.1", guest.user),
        "true",
    ]));
    assert_eq!(output.status.code(), Some(255));
    // The channel itself: nobody listens there.
    let empty = guest.home.join("empty");
    fs::create_dir(&empty).unwrap();
    let output = run(Command::new(FLY).args(["guest", "channel", "--home"]).arg(&empty));
    assert_eq!(output.status.code(), Some(255));
    assert!(errors(&output).contains("fly: the machine's ssh server does not answer"), "{}", errors(&output));
}

#[test]
fn the_host_key_is_made_once() {
    let guest = Guest::start();
    let scan = text(&run(Command::new("ssh-keyscan").args(["-p", &guest.port.to_string(), "-t", "ed25519", "127.0.0.1"])));
    let public = fs::read_to_string(guest.home.join("ssh_host_ed25519_key.pub")).unwrap();
    let key: Vec<&str> = public.split_whitespace().collect();
    assert!(scan.ends_with(&key[..2].join(" ")) && key[2] == "web", "{scan}\n{public}");
    let print = run(Command::new("ssh-keygen").arg("-yf").arg(guest.home.join("ssh_host_ed25519_key")));
    assert_eq!(text(&print), public.trim(), "{}", errors(&print));
    // ssh-keyscan is no attempt to log in.
    assert!(!guest.log().contains("refused"), "{}", guest.log());
}

#[test]
fn the_port_changes_live_and_one_in_use_is_told() {
    let mut guest = Guest::start();
    let first = guest.port;
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    guest.port = taken.local_addr().unwrap().port();
    guest.allow(&[&guest.public_key("id")]);
    guest.until("the status says so", || guest.status()["error"].as_str().is_some_and(|error| error.contains("is in use in this machine")));
    let number = guest.port;
    drop(taken);
    guest.until("the server takes the port when it is free", || guest.status()["error"].is_null());
    assert!(guest.status()["listening"].to_string().contains(&format!("0.0.0.0:{number}")), "{}", guest.status());
    assert!(guest.ssh(&[], "true").status.success());
    assert!(std::net::TcpStream::connect(("127.0.0.1", first)).is_err(), "the first port is closed");
    guest.configure(&serde_json::Value::Null);
    guest.until("the server is off", || guest.status()["listening"] == json!([]));
    assert!(std::net::TcpStream::connect(("127.0.0.1", number)).is_err());
    // And the image's own sshd is nothing to this one.
    guest.configure(&json!({"server": "openssh", "port": first, "users": {}}));
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(std::net::TcpStream::connect(("127.0.0.1", first)).is_err());
}
