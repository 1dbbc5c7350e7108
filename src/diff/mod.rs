//! Desired against actual: what differs, field by field, and what each difference needs.
//!
//! Pure. One file a kind of resource; every tolerance is in `tolerance`. What is impossible in the world as it is, is `refusals`'.

mod agent;
mod cable;
mod change;
mod container;
mod deeds;
mod drift;
mod fields;
mod guest;
mod image;
mod link;
mod lower;
mod machine;
mod network;
mod nic;
mod physical;
mod refusals;
mod routing;
mod tolerance;
mod tuning;
mod volume;

use std::collections::{BTreeMap, BTreeSet};

pub use agent::{agent, is_told};
pub use change::{Action, Change, Effect, FieldChange, Impact, Loss};
pub use drift::{Drift, drift};
pub use guest::{guest_config, guest_to_write, guest_volume_to_drop, not_listening};
pub use link::LinkDiff;
pub use lower::{GivenBack, LowerDiff, given_back, lower, use_of};
pub use machine::{anonymous_volumes, hosts, leftover_of, lost_networks, runs_as_wanted, stale, stray_networks, wanted_hosts};
pub use network::{HostLinkDiff, forward_rule, host_link, orphans, unwanted_rules};
pub use nic::{Leases, NicDiff, alias, extra_links, host_end, leases, nic, wanted};
pub use physical::{Lent, is_wanted, lent_to, returned};
pub use refusals::{lacking_module, refusals};
pub use routing::routing;
pub use tolerance::is_anonymous;

use crate::actual::Actual;
use crate::desired::Desired;
use crate::types::{Addr, Name};

/// Everything that differs, with what does not as `Keep`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    pub changes: BTreeMap<Addr, Change>,
    /// What a reader should know although nothing is done about it.
    pub notes: BTreeSet<String>,
}

impl Diff {
    fn add(&mut self, change: Change) {
        self.changes.insert(change.addr.clone(), change);
    }

    pub fn action(&self, addr: &Addr) -> Action {
        self.changes.get(addr).map_or(Action::Keep, |change| change.action)
    }

    /// Whether a machine that runs now keeps its network namespace, so that its cards can be compared and changed in place.
    pub fn keeps_namespace(&self, actual: &Actual, machine: &Name) -> bool {
        let stays = matches!(self.action(&Addr::Machine(machine.clone())), Action::Keep | Action::Update);
        // A container that the engine is about to start again may have a process for a moment, but no namespace to build on.
        stays && actual.machine(machine).is_some_and(crate::engine::MachineState::is_up)
    }

    /// Whether a machine has come to the end that it was to come to, and stays there: it has no cards, and needs none.
    pub fn rests(&self, desired: &Desired, actual: &Actual, machine: &Name) -> bool {
        let stays = matches!(self.action(&Addr::Machine(machine.clone())), Action::Keep | Action::Update);
        let (wanted, state) = (desired.machines.get(machine), actual.machine(machine));
        stays && wanted.zip(state).is_some_and(|(wanted, state)| machine::has_ended_well(wanted, state))
    }
}

pub fn diff(desired: &Desired, actual: &Actual) -> Diff {
    let mut diff = Diff::default();
    volume::changes(desired, actual, &mut diff);
    network::changes(desired, actual, &mut diff);
    machine::changes(desired, actual, &mut diff);
    nic::changes(desired, actual, &mut diff);
    physical::changes(desired, actual, &mut diff);
    cable::changes(desired, actual, &mut diff);
    guest::cards(desired, actual, &mut diff);
    image::changes(desired, actual, &mut diff);
    guest::changes(desired, actual, &mut diff);
    for (name, machine) in &desired.machines {
        if diff.keeps_namespace(actual, name) {
            diff.notes.extend(routing::notes(actual, name, machine));
        }
    }
    let notes = guest::notes(desired, actual, &diff);
    diff.notes.extend(notes);
    diff
}
