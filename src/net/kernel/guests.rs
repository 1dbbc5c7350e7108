//! What the guests of machines are told, and what they say: files in the machine, as it sees them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use super::error::Refused;
use super::observe::spread;
use super::space::Process;
use crate::net::{GuestSeen, NetError, Processes};
use crate::types::{
    GUEST_CONFIG, GUEST_HOME, GUEST_HOST_KEY, GUEST_SSHD, GUEST_STATUS, GuestConfig, GuestSettings, GuestStatus, Name, own_words,
};

/// A machine can write there what it likes.
const LARGEST: u64 = 1 << 20;
/// How long a container that has started may take to execute its program, on a machine whose cores are busy.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

pub(super) fn observe(processes: &Processes) -> Result<BTreeMap<Name, GuestSeen>, NetError> {
    let machines: Vec<(&Name, u32)> = processes.iter().map(|(name, pid)| (name, *pid)).collect();
    let seen = spread(&machines, |(name, pid)| Ok(Process::open(*pid).ok().map(|process| ((*name).clone(), read(&process)))))?;
    Ok(seen.into_iter().flatten().collect())
}

fn read(process: &Process) -> GuestSeen {
    let settings = file::<GuestSettings>(process, GUEST_CONFIG);
    let settings = settings.filter(|settings| container(process).is_some_and(|own| settings.container == own.0));
    let host_key = process.file(&format!("{}/{GUEST_HOST_KEY}", GUEST_HOME.trim_start_matches('/')), OFlags::RDONLY).is_ok();
    let status = status(process);
    let sshd = status.as_ref().and_then(|_| file(process, GUEST_SSHD));
    GuestSeen { config: settings.map(|it| it.config), status, sshd, host_key }
}

/// What the guest says in this life of the container: the volume may still hold what it said in another one.
fn status(process: &Process) -> Option<GuestStatus> {
    file::<GuestStatus>(process, GUEST_STATUS).filter(|status| Some(status.began) == process.began())
}

/// By which a guest knows the settings that are its own.
struct Container(Option<String>);

/// Nothing as long as the engine's own process has not made way for the guest.
fn container(process: &Process) -> Option<Container> {
    let line = process.command_line().ok()?;
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    if let Some((_, own)) = own_words(&words) {
        return Some(Container(own.map(|word| String::from_utf8_lossy(word).into_owned())));
    }
    // Another program, in the guest's place.
    status(process).map(|status| Container(status.container))
}

/// The engine says that a container has started a moment before its program is executed.
fn wait_for_guest(process: &Process) -> Result<Container, Refused> {
    let (began, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        if let Some(own) = container(process) {
            return Ok(own);
        }
        if !process.is_alive() || began.elapsed() > PATIENCE {
            return Err(Refused::new(Errno::TIMEDOUT, "its first process is not fly's guest"));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Writes a machine's settings. They replace the file by one renaming: the guest reads the old ones or the new ones.
pub(super) fn tell(process: &Process, config: &GuestConfig) -> Result<(), Refused> {
    let Container(container) = wait_for_guest(process)?;
    let settings = GuestSettings { container, config: config.clone() };
    let text = serde_json::to_vec(&settings).map_err(|error| Refused::new(Errno::INVAL, error.to_string()))?;
    let folder = process.folder(GUEST_HOME.trim_start_matches('/'))?;
    let new = format!("{GUEST_CONFIG}.new");
    // Of a writer that was cut off; or a link that somebody in the machine has put there.
    match unlinkat(&folder, &new, AtFlags::empty()) {
        Err(errno) if errno != Errno::NOENT => return Err(errno.into()),
        _ => {}
    }
    // What users' keys are is for nobody else in the machine to read.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(&folder, &new, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(&text)?;
    Ok(renameat(&folder, &new, &folder, GUEST_CONFIG)?)
}

/// What cannot be read, or understood, is not there: it will be written anew.
fn file<T: DeserializeOwned>(process: &Process, name: &str) -> Option<T> {
    let path = format!("{}/{name}", GUEST_HOME.trim_start_matches('/'));
    let mut text = Vec::new();
    process.file(&path, OFlags::RDONLY).ok()?.take(LARGEST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
