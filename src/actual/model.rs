//! One snapshot of the world, as the engine and the kernel told it.
//!
//! It can be written and read, so that a plan can be made, tested and measured without a world.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::engine::{EngineSnapshot, MachineState};
use crate::net::{LinkState, Namespace, NetSnapshot};
use crate::types::{HostEntries, IfName, LinkKind, LinkRef, Name, Ns};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Record", from = "Record")]
pub struct Actual {
    pub engine: EngineSnapshot,
    pub net: NetSnapshot,
}

impl Actual {
    pub fn machine(&self, name: &Name) -> Option<&MachineState> {
        self.engine.machines.get(name)
    }

    pub fn namespace(&self, ns: &Ns) -> Option<&Namespace> {
        self.net.namespaces.get(ns)
    }

    pub fn link(&self, at: &LinkRef) -> Option<&LinkState> {
        self.namespace(&at.ns)?.links.get(&at.name)
    }

    pub fn host_link(&self, name: &str) -> Option<&LinkState> {
        self.namespace(&Ns::Host)?.links.get(name)
    }

    /// The link of this name in a machine; nothing while the machine does not run.
    pub fn nic(&self, machine: &Name, nic: &IfName) -> Option<&LinkState> {
        self.namespace(&Ns::Machine(machine.clone()))?.links.get(nic.as_str())
    }

    /// The bridge in the host's namespace that a machine's link is plugged into by its veth.
    pub fn plugged_into(&self, link: &LinkState) -> Option<&str> {
        let LinkKind::Veth { peer: Some(peer) } = &link.link.kind else { return None };
        self.link(peer).filter(|_| peer.ns == Ns::Host)?.link.master.as_deref()
    }

    /// The link of a machine whose other end is a port of `bridge` on the host, with its name.
    pub fn port(&self, machine: &Name, bridge: &str) -> Option<(&str, &LinkState)> {
        let links = &self.namespace(&Ns::Machine(machine.clone()))?.links;
        links.iter().find(|(_, link)| self.plugged_into(link) == Some(bridge)).map(|(name, link)| (name.as_str(), link))
    }

    /// The lines of a machine's `/etc/hosts` that are fly's: marked, or given when the container was created.
    pub fn hosts(&self, machine: &Name) -> HostEntries {
        let Some(state) = self.machine(machine) else { return HostEntries::default() };
        let given = &state.container.hosts;
        match self.namespace(&Ns::Machine(machine.clone())) {
            Some(ns) if !ns.hosts.iter().map(|line| &line.entry).eq(given.iter()) => {
                let ours = ns.hosts.iter().filter(|line| line.marked || given.contains(&line.entry));
                Arc::new(ours.map(|line| line.entry.clone()).collect())
            }
            // They are as given; or the engine will write them so when it starts.
            _ => Arc::clone(given),
        }
    }
}
