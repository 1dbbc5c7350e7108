//! The ssh server, or its keeper: a process of its own, started again whenever it ends.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitStatus, kill_process};

use super::super::{rights, status};
use crate::types::{GUEST_SSHD, SshServer, SshdStatus};

const FIRST_REST: Duration = Duration::from_millis(200);
const LONGEST_REST: Duration = Duration::from_secs(30);
/// Whoever ran this long is not ailing.
const WELL: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Server(SshServer),
    /// Who does this work for a first process that is about to become the machine's program.
    Keeper,
}

pub(super) struct Server<'a> {
    home: &'a Path,
    process: Option<(Role, Pid, Instant)>,
    /// It has been asked to end.
    dismissed: bool,
    /// It ended, and is not started again before this.
    not_before: Option<Instant>,
    rest: Duration,
    /// Why it could not be started, as it was told.
    failure: Option<String>,
}

impl<'a> Server<'a> {
    pub(super) fn new(home: &'a Path) -> Self {
        Self { home, process: None, dismissed: false, not_before: None, rest: FIRST_REST, failure: None }
    }

    /// Starts or stops it.
    pub(super) fn keep(&mut self, wanted: Option<Role>) {
        match (&self.process, wanted) {
            (None, Some(role)) if self.rests().is_none() => self.start(role),
            // The other one comes when this one is gone.
            (Some((running, ..)), wanted) if Some(*running) != wanted && !self.dismissed => self.dismiss(),
            _ => {}
        }
    }

    /// Asks it to end.
    pub(super) fn dismiss(&mut self) {
        if let Some((_, process, _)) = self.process {
            self.dismissed = true;
            let _ = kill_process(process, Signal::TERM);
        }
    }

    /// How long it rests before another try.
    pub(super) fn rests(&self) -> Option<Duration> {
        let rest = self.not_before?.saturating_duration_since(Instant::now());
        (self.process.is_none() && !rest.is_zero()).then_some(rest)
    }

    pub(super) fn ended(&mut self, pid: Pid, how: WaitStatus) {
        let Some((_, _, since)) = self.process.filter(|(_, process, _)| *process == pid) else { return };
        self.process = None;
        if std::mem::take(&mut self.dismissed) {
            // What it said holds no more.
            let _ = std::fs::remove_file(self.home.join(GUEST_SSHD));
            (self.rest, self.not_before) = (FIRST_REST, None);
            return;
        }
        self.rest = if since.elapsed() > WELL { FIRST_REST } else { (self.rest * 2).min(LONGEST_REST) };
        self.not_before = Some(Instant::now() + self.rest);
        // Whatever it said of itself holds no more. It says how it is as soon as it is back.
        let how = how
            .terminating_signal()
            .map_or_else(|| format!("with exit code {}", how.exit_status().unwrap_or_default()), |signal| format!("by signal {signal}"));
        self.say(format!("the ssh server has ended {how}"));
    }

    fn start(&mut self, role: Role) {
        let word = match role {
            Role::Server(SshServer::Fly) => "serve",
            Role::Server(SshServer::Openssh) => "openssh",
            Role::Keeper => "keep",
        };
        let mut command = Command::new("/proc/self/exe");
        command.args(["guest", word, "--home"]).arg(self.home).stdin(Stdio::null()).env_clear();
        if rights::is_raised() {
            command.uid(0).gid(0);
        }
        if role == Role::Keeper {
            // A key on the program's terminal is not meant for it.
            command.process_group(0);
        }
        match command.spawn() {
            Ok(child) => {
                let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                self.process = pid.map(|pid| (role, pid, Instant::now()));
                self.failure = None;
            }
            Err(error) => {
                self.tell(&error);
                self.rest = (self.rest * 2).min(LONGEST_REST);
                self.not_before = Some(Instant::now() + self.rest);
            }
        }
    }

    /// Once: it is tried again for ever.
    fn tell(&mut self, error: &std::io::Error) {
        let lacks = rights::is_raised() && error.kind() == std::io::ErrorKind::PermissionDenied;
        let hint = if lacks { "; `cap_drop` takes SETUID or SETGID from this machine whose `user` is not root" } else { "" };
        let failure = Some(format!("the ssh server cannot be started: {error}{hint}"));
        if self.failure != failure {
            self.say(failure.clone().unwrap_or_default());
            self.failure = failure;
        }
    }

    fn say(&self, error: String) {
        let told = SshdStatus { error: Some(error), listening: vec![] };
        status::say(&told);
        let _ = status::write(self.home, &told);
    }
}
