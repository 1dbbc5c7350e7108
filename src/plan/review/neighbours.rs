//! Who is touched by whose change.

use std::collections::{BTreeMap, BTreeSet};

use super::{Group, Severity, View};
use crate::diff::{Action, Change, Effect};
use crate::types::{Addr, Name};

/// The resources whose change this one follows from; none where the file itself asks for it.
pub(super) fn causes(view: &View<'_>, change: &Change) -> BTreeSet<Addr> {
    match &change.addr {
        Addr::Machine(name) => of_machine(view, name, change),
        Addr::Nic(machine, nic) if change.action == Action::Replace && change.fields.is_empty() => {
            let nic = view.desired.machines.get(machine).and_then(|machine| machine.nics.get(nic));
            let network = nic.and_then(|nic| nic.attach.network()).map(|name| Addr::Network(name.clone()));
            network.into_iter().filter(|addr| view.action(addr) != Action::Keep).collect()
        }
        _ => BTreeSet::new(),
    }
}

fn of_machine(view: &View<'_>, name: &Name, change: &Change) -> BTreeSet<Addr> {
    let is_own = change.fields.iter().any(|field| field.effect == Effect::Replace && field.field != "image");
    match change.action {
        Action::Restart | Action::Replace if !is_own => {
            if let Some(owner) = view.lender(name).map(|owner| Addr::Machine(owner.clone())) {
                return [owner].into_iter().filter(|owner| view.action(owner) != Action::Keep).collect();
            }
            let image = view.desired.machines.get(name).map(|machine| Addr::Image(machine.container.image.clone()));
            let is_pulled = |addr: &Addr| view.action(addr) == Action::Create && change.reason.starts_with("its image is pulled");
            image.into_iter().filter(is_pulled).collect()
        }
        Action::Update if !change.fields.is_empty() && change.fields.iter().all(|field| field.field == "names") => {
            let entries = change.fields.iter().flat_map(|field| [&field.old, &field.new]).flatten();
            let words: BTreeSet<&str> = entries.flat_map(|text| text.split([' ', ','])).filter(|word| !word.is_empty()).collect();
            known_by(view, &words).into_iter().filter(|other| other != name).map(Addr::Machine).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// Machines of which something changes, and that are meant by one of the words: a name or an address, as it was or as it will be.
fn known_by(view: &View<'_>, words: &BTreeSet<&str>) -> BTreeSet<Name> {
    let mut found = BTreeSet::new();
    for name in &view.moving {
        let wanted = view.desired.machines.get(*name);
        let addresses = wanted.into_iter().flat_map(|machine| machine.nics.values()).flat_map(|nic| &nic.addresses);
        let mut addresses = addresses.map(|address| address.addr().to_string());
        if words.contains(name.as_str()) || addresses.any(|address| words.contains(address.as_str())) {
            found.insert((*name).clone());
        }
    }
    found
}

/// Machines at the other end of a cable that goes and comes with its machine.
pub(super) fn at_the_other_end<'a>(view: &View<'_>, changes: &[Group<'a>], drift: &[Group<'a>], touched: &mut Vec<Group<'a>>) {
    let mut words: BTreeMap<&Name, BTreeSet<String>> = BTreeMap::new();
    for group in changes.iter().chain(drift) {
        let Some(cause) = group.machine() else { continue };
        let how = if view.actual.machine(cause).is_some() { "comes back" } else { "comes" };
        for item in &group.items {
            let Addr::Link(id) = &item.change.addr else { continue };
            if item.change.reason != "its machines start" {
                continue;
            }
            for (machine, nic) in id.ends() {
                if machine != cause && view.actual.machine(machine).is_some() && !stops(view, machine) {
                    words.entry(machine).or_default().insert(format!("its cable {nic} {how} with machine/{cause}"));
                }
            }
        }
    }
    for (machine, words) in words {
        let addr = Addr::Machine(machine.clone());
        if let Some(group) = touched.iter_mut().find(|group| group.addr == addr) {
            group.touched.extend(words);
        } else if !changes.iter().chain(drift).any(|group| group.addr == addr) {
            touched.push(Group {
                place: view.place(&addr),
                addr,
                severity: Severity::Live,
                action: Action::Update,
                items: vec![],
                downtime: None,
                losses: vec![],
                kept: vec![],
                touched: words,
            });
        }
    }
    touched.sort_by(|a, b| a.addr.cmp(&b.addr));
}

fn stops(view: &View<'_>, machine: &Name) -> bool {
    !matches!(view.action(&Addr::Machine(machine.clone())), Action::Keep | Action::Update)
}
