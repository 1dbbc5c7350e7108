//! Takes away what labs leave outside their namespaces, also those of tests that were killed: their folders and cgroups.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use super::wait::within;

/// Folders and cgroups of labs are called so, and nothing else is.
pub(super) const PREFIX: &str = "fly-lab-";

/// Asks a test to keep its lab until it is killed, and to write the lab's folder into the file that the variable names.
pub(crate) const HOLD: &str = "FLY_LAB_HOLD";

/// Removes every lab whose test process is gone.
pub(crate) fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for dir in entries.flatten().map(|entry| entry.path()).filter(|dir| is_lab(dir)) {
        let lock = File::open(dir.join("lock"));
        let dead = match &lock {
            // The lock goes with its holder, however that ended.
            Ok(lock) => lock.try_lock().is_ok(),
            // Half removed, or being made just now.
            Err(error) => error.kind() == ErrorKind::NotFound && is_old(&dir),
        };
        if dead {
            // What resists is met again by the next sweep, and must not fail a test that it does not concern.
            let _ = remove(&dir);
        }
    }
}

/// Removes a lab, which ends it.
pub(super) fn remove(dir: &Path) -> Result<(), String> {
    end_first_process(dir)?;
    for cgroup in cgroups(dir) {
        // The kernel lets go of the last process's cgroup a moment after it is dead.
        within(Duration::from_secs(10), || remove_cgroup(&cgroup))?;
    }
    within(Duration::from_secs(10), || match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(format!("{}: {error}", dir.display())),
        _ => Ok(()),
    })
}

/// The pid of a lab's first process.
pub(super) fn init_of(dir: &Path) -> Option<u32> {
    fs::read_to_string(dir.join("init.pid")).ok()?.trim().parse().ok()
}

/// Where this test is asked to, waits for SIGKILL.
pub(super) fn hold_if_asked(dir: &Path) {
    if let Some(file) = std::env::var_os(HOLD) {
        fs::write(file, dir.display().to_string()).expect("a file that the asking test has named");
        loop {
            std::thread::park();
        }
    }
}

/// Every cgroup of a lab that is left.
pub(crate) fn cgroups(dir: &Path) -> Vec<PathBuf> {
    let name = dir.file_name().unwrap_or_default();
    cgroup_roots().iter().map(|root| root.join(name)).filter(|it| it.exists()).collect()
}

/// Its end of input has ended it already, unless it hangs.
fn end_first_process(dir: &Path) -> Result<(), String> {
    let Some(pid) = init_of(dir) else { return Ok(()) };
    within(Duration::from_secs(20), || {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // Pids are used again: only a process that has this very folder among its words is ours.
        if !line.split('\0').any(|word| Path::new(word) == dir) {
            return Ok(());
        }
        let _ = super::signal(pid, Signal::KILL);
        Err(format!("first process {pid} of {} lives", dir.display()))
    })
}

fn is_lab(dir: &Path) -> bool {
    dir.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX)) && dir.is_dir()
}

fn is_old(dir: &Path) -> bool {
    let age = fs::metadata(dir).and_then(|it| it.modified()).map(|it| SystemTime::now().duration_since(it));
    matches!(age, Ok(Ok(age)) if age > Duration::from_secs(60))
}

/// One a controller with cgroup v1, one in all with v2.
fn cgroup_roots() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let cgroups = fields.filter(|it| it.get(2).is_some_and(|kind| kind.starts_with("cgroup")));
    cgroups.map(|it| PathBuf::from(it[1])).collect()
}

fn remove_cgroup(dir: &Path) -> Result<(), String> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for child in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        remove_cgroup(&child)?;
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(format!("{}: {error}", dir.display())),
        _ => Ok(()),
    }
}
