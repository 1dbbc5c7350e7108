//! A machine's first process: small, without `async`, and never at a loss.
//!
//! It holds the machine's own program until the cards carry their addresses, keeps the ssh server running, hands signals on, reaps
//! whoever is left behind, and ends as the program ended. Nothing here may panic: the machine would go with it.
//!
//! A program that wants to be the first process itself (systemd) takes its place: then a second one of these, a child, keeps the ssh
//! server, and everything else is the program's own work.

mod addresses;
mod hold;
pub(super) mod program;
mod server;
mod settings;
mod wake;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process};

use self::program::Program;
use self::server::{Role, Server};
use self::settings::Settings;
use self::wake::Wake;
use super::{log, memory};
use crate::types::{GUEST_CONTAINER, GUEST_HOME, GUEST_SSHD, GuestState};

/// While the program waits: what the kernel or a writer did not tell is seen this much later.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let home = Path::new(GUEST_HOME);
    let (container, words) = match arguments {
        [option, container, rest @ ..] if option == GUEST_CONTAINER => (container.to_str(), rest),
        all => (None, all),
    };
    let program = match words {
        [dashes, rest @ ..] if dashes == "--" => rest,
        all => all,
    };
    match Wake::new(home) {
        Ok(wake) => Init::new(home, Settings::read(home, container), Program::new(program), wake).run(),
        Err(error) => {
            log::line(&format!("the first process cannot start: {error}"));
            ExitCode::from(125)
        }
    }
}

/// `fly guest keep --home DIR`: the ssh server's keeper, where the first process is not fly's any more.
pub(super) fn keep(arguments: &[OsString]) -> ExitCode {
    let kept = super::home(arguments).and_then(|home| {
        let wake = Wake::new(&home).map_err(|error| error.to_string())?;
        Ok(Init { begun: true, is_first: false, ..Init::new(&home, Settings::of_first(&home), Program::new(&[]), wake) }.go_on())
    });
    kept.unwrap_or_else(|error| {
        log::line(&format!("nobody keeps the ssh server: {error}"));
        ExitCode::from(125)
    })
}

struct Init<'a> {
    home: &'a Path,
    wake: Wake,
    settings: Settings,
    server: Server<'a>,
    program: Program,
    /// The program's process.
    main: Option<Pid>,
    /// It waits no longer than this.
    deadline: Instant,
    begun: bool,
    /// Not the keeper.
    is_first: bool,
}

impl<'a> Init<'a> {
    fn new(home: &'a Path, settings: Settings, program: Program, wake: Wake) -> Self {
        let deadline = Instant::now() + settings.patience();
        Self { home, wake, settings, server: Server::new(home), program, main: None, deadline, begun: false, is_first: true }
    }

    fn run(self) -> ExitCode {
        // What the server of an earlier life said holds no more; the volume outlives the container.
        let _ = std::fs::remove_file(self.home.join(GUEST_SSHD));
        self.settings.tell(self.home, GuestState::Waiting(hold::missing(&self.settings)));
        self.go_on()
    }

    fn go_on(mut self) -> ExitCode {
        if self.begun {
            memory::rest();
        }
        loop {
            self.server.keep(self.wanted());
            if !self.begun
                && let Some(code) = self.begin()
            {
                return code;
            }
            let woken = self.wake.wait(self.pause());
            for signal in woken.signals {
                if let Some(code) = self.on_signal(signal) {
                    self.server.dismiss();
                    return code;
                }
            }
            // Children are looked for at every turn: one signal may stand for several of them.
            if let Some(code) = self.reap() {
                return code;
            }
            if woken.settings || !self.begun {
                let first = self.settings.are_awaited();
                self.settings.refresh(self.home);
                if first && !self.settings.are_awaited() {
                    self.deadline = Instant::now() + self.settings.patience();
                }
            }
        }
    }

    /// What is to run beside the program.
    fn wanted(&self) -> Option<Role> {
        if self.is_first && self.settings.becomes_program() {
            return Some(Role::Keeper);
        }
        self.settings.wants_server().map(Role::Server)
    }

    /// How long there is nothing to do of itself.
    fn pause(&self) -> Option<Duration> {
        let until_look = (!self.begun).then(|| LOOK_AGAIN.min(self.deadline.saturating_duration_since(Instant::now())));
        [until_look, self.server.rests()].into_iter().flatten().min()
    }

    /// Starts the program if its time has come. An exit code, if it cannot be started.
    fn begin(&mut self) -> Option<ExitCode> {
        let missing = hold::missing(&self.settings);
        if !missing.is_empty() && Instant::now() < self.deadline {
            return None;
        }
        if !missing.is_empty() {
            let waited = self.settings.patience().as_secs();
            log::line(&format!("after {waited} s the program starts all the same, although {}", missing.join(", ")));
        }
        self.begun = true;
        self.settings.tell(self.home, GuestState::Running { missing });
        if self.settings.becomes_program()
            && let Some(failure) = self.program.take_over()
        {
            log::line(&failure.message);
            return Some(ExitCode::from(failure.code));
        }
        match self.program.start() {
            Ok(main) => {
                self.main = main;
                // From here on there is little to do.
                memory::rest();
                None
            }
            Err(failure) => {
                log::line(&failure.message);
                Some(ExitCode::from(failure.code))
            }
        }
    }

    /// Hands it on. Without a program to hand it to, whatever is to end a program ends the machine.
    fn on_signal(&self, signal: i32) -> Option<ExitCode> {
        // It has no handle here but its number, and is meant for a program that is process 1 itself.
        if signal == wake::HALT {
            return self.main.is_none().then_some(ExitCode::SUCCESS);
        }
        let signal = Signal::from_named_raw(signal)?;
        if signal == Signal::CHILD {
            return None;
        }
        if let Some(main) = self.main {
            // It may have ended just now; then that is what comes next.
            let _ = kill_process(main, signal);
            return None;
        }
        let harmless = [Signal::WINCH, Signal::CONT, Signal::URG, Signal::TSTP];
        (!harmless.contains(&signal)).then_some(ExitCode::SUCCESS)
    }

    fn reap(&mut self) -> Option<ExitCode> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if Some(pid) == self.main => return Some(code(status)),
                Ok(Some((pid, status))) => self.server.ended(pid, status),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

/// As a shell says it, and as the engine shows it.
fn code(status: WaitStatus) -> ExitCode {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
