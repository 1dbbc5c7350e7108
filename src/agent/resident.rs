//! `fly agent run SOCKET`: stays beside the engine, and has cards put back when machines start.
//!
//! An event is a hint that something has happened to a project; what there is to do is seen by looking. So a lost event costs time, at
//! most until the next look, and never a card.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::restore::{Done, Keeper};
use super::{host, log};
use crate::engine::{Docker, guest_version};
use crate::net::Kernel;
use crate::types::Name;

/// How often everything is looked at without any event.
const ROUND: Duration = Duration::from_secs(60);
/// How often leases are looked at: servers give them for two minutes at least.
const LEASES: Duration = Duration::from_secs(5);
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(30);
/// An engine that starts again is soon back, and machines wait.
const LONGEST_AWAY: Duration = Duration::from_secs(1);

pub(super) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let socket = arguments.map(|word| word.to_string_lossy().into_owned()).next().unwrap_or_else(|| "/var/run/docker.sock".to_owned());
    if let Err(error) = host::enter() {
        log::line(&format!("cannot see the host's files: {error}"));
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(stay(&format!("unix://{socket}"))),
        Err(error) => log::line(&format!("cannot start: {error}")),
    }
    ExitCode::FAILURE
}

/// For ever.
async fn stay(address: &str) {
    log::line(&format!("agent {} at {address}", guest_version().unwrap_or_default()));
    let (mut rest, mut told) = (FIRST_REST, false);
    loop {
        match watch(address).await {
            Ok(()) => (rest, told) = (FIRST_REST, false),
            Err(error) if !told => {
                log::line(&format!("{error}; it is tried again"));
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(LONGEST_AWAY);
    }
}

/// As long as the engine is there.
async fn watch(address: &str) -> Result<(), String> {
    let docker = Docker::connect(Some(address)).await.map_err(|error| error.to_string())?;
    let kernel = Kernel::new().map_err(|error| error.to_string())?;
    kernel.check_rights().map_err(|error| error.to_string())?;
    // Before the first look, so that nothing happens between the two.
    let mut events = docker.events().await.map_err(|error| error.to_string())?;
    let (tell, mut told) = mpsc::unbounded_channel();
    let listen = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if tell.send(event.project).is_err() {
                break;
            }
        }
    });
    let orders = docker.orders().await.map_err(|error| error.to_string())?;
    let mut due: BTreeSet<Name> = orders.keys().cloned().collect();
    let names: Vec<&str> = orders.keys().map(Name::as_str).collect();
    log::line(&format!("the engine is there; projects: {}", if names.is_empty() { "none yet".to_owned() } else { names.join(", ") }));
    let mut keeper = Keeper::new(docker.clone(), kernel, orders);
    let mut again: BTreeMap<Name, (Instant, Duration)> = BTreeMap::new();
    let (mut round, mut leases) = (Instant::now() + ROUND, Instant::now() + LEASES);
    loop {
        for project in std::mem::take(&mut due) {
            let rest = match keeper.restore(&project).await {
                Done::Whole => {
                    again.remove(&project);
                    continue;
                }
                Done::Again => again.get(&project).map_or(FIRST_REST, |(_, rest)| (*rest * 2).clamp(FIRST_REST, LONGEST_REST)),
                // It is no failure: the others go on meanwhile.
                Done::Busy(rest) => rest,
            };
            again.insert(project, (Instant::now() + rest, rest));
        }
        let next = again.values().map(|(at, _)| *at).chain([round, leases]).min().unwrap_or(round);
        tokio::select! {
            project = told.recv() => match project {
                Some(project) => drop(due.insert(project)),
                None => break,
            },
            () = tokio::time::sleep_until(next.into()) => {}
        }
        // Machines seldom start alone.
        while let Ok(project) = told.try_recv() {
            due.insert(project);
        }
        let now = Instant::now();
        due.extend(again.iter().filter(|(_, (at, _))| *at <= now).map(|(project, _)| project.clone()));
        if leases <= now {
            leases = now + LEASES;
            for project in keeper.leasing() {
                keeper.keep_leases(&project).await;
            }
        }
        if round <= now {
            round = now + ROUND;
            due.extend(docker.orders().await.map_err(|error| error.to_string())?.into_keys());
        }
    }
    listen.abort();
    log::line("the engine has gone");
    Ok(())
}
