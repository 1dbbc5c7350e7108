//! The guest: installed before the first machine that has it, removed after the last; what each machine's is told.

use std::collections::BTreeSet;

use super::StepId;
use super::builder::{Builder, after};
use crate::desired::Machine;
use crate::diff::{self, Action, Impact};
use crate::engine::EngineOp;
use crate::net::NetOp;
use crate::types::{Addr, GuestConfig, Name};

pub(super) fn install(b: &mut Builder<'_>) {
    for version in versions(b, Action::Create) {
        let addr = Addr::Guest(version.clone());
        let step = b.add(&addr, EngineOp::InstallGuest { version }, BTreeSet::new());
        b.ready.insert(addr, after([step]));
    }
}

fn versions(b: &Builder<'_>, action: Action) -> Vec<String> {
    let of = |addr: &Addr| if let Addr::Guest(version) = addr { Some(version.clone()) } else { None };
    b.diff.changes.iter().filter(|(_, change)| change.action == action).filter_map(|(addr, _)| of(addr)).collect()
}

/// After every container that has it is gone.
pub(super) fn remove(b: &mut Builder<'_>) {
    for version in versions(b, Action::Delete) {
        let gone = b.steps.iter().filter(|step| matches!(&step.op, super::Op::Engine(EngineOp::RemoveContainer { .. })));
        let before = gone.map(|step| step.id).collect();
        b.add(&Addr::Guest(version.clone()), EngineOp::RemoveGuest { version }, before);
    }
    let keys = b.actual.engine.host_keys.iter().filter(|(name, _)| b.action(&Addr::HostKey((*name).clone())) == Action::Delete);
    for (name, volume) in keys.map(|(name, volume)| (name.clone(), volume.clone())).collect::<Vec<_>>() {
        let before = b.freed.get(&name).cloned().unwrap_or_default();
        b.add(&Addr::HostKey(name), EngineOp::DeleteVolume { name: volume }, before);
    }
}

/// Of a machine that starts: its first process waits for it.
pub(super) fn tell(b: &mut Builder<'_>, name: &Name, machine: &Machine, started: StepId) {
    if let Some(config) = diff::guest_config(b.actual, name, machine) {
        let step = settings(b, name, config, after([started]));
        b.told.insert(name.clone(), step);
    }
}

/// Of a machine that runs on. That its cards change is no change of its own.
pub(super) fn changed(b: &mut Builder<'_>, name: &Name, machine: &Machine) -> Option<StepId> {
    let config = diff::guest_to_write(b.actual, name, machine)?;
    let before = b.renamed.get(name).copied().into_iter().collect();
    let addr = Addr::Machine(name.clone());
    if b.action(&addr) == Action::Keep {
        let op = NetOp::SetGuest { machine: name.clone(), config: Box::new(config) };
        return Some(b.add_because(&addr, op, before, "its program waits for its cards when it starts", Impact::None));
    }
    Some(settings(b, name, config, before))
}

fn settings(b: &mut Builder<'_>, name: &Name, config: GuestConfig, before: BTreeSet<StepId>) -> StepId {
    b.add(&Addr::Machine(name.clone()), NetOp::SetGuest { machine: name.clone(), config: Box::new(config) }, before)
}
