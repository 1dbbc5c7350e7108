//! Who needs whom: `depends_on`, `links` and a borrowed namespace. Whoever needs each other in a circle can never start.

use std::collections::{BTreeMap, BTreeSet};

use super::work::{Errors, Group, Groups};
use crate::diag::{Diagnostic, Place};
use crate::spec::{self, Condition, NetworkModeSpec};
use crate::types::{Name, Restart};

/// One machine of the file needs another.
struct Need<'a> {
    target: &'a Group,
    condition: Condition,
    place: &'a Place,
    key: &'static str,
}

#[derive(Default)]
pub(super) struct Order {
    /// What the machines of each group need, by the group's name in the file.
    pub(super) needs: BTreeMap<Name, BTreeMap<Name, Condition>>,
    /// Machines whose completion somebody waits for.
    pub(super) completed: BTreeSet<Name>,
}

pub(super) fn resolve(groups: &Groups, cables: &[spec::Cable], errors: &mut Errors) -> Order {
    let needs: BTreeMap<&Name, Vec<Need<'_>>> = groups.all().iter().map(|group| (&group.base, needs(group, groups, errors))).collect();
    check_cycles(groups, &needs, errors);
    check_outlived(&needs, cables, errors);
    let mut order = Order::default();
    for (base, needs) in needs {
        let mut all = BTreeMap::new();
        for need in needs {
            check_condition(&need, errors);
            for machine in &need.target.names {
                all.entry(machine.clone()).or_insert(need.condition);
                if need.condition == Condition::Completed {
                    order.completed.insert(machine.clone());
                }
            }
        }
        order.needs.insert(base.clone(), all);
    }
    order
}

/// `depends_on` first: what it says of a machine is more than what a link to it implies.
fn needs<'a>(group: &'a Group, groups: &'a Groups, errors: &mut Errors) -> Vec<Need<'a>> {
    let mut needs = vec![];
    for (key, dependency) in group.spec.depends_on.iter().flat_map(|map| &map.0) {
        match groups.get(&key.value) {
            Some(target) => needs.push(Need { target, condition: dependency.condition.value, place: &key.place, key: "depends_on" }),
            None if dependency.required => groups.missing(&key.value, &key.place, errors),
            None => {}
        }
    }
    for link in group.spec.links.iter().flatten() {
        match groups.get(&link.machine.value) {
            Some(target) => needs.push(Need { target, condition: Condition::Started, place: &link.machine.place, key: "links" }),
            None => groups.missing(&link.machine.value, &link.machine.place, errors),
        }
    }
    if let Some(mode) = &group.spec.network_mode
        && let NetworkModeSpec::Machine(target) = &mode.value
        && let Some(target) = groups.get(target)
    {
        needs.push(Need { target, condition: Condition::Started, place: &mode.place, key: "network_mode" });
    }
    needs
}

/// What would never come true.
fn check_condition(need: &Need<'_>, errors: &mut Errors) {
    let spec = &need.target.spec;
    match need.condition {
        Condition::Started => {}
        Condition::Healthy => {
            if let Some(check) = spec.healthcheck.as_ref().filter(|check| check.value.test == ["NONE"]) {
                let message = format!("`{}` is never healthy: its health check is switched off", need.target.base);
                let error = Diagnostic::invalid(message).at(need.place).also(&check.place, "switched off here");
                errors.push(error.hint("condition: started"));
            }
        }
        Condition::Completed => {
            let again = |restart: Restart| matches!(restart, Restart::Always | Restart::UnlessStopped);
            if let Some(restart) = spec.restart.as_ref().filter(|restart| again(restart.value)) {
                let message = format!("`{}` never completes: it is started again whenever it ends", need.target.base);
                let error = Diagnostic::invalid(message).at(need.place).also(&restart.place, "`restart` is set here");
                errors.push(error.hint(format!("`restart: \"no\"` for `{}`", need.target.base)));
            }
        }
    }
}

