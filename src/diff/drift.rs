//! Which differences come from the file, and which from somebody who changed the world: for the reader alone, nothing is done otherwise.
//!
//! A difference in what the file says now as it did at the last `up` is drift. Without a note of what it said, nothing is claimed.

use std::collections::{BTreeMap, BTreeSet};

use super::nic::STARTS;
use super::{Action, Change, deeds};
use crate::actual::Actual;
use crate::desired::{Attach, Desired};
use crate::types::{Addr, Fingerprints, Name, NetworkMode};

/// What has been changed of a resource by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Drift {
    /// All of it: nothing of the change comes from the file.
    pub whole: bool,
    /// The fields, by their names in the change.
    pub fields: BTreeSet<String>,
    /// What it was, as far as the engine remembers: `docker update, 2026-01-31 12:00:00 UTC`.
    pub hint: Option<String>,
}

impl Drift {
    fn of(whole: bool, fields: BTreeSet<String>) -> Self {
        Self { whole, fields, hint: None }
    }
}

/// `file`: what it says now, and said at the last `up`.
pub fn drift(desired: &Desired, actual: &Actual, changes: &BTreeMap<Addr, Change>, file: [&Fingerprints; 2]) -> BTreeMap<Addr, Drift> {
    let [now, then] = file;
    if then.is_empty() {
        return BTreeMap::new();
    }
    let file = File { desired, now, then };
    let differing = || changes.iter().filter(|(_, change)| change.action != Action::Keep);
    let mut all: BTreeMap<Addr, Drift> = differing().filter_map(|(addr, change)| Some((addr.clone(), file.of(addr, change)?))).collect();
    // Cards come with their machine, and for its reason.
    for (addr, _) in differing().filter(|(_, change)| change.reason == STARTS) {
        let machine = addr.machine().map(|machine| Addr::Machine(machine.clone()));
        let of_machine = machine.and_then(|machine| all.get(&machine)).is_some_and(|drift| drift.whole);
        if of_machine && file.is_as_then(addr) {
            all.insert(addr.clone(), Drift::of(true, BTreeSet::new()));
        } else {
            all.remove(addr);
        }
    }
    // So do machines in another's namespace, and cables between machines.
    let starts =
        |machine: &Name| changes.get(&Addr::Machine(machine.clone())).is_some_and(|it| !matches!(it.action, Action::Keep | Action::Update));
    let is_drift = |all: &BTreeMap<Addr, Drift>, machine: &Name| all.get(&Addr::Machine(machine.clone())).is_some_and(|drift| drift.whole);
    for addr in all.keys().cloned().collect::<Vec<_>>() {
        let with: Vec<&Name> = match &addr {
            Addr::Machine(name) => match desired.machines.get(name).map(|machine| &machine.container.network_mode) {
                Some(NetworkMode::Machine(owner)) => vec![owner],
                _ => vec![],
            },
            Addr::Link(id) => id.ends().map(|(machine, _)| machine).to_vec(),
            _ => vec![],
        };
        if with.iter().any(|machine| starts(machine) && !is_drift(&all, machine)) {
            all.remove(&addr);
        }
    }
    all.retain(|_, drift| drift.whole || !drift.fields.is_empty());
    for (addr, drift) in &mut all {
        drift.hint = changes.get(addr).and_then(|change| deeds::hint(desired, actual, change, drift));
    }
    all
}

struct File<'a> {
    desired: &'a Desired,
    now: &'a Fingerprints,
    then: &'a Fingerprints,
}

impl File<'_> {
    /// Nothing: no resource that the file speaks of.
    fn of(&self, addr: &Addr, change: &Change) -> Option<Drift> {
        if !matches!(addr, Addr::Machine(_) | Addr::Nic(..) | Addr::Network(_) | Addr::Link(_) | Addr::Volume(_)) {
            return None;
        }
        if change.action == Action::Delete {
            // What the file did not ask for then has come since.
            return Some(Drift::of(!self.then.contains_key(addr), BTreeSet::new()));
        }
        if change.fields.is_empty() || change.action == Action::Create {
            return Some(Drift::of(self.is_as_then(addr), BTreeSet::new()));
        }
        let fields = change.fields.iter().map(|field| field.field.as_str()).filter(|field| self.is_drift(addr, field));
        let fields: BTreeSet<String> = fields.map(str::to_owned).collect();
        Some(Drift::of(change.fields.iter().all(|field| fields.contains(&field.field)), fields))
    }

    /// Whether the file says of all of it what it said, and of what it hangs on.
    fn is_as_then(&self, addr: &Addr) -> bool {
        self.then.contains_key(addr) && self.now.get(addr) == self.then.get(addr) && self.hangs_as_then(addr)
    }

    fn hangs_as_then(&self, addr: &Addr) -> bool {
        let nic = |machine, nic| self.desired.machines.get(machine).and_then(|machine| machine.nics.get(nic));
        let on: Vec<Addr> = match addr {
            Addr::Nic(machine, name) => match nic(machine, name).map(|nic| &nic.attach) {
                Some(Attach::Cable { id, .. }) => vec![Addr::Link(id.clone())],
                attach => attach.and_then(Attach::network).map(|network| Addr::Network(network.clone())).into_iter().collect(),
            },
            Addr::Link(id) => id.ends().into_iter().map(|(machine, nic)| Addr::nic(machine, nic)).collect(),
            _ => vec![],
        };
        on.iter().all(|addr| self.now.get(addr) == self.then.get(addr))
    }

    fn is_drift(&self, addr: &Addr, field: &str) -> bool {
        if self.is_as_then(addr) {
            return true;
        }
        // The keys of others say much about one another.
        if !matches!(addr, Addr::Machine(_) | Addr::Nic(..)) {
            return false;
        }
        let root = field.split(['.', ' ']).next().unwrap_or_default();
        // What the file says of a route, it can say in several places.
        let keys: &[&str] = if root == "routes" { &["routes", "gateway", "ip"] } else { &[root] };
        let said = |file: &Fingerprints, key: &str| file.get(addr).and_then(|keys| keys.get(key)).cloned();
        let is_key = keys.iter().any(|key| said(self.now, key).is_some() || said(self.then, key).is_some());
        let is_as_then = is_key && self.then.contains_key(addr) && keys.iter().all(|key| said(self.now, key) == said(self.then, key));
        is_as_then && said(self.now, "network") == said(self.then, "network") && self.hangs_as_then(addr)
    }
}
