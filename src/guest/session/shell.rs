//! Shells and commands, also where the image has no shell.

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::super::log;
use super::super::users::User;
use super::{FAILED, NOT_FOUND, OWN_BINARY, become_program, environment, words};

const DEFAULT_SHELL: &str = "/bin/sh";

enum Shell {
    Program(PathBuf),
    /// The image has none at all.
    None,
    /// The user may not have one, and why.
    Refused(String),
}

fn shell_of(user: &User) -> Shell {
    let executable = |path: &Path| std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    let default = Path::new(DEFAULT_SHELL);
    let wanted = if user.shell.as_os_str().is_empty() { default } else { &user.shell };
    if matches!(wanted.file_name().and_then(OsStr::to_str), Some("nologin" | "false")) {
        return Shell::Refused(format!("{} has {} as shell: nobody can log in as this user", user.name, wanted.display()));
    }
    if executable(wanted) {
        Shell::Program(wanted.to_owned())
    } else if executable(default) {
        Shell::Refused(format!("{} has {} as shell, which is not in this image", user.name, wanted.display()))
    } else {
        Shell::None
    }
}

/// An interactive login.
pub(super) fn log_in(user: &User) -> ExitCode {
    let shell = match shell_of(user) {
        Shell::Program(shell) => shell,
        Shell::Refused(why) => return end(&why, FAILED),
        Shell::None => {
            return end(
                "this image has no shell to log in to; run one of its programs by its full path: ssh MACHINE /path/to/program",
                NOT_FOUND,
            );
        }
    };
    if rustix::termios::isatty(std::io::stdin()) {
        greet(user);
    }
    let mut name = OsString::from("-");
    name.push(shell.file_name().unwrap_or_default());
    let mut command = Command::new(&shell);
    std::os::unix::process::CommandExt::arg0(&mut command, name);
    environment(user, Some(&shell), &mut command);
    let text = format!("the shell {} cannot be run", shell.display());
    become_program(&mut command, &text, &text)
}

/// One command, in the user's shell; without a shell, the program itself.
pub(super) fn execute(user: &User, line: &OsStr) -> ExitCode {
    match shell_of(user) {
        Shell::Program(shell) => {
            let mut command = Command::new(&shell);
            std::os::unix::process::CommandExt::arg0(&mut command, shell.file_name().unwrap_or_default());
            command.arg("-c").arg(line);
            environment(user, Some(&shell), &mut command);
            let text = format!("the shell {} cannot be run", shell.display());
            become_program(&mut command, &text, &text)
        }
        Shell::Refused(why) => end(&why, FAILED),
        Shell::None => execute_without_shell(user, line),
    }
}

fn execute_without_shell(user: &User, line: &OsStr) -> ExitCode {
    let words = match words::split(line.as_bytes()) {
        Ok(words) => words,
        Err(why) => return end(&format!("this image has no shell, and the command cannot be understood without one: {why}"), NOT_FOUND),
    };
    let Some((program, rest)) = words.split_first() else {
        return ExitCode::SUCCESS;
    };
    let mut command = Command::new(program);
    command.args(rest);
    environment(user, None, &mut command);
    let name = log::foreign(&program.to_string_lossy());
    become_program(
        &mut command,
        &format!("this image has no shell; give a program with its full path ({name} is not there)"),
        &format!("{name} cannot be run"),
    )
}

/// Files. Whoever may not have a shell has no files either, as with OpenSSH.
pub(super) fn sftp(user: &User) -> ExitCode {
    let shell = match shell_of(user) {
        Shell::Program(shell) => Some(shell),
        Shell::Refused(why) => return end(&why, FAILED),
        Shell::None => None,
    };
    let mut command = Command::new(OWN_BINARY);
    std::os::unix::process::CommandExt::arg0(&mut command, "fly");
    command.args(["guest", "sftp"]);
    environment(user, shell.as_deref(), &mut command);
    become_program(&mut command, "sftp cannot be run: /proc is not there", "sftp cannot be run")
}

fn greet(user: &User) {
    const LONGEST: u64 = 64 * 1024;
    if user.home.join(".hushlogin").exists() {
        return;
    }
    let mut text = vec![];
    if std::fs::File::open("/etc/motd").and_then(|file| file.take(LONGEST).read_to_end(&mut text)).is_ok() {
        let mut output = std::io::stdout().lock();
        let _ = output.write_all(&text).and_then(|()| output.flush());
    }
}

fn end(text: &str, code: u8) -> ExitCode {
    log::line(text);
    ExitCode::from(code)
}
