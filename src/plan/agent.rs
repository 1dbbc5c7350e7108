//! The agent: started before it is needed, told last what it is to put back.

use std::collections::{BTreeMap, BTreeSet};

use super::builder::Builder;
use super::{Op, Step, networks, nics};
use crate::actual::Actual;
use crate::desired::{self, Desired};
use crate::diff::{self, Action, Diff, Drift, Impact};
use crate::engine::EngineOp;
use crate::net::{MachineOrders, NetOp, Orders};
use crate::types::{Addr, NetworkMode};

/// What the agent is to put back for this project, as it is written down; nothing where it does without one.
///
/// These are the operations on the network of a first deployment: they do not hang on what there is now, so that the same file
/// always gives the same orders.
pub(super) fn orders(desired: &Desired) -> Option<String> {
    desired.agent.as_ref()?;
    let mut nothing = Actual::default();
    nothing.net.firewall.drops_bridged = true;
    let diff = diff::diff(desired, &nothing);
    let mut b = Builder::new(desired, &nothing, &diff);
    networks::networks(&mut b);
    super::machines::machines(&mut b);
    nics::cables(&mut b);
    let mut orders = Orders::default();
    for (name, machine) in &desired.machines {
        let hosts = (machine.container.network_mode == NetworkMode::Own).then(|| machine.hosts.clone());
        orders.machines.insert(name.clone(), MachineOrders { ops: vec![], hosts });
    }
    for Step { addr, op, .. } in b.steps {
        let Op::Net(mut op) = op else { continue };
        // They are in use: nobody is asked again.
        if let NetOp::CreateLink { link }
        | NetOp::CreateVeth { a: link, .. }
        | NetOp::AdoptPort { link, .. }
        | NetOp::TakeLink { link, .. } = &mut op
        {
            link.manners.probe.clear();
        }
        match &addr {
            Addr::Network(_) => orders.host.push(op),
            // What the guest was told is still there.
            _ if matches!(op, NetOp::SetGuest { .. }) => {}
            Addr::Link(id) => {
                for (machine, _) in id.ends() {
                    orders.machines.entry(machine.clone()).or_default().ops.push(op.clone());
                }
            }
            addr => {
                if let Some(machine) = addr.machine() {
                    orders.machines.entry(machine.clone()).or_default().ops.push(op);
                }
            }
        }
    }
    orders.file = desired::fingerprints(desired);
    (!orders.machines.is_empty()).then(|| orders.to_text())
}

/// What has changed of itself, by what was noted of the file at the last `up`.
pub(super) fn drift(desired: &Desired, actual: &Actual, diff: &Diff) -> BTreeMap<Addr, Drift> {
    let Some(then) = actual.engine.orders.last().map(|text| Orders::file(text)) else { return BTreeMap::new() };
    diff::drift(desired, actual, &diff.changes, [&desired::fingerprints(desired), &then])
}

pub(super) fn install(b: &mut Builder<'_>) {
    if let (Some(version), Action::Create | Action::Replace | Action::Update) = (&b.desired.agent, b.action(&Addr::Agent)) {
        let is_there = b.actual.engine.agent.as_ref().is_some_and(|agent| agent.running && agent.version == *version);
        if !is_there {
            b.add(&Addr::Agent, EngineOp::InstallAgent { version: version.clone() }, BTreeSet::new());
        }
    }
}

/// A server that gives no address keeps the agent from nothing: with its orders it asks again and again. So it is told when all is done
/// that hangs on no lease.
pub(super) fn whatever_leases_come_to(steps: &mut [Step]) {
    let mut unsure = BTreeSet::new();
    for step in steps {
        if matches!(step.op, Op::Engine(EngineOp::TellAgent { orders: Some(_), .. })) {
            step.after.retain(|before| !unsure.contains(before));
        } else if matches!(step.op, Op::Net(NetOp::Lease { .. })) || step.after.iter().any(|before| unsure.contains(before)) {
            unsure.insert(step.id);
        }
    }
}

/// At the very end: until then it puts back what there was before.
pub(super) fn tell(b: &mut Builder<'_>, orders: Option<String>) {
    let all = |b: &Builder<'_>| b.steps.iter().map(|step| step.id).collect();
    // What the file said is news only where something happens.
    let is_news = !b.steps.is_empty() && !b.actual.engine.orders.iter().eq(orders.iter());
    if is_news || !diff::is_told(b.actual, orders.as_deref()) {
        let reason = match &orders {
            Some(_) => "it puts the cards back when a machine starts again without fly",
            None => "this project has nothing for it any more",
        };
        let version = b.desired.agent.clone().unwrap_or_default();
        let op = EngineOp::TellAgent { version, project: b.desired.project.clone(), orders };
        b.add_because(&Addr::Agent, op, all(b), reason, Impact::None);
    }
    if b.action(&Addr::Agent) == Action::Delete {
        b.add(&Addr::Agent, EngineOp::RemoveAgent, all(b));
    }
}
