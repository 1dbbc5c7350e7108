//! Images: pulled when a container is to be made from one that is not there, or that the registry has a newer one of.

use std::collections::BTreeMap;

use super::fields::Fields;
use super::{Action, Change, Diff, Effect, FieldChange, Impact, container};
use crate::actual::Actual;
use crate::desired::{Desired, Machine};
use crate::engine::{InRegistry, MachineState};
use crate::spec::PullPolicy;
use crate::types::Addr;

/// Why the image of a machine is pulled, where it is.
fn pulled(machine: &Machine, actual: &Actual, is_made: bool) -> Option<&'static str> {
    let state = actual.engine.images.get(&machine.container.image);
    match (machine.pull_policy, state.map(|state| &state.registry)) {
        (PullPolicy::Missing | PullPolicy::Always, None) if is_made => Some("not on the engine"),
        (PullPolicy::Always, Some(Some(InRegistry::Other(_)))) => Some("the registry has a newer one, and pull_policy is always"),
        _ => None,
    }
}

fn is_made(diff: &Diff, addr: &Addr) -> bool {
    matches!(diff.action(addr), Action::Create | Action::Replace)
}

/// Who is to be pulled for, by reference.
fn all_pulled<'a>(desired: &'a Desired, actual: &Actual, diff: &Diff) -> BTreeMap<&'a str, (&'a Machine, &'static str)> {
    let mut all = BTreeMap::new();
    for (name, machine) in &desired.machines {
        if let Some(reason) = pulled(machine, actual, is_made(diff, &Addr::Machine(name.clone()))) {
            all.entry(machine.container.image.as_str()).or_insert((machine, reason));
        }
    }
    all
}

/// Machines that would keep a container from an image which a pull for another machine gives a new meaning, each with what changes:
/// after it they would differ from the file. What the pull brings is only known where the engine has the old one and its registry
/// has been asked.
pub(super) fn left_behind<'a>(desired: &'a Desired, actual: &'a Actual, diff: &Diff) -> Vec<(Addr, &'a MachineState, FieldChange)> {
    let pulled = all_pulled(desired, actual, diff);
    let mut found = vec![];
    for (name, machine) in &desired.machines {
        let addr = Addr::Machine(name.clone());
        let image = machine.container.image.as_str();
        let Some(state) = actual.machine(name).filter(|_| pulled.contains_key(image) && !is_made(diff, &addr)) else { continue };
        let newer = match actual.engine.images.get(image).and_then(|image| image.registry.as_ref()) {
            Some(InRegistry::Other(digest)) => format!("{image} (newer: {})", container::short(digest)),
            _ => format!("{image} (as its registry has it)"),
        };
        let mut fields = Fields::new(&machine.places);
        fields.push("image", Some(format!("{image} ({})", container::short(&state.image_id))), Some(newer), Effect::Replace);
        found.extend(fields.changes.into_iter().map(|field| (addr.clone(), state, field)));
    }
    found
}

pub(super) fn changes(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    for (image, (machine, reason)) in all_pulled(desired, actual, diff) {
        diff.add(Change {
            addr: Addr::Image(image.to_owned()),
            action: Action::Create,
            fields: vec![],
            reason: reason.to_owned(),
            impact: Impact::None,
            losses: vec![],
            place: machine.places.of("image").cloned(),
        });
    }
}
