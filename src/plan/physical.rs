//! Cards of the host's: given back before a machine's namespace goes, and put right where the kernel has put them after it went.

use std::collections::BTreeSet;

use super::builder::{Builder, after};
use super::{Op, StepId};
use crate::diff::{self, Lent};
use crate::net::NetOp;
use crate::types::{Addr, LinkRef, Name};

/// Those that nothing in the file is to have, or another card than until now: as soon as can be, for somebody may be waiting for it.
pub(super) fn returned(b: &mut Builder<'_>) {
    for Lent { at, origin, .. } in diff::returned(b.desired, b.actual) {
        let addr = Addr::nic(&origin.machine, &origin.nic);
        let step = b.add(&addr, NetOp::GiveBack { at, device: origin.name }, BTreeSet::new());
        b.freed.entry(origin.machine).or_default().insert(step);
    }
    for machine in b.actual.engine.machines.keys().filter(|machine| !b.diff.keeps_namespace(b.actual, machine)).collect::<Vec<_>>() {
        for Lent { at, origin, .. } in diff::lent_to(&b.desired.project, b.actual, machine) {
            if !diff::is_wanted(b.desired, &origin) && !is_given(b, &at) {
                let step = give(b, machine, at, origin.name, BTreeSet::new());
                b.freed.entry(machine.clone()).or_default().insert(step);
            }
        }
    }
}

/// Before a machine stops; what the stop is to wait for.
pub(super) fn given_back(b: &mut Builder<'_>, machine: &Name, before: &BTreeSet<StepId>) -> BTreeSet<StepId> {
    let mut last = before.clone();
    for Lent { at, origin, .. } in diff::lent_to(&b.desired.project, b.actual, machine) {
        if !is_given(b, &at) {
            last.extend(after([give(b, machine, at, origin.name, before.clone())]));
        }
    }
    // Those that were given back early.
    let steps = b
        .steps
        .iter()
        .filter(|step| matches!(&step.op, Op::Net(NetOp::GiveBack { at, .. }) if at.ns == crate::types::Ns::Machine(machine.clone())));
    last.extend(steps.map(|step| step.id).collect::<Vec<_>>());
    last
}

fn give(b: &mut Builder<'_>, machine: &Name, at: LinkRef, device: String, before: BTreeSet<StepId>) -> StepId {
    let step = b.add(&Addr::Machine(machine.clone()), NetOp::GiveBack { at, device }, before);
    b.leaves(machine, step);
    step
}

fn is_given(b: &Builder<'_>, at: &LinkRef) -> bool {
    b.steps.iter().any(|step| matches!(&step.op, Op::Net(NetOp::GiveBack { at: given, .. }) if given == at))
}
