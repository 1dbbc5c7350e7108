//! Processes of a login: started as the session role, which becomes the user.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use super::auth::{Login, Peer};
use super::limits::GRACE;
use crate::guest::session::{COMMAND, OWN_BINARY};

/// What a session is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Shell,
    Execute(OsString),
    Sftp,
}

/// A command that becomes the user and does `work`, with nothing of the server's environment.
pub(crate) fn command(login: &Login, work: &str, tty: bool) -> Command {
    let mut command = Command::new(OWN_BINARY);
    command.arg0("fly").args(["guest", "session"]).args(tty.then_some("--tty")).args([&login.user.name, work]);
    command.env_clear().current_dir("/");
    let (client, connection) = match login.peer {
        Peer::Network { client, server } => {
            let (from, to) = (client.ip().to_canonical(), server.ip().to_canonical());
            (format!("{from} {} {}", client.port(), server.port()), format!("{from} {} {to} {}", client.port(), server.port()))
        }
        // As OpenSSH says it of what is no network.
        Peer::Engine => ("UNKNOWN 65535 65535".to_owned(), "UNKNOWN 65535 UNKNOWN 65535".to_owned()),
    };
    command.env("SSH_CLIENT", client).env("SSH_CONNECTION", connection);
    command
}

/// The command of a session: what the key forces comes before what the client asks for.
pub(crate) fn session(login: &Login, work: Work, tty: bool) -> Command {
    let work = match &login.rights.command {
        Some(forced) => Work::Execute(OsString::from(forced)),
        None => work,
    };
    match work {
        Work::Shell => command(login, "shell", tty),
        Work::Sftp => command(login, "sftp", tty),
        Work::Execute(line) => {
            let mut command = command(login, "exec", tty);
            command.env(COMMAND, line);
            command
        }
    }
}

/// The original command, for the one that the key forces.
pub(crate) fn original(work: &Work) -> Option<&OsStr> {
    match work {
        Work::Shell => None,
        Work::Execute(line) => Some(line),
        // What OpenSSH's own sftp server would be called with.
        Work::Sftp => Some(OsStr::new("internal-sftp")),
    }
}

pub(crate) fn spawn_on_terminal(command: &mut Command, slave: OwnedFd) -> io::Result<Child> {
    command.stdin(Stdio::from(slave.try_clone()?)).stdout(Stdio::from(slave.try_clone()?)).stderr(Stdio::from(slave));
    command.spawn()
}

pub(crate) fn spawn_on_pipes(command: &mut Command) -> io::Result<Child> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// To all processes of the session's own group. Just after its start there is only the process itself.
pub(crate) fn signal(pid: Option<u32>, signal: Signal) {
    let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) else { return };
    if kill_process_group(pid, signal).is_err() {
        let _ = kill_process(pid, signal);
    }
}

/// Ends what runs in a session that is gone: asked first, and then made to. Also its jobs in the background, which are groups of their
/// own; what has made itself a session of its own lives on.
pub(crate) async fn end(child: &mut Child, pid: Option<u32>) {
    signal_all(pid, Signal::HUP);
    // What has been stopped cannot hear.
    signal_all(pid, Signal::CONT);
    if child.id().is_some() {
        signal(pid, Signal::HUP);
        let _ = tokio::time::timeout(GRACE, child.wait()).await;
    }
    // The others, which nobody waits for.
    let end = tokio::time::Instant::now() + GRACE;
    while !members(pid).is_empty() && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    signal_all(pid, Signal::KILL);
    if child.id().is_some() {
        signal(pid, Signal::KILL);
        let _ = child.wait().await;
    }
}

fn signal_all(session: Option<u32>, signal: Signal) {
    for process in members(session) {
        let _ = kill_process(process, signal);
    }
}

/// The processes of a session, which has the number of its first one. None where there is no /proc.
fn members(session: Option<u32>) -> Vec<Pid> {
    let (Some(session), Ok(all)) = (session, std::fs::read_dir("/proc")) else { return vec![] };
    let member = |entry: io::Result<std::fs::DirEntry>| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        if session_of(&String::from_utf8_lossy(&stat)) == Some(session) { Pid::from_raw(pid) } else { None }
    };
    all.filter_map(member).collect()
}

/// `7 (a name) S 1 7 7 …`: state, parent, group, session. `None` for what has ended already.
fn session_of(stat: &str) -> Option<u32> {
    let mut words = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    if matches!(words.next()?, "Z" | "X") { None } else { words.nth(2)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_whatever_the_program_is_called() {
        assert_eq!(session_of("7 (a) b) S 1 8 9 0 -1"), Some(9));
        assert_eq!(session_of("7 (sh) Z 1 8 9 0 -1"), None);
        assert_eq!(session_of("7 (sh"), None);
        // One of its own: the session of these tests may be led from outside their namespace, and has no number here.
        let mut leader = std::process::Command::new("setsid").args(["sh", "-c", "sleep 60 & wait"]).spawn().unwrap();
        let all = (0..500).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            Some(members(Some(leader.id()))).filter(|all| all.len() == 2)
        });
        for process in all.iter().flatten() {
            kill_process(*process, Signal::KILL).unwrap();
        }
        leader.wait().unwrap();
        assert!(all.is_some());
    }
}
