//! The machine's own program: what image and file say, run as if the engine had run it.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::process::Pid;
use rustix::termios::tcsetpgrp;

use super::super::{log, rights};

/// Without a terminal they end at once: a machine whose image names no more than a shell just stays up.
const SHELLS: [&str; 7] = ["sh", "bash", "ash", "dash", "zsh", "fish", "busybox"];

pub(super) struct Program(Vec<OsString>);

/// Why it does not run, and the exit code by which others say that.
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) code: u8,
}

impl Program {
    pub(super) fn new(words: &[OsString]) -> Self {
        Self(words.to_vec())
    }

    /// What there is to run.
    fn words(&self) -> Option<(&OsString, &[OsString])> {
        let (program, arguments) = self.0.split_first()?;
        let idle = arguments.is_empty() && is_shell(program) && !std::io::stdin().is_terminal();
        (!idle).then_some((program, arguments))
    }

    /// In this process's place: comes back only where that fails, or where there is nothing to run. Nothing of fly's goes with it: its
    /// descriptors are closed on exec, the kernel takes handlers back, and the standard library clears mask and `SIGPIPE`.
    pub(super) fn take_over(&self) -> Option<Failure> {
        let (program, arguments) = self.words()?;
        let mut command = Command::new(program);
        command.args(arguments);
        if rights::is_raised() {
            command.env_clear().envs(rights::environment());
            if let Err(error) = rights::drop_now() {
                return Some(failure(program, &error));
            }
        }
        Some(failure(program, &command.exec()))
    }

    /// Its process; nothing where there is nothing to run.
    pub(super) fn start(&self) -> Result<Option<Pid>, Failure> {
        let Some((program, arguments)) = self.words() else { return Ok(None) };
        let terminal = std::io::stdin().is_terminal();
        let mut command = if rights::is_raised() {
            // A process of its own becomes the user again, with the groups and the environment that the engine gave.
            let mut command = Command::new("/proc/self/exe");
            command.args(["guest", "program"]).arg(program).env_clear().envs(rights::environment());
            command
        } else {
            Command::new(program)
        };
        command.args(arguments);
        if terminal {
            // The terminal's own signals are for the program alone.
            command.process_group(0);
        }
        let child = command.spawn().map_err(|error| failure(program, &error))?;
        let main = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let (true, Some(main)) = (terminal, main) {
            let _ = tcsetpgrp(std::io::stdin(), main);
        }
        Ok(main)
    }
}

/// `fly guest program WORDS…`: who has become the machine's user becomes its program.
pub(in crate::guest) fn main(words: &[OsString]) -> ExitCode {
    let Some((program, arguments)) = words.split_first() else { return ExitCode::from(64) };
    let error = Command::new(program).args(arguments).env_clear().envs(rights::environment()).exec();
    let failure = failure(program, &error);
    log::line(&failure.message);
    ExitCode::from(failure.code)
}

fn is_shell(program: &OsStr) -> bool {
    let name = Path::new(program).file_name().and_then(OsStr::to_str).map(|name| name.trim_start_matches('-'));
    name.is_some_and(|name| SHELLS.contains(&name))
}

fn failure(program: &OsStr, error: &std::io::Error) -> Failure {
    let name = String::from_utf8_lossy(program.as_bytes()).into_owned();
    let (why, code) = match error.raw_os_error() {
        // The kernel says the same of both.
        Some(2) if name.contains('/') && Path::new(program).exists() => (
            format!(
                "`{name}` cannot be run: the interpreter or loader that it names is not in this image (the `#!` line, or the libc that it was built for)"
            ),
            127,
        ),
        Some(2) => (format!("there is no program `{name}` in this image; `command` and `entrypoint` say what is run"), 127),
        Some(13) => (format!("`{name}` may not be run: is it executable, and on a mount without `noexec`?"), 126),
        Some(8) => {
            let built = architecture(Path::new(program)).unwrap_or("something that is not");
            (format!("`{name}` cannot be run: it is built for {built}, and this machine is {}", std::env::consts::ARCH), 126)
        }
        _ => (format!("`{name}` cannot be run: {error}"), 126),
    };
    Failure { message: why, code }
}

/// What an ELF file was built for.
fn architecture(program: &Path) -> Option<&'static str> {
    let mut head = [0; 20];
    std::io::Read::read_exact(&mut std::fs::File::open(program).ok()?, &mut head).ok()?;
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let number = [head[18], head[19]];
    let machine = if head[5] == 2 { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) };
    Some(match machine {
        3 => "x86",
        40 => "arm",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv64",
        21 => "powerpc64",
        22 => "s390x",
        _ => "another architecture",
    })
}
