//! What the agent is to put back for a project, on its own, when a machine's network is new: operations, and the names of `/etc/hosts`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::NetOp;
use crate::types::{Fingerprints, HostEntries, HostEntry, Name};

/// Of the form below. What is of another is another build's, and left alone.
const FORM: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// In the host's namespace, before all else: bridges, and what they need.
    pub host: Vec<NetOp>,
    pub machines: BTreeMap<Name, MachineOrders>,
    /// What the file said when they were written: nothing that the agent does, but by it a plan can tell who has changed something.
    pub file: Fingerprints,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineOrders {
    /// In this order.
    pub ops: Vec<NetOp>,
    /// Nothing: its `/etc/hosts` is not its own.
    pub hosts: Option<HostEntries>,
}

impl Orders {
    pub fn is_empty(&self) -> bool {
        self.host.is_empty() && self.machines.is_empty()
    }

    /// The same text for the same orders; what the file said is on a line of its own.
    pub fn to_text(&self) -> String {
        // Many machines know the same names: each set of them is written once.
        let sets: BTreeSet<&HostEntries> = self.machines.values().filter_map(|machine| machine.hosts.as_ref()).collect();
        let sets: Vec<&HostEntries> = sets.into_iter().collect();
        let machine = |machine: &MachineOrders| {
            let names = machine.hosts.as_ref().and_then(|hosts| sets.binary_search(&hosts).ok());
            WrittenMachine { ops: machine.ops.clone(), names }
        };
        let written = Written {
            form: FORM,
            host: self.host.clone(),
            machines: self.machines.iter().map(|(name, it)| (name.clone(), machine(it))).collect(),
            names: sets.iter().map(|hosts| (***hosts).clone()).collect(),
        };
        let file = serde_json::to_string(&self.file).unwrap_or_default();
        format!("{}\n{file}", serde_json::to_string(&written).unwrap_or_default())
    }

    /// That part of a text which the agent works by.
    pub fn work(text: &str) -> &str {
        text.split_once('\n').map_or(text, |(work, _)| work)
    }

    /// What the file said; nothing where nobody has noted it.
    pub fn file(text: &str) -> Fingerprints {
        text.split_once('\n').and_then(|(_, file)| serde_json::from_str(file).ok()).unwrap_or_default()
    }

    /// Nothing, where another build has written it.
    pub fn from_text(text: &str) -> Option<Self> {
        let written: Written = serde_json::from_str(Self::work(text)).ok()?;
        let sets: Vec<HostEntries> = written.names.into_iter().map(Arc::new).collect();
        let machine = |it: WrittenMachine| MachineOrders { ops: it.ops, hosts: it.names.and_then(|at| sets.get(at).cloned()) };
        let machines = written.machines.into_iter().map(|(name, it)| (name, machine(it))).collect();
        (written.form == FORM).then(|| Self { host: written.host, machines, file: Self::file(text) })
    }
}

#[derive(Serialize, Deserialize)]
struct Written {
    form: u32,
    host: Vec<NetOp>,
    machines: BTreeMap<Name, WrittenMachine>,
    names: Vec<BTreeSet<HostEntry>>,
}

#[derive(Serialize, Deserialize)]
struct WrittenMachine {
    ops: Vec<NetOp>,
    names: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read_and_names_are_written_once() {
        let name = |text: &str| Name::new(text).unwrap();
        let hosts: HostEntries =
            Arc::new(BTreeSet::from([HostEntry { name: "db-and-nobody-else".into(), address: "10.0.0.2".parse().unwrap() }]));
        let machine = MachineOrders { ops: vec![], hosts: Some(hosts) };
        let alone = MachineOrders { hosts: None, ..machine.clone() };
        let machines = [("a", &machine), ("b", &machine), ("c", &alone)].map(|(it, machine)| (name(it), machine.clone()));
        let file = [("machine/a".parse().unwrap(), [("image".to_owned(), "0a1b2c".to_owned())].into())].into();
        let orders = Orders { host: vec![], machines: machines.into(), file };
        let text = orders.to_text();
        assert_eq!(text.matches("db-and-nobody-else").count(), 1);
        assert_eq!(Orders::from_text(&text), Some(orders));
        assert_eq!(Orders::from_text(&text.replace("\"form\":1", "\"form\":2")), None);
        assert_eq!(Orders::from_text("{"), None);
    }
}
