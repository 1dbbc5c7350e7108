//! Addresses that the network gives: asked for when a card is there, given back before it goes.

use std::collections::BTreeSet;

use super::StepId;
use super::builder::{Builder, after};
use crate::desired::Machine;
use crate::diff::{self, Leases, NicDiff};
use crate::net::{LinkState, NetOp};
use crate::types::{Addr, Dynamic, IfName, LinkRef, Name, Ns};

/// Of a card that is new.
pub(super) fn get(b: &mut Builder<'_>, machine: &Name, wanted: &Machine, name: &IfName, before: &BTreeSet<StepId>) -> Option<StepId> {
    let leasing = wanted.leasing(machine, name).filter(|_| wanted.nics[name].up)?;
    let op = NetOp::Lease { at: LinkRef::machine(machine, name.as_str()), leasing: Box::new(leasing) };
    Some(b.add(&Addr::nic(machine, name), op, before.clone()))
}

/// Of the cards of a machine that keeps its namespace, when everything else about them is done.
pub(super) fn changed(b: &mut Builder<'_>, machine: &Name, wanted: &Machine, before: &BTreeSet<StepId>) {
    for name in wanted.nics.keys() {
        let is_new = !matches!(diff::nic(b.desired, b.actual, machine, name), NicDiff::Same | NicDiff::Set { .. });
        let Leases { get: missing, give_back } = diff::leases(b.actual, b.desired, machine, name);
        if is_new || !missing.is_empty() {
            get(b, machine, wanted, name, before);
        }
        if !is_new && !give_back.is_empty() {
            let op = NetOp::Release { at: LinkRef::machine(machine, name.as_str()), ways: give_back };
            b.add(&Addr::nic(machine, name), op, before.clone());
        }
    }
}

/// Of a card that goes, by its name now.
pub(super) fn give_back(
    b: &mut Builder<'_>,
    machine: &Name,
    addr: &Addr,
    name: &str,
    link: &LinkState,
    before: &BTreeSet<StepId>,
) -> Option<StepId> {
    let ways: BTreeSet<Dynamic> = link.leases.keys().copied().filter(|way| *way != Dynamic::Slaac).collect();
    let op = NetOp::Release { at: LinkRef::machine(machine, name), ways };
    if link.leases.keys().all(|way| *way == Dynamic::Slaac) { None } else { Some(b.add(addr, op, before.clone())) }
}

/// Of all cards of a machine that goes.
pub(super) fn give_all_back(b: &mut Builder<'_>, machine: &Name) -> BTreeSet<StepId> {
    let links = b.actual.namespace(&Ns::Machine(machine.clone())).map(|ns| &ns.links);
    let mut steps = BTreeSet::new();
    for (name, link) in links.into_iter().flatten() {
        steps.extend(give_back(b, machine, &Addr::Machine(machine.clone()), name, link, &after([])));
    }
    steps
}
