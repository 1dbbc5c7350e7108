//! The agent, which puts network cards back: there while any project has something for it.

use super::fields::Fields;
use super::{Action, Change, Diff, Effect, Impact};
use crate::actual::Actual;
use crate::desired::{Desired, Places};
use crate::net::Orders;
use crate::types::Addr;

/// `orders`: what it is to put back; nothing where this project does without it.
pub fn agent(desired: &Desired, actual: &Actual, orders: Option<&str>, diff: &mut Diff) {
    let change = |action, reason: &str| Change {
        addr: Addr::Agent,
        action,
        fields: vec![],
        reason: reason.to_owned(),
        impact: Impact::None,
        losses: vec![],
        place: None,
    };
    let state = actual.engine.agent.as_ref();
    let (Some(version), Some(orders)) = (&desired.agent, orders) else {
        if state.is_some() && actual.engine.agent_users.is_empty() {
            diff.add(change(Action::Delete, "no project needs it any more"));
        }
        return;
    };
    // Where something else changes, that says why.
    let alone = diff.changes.values().all(|change| change.action == Action::Keep);
    match state {
        None => diff.add(change(Action::Create, "not on the engine")),
        // Another build alone is no difference: a new release finds nothing to do in a world that is as it should be.
        Some(state) if state.version != *version && !(alone && state.running) => diff.add(change(Action::Replace, "another build of fly")),
        Some(state) => {
            let places = Places::default();
            let mut fields = Fields::new(&places);
            if !state.running {
                fields.push("state", Some("stopped".to_owned()), Some("running".to_owned()), Effect::Live);
            }
            if alone && !is_told(actual, Some(orders)) {
                fields.push("puts back", Some("something else".to_owned()), Some("these cards".to_owned()), Effect::Live);
            }
            if !fields.changes.is_empty() {
                diff.add(Change { fields: fields.changes, ..change(Action::Update, "differs from the file") });
            }
        }
    }
}

/// Whether the agent has exactly these orders, whatever else the file said at the time.
pub fn is_told(actual: &Actual, orders: Option<&str>) -> bool {
    actual.engine.orders.iter().map(|text| Orders::work(text)).eq(orders.map(Orders::work))
}
