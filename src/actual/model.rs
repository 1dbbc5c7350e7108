//! One snapshot of the world, as the engine and the kernel told it.
//!
//! It can be written and read, so that a plan can be made, tested and measured without a world.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::engine::{EngineSnapshot, MachineState};
use crate::net::{LinkState, Namespace, NetSnapshot};
use crate::types::{HostEntries, HostEntry, IfName, LinkKind, LinkRef, Name, Ns};

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

    /// The host's card of this name, wherever it is: in a machine of ours, where it belongs, or under another name on the host, where
    /// the kernel has put it.
    pub fn device(&self, device: &str) -> Option<(LinkRef, &LinkState)> {
        let marked = |ns: &Ns, ours: bool| {
            let links = self.namespace(ns).into_iter().flat_map(|ns| &ns.links);
            let is_it = |link: &LinkState| link.origin().is_some_and(|origin| origin.name == device) && link.owner.is_ours() == ours;
            links.into_iter().find(|(_, link)| is_it(link)).map(|(name, link)| (LinkRef { ns: ns.clone(), name: name.clone() }, link))
        };
        let ours = self.net.namespaces.keys().find_map(|ns| marked(ns, true));
        let there = || self.host_link(device).filter(|link| link.origin().is_none()).map(|link| (LinkRef::host(device), link));
        ours.or_else(there).or_else(|| marked(&Ns::Host, false))
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

    /// The address of the engine's own bridge: what it puts in place of `host-gateway`, unless its owner has named another.
    fn default_gateway(&self) -> Option<IpAddr> {
        let bridge = self.host_link(self.engine.facts.default_bridge.as_deref()?)?;
        bridge.link.addresses.first().map(ipnet::IpNet::addr)
    }

    /// What the engine has written for names that were to be `host-gateway` when the container was created: an address of the host.
    fn gateway_lines(&self, machine: &Name) -> BTreeSet<HostEntry> {
        let names = self.machine(machine).map(|state| &state.container.gateway_hosts).filter(|names| !names.is_empty());
        let (Some(names), Some(ns)) = (names, self.namespace(&Ns::Machine(machine.clone()))) else { return BTreeSet::new() };
        let links = self.namespace(&Ns::Host).into_iter().flat_map(|ns| ns.links.values());
        let of_host: BTreeSet<IpAddr> = links.flat_map(|link| &link.link.addresses).map(ipnet::IpNet::addr).collect();
        let written =
            ns.hosts.iter().filter(|line| !line.marked && names.contains(&line.entry.name) && of_host.contains(&line.entry.address));
        written.map(|line| line.entry.clone()).collect()
    }

    /// The lines that `names` are to have for the host itself: those that the engine has written, or will write when it starts the
    /// machine, are right; otherwise the address of the engine's bridge.
    pub fn wanted_gateways(&self, machine: &Name, names: &BTreeSet<String>) -> BTreeSet<HostEntry> {
        let mut wanted = self.gateway_lines(machine);
        wanted.retain(|entry| names.contains(&entry.name));
        let rests = self.namespace(&Ns::Machine(machine.clone())).is_none();
        let given = |name: &String| self.machine(machine).is_some_and(|state| state.container.gateway_hosts.contains(name));
        let settled = |name: &String| wanted.iter().any(|entry| entry.name == *name) || rests && given(name);
        let missing: Vec<&String> = names.iter().filter(|name| !settled(name)).collect();
        let address = self.default_gateway();
        wanted.extend(missing.into_iter().filter_map(|name| Some(HostEntry { name: name.clone(), address: address? })));
        wanted
    }

    /// The lines of a machine's `/etc/hosts` that are fly's: marked, or given when the container was created.
    pub fn hosts(&self, machine: &Name) -> HostEntries {
        let Some(state) = self.machine(machine) else { return HostEntries::default() };
        let given = &state.container.hosts;
        match self.namespace(&Ns::Machine(machine.clone())) {
            Some(ns) if !ns.hosts.iter().map(|line| &line.entry).eq(given.iter()) => {
                let gateways = self.gateway_lines(machine);
                let is_ours = |entry| given.contains(entry) || gateways.contains(entry);
                let ours = ns.hosts.iter().filter(|line| line.marked || is_ours(&line.entry));
                Arc::new(ours.map(|line| line.entry.clone()).collect())
            }
            // They are as given; or the engine will write them so when it starts.
            _ => Arc::clone(given),
        }
    }
}
