//! What a session is: commands, terminals, environments, ends.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::lab::{Guest, alive, ended, errors, eventually, noise, run, run_with, text};

#[test]
fn a_command_ends_as_it_would_here() {
    let guest = Guest::start();
    for code in [0, 1, 7, 127, 255] {
        assert_eq!(guest.ssh(&[], &format!("exit {code}")).status.code(), Some(code));
    }
    assert_eq!(guest.ssh(&[], "no-such-program-at-all").status.code(), Some(127));
    let killed = guest.ssh(&[], "kill -TERM $$");
    assert_eq!(killed.status.code(), Some(255), "a signal has no number in ssh");
    let both = guest.ssh(&[], "echo out; echo err >&2");
    assert_eq!((text(&both).as_str(), errors(&both).as_str()), ("out", "err"));
    assert_eq!(text(&guest.ssh(&[], "test -t 0 || echo no terminal")), "no terminal");
    assert_eq!(text(&guest.ssh(&[], "printf '%s' \"a  b\" 'c$d'")), "a  bc$d");
}

#[test]
fn bytes_come_back_as_they_went() {
    let guest = Guest::start();
    // More than all buffers on the way hold, both ways at once.
    let bytes = noise(30_000_000);
    let output = run_with(guest.ssh_with("id", &[]).arg("cat"), &bytes);
    assert!(output.status.success() && output.stdout == bytes, "{} bytes came back: {}", output.stdout.len(), errors(&output));
    let errors = run_with(guest.ssh_with("id", &[]).arg("cat >&2"), &bytes);
    assert!(errors.status.success() && errors.stderr == bytes);
}

#[test]
fn a_program_that_does_not_read_stops_nobody() {
    let guest = Guest::start();
    let bytes = noise(20_000_000);
    let counted = run_with(guest.ssh_with("id", &[]).arg("sleep 1; wc -c"), &bytes);
    assert_eq!(text(&counted), "20000000");
    let ended = run_with(guest.ssh_with("id", &[]).arg("exit 3"), &bytes);
    assert_eq!(ended.status.code(), Some(3));
    // First much output, while input waits; what lets the output flow stands behind the input.
    let late = run_with(guest.ssh_with("id", &[]).arg("head -c 20000000 /dev/zero; wc -c >&2"), &bytes);
    assert_eq!((late.stdout.len(), errors(&late).as_str()), (20_000_000, "20000000"));
}

#[test]
fn the_environment_is_a_login_s() {
    let guest = Guest::start();
    let mut ssh = guest.ssh_with("id", &["-o", "SendEnv=LC_ALL LD_PRELOAD PATH FOO", "-o", "SetEnv=LANG=C.UTF-8"]);
    ssh.env("LC_ALL", "C").env("LD_PRELOAD_", "").env("FOO", "bar").env("PATH", format!("{}:/nowhere", std::env::var("PATH").unwrap()));
    let output = run(ssh.arg("/usr/bin/env; pwd; umask"));
    let lines = text(&output);
    let has = |line: &str| lines.lines().any(|is| is == line);
    assert!(has("LC_ALL=C") && has("LANG=C.UTF-8") && has(&format!("USER={}", guest.user)) && has("0022"), "{lines}");
    assert!(
        !lines.contains("FOO=") && !lines.contains("/nowhere") && !lines.contains("FLY_COMMAND") && !lines.contains("SSH_TTY"),
        "{lines}"
    );
    let connection = lines.lines().find_map(|line| line.strip_prefix("SSH_CONNECTION=")).unwrap();
    assert!(connection.starts_with("127.0.0.1 ") && connection.ends_with(&format!(" 127.0.0.1 {}", guest.port)), "{connection}");
    let home = lines.lines().find_map(|line| line.strip_prefix("HOME=")).unwrap();
    assert!(has(home), "the session starts at home: {lines}");
}

/// ssh on a terminal of ours.
struct OnTerminal {
    master: File,
    ssh: std::process::Child,
    seen: String,
}

impl OnTerminal {
    fn start(mut ssh: Command, rows: u16, columns: u16) -> OnTerminal {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let master = openpt(flags).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        tcsetwinsize(&slave, size(rows, columns)).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let ssh = ssh.env("TERM", "vt220").stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        OnTerminal { master: File::from(master), ssh, seen: String::new() }
    }

