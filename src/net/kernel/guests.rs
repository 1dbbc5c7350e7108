//! What the guests of machines were told, and what they say: files in the machine, read as it sees them.

use std::collections::BTreeMap;
use std::io::Read;

use rustix::fs::OFlags;
use serde::de::DeserializeOwned;

use super::observe::spread;
use super::space::Process;
use crate::net::{GuestSeen, NetError, Processes};
use crate::types::{GUEST_CONFIG, GUEST_HOME, GUEST_SSHD, GUEST_STATUS, Name};

/// A machine can write there what it likes.
const LARGEST: u64 = 1 << 20;

pub(super) fn observe(processes: &Processes) -> Result<BTreeMap<Name, GuestSeen>, NetError> {
    let machines: Vec<(&Name, u32)> = processes.iter().map(|(name, pid)| (name, *pid)).collect();
    let seen = spread(&machines, |(name, pid)| Ok(Process::open(*pid).ok().map(|process| ((*name).clone(), read(&process)))))?;
    Ok(seen.into_iter().flatten().collect())
}

fn read(process: &Process) -> GuestSeen {
    GuestSeen { config: file(process, GUEST_CONFIG), status: file(process, GUEST_STATUS), sshd: file(process, GUEST_SSHD) }
}

/// What cannot be read, or understood, is not there: it will be written anew.
fn file<T: DeserializeOwned>(process: &Process, name: &str) -> Option<T> {
    let path = format!("{}/{name}", GUEST_HOME.trim_start_matches('/'));
    let mut text = Vec::new();
    process.file(&path, OFlags::RDONLY).ok()?.take(LARGEST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
