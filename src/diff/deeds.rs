//! Who may have done it: the engine remembers what it was lately asked to do, though not by whom.

use super::drift::Drift;
use super::{Action, Change};
use crate::actual::Actual;
use crate::desired::{Attach, Desired};
use crate::engine::Deed;
use crate::types::{Addr, Name};

/// The last thing that can have been the cause of this.
pub(super) fn hint(desired: &Desired, actual: &Actual, change: &Change, drift: &Drift) -> Option<String> {
    let machine = change.addr.machine()?;
    let done = |actions: &'static [&str]| of(desired, actual, machine).filter(move |deed| actions.contains(&deed.action.as_str()));
    let said = |what: &str, deed: &Deed| format!("{what}, {}", deed.at);
    let drifted = |names: &[&str]| {
        change.fields.iter().any(|it| (drift.whole || drift.fields.contains(&it.field)) && names.contains(&it.field.as_str()))
    };
    match &change.addr {
        Addr::Machine(_) if change.action == Action::Create => done(&["destroy"]).last().map(|deed| said("docker rm", deed)),
        Addr::Machine(_) if drifted(&["state"]) => end(&done(&["stop", "kill", "die", "oom", "pause"]).collect::<Vec<_>>()),
        Addr::Machine(_) if drifted(&["container"]) => done(&["rename"]).last().map(|deed| said("docker rename", deed)),
        Addr::Machine(_) if drifted(&["cpus", "cpuset", "memory", "pids_limit", "restart"]) => {
            done(&["update"]).last().map(|deed| said("docker update", deed))
        }
        Addr::Nic(_, nic) => {
            let Attach::Nat { engine_name, .. } = &desired.machines.get(machine)?.nics.get(nic)?.attach else { return None };
            let left = done(&["disconnect"]).filter(|deed| deed.network.as_ref() == Some(engine_name)).last()?;
            (change.action != Action::Update).then(|| said("docker network disconnect", left))
        }
        _ => None,
    }
}

/// A stop is several events, and its own comes last.
fn end(deeds: &[&Deed]) -> Option<String> {
    let last = deeds.last()?;
    let before = deeds.iter().rev().nth(1).map(|deed| deed.action.as_str());
    let what = match (last.action.as_str(), before) {
        ("die", Some("kill")) => "docker kill".to_owned(),
        ("die", Some("oom")) | ("oom", _) => "it was out of memory".to_owned(),
        ("die", _) => format!("its program ended with {}", last.code.as_deref().unwrap_or("an unknown code")),
        (action, _) => format!("docker {action}"),
    };
    Some(format!("{what}, {}", last.at))
}

fn of<'a>(desired: &'a Desired, actual: &'a Actual, machine: &Name) -> impl Iterator<Item = &'a Deed> {
    let name = desired.machines.get(machine).map(|machine| machine.name.as_str());
    let id = actual.machine(machine).map(|state| state.id.as_str());
    actual.engine.deeds.iter().filter(move |deed| Some(deed.container.as_str()) == id || name.is_some() && deed.name.as_deref() == name)
}
