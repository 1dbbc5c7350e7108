//! The agent: started before it is needed, told last what it is to put back.

use std::collections::{BTreeMap, BTreeSet};

use super::builder::Builder;
use super::{Op, Step, networks, nics, part};
use crate::actual::Actual;
use crate::desired::{self, Desired, Machine};
use crate::diff::{self, Action, Diff, Drift, Impact};
use crate::engine::EngineOp;
use crate::net::{MachineOrders, NetOp, Orders};
use crate::types::{Addr, Fingerprints, HostEntries, Name, NetworkMode};

/// What the agent is to put back for this project, as it is written down; nothing where it does without one.
///
/// These are the operations on the network of a first deployment: they do not hang on what there is now, so that the same file
/// always gives the same orders. Of a part they are changed, and what it was told of the rest stays.
pub(super) fn orders(desired: &Desired, actual: &Actual, diff: &Diff) -> Option<String> {
    if desired.only.is_some() && desired.agent.is_none() {
        return actual.engine.orders.last().cloned();
    }
    desired.agent.as_ref()?;
    let whole = Whole::of(desired);
    let file = desired::fingerprints(desired);
    let orders = if desired.only.is_some() { of_part(whole, file, desired, actual, diff) } else { Orders { file, ..whole.orders() } };
    (!orders.machines.is_empty()).then(|| orders.to_text())
}

/// The orders for all that the file describes, each with whose it is.
struct Whole {
    host: Vec<(Name, NetOp)>,
    machines: BTreeMap<Name, Wanted>,
}

#[derive(Default)]
struct Wanted {
    ops: Vec<(Addr, NetOp)>,
    hosts: Option<HostEntries>,
}

impl Whole {
    fn of(desired: &Desired) -> Self {
        let mut nothing = Actual::default();
        nothing.net.firewall.drops_bridged = true;
        let diff = diff::diff(desired, &nothing);
        let mut b = Builder::new(desired, &nothing, &diff);
        networks::networks(&mut b);
        super::machines::machines(&mut b);
        nics::cables(&mut b);
        let hosts = |machine: &Machine| (machine.container.network_mode == NetworkMode::Own).then(|| machine.hosts.clone());
        let mut whole = Self {
            host: vec![],
            machines: desired
                .machines
                .iter()
                .map(|(name, machine)| (name.clone(), Wanted { ops: vec![], hosts: hosts(machine) }))
                .collect(),
        };
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
                Addr::Network(name) => whole.host.push((name.clone(), op)),
                // What the guest was told is still there.
                _ if matches!(op, NetOp::SetGuest { .. }) => {}
                Addr::Link(id) => {
                    for (machine, _) in id.ends() {
                        whole.machines.entry(machine.clone()).or_default().ops.push((addr.clone(), op.clone()));
                    }
                }
                _ => {
                    if let Some(machine) = addr.machine().cloned() {
                        whole.machines.entry(machine).or_default().ops.push((addr, op));
                    }
                }
            }
        }
        whole
    }

    fn orders(self) -> Orders {
        let machine = |it: Wanted| MachineOrders { ops: it.ops.into_iter().map(|(_, op)| op).collect(), hosts: it.hosts };
        Orders {
            host: self.host.into_iter().map(|(_, op)| op).collect(),
            machines: self.machines.into_iter().map(|(name, it)| (name, machine(it))).collect(),
            file: Fingerprints::new(),
        }
    }
}

/// The part's own orders are the file's; all others stay as they were told, in the file's order as far as it has them.
fn of_part(whole: Whole, mut file: Fingerprints, desired: &Desired, actual: &Actual, diff: &Diff) -> Orders {
    let mut told = actual.engine.orders.iter().rev().find_map(|text| Orders::from_text(text)).unwrap_or_default();
    let is_in = |addr: &Addr| part::has(desired, actual, diff, addr);
    let mut orders = Orders::default();
    let known: BTreeSet<String> = whole.host.iter().map(|(_, op)| work_on(op)).collect();
    for (network, op) in whole.host {
        if is_in(&Addr::Network(network)) {
            orders.host.push(op);
        } else {
            let same = work_on(&op);
            orders.host.extend(told.host.iter().find(|told| work_on(told) == same).cloned());
        }
    }
    orders.host.extend(told.host.into_iter().filter(|op| !known.contains(&work_on(op))));
    for (name, Wanted { ops, hosts }) in whole.machines {
        let before = told.machines.remove(&name);
        let addr = Addr::Machine(name.clone());
        let stays = || actual.machine(&name).is_some() && diff.action(&addr) == Action::Keep;
        if is_in(&addr) || before.is_none() && stays() {
            let was_told = |op: &NetOp| before.as_ref().is_some_and(|before| before.ops.contains(op));
            let is_there =
                |of: &Addr, op: &NetOp| !matches!(of, Addr::Link(_)) || is_in(of) || diff.action(of) == Action::Keep || was_told(op);
            let ops = ops.into_iter().filter(|(of, op)| is_there(of, op)).map(|(_, op)| op).collect();
            orders.machines.insert(name, MachineOrders { ops, hosts });
        } else if let Some(mut before) = before {
            // A cable of the part's is put back whichever of its ends has gone.
            for (_, op) in ops.into_iter().filter(|(of, _)| matches!(of, Addr::Link(_)) && is_in(of)) {
                let same = work_on(&op);
                before.ops.retain(|told| work_on(told) != same);
                before.ops.push(op);
            }
            orders.machines.insert(name, before);
        }
    }
    orders.machines.extend(told.machines);
    file.retain(|addr, _| is_in(addr));
    told.file.retain(|addr, _| !is_in(addr));
    told.file.append(&mut file);
    orders.file = told.file;
    orders
}

/// What an order is about: two with one of these cannot stand side by side.
fn work_on(op: &NetOp) -> String {
    match op {
        NetOp::CreateLink { link } => format!("link {}", link.at),
        NetOp::CreateVeth { a, b } => format!("veth {} {}", a.at, b.at),
        NetOp::UseLink { at, network, .. } => format!("use {at} {network}"),
        NetOp::SetLink { at, .. } => format!("set {at}"),
        op => op.to_string(),
    }
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
            Some(_) if diff::is_told(b.actual, orders.as_deref()) => {
                "what the file says is noted, so that changes by hand can be told from it"
            }
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
