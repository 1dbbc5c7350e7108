//! `fly guest session USER WORK`: becomes the user who has logged in, and then the shell, the command or the sftp role.
//!
//! A process of its own, because only so the change of user needs no `unsafe` and cannot be forgotten by one thread: it has just this
//! one. What is secret or long comes in the environment, which only the user can read; the command as `FLY_COMMAND`, as raw bytes.

mod detached;
mod shell;
mod sockets;
mod words;

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::fs::{Gid, Mode, Uid};
use rustix::io::Errno;
use rustix::process::{Signal, ioctl_tiocsctty, set_parent_process_death_signal, setsid, umask};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::log;
use super::users::{self, User};

/// What the server hands over besides the arguments.
pub(super) const COMMAND: &str = "FLY_COMMAND";
/// This program, whatever the user may see of the folder that it lies in.
pub(super) const OWN_BINARY: &str = "/proc/self/exe";

/// As a shell ends when there is no such program.
const NOT_FOUND: u8 = 127;
const FAILED: u8 = 1;
/// As ssh ends when it is not the command that failed.
const BROKEN: u8 = 255;

pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let (tty, words) = match words[..] {
        ["--tty", ref rest @ ..] => (true, rest.to_vec()),
        ref all => (false, all.to_vec()),
    };
    let [name, work] = words[..] else {
        log::line("session: a user and what to do are needed");
        return ExitCode::from(BROKEN);
    };
    let user = match users::find(name).ok_or_else(|| format!("{name} is no user of this image")).and_then(|user| become_user(user, tty)) {
        Ok(user) => user,
        Err(error) => {
            log::line(&error);
            return ExitCode::from(BROKEN);
        }
    };
    match work {
        "shell" => shell::log_in(&user),
        "exec" => shell::execute(&user, &std::env::var_os(COMMAND).unwrap_or_default()),
        "sftp" => shell::sftp(&user),
        "connect" => sockets::connect(&std::env::var_os(COMMAND).unwrap_or_default()),
        "listen" => sockets::listen(&std::env::var_os(COMMAND).unwrap_or_default()),
        "agent" => sockets::agent(),
        "detached" => detached::tell(&std::env::var_os(COMMAND).unwrap_or_default()),
        _ => {
            log::line("session: there is no such work");
            ExitCode::from(BROKEN)
        }
    }
}

/// A session of its own with its terminal, then the user, for good.
fn become_user(user: User, tty: bool) -> Result<User, String> {
    let failed = |what: &str| {
        let text = format!("cannot become {}: {what}", user.name);
        move |error: Errno| {
            let hint = if error == Errno::PERM { "; does `cap_drop` take SETUID and SETGID from this machine?" } else { "" };
            format!("{text}: {error}{hint}")
        }
    };
    umask(Mode::from_raw_mode(0o022));
    setsid().map_err(failed("a session of its own"))?;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let root = rustix::process::getuid().is_root();
    if tty {
        let terminal = io::stdin();
        ioctl_tiocsctty(terminal.as_fd()).map_err(failed("the terminal"))?;
        if root {
            own_terminal(terminal.as_fd(), uid, gid).map_err(failed("the terminal's owner"))?;
        }
    }
    if root {
        let groups: Vec<Gid> = users::groups(&user).into_iter().map(Gid::from_raw).collect();
        set_groups(&groups).map_err(failed("groups"))?;
        set_thread_res_gid(gid, gid, gid).map_err(failed("group"))?;
        set_thread_res_uid(uid, uid, uid).map_err(failed("user"))?;
    }
    // Once more from the kernel, because everything that follows rests on it.
    if rustix::process::geteuid() != uid || rustix::process::getuid() != uid || rustix::process::getegid() != gid {
        return Err(format!("cannot become {}: the guest may not", user.name));
    }
    // After the change of user, which takes it back: a server that dies takes its sessions with it.
    set_parent_process_death_signal(Some(Signal::HUP)).map_err(failed("the server's death"))?;
    if !user.home.is_absolute() || std::env::set_current_dir(&user.home).is_err() {
        std::env::set_current_dir("/").map_err(|error| format!("cannot go to /: {error}"))?;
    }
    Ok(user)
}

/// Root of a machine without the capability keeps the groups that it has, if they are its own: nothing has to be changed for it.
fn set_groups(wanted: &[Gid]) -> rustix::io::Result<()> {
    set_thread_groups(wanted).or_else(|error| {
        let has = rustix::process::getgroups()?;
        if error == Errno::PERM && has.iter().all(|gid| wanted.contains(gid)) { Ok(()) } else { Err(error) }
    })
}

/// As login does it: the user's, writable for the group `tty`, which `write` and `wall` have.
fn own_terminal(terminal: impl AsFd, uid: Uid, gid: Gid) -> rustix::io::Result<()> {
    const TTY: u32 = 5;
    let file = terminal.as_fd();
    let owned = rustix::fs::fchown(file, Some(uid), Some(Gid::from_raw(TTY)))
        .or_else(|_| rustix::fs::fchown(file, Some(uid), Some(gid)))
        .and_then(|()| rustix::fs::fchmod(file, Mode::from_raw_mode(0o620)));
    match owned {
        // A machine may lack the capability. What is open works all the same; only by its name the user cannot open it.
        Err(Errno::PERM) => Ok(()),
        other => other,
    }
}

/// The environment of a login: what the server let through of the client's, and what every login has.
fn environment(user: &User, shell: Option<&Path>, command: &mut Command) {
    const ROOT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    const USER_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
    command.env_remove(COMMAND).env("USER", &user.name).env("LOGNAME", &user.name).env("HOME", &user.home);
    command.env("PATH", if user.uid == 0 { ROOT_PATH } else { USER_PATH });
    if let Some(shell) = shell {
        command.env("SHELL", shell);
    }
}

/// Becomes the program. Comes back only if that failed.
fn become_program(command: &mut Command, missing: &str, failed: &str) -> ExitCode {
    let error = command.exec();
    let (text, code) = match error.kind() {
        io::ErrorKind::NotFound => (missing.to_owned(), NOT_FOUND),
        _ => (format!("{failed}: {error}"), 126),
    };
    log::line(&text);
    ExitCode::from(code)
}
