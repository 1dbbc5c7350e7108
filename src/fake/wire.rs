//! Who is on the same wire: strangers, and our own cards, all of whom answer when somebody asks for their addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::World;
use super::faults::{Done, FaultKind, refuse};
use super::state::{FakeLink, HOST, Kind, NsId, State};
use crate::types::Mac;

impl World {
    /// Somebody else has this address, on the wire that this link of the host's leads to.
    pub fn add_stranger_address(&self, link: &str, address: IpAddr, mac: Mac) {
        self.lock().strangers.insert((link.to_owned(), address), mac);
    }

    pub fn remove_stranger_addresses(&self) {
        self.lock().strangers.clear();
    }
}

impl State {
    /// The host's link by which a card reaches its neighbours: macvlan's parent, or the bridge.
    fn wire(&self, link: &FakeLink) -> Option<u32> {
        match link.kind {
            Kind::Macvlan { parent, .. } | Kind::Ipvlan { parent, .. } => Some(parent),
            Kind::Veth { peer } => self.links_of(HOST).find(|port| port.index == peer)?.master,
            Kind::Bridge | Kind::Vlan { .. } | Kind::Vxlan { .. } | Kind::Other(_) => None,
        }
    }

    /// What happens to a card that asks for addresses: refused, if anybody else has one.
    pub(super) fn probe(&self, ns: NsId, name: &str, addresses: &BTreeSet<IpAddr>) -> Done {
        let Some(card) = self.link(ns, name).filter(|card| card.up) else { return Ok(()) };
        let Some(wire) = self.wire(card) else { return Ok(()) };
        let place = self.place(wire).map(|(_, name)| name.to_owned()).unwrap_or_default();
        let others = self.namespaces.values().flat_map(|links| links.values()).filter(|other| other.index != card.index && other.up);
        let neighbours: Vec<&FakeLink> = others.filter(|other| self.wire(other) == Some(wire) || other.index == wire).collect();
        for address in addresses {
            let stranger = self.strangers.get(&(place.clone(), *address)).copied();
            let has = |other: &&&FakeLink| other.addresses.iter().any(|net| net.addr() == *address);
            if let Some(mac) = stranger.or_else(|| neighbours.iter().find(has).map(|other| other.mac)) {
                return refuse(FaultKind::Conflict, format!("{address} is in use by {mac}"));
            }
        }
        Ok(())
    }
}