    fn until(&mut self, words: &str) {
        let mut buffer = [0; 4096];
        let end = Instant::now() + Duration::from_secs(30);
        while !self.seen.contains(words) && Instant::now() < end {
            let count = self.master.read(&mut buffer).unwrap_or(0);
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            assert!(count > 0 || self.seen.contains(words), "{words:?} does not come: {:?}", self.seen);
        }
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

#[test]
fn a_terminal_has_the_client_s_size_and_keys() {
    let guest = Guest::start();
    let mut ssh = guest.ssh_with("id", &["-tt"]);
    let answer = "while read -r line; do echo got=$line; stty size; test $line = sleep && exec sleep 100; done";
    ssh.arg(format!("echo term=$TERM; stty size; tty; echo ready; {answer}"));
    let mut terminal = OnTerminal::start(ssh, 33, 101);
    terminal.until("ready");
    let seen = &terminal.seen;
    assert!(seen.contains("term=vt220") && seen.contains("33 101") && seen.contains("/dev/pts/"), "{seen}");
    tcsetwinsize(&terminal.master, size(40, 90)).unwrap();
    kill_process(Pid::from_child(&terminal.ssh), Signal::WINCH).unwrap();
    // The client tells the size when it gets to it, and the keys at once.
    std::thread::sleep(Duration::from_secs(1));
    terminal.master.write_all(b"sleep\r").unwrap();
    terminal.until("got=sleep");
    terminal.until("40 90");
    // The key, not a signal request: the terminal over there makes a signal of it.
    terminal.master.write_all(&[3]).unwrap();
    let status = ended(&mut terminal.ssh).unwrap();
    assert!(!status.success());
}

#[test]
fn a_login_shell_is_one() {
    let guest = Guest::start();
    let mut terminal = OnTerminal::start(guest.ssh_with("id", &[]), 24, 80);
    terminal.master.write_all(b"echo name=$0 tty=$SSH_TTY; exit 5\r").unwrap();
    terminal.until("tty=/dev/pts");
    terminal.until("name=-");
    assert_eq!(ended(&mut terminal.ssh).unwrap().code(), Some(5));
    // Input without a terminal: a shell that reads a script.
    let output = run_with(&mut guest.ssh_with("id", &["-T"]), b"echo two $((1+1)); exit 4\n");
    assert_eq!((text(&output).as_str(), output.status.code()), ("two 2", Some(4)));
    // A terminal for input that ends: programs see its end.
    let output = run_with(guest.ssh_with("id", &["-tt"]).arg("cat; echo over"), b"line\n");
    assert!(text(&output).contains("over"), "{}", text(&output));
}

#[test]
fn what_ran_dies_with_its_client() {
    let guest = Guest::start();
    for option in ["-T", "-tt"] {
        let file = guest.home.join(format!("pid{option}"));
        let line = format!("trap '' HUP; echo $$ > {0}.new; mv {0}.new {0}; sleep 1000; sleep 1000", file.display());
        let mut ssh =
            guest.ssh_with("id", &[option]).arg(line).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        guest.until("the command runs", || file.exists());
        let pid = fs::read_to_string(&file).unwrap().trim().to_owned();
        assert!(alive(&pid));
        ssh.kill().unwrap();
        ssh.wait().unwrap();
        guest.until("the command dies, though it does not hear SIGHUP", || !alive(&pid));
    }
}

/// A shell with job control makes groups of them, and on its own end tells none but the one in front.
#[test]
fn jobs_in_the_background_die_with_the_client_too() {
    let guest = Guest::start();
    let file = guest.home.join("pid");
    let job = format!("set -m; (trap '' HUP; exec sleep 1000) & echo $! > {0}.new; mv {0}.new {0}; sleep 1000", file.display());
    let mut ssh =
        guest.ssh_with("id", &["-tt"]).arg(job).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    guest.until("the job runs", || file.exists());
    let pid = fs::read_to_string(&file).unwrap().trim().to_owned();
    assert!(alive(&pid));
    ssh.kill().unwrap();
    ssh.wait().unwrap();
    guest.until("the job dies", || !alive(&pid));
}

#[test]
fn many_sessions_share_one_connection() {
    let guest = Guest::start();
    let socket = guest.home.join("master").display().to_string();
    let path = format!("ControlPath={socket}");
    let mut master = guest.ssh_with("id", &["-o", &path, "-M", "-N"]).stdin(Stdio::null()).spawn().unwrap();
    guest.until("the master is there", || fs::exists(&socket).unwrap());
    let sessions: Vec<_> = (0..8)
        .map(|number| {
            let mut ssh = guest.ssh_with("id", &["-o", &path, "-o", "ControlMaster=no"]);
            ssh.arg(format!("cat; exit {number}"));
            std::thread::spawn(move || run_with(&mut ssh, &noise(1_000_000 + number)))
        })
        .collect();
    for (number, session) in sessions.into_iter().enumerate() {
        let output = session.join().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (i32::try_from(number).ok(), 1_000_000 + number));
    }
    assert_eq!(guest.log().matches("logged in").count(), 1);
    // One that is closed in the middle takes nothing else with it.
    let mut ssh = guest.ssh_with("id", &["-o", &path]).arg("sleep 1000").stdin(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    ssh.kill().unwrap();
    ssh.wait().unwrap();
    assert_eq!(text(&run(guest.ssh_with("id", &["-o", &path]).arg("echo still here"))), "still here");
    run(guest.ssh_with("id", &["-o", &path, "-O", "exit"]).stderr(Stdio::null()));
    ended(&mut master).unwrap();
}

#[test]
fn only_sftp_is_a_subsystem() {
    let guest = Guest::start();
    let output = run(guest.ssh_with("id", &["-s"]).arg("netconf"));
    assert!(errors(&output).contains("subsystem request failed"), "{}", errors(&output));
    let output = run(guest.ssh_with("id", &["-s"]).arg("sftp"));
    assert!(!errors(&output).contains("subsystem request failed"), "{}", errors(&output));
}

#[test]
fn x11_is_refused_and_the_session_goes_on() {
    let guest = Guest::start();
    let mut ssh = guest.ssh_with("id", &["-X", "-o", "ExitOnForwardFailure=no"]);
    let output = run(ssh.env("DISPLAY", ":77").arg("echo ${DISPLAY-none}"));
    assert_eq!(text(&output), "none", "{}", errors(&output));
    assert!(eventually(|| guest.log().contains("left after")));
}
