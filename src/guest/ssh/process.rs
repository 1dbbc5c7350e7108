//! Processes of a login: started as the session role, which becomes the user.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use super::auth::{Login, Peer};
use super::limits::GRACE;
use crate::guest::processes::processes;
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
    let Some(pid) = pid.and_then(number) else { return };
    if kill_process_group(pid, signal).is_err() {
        let _ = kill_process(pid, signal);
    }
}

/// What a session's processes have of it: whoever holds none of these has left it in all but name.
pub(crate) struct Ties {
    /// As `/proc/PID/fd` shows them.
    links: Vec<String>,
    is_terminal: bool,
}

impl Ties {
    pub(crate) fn terminal(path: &Path) -> Self {
        Self { links: vec![path.display().to_string()], is_terminal: true }
    }

    pub(crate) fn pipes(child: &Child) -> Self {
        let ends = [child.stdin.as_ref().map(AsFd::as_fd), child.stdout.as_ref().map(AsFd::as_fd), child.stderr.as_ref().map(AsFd::as_fd)];
        let stats = ends.into_iter().flatten().filter_map(|end| rustix::fs::fstat(end).ok());
        Self { links: stats.map(|stat| format!("pipe:[{}]", stat.st_ino)).collect(), is_terminal: false }
    }
}

/// Ends what runs in a session that is gone: asked first, and then made to. Also its jobs in the background, which are groups of their
/// own. What has made itself a session of its own lives on, and so does what keeps nothing of this one, as a server that was started in
/// the background does (`nohup`): whoever comes again looks for it. A terminal tells its end to those, too, as terminals do.
pub(crate) async fn end(login: &Login, child: &mut Child, pid: Option<u32>, ties: &Ties) {
    let left = detached(login, pid, ties).await;
    let told = if ties.is_terminal { BTreeSet::new() } else { left.clone() };
    signal_all(pid, Signal::HUP, &told);
    // What has been stopped cannot hear.
    signal_all(pid, Signal::CONT, &told);
    if child.id().is_some() {
        let _ = tokio::time::timeout(GRACE, child.wait()).await;
    }
    // The others, which nobody waits for.
    let end = tokio::time::Instant::now() + GRACE;
    while !members(pid, &left).is_empty() && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    signal_all(pid, Signal::KILL, &left);
    if child.id().is_some() {
        let _ = child.wait().await;
    }
}

/// Only a process of the user can see what the user's processes hold. Without an answer nobody is spared.
async fn detached(login: &Login, pid: Option<u32>, ties: &Ties) -> BTreeSet<u32> {
    let Some(session) = pid.filter(|pid| members(Some(*pid), &BTreeSet::new()).iter().any(|it| it != pid)) else {
        return BTreeSet::new();
    };
    let mut command = command(login, "detached", false);
    command.env(COMMAND, format!("{session}\n{}", ties.links.join("\n"))).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let Ok(Ok(answer)) = tokio::time::timeout(GRACE, command.output()).await else { return BTreeSet::new() };
    // What the client itself has asked for goes in any case.
    String::from_utf8_lossy(&answer.stdout).lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != session).collect()
}

fn number(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

fn signal_all(session: Option<u32>, signal: Signal, but: &BTreeSet<u32>) {
    let members = members(session, but);
    for process in &members {
        if let Some(process) = number(*process) {
            let _ = kill_process(process, signal);
        }
    }
    if members.is_empty() && but.is_empty() {
        // Where there is no /proc.
        self::signal(session, signal);
    }
}

/// The processes of a session, which has the number of its first one, without these and their children. None where there is no /proc.
fn members(session: Option<u32>, but: &BTreeSet<u32>) -> Vec<u32> {
    let Some(session) = session else { return vec![] };
    let parents: BTreeMap<u32, u32> = processes().filter(|(_, it)| it.session == session).map(|(pid, it)| (pid, it.parent)).collect();
    let is_left = |pid: &u32| {
        let above = std::iter::successors(Some(*pid), |pid| parents.get(pid).copied());
        above.take(parents.len() + 1).any(|pid| but.contains(&pid))
    };
    parents.keys().filter(|pid| !is_left(pid)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_all_that_is_in_it_but_whoever_has_left() {
        // One of its own: the session of these tests may be led from outside their namespace, and has no number here.
        let mut leader = std::process::Command::new("setsid").args(["sh", "-c", "sleep 60 & wait"]).spawn().unwrap();
        let all = (0..500).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            Some(members(Some(leader.id()), &BTreeSet::new())).filter(|all| all.len() == 2)
        });
        // Who is left alone, and whose children are.
        let only = |but: u32| members(Some(leader.id()), &BTreeSet::from([but]));
        let (first, other) = (leader.id(), all.iter().flatten().copied().find(|pid| *pid != leader.id()));
        assert_eq!((only(first), other.map(only)), (vec![], Some(vec![first])));
        for process in all.iter().flatten() {
            kill_process(number(*process).unwrap(), Signal::KILL).unwrap();
        }
        leader.wait().unwrap();
        assert!(all.is_some());
    }
}
