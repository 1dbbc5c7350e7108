//! A part of a plan: what is not asked for is left out, and said to be. Nothing outside it is touched, and nothing is deleted there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Op, Plan, Step, StepId, agent};
use crate::actual::Actual;
use crate::desired::Desired;
use crate::diag::{Diagnostic, Kind};
use crate::diff::{Action, Change, Diff};
use crate::engine::EngineOp;
use crate::net::NetOp;
use crate::types::{Addr, LinkKind, LinkRef, Name, Ns};

/// That many are named; a plan is read, a list of hundreds is not.
const NAMED: usize = 8;

/// Whether a resource is in the part. A card needs its cable, and the machine at the cable's other end where that stays as it is.
pub(super) fn has(desired: &Desired, actual: &Actual, diff: &Diff, addr: &Addr) -> bool {
    let (Addr::Link(id), Some(only)) = (addr, &desired.only) else { return desired.is_part(addr) };
    let ends = id.ends().map(|(name, _)| name);
    let is_wanted = desired.cables.contains_key(id) && ends.iter().any(|name| only.contains(*name));
    ends.iter().all(|name| only.contains(*name) || is_wanted && diff.keeps_namespace(actual, name))
}

/// The plan, without what is not in the part; or why the part cannot be done without the rest.
pub(super) fn narrowed(desired: &Desired, actual: &Actual, diff: Diff, steps: Vec<Step>) -> Result<Plan, Vec<Diagnostic>> {
    let project = desired.project.clone();
    if desired.only.is_none() {
        let drift = if steps.is_empty() { BTreeMap::new() } else { agent::drift(desired, actual, &diff) };
        let Diff { changes, notes } = diff;
        return Ok(Plan { project, changes: changes.into_values().collect(), drift, steps, notes: notes.into_iter().collect() });
    }
    let part = Part { desired, actual, diff: &diff, all: steps.iter().map(|step| (step.id, step)).collect() };
    let steps = part.steps()?;
    let all = diff.changes.values().cloned();
    let (changes, left): (Vec<Change>, Vec<Change>) = all.partition(|change| part.keeps(&change.addr, change.action));
    let notes = diff.notes.iter().cloned().chain(left_out(&left)).collect();
    let mut drift = if steps.is_empty() { BTreeMap::new() } else { agent::drift(desired, actual, &diff) };
    drift.retain(|addr, _| changes.iter().any(|change| change.addr == *addr));
    Ok(Plan { project, changes, steps, drift, notes })
}

struct Part<'a> {
    desired: &'a Desired,
    actual: &'a Actual,
    diff: &'a Diff,
    all: BTreeMap<StepId, &'a Step>,
}

