//! How a session ends, and what of it lives on.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::lab::{Guest, alive, ended, errors, run, text};
use super::raw::{log_in, n, open_session, s};

/// Each with the number that the engine and a shell would make of it.
#[test]
fn a_signal_is_told_by_its_name() {
    let guest = Guest::start();
    for name in ["TERM", "KILL", "SEGV", "USR1"] {
        let output = run(guest.ssh_with("id", &["-v", "-o", "LogLevel=DEBUG1"]).arg(format!("kill -{name} $$")));
        assert_eq!(output.status.code(), Some(255), "a signal has no number in ssh");
        assert!(errors(&output).contains("rtype exit-signal reply 0"), "{}", errors(&output));
        assert!(!errors(&output).contains("rtype exit-status"), "{}", errors(&output));
        assert_eq!(told(&guest, &format!("kill -{name} $$")), format!("exit-signal {name}"));
    }
    assert_eq!(told(&guest, "kill -BUS $$"), "exit-signal BUS@openssh.com");
    assert_eq!(told(&guest, "exit 7"), "exit-status 7");
}

/// As a client may ask for them, though OpenSSH's has no key for it.
#[test]
fn a_client_can_send_its_command_a_signal() {
    let guest = Guest::start();
    for name in ["INT", "TERM", "HUP", "USR2"] {
        assert_eq!(asked(&guest, "exec sleep 1000", Some(name)), format!("exit-signal {name}"));
    }
    assert_eq!(asked(&guest, "trap 'exit 5' USR1; while :; do sleep 0.1; done", Some("USR1")), "exit-status 5");
}

/// What the server says of a command's end.
fn told(guest: &Guest, line: &str) -> String {
    asked(guest, line, None)
}

/// The same, of one that is sent a signal as soon as it runs.
fn asked(guest: &Guest, line: &str, signal: Option<&str>) -> String {
    let (mut to, mut from) = log_in(guest);
    let session = open_session(&mut to, &mut from);
    let line = if signal.is_some() { format!("echo ready; {line}") } else { line.to_owned() };
    to.say(&[&[98][..], &n(session), &s("exec"), &[0], &s(line)].concat()).unwrap();
    loop {
        let heard = from.hear().unwrap();
        if let (Some(name), [94, ..]) = (signal, &heard[..]) {
            // The shell says so before it has become the command, or set its trap.
            std::thread::sleep(Duration::from_millis(500));
            to.say(&[&[98][..], &n(session), &s("signal"), &[0], &s(name)].concat()).unwrap();
        }
        let Some(rest) = heard.strip_prefix(&[98, 0, 0, 0, 0]) else { continue };
        let length = |at: usize| usize::try_from(u32::from_be_bytes(rest[at..at + 4].try_into().unwrap())).unwrap();
        let word = |at: usize| String::from_utf8(rest[at + 4..at + 4 + length(at)].to_vec()).unwrap();
        // Behind the kind of request stands whether an answer is wanted.
        let (kind, at) = (word(0), 4 + length(0) + 1);
        match kind.as_str() {
            "exit-signal" => return format!("{kind} {}", word(at)),
            "exit-status" => return format!("{kind} {}", length(at)),
            _ => {}
        }
    }
}

/// Leaves no process behind that a test has made to live on.
struct Left(String);

impl Drop for Left {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            run(Command::new("kill").args(["-9", &self.0]));
        }
    }
}

fn written(guest: &Guest, file: &str) -> Left {
    let path = guest.home.join(file);
    guest.until("the number of a process", || path.exists());
    Left(fs::read_to_string(path).unwrap().trim().to_owned())
}

fn client(guest: &Guest, option: &str, line: String) -> Child {
    let mut ssh = guest.ssh_with("id", &[option]);
    ssh.arg(line).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// As with every sshd: a server that somebody has started in the background is there when he comes again.
#[test]
fn what_has_let_go_of_the_session_lives_on() {
    let guest = Guest::start();
    let note = |file: &str| format!("echo $! > {0}.new; mv {0}.new {0}", guest.home.join(file).display());
    let daemon = guest.ssh(&[], "setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo $!");
    let daemon = Left(text(&daemon));
    // While the client is there, and then is gone.
    let child = "sh -c 'sleep 1001 & echo $! > CHILD.new; mv CHILD.new CHILD; wait' >/dev/null 2>&1 </dev/null &".to_owned();
    let child = child.replace("CHILD", &guest.home.join("child").display().to_string());
    let lines = [
        format!("nohup sleep 1000 >log 2>&1 & {}", note("nohup")),
        format!("{child} {}", note("plain")),
        // These two keep something of it.
        format!("nohup sleep 1000 2>&1 & {}", note("output")),
        format!("sleep 1000 >log & {}", note("errors")),
        "exec sleep 1000".to_owned(),
    ];
    let mut ssh = client(&guest, "-T", lines.join("; ").replace("&;", "&"));
    let kept = [written(&guest, "nohup"), written(&guest, "plain"), written(&guest, "child")];
    let dies = [written(&guest, "output"), written(&guest, "errors")];
    assert!(kept.iter().chain(&dies).all(|process| alive(&process.0)));
    ssh.kill().unwrap();
    ssh.wait().unwrap();
    for process in &dies {
        guest.until("what holds the session dies with it", || !alive(&process.0));
    }
    // Some time after the last of them has been killed.
    std::thread::sleep(Duration::from_secs(4));
    for process in kept.iter().chain([&daemon]) {
        assert!(alive(&process.0), "{}", guest.log());
    }
}

/// A terminal tells its jobs that it goes; whoever does not listen, and has nothing of it, stays.
#[test]
fn of_a_terminal_stays_what_nohup_keeps() {
    let guest = Guest::start();
    let note = |file: &str| format!("echo $! > {0}.new; mv {0}.new {0}", guest.home.join(file).display());
    let lines = format!(
        "nohup sleep 1000 >log 2>&1 </dev/null & {}; sleep 1000 >log 2>&1 </dev/null & {}; sleep 1000",
        note("nohup"),
        note("plain")
    );
    let mut ssh = client(&guest, "-tt", lines);
    let (kept, dies) = (written(&guest, "nohup"), written(&guest, "plain"));
    ssh.kill().unwrap();
    ssh.wait().unwrap();
    guest.until("what listens dies", || !alive(&dies.0));
    std::thread::sleep(Duration::from_secs(4));
    assert!(alive(&kept.0), "{}", guest.log());
}

/// One that does not answer any more is given up after four times the interval, and what it ran ends; one that is only silent stays.
#[test]
fn a_client_that_does_not_answer_is_given_up() {
    let guest = Guest::start_with(&["--keepalive", "1"]);
    let line = |file: &str| format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 1000", guest.home.join(file).display());
    let mut silent = client(&guest, "-T", line("silent"));
    let mut stopped = client(&guest, "-T", line("stopped"));
    let (lives, dies) = (written(&guest, "silent"), written(&guest, "stopped"));
    let start = Instant::now();
    kill_process(Pid::from_child(&stopped), Signal::STOP).unwrap();
    guest.until("its process ends", || !alive(&dies.0));
    assert!(start.elapsed() > Duration::from_secs(2), "not at once: {:?}", start.elapsed());
    guest.until("the log says so", || guest.log().contains("does not answer any more"));
    assert!(alive(&lives.0) && silent.try_wait().unwrap().is_none());
    for (ssh, signal) in [(&mut stopped, Signal::KILL), (&mut silent, Signal::TERM)] {
        kill_process(Pid::from_child(ssh), signal).unwrap();
        ended(ssh).unwrap();
    }
}
