//! The machine's own program: what image and file say, run as if the engine had run it.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, getuid, geteuid};
use rustix::termios::tcsetpgrp;

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

    /// Its process; nothing where there is nothing to run.
    pub(super) fn start(&self) -> Result<Option<Pid>, Failure> {
        let Some((program, arguments)) = self.0.split_first() else { return Ok(None) };
        let terminal = std::io::stdin().is_terminal();
        if !terminal && arguments.is_empty() && is_shell(program) {
            return Ok(None);
        }
        let mut command = Command::new(program);
        command.args(arguments);
        if geteuid() != getuid() {
            // The engine has started fly as the machine's user, and the kernel has made it root: for the program both is undone.
            command.uid(getuid().as_raw()).env_clear().envs(environment());
        }
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

fn is_shell(program: &OsStr) -> bool {
    let name = Path::new(program).file_name().and_then(OsStr::to_str).map(|name| name.trim_start_matches('-'));
    name.is_some_and(|name| SHELLS.contains(&name))
}

/// The whole environment: the C library has taken some of it out of what a program that became root sees.
fn environment() -> Vec<(OsString, OsString)> {
    let raw = std::fs::read("/proc/self/environ").unwrap_or_default();
    let pairs = raw.split(|byte| *byte == 0).filter_map(|entry| {
        let equals = entry.iter().position(|byte| *byte == b'=')?;
        Some((OsString::from_vec(entry[..equals].to_vec()), OsString::from_vec(entry[equals + 1..].to_vec())))
    });
    pairs.filter(|(name, _)| !name.is_empty()).collect()
}

fn failure(program: &OsStr, error: &std::io::Error) -> Failure {
    let name = String::from_utf8_lossy(program.as_bytes()).into_owned();
    let (why, code) = match error.raw_os_error() {
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
