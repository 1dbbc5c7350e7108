//! Keeps the leases of cards: asks at once for those of machines that have just started, and in time for more of the others.
//!
//! Whether it is time is seen by the card itself (`net/kernel/lease`): here is only the asking, again and again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::log;
use crate::actual::Actual;
use crate::net::{Kernel, LinkState, NetErrorKind, NetOp, NetPlane as _, Orders};
use crate::observe;
use crate::types::{LinkRef, Name};

#[derive(Clone)]
pub(super) struct Leases {
    kernel: Kernel,
    /// Cards that somebody asks for at the moment, by project.
    busy: Arc<Mutex<HashSet<(Name, LinkRef)>>>,
    /// Those whose last try failed: it is said once.
    failing: Arc<Mutex<HashSet<(Name, LinkRef)>>>,
}

impl Leases {
    pub(super) fn new(kernel: Kernel) -> Self {
        Self { kernel, busy: Arc::default(), failing: Arc::default() }
    }

    /// Of all machines that run; nothing is waited for. `all`: also those that they have not, or not any more.
    pub(super) fn keep(&self, project: &Name, orders: &Orders, actual: &Actual, all: bool) {
        let processes = observe::processes(actual);
        for op in orders.machines.values().flat_map(|machine| &machine.ops) {
            let NetOp::Lease { at, leasing } = op else { continue };
            // What is not there is put back first; and one that is another's by now is none of ours.
            let has = |link: &LinkState| all || leasing.ways.iter().all(|way| link.leases.contains_key(way));
            let is_ours =
                actual.link(at).is_some_and(|link| link.alias.as_ref().is_some_and(|alias| alias.starts_with("fly:")) && has(link));
            let key = (project.clone(), at.clone());
            if !is_ours || !self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
                continue;
            }
            let (leases, op, processes) = (self.clone(), op.clone(), processes.clone());
            tokio::spawn(async move {
                let done = leases.kernel.perform(&op, &key.0, &processes).await;
                let mut failing = leases.failing.lock().unwrap_or_else(PoisonError::into_inner);
                match done {
                    Ok(()) => {
                        if failing.remove(&key) {
                            log::line(&format!("{}: {} has its address again", key.0, key.1));
                        }
                    }
                    Err(error) if error.kind == NetErrorKind::Ended => {}
                    Err(error) => {
                        if failing.insert(key.clone()) {
                            log::line(&format!("{}: {error}; it is tried again", key.0));
                        }
                    }
                }
                leases.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            });
        }
    }
}
