//! What the guests of machines are told, and what they say: files in the machine, as it sees them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use super::error::Refused;
use super::observe::spread;
use super::space::Process;
use crate::net::{GuestSeen, NetError, Processes};
use crate::types::{GUEST_CONFIG, GUEST_HOME, GUEST_SSHD, GUEST_STATUS, GuestConfig, GuestSettings, Name, own_words};

/// A machine can write there what it likes.
const LARGEST: u64 = 1 << 20;

pub(super) fn observe(processes: &Processes) -> Result<BTreeMap<Name, GuestSeen>, NetError> {
    let machines: Vec<(&Name, u32)> = processes.iter().map(|(name, pid)| (name, *pid)).collect();
    let seen = spread(&machines, |(name, pid)| Ok(Process::open(*pid).ok().map(|process| ((*name).clone(), read(&process)))))?;
    Ok(seen.into_iter().flatten().collect())
}

fn read(process: &Process) -> GuestSeen {
    let settings = file::<GuestSettings>(process, GUEST_CONFIG);
    let settings = settings.filter(|settings| settings.container == container(process, Some(settings)));
    GuestSeen { config: settings.map(|it| it.config), status: file(process, GUEST_STATUS), sshd: file(process, GUEST_SSHD) }
}

/// By which a guest knows the settings that are its own. Where another program has taken the guest's place, what `now` says holds.
fn container(process: &Process, now: Option<&GuestSettings>) -> Option<String> {
    let line = process.command_line().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    match own_words(&words) {
        Some((_, own)) => own.map(|word| String::from_utf8_lossy(word).into_owned()),
        None => now.and_then(|now| now.container.clone()),
    }
}

/// Writes a machine's settings. They replace the file by one renaming: the guest reads the old ones or the new ones.
pub(super) fn tell(process: &Process, config: &GuestConfig) -> Result<(), Refused> {
    let container = container(process, file(process, GUEST_CONFIG).as_ref());
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
