//! Cables: both ends at once.

use super::{Action, Change, Diff, FieldChange, Impact, nic};
use crate::actual::Actual;
use crate::desired::Desired;
use crate::net::LinkState;
use crate::types::{Addr, CableId, LinkKind, LinkRef, Name};

pub(super) fn changes(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    for (id, cable) in &desired.cables {
        let stays = |machine: &Name| diff.keeps_namespace(actual, machine);
        let addr = Addr::Link(id.clone());
        let place = cable.places.own.clone();
        let rests = id.ends().iter().any(|(machine, _)| diff.rests(desired, actual, machine));
        let change = match state(desired, actual, id, &stays).filter(|_| !rests) {
            None => Change::keep(addr, place),
            Some((action, reason)) => {
                let alive = id.ends().iter().any(|(machine, _)| stays(machine));
                let impact = if alive { Impact::Live } else { Impact::None };
                let fields = if action == Action::Create { created(desired, actual, id) } else { vec![] };
                Change { addr, action, fields, reason: reason.to_owned(), impact, losses: vec![], place }
            }
        };
        diff.add(change);
    }
}

/// What the ends of a new cable get, for reading.
fn created(desired: &Desired, actual: &Actual, id: &CableId) -> Vec<FieldChange> {
    let mut all: Vec<FieldChange> = vec![];
    for (machine, name) in id.ends() {
        let Some(card) = desired.machines.get(machine).and_then(|machine| machine.nics.get(name)) else { continue };
        for field in nic::created(actual, card) {
            match field.field.as_str() {
                "network" => {}
                // One for both ends.
                "mtu" if all.iter().any(|other| other.field == "mtu") => {}
                "mtu" => all.push(field),
                key => all.push(FieldChange { field: format!("{key} of {machine}:{name}"), ..field }),
            }
        }
    }
    all.sort_by_key(|field| field.field == "mtu");
    all
}

/// Nothing when the cable is plugged in at both ends; otherwise what has to be done about it.
pub(super) fn state(desired: &Desired, actual: &Actual, id: &CableId, stays: &dyn Fn(&Name) -> bool) -> Option<(Action, &'static str)> {
    let [(a, a_nic), (b, b_nic)] = id.ends();
    let leads_to = |(_, link): (&str, &LinkState), machine: &Name, (name, _): (&str, &LinkState)| match &link.link.kind {
        LinkKind::Veth { peer } => peer.as_ref() == Some(&LinkRef::machine(machine, name)),
        _ => false,
    };
    if !stays(a) || !stays(b) {
        return Some((Action::Create, "its machines start"));
    }
    match (nic::find(actual, desired, a, a_nic), nic::find(actual, desired, b, b_nic)) {
        (Some(one), Some(other)) if leads_to(one, b, other) && leads_to(other, a, one) => None,
        (None, None) => Some((Action::Create, "not there")),
        (Some(_), None) | (None, Some(_)) => Some((Action::Replace, "one end is gone")),
        (Some(_), Some(_)) => Some((Action::Replace, "its ends do not belong together")),
    }
}
