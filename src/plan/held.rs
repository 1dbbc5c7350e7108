//! What only one machine can have at a time: whoever takes it waits until the one that has it has given it up.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::StepId;
use super::builder::Builder;
use crate::actual::Actual;
use crate::desired::{Machine, Nic};
use crate::types::{Endpoint, Mac, Name, NetworkMode, Ns, Port, Protocol};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Held {
    Address(IpAddr),
    /// Published, on whichever of the host's addresses.
    Port(Protocol, u16),
    /// On a wire; macvlans of one parent cannot even be set up with the same one.
    Mac(Mac),
}

impl Builder<'_> {
    /// Notes that after `step` the machine has nothing any more of all that it has now.
    pub(super) fn gives_up(&mut self, machine: &Name, step: StepId) {
        for held in of_machine(self.actual, machine) {
            self.given_up.entry(held).or_default().insert(step);
        }
    }

    /// The steps after which a machine can have what the engine gives it when it starts.
    pub(super) fn free_for_start(&self, machine: &Machine) -> BTreeSet<StepId> {
        let engines = machine.nics.values().filter_map(Nic::endpoint);
        self.free(engines.flat_map(addresses).chain(ports(&machine.container.ports)))
    }

    /// The steps after which a card can have its addresses and its MAC.
    pub(super) fn free_for_card(&self, nic: &Nic) -> BTreeSet<StepId> {
        let addresses = nic.addresses.iter().map(|net| Held::Address(net.addr()));
        self.free(addresses.chain([Held::Mac(nic.mac)]))
    }

    fn free(&self, wanted: impl Iterator<Item = Held>) -> BTreeSet<StepId> {
        wanted.filter_map(|held| self.given_up.get(&held)).flatten().copied().collect()
    }
}

fn of_machine(actual: &Actual, machine: &Name) -> BTreeSet<Held> {
    let Some(state) = actual.machine(machine).filter(|state| state.is_up()) else { return BTreeSet::new() };
    let mut held: BTreeSet<Held> = state.endpoints.values().flat_map(addresses).chain(ports(&state.published)).collect();
    // Who lives in another's namespace sees that one's cards.
    let own = actual.namespace(&Ns::Machine(machine.clone())).filter(|_| state.container.network_mode == NetworkMode::Own);
    for link in own.into_iter().flat_map(|ns| ns.links.values()) {
        held.extend(link.link.mac.map(Held::Mac));
        held.extend(link.link.addresses.iter().map(|net| Held::Address(net.addr())));
    }
    held
}

fn addresses(endpoint: &Endpoint) -> impl Iterator<Item = Held> {
    let both = endpoint.ipv4.map(IpAddr::V4).into_iter().chain(endpoint.ipv6.map(IpAddr::V6));
    both.map(Held::Address)
}

fn ports(ports: &BTreeSet<Port>) -> impl Iterator<Item = Held> {
    ports.iter().filter_map(|port| Some(Held::Port(port.protocol, port.published?)))
}
