//! Which processes of the user have left their session in all but name: nothing of it is open in them any more.
//!
//! Only the user's own process may look: the server is root, but root of a container may not see what others have open.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use super::super::processes::processes;
use super::BROKEN;

/// Of the session whose number is the first line of `what`; the other lines are what its processes may have open. One a line.
pub(super) fn tell(what: &OsStr) -> ExitCode {
    let text = what.to_string_lossy();
    let mut lines = text.lines();
    let Some(session) = lines.next().and_then(|line| line.parse::<u32>().ok()) else { return ExitCode::from(BROKEN) };
    let ties: Vec<&str> = lines.collect();
    let found = processes().filter(|(pid, it)| it.session == session && holds_none(*pid, &ties) == Some(true));
    let said = found.fold(String::new(), |mut all, (pid, _)| {
        let _ = writeln!(all, "{pid}");
        all
    });
    if std::io::stdout().write_all(said.as_bytes()).is_ok() { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) }
}

/// `None`: it cannot be seen, or is gone.
fn holds_none(pid: u32, ties: &[&str]) -> Option<bool> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    for entry in open {
        let link = std::fs::read_link(entry.ok()?.path());
        let link = match &link {
            Ok(link) => link.to_string_lossy(),
            // Closed meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(_) => return None,
        };
        // So a terminal is called that is gone with its client.
        if ties.contains(&link.trim_end_matches(" (deleted)")) {
            return Some(false);
        }
    }
    Some(true)
}
