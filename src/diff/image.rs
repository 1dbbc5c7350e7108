//! Images: pulled when a container is to be made from one that is not there.

use super::{Action, Change, Diff, Impact};
use crate::actual::Actual;
use crate::desired::Desired;
use crate::spec::PullPolicy;
use crate::types::Addr;

pub(super) fn changes(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    for (name, machine) in &desired.machines {
        let addr = Addr::Image(machine.container.image.clone());
        let made =
            diff.changes.get(&Addr::Machine(name.clone())).is_some_and(|change| matches!(change.action, Action::Create | Action::Replace));
        let there = actual.engine.images.contains_key(&machine.container.image);
        let reason = match machine.pull_policy {
            PullPolicy::Missing if made && !there => "not on the engine",
            PullPolicy::Always if made => "pull_policy is always",
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
