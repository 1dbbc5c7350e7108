//! Rules and dead ends: what of a machine's routing hangs on no card.

use super::fields::{Fields, joined};
use super::{Effect, FieldChange};
use crate::actual::Actual;
use crate::desired::Machine;
use crate::net::Namespace;
use crate::types::{Name, NetworkMode, Ns, Routing};

/// What is to come and to go; nothing where all is as it should be. In a namespace that is yet to be there is nothing.
pub fn routing(actual: &Actual, name: &Name, machine: &Machine, keeps_namespace: bool) -> Option<(Routing, Routing)> {
    // Whoever lives in another's namespace has that one's.
    if machine.container.network_mode != NetworkMode::Own {
        return None;
    }
    let there = actual.namespace(&Ns::Machine(name.clone())).filter(|_| keeps_namespace).map(|ns| ours(ns, &machine.routing));
    let there = there.unwrap_or_default();
    let (add, remove) = (machine.routing.without(&there), there.without(&machine.routing));
    (!add.is_empty() || !remove.is_empty()).then_some((add, remove))
}

/// What is there, without what others have put there; but what the file wants is as good from anybody.
fn ours(ns: &Namespace, desired: &Routing) -> Routing {
    ns.routing.without(&ns.foreign_routing.without(desired))
}

pub(super) fn fields(actual: &Actual, name: &Name, machine: &Machine) -> Vec<FieldChange> {
    let Some(ns) = actual.namespace(&Ns::Machine(name.clone())) else { return vec![] };
    if routing(actual, name, machine, true).is_none() {
        return vec![];
    }
    let (now, wanted) = (ours(ns, &machine.routing), &machine.routing);
    let mut fields = Fields::new(&machine.places);
    fields.set("rules", &now.rules, &wanted.rules, Effect::Live);
    fields.set("routes", &now.routes, &wanted.routes, Effect::Live);
    fields.changes
}

/// What a new machine gets, for reading.
pub(super) fn created(machine: &Machine, fields: &mut Fields<'_>) {
    for (field, value) in [("rules", joined(&machine.routing.rules)), ("routes", joined(&machine.routing.routes))] {
        if value.is_some() {
            fields.push(field, None, value, Effect::Live);
        }
    }
}

/// What somebody else has put there, which stays.
pub(super) fn notes(actual: &Actual, name: &Name, machine: &Machine) -> Vec<String> {
    let Some(ns) = actual.namespace(&Ns::Machine(name.clone())).filter(|_| machine.container.network_mode == NetworkMode::Own) else {
        return vec![];
    };
    let Routing { rules, routes } = ns.foreign_routing.without(&machine.routing);
    let rules = rules.iter().map(|rule| format!("rule {rule}"));
    let all = rules.chain(routes.iter().map(|route| format!("route {route}")));
    all.map(|what| format!("{name} also has {what}, which is not fly's and stays")).collect()
}