impl Part<'_> {
    fn has(&self, addr: &Addr) -> bool {
        has(self.desired, self.actual, self.diff, addr)
    }

    /// What several projects or machines share is not taken away for the sake of a part.
    fn keeps(&self, addr: &Addr, action: Action) -> bool {
        self.has(addr) && !(action == Action::Delete && matches!(addr, Addr::Agent | Addr::Guest(_) | Addr::Network(_) | Addr::Volume(_)))
    }

    fn is_step(&self, step: &Step) -> bool {
        match &step.op {
            Op::Engine(EngineOp::RemoveAgent | EngineOp::RemoveGuest { .. }) => false,
            // With this end of a cable the other one goes.
            Op::Net(NetOp::DeleteLink { at }) if !matches!(step.addr, Addr::Link(_)) && self.peer(at).is_some_and(|it| self.is_out(it)) => {
                false
            }
            _ => self.has(&step.addr),
        }
    }

    fn is_out(&self, machine: &Name) -> bool {
        self.desired.only.as_ref().is_some_and(|only| !only.contains(machine))
    }

    fn peer(&self, at: &LinkRef) -> Option<&Name> {
        match &self.actual.link(at)?.link.kind {
            LinkKind::Veth { peer: Some(LinkRef { ns: Ns::Machine(other), .. }) } if at.ns != Ns::Machine(other.clone()) => Some(other),
            _ => None,
        }
    }

    fn steps(&self) -> Result<Vec<Step>, Vec<Diagnostic>> {
        let mut kept: BTreeSet<StepId> = self.all.values().filter(|step| self.is_step(step)).map(|step| step.id).collect();
        let (mut next, mut outside): (Vec<StepId>, BTreeMap<String, BTreeSet<&Name>>) = (kept.iter().copied().collect(), BTreeMap::new());
        while let Some(step) = next.pop().map(|id| self.all[&id]) {
            for machine in self.touched(step) {
                outside.entry(step.addr.to_string()).or_default().insert(machine);
            }
            // It is told of the part when the part is there.
            if matches!(step.op, Op::Engine(EngineOp::TellAgent { .. })) {
                continue;
            }
            for before in step.after.iter().filter(|before| !kept.contains(before)).collect::<Vec<_>>() {
                let needed = self.all[before];
                match &needed.op {
                    // The other end's machine is there, and keeps what it has.
                    _ if matches!((&step.addr, &needed.addr), (Addr::Link(_), Addr::Machine(_))) => {}
                    // What lies beneath several networks is made for the first of them.
                    Op::Net(NetOp::CreateLink { link }) if link.at.ns == Ns::Host => {
                        kept.insert(*before);
                        next.push(*before);
                    }
                    _ => outside.entry(needed.addr.to_string()).or_default().extend(self.machines_of(&needed.addr)),
                }
            }
        }
        for (network, machine) in self.torn_off() {
            outside.entry(network).or_default().insert(machine);
        }
        if !outside.is_empty() {
            return Err(outside.into_iter().map(|(addr, machines)| refusal(&addr, &machines)).collect());
        }
        let number: BTreeMap<StepId, StepId> = (1..).map(StepId).zip(&kept).map(|(new, old)| (*old, new)).collect();
        let renumbered = |id: &StepId| {
            let step = self.all[id];
            Step { id: number[id], after: step.after.iter().filter_map(|before| number.get(before)).copied().collect(), ..step.clone() }
        };
        Ok(kept.iter().map(renumbered).collect())
    }

    fn machines_of<'b>(&'b self, addr: &'b Addr) -> Vec<&'b Name> {
        match addr {
            Addr::Link(id) => id.ends().into_iter().map(|(name, _)| name).filter(|name| self.is_out(name)).collect(),
            addr => addr.machine().into_iter().filter(|name| self.is_out(name)).collect(),
        }
    }

    /// Machines outside that a step works on; a cable's own card there is the cable's.
    fn touched<'b>(&'b self, step: &'b Step) -> Vec<&'b Name> {
        match (&step.op, &step.addr) {
            (Op::Net(_), Addr::Link(_)) => vec![],
            (Op::Net(op), _) => op.machines().into_iter().filter(|name| self.is_out(name)).collect(),
            (Op::Engine(op), _) => {
                let Some(container) = op.container() else { return vec![] };
                let actual = self.actual.engine.machines.iter().map(|(name, state)| (name, &state.name));
                let desired = self.desired.machines.iter().map(|(name, machine)| (name, &machine.name));
                actual.chain(desired).filter(|(name, it)| *it == container && self.is_out(name)).map(|(name, _)| name).take(1).collect()
            }
        }
    }

    /// Machines outside whose cards on a network would not outlive that it is made anew.
    fn torn_off(&self) -> Vec<(String, &Name)> {
        let anew = self.diff.changes.values().filter(|change| change.action == Action::Replace && self.has(&change.addr));
        let networks = anew.filter_map(|change| if let Addr::Network(name) = &change.addr { Some(name) } else { None });
        let machines = |network| self.desired.on_network(network).into_iter().filter(|name| self.is_out(name) && self.runs(name));
        networks.flat_map(|network| machines(network).map(move |machine| (format!("network/{network}"), machine))).collect()
    }

    fn runs(&self, machine: &Name) -> bool {
        self.actual.machine(machine).is_some_and(crate::engine::MachineState::is_up)
    }
}

fn refusal(addr: &str, machines: &BTreeSet<&Name>) -> Diagnostic {
    let error = |message: String| Diagnostic::new(Kind::Failed, message);
    if machines.is_empty() {
        return error(format!("`--only` leaves out what has to come first: {addr} is in the way")).hint("`fly up` does all of it");
    }
    let names: Vec<String> = machines.iter().map(|name| format!("`{name}`")).collect();
    let options: Vec<String> = machines.iter().map(|name| format!("--only {name}")).collect();
    error(format!("this part cannot be done without {}: {addr} would have to change with it", names.join(", "))).hint(format!(
        "take {} in: `{}`",
        if machines.len() == 1 { "it" } else { "them" },
        options.join(" ")
    ))
}

/// `left out: 3 changes of machine/db, 1 of network/far`.
fn left_out(changes: &[Change]) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.action != Action::Keep) {
        let whose = change.addr.machine().map_or_else(|| change.addr.to_string(), |name| format!("machine/{name}"));
        *counts.entry(whose).or_default() += 1;
    }
    // The first says what is counted.
    let what = |at: usize, count: usize| match (at, count) {
        (0, 1) => " change",
        (0, _) => " changes",
        _ => "",
    };
    let of = |(at, (whose, count)): (usize, (&String, &usize))| format!("{count}{} of {whose}", what(at, *count));
    let mut parts: Vec<String> = counts.iter().enumerate().take(NAMED).map(of).collect();
    if parts.is_empty() {
        return None;
    }
    if counts.len() > NAMED {
        parts.push(format!("and {} more", counts.len() - NAMED));
    }
    Some(format!("left out by --only: {}", parts.join(", ")))
}
