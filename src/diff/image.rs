//! Images: pulled when a container is to be made from one that is not there, or that the registry has a newer one of.

use super::{Action, Change, Diff, Impact};
use crate::actual::Actual;
use crate::desired::Desired;
use crate::engine::InRegistry;
use crate::spec::PullPolicy;
use crate::types::Addr;

pub(super) fn changes(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    for (name, machine) in &desired.machines {
        let addr = Addr::Image(machine.container.image.clone());
        let made =
            diff.changes.get(&Addr::Machine(name.clone())).is_some_and(|change| matches!(change.action, Action::Create | Action::Replace));
        let state = actual.engine.images.get(&machine.container.image);
        let reason = match (machine.pull_policy, state.map(|state| &state.registry)) {
            (PullPolicy::Missing | PullPolicy::Always, None) if made => "not on the engine",
            (PullPolicy::Always, Some(Some(InRegistry::Other(_)))) => "the registry has a newer one, and pull_policy is always",
            _ => continue,
        };
        diff.changes.entry(addr.clone()).or_insert_with(|| Change {
            addr,
            action: Action::Create,
            fields: vec![],
            reason: reason.to_owned(),
            impact: Impact::None,
            losses: vec![],
            place: machine.places.of("image").cloned(),
        });
    }
}