/// A machine that ends takes its namespace along: nothing lasts that others have in it.
fn check_outlived(needs: &BTreeMap<&Name, Vec<Need<'_>>>, cables: &[spec::Cable], errors: &mut Errors) {
    let all = || needs.iter().flat_map(|(name, needs)| needs.iter().map(move |need| (*name, need)));
    let ends: BTreeMap<&Name, &Place> =
        all().filter(|(_, need)| need.condition == Condition::Completed).map(|(_, need)| (&need.target.base, need.place)).collect();
    let mut refuse = |message: String, place: &Place, awaited: &Place| {
        let error = Diagnostic::invalid(message).at(place).also(awaited, "its completion is waited for here");
        errors.push(error.hint("condition: started"));
    };
    for (name, need) in all().filter(|(_, need)| need.key == "network_mode") {
        let target = &need.target.base;
        if let Some(awaited) = ends.get(target) {
            refuse(format!("`{name}` cannot stay in the namespace of `{target}`, which ends"), need.place, awaited);
        }
    }
    for end in cables.iter().flat_map(|cable| &cable.ends) {
        if let Some((target, awaited)) = ends.iter().find(|(target, _)| target.as_str() == end.machine) {
            refuse(format!("a cable to `{target}`, which ends, does not last"), &end.nic.place, awaited);
        }
    }
}

fn check_cycles(groups: &Groups, needs: &BTreeMap<&Name, Vec<Need<'_>>>, errors: &mut Errors) {
    let mut done: BTreeSet<&Name> = BTreeSet::new();
    let mut said: BTreeSet<&Name> = BTreeSet::new();
    for group in groups.all() {
        // The way to here: each machine, and which of its needs comes next. No recursion: the file may be long.
        let mut path: Vec<(&Name, usize)> = vec![];
        let mut on_path: BTreeMap<&Name, usize> = BTreeMap::new();
        if !done.contains(&group.base) {
            path.push((&group.base, 0));
            on_path.insert(&group.base, 0);
        }
        while let Some((at, next)) = path.last_mut() {
            let here = *at;
            let Some(need) = needs.get(here).and_then(|needs| needs.get(*next)) else {
                done.insert(here);
                path.pop();
                on_path.remove(here);
                continue;
            };
            *next += 1;
            let target = &need.target.base;
            if let Some(start) = on_path.get(target).copied() {
                let members: Vec<&Name> = path[start..].iter().map(|(name, _)| *name).collect();
                if !members.iter().any(|name| said.contains(*name)) {
                    let circle: Vec<&Need<'_>> = path[start..].iter().map(|(name, next)| &needs[*name][next - 1]).collect();
                    errors.push(cycle(&members, &circle));
                    said.extend(members);
                }
            } else if !done.contains(target) {
                on_path.insert(target, path.len());
                path.push((target, 0));
            }
        }
    }
}

/// More members of a circle are counted.
const SHOWN: usize = 12;

fn cycle(members: &[&Name], needs: &[&Need<'_>]) -> Diagnostic {
    if let ([name], [need]) = (members, needs) {
        return Diagnostic::invalid(format!("`{name}` needs itself")).at(need.place).hint(format!("leave it out of `{}`", need.key));
    }
    // Of a long one, the beginning shows which it is.
    let more = members.len().saturating_sub(SHOWN);
    let way = members.iter().take(SHOWN).map(|name| format!("`{name}`"));
    let left = (more > 0).then(|| format!("{more} more, and the last"));
    let way: Vec<String> = way.chain(left).chain(members.first().map(|name| format!("`{name}`"))).collect();
    let mut error = Diagnostic::invalid(format!("machines need each other in a circle: {}", way.join(" needs "))).at(needs[0].place);
    error = error.label(format!("`{}` needs `{}`", members[0], needs[0].target.base));
    for (name, need) in members.iter().zip(needs).skip(1).take(SHOWN) {
        error = error.also(need.place, format!("`{name}` needs `{}`", need.target.base));
    }
    error.hint(format!("leave one of them out of its `{}`", needs[needs.len() - 1].key))
}
