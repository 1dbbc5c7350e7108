//! Who is asked before an address is used for the first time, and who is told afterwards.
//!
//! Only on a wire where strangers can be. What one of our own cards there has in this moment has been asked for before: a restart, a
//! replacement and a change of hands wait for nobody.

use std::collections::BTreeSet;

use super::builder::Builder;
use super::handover::wire;
use crate::desired::{Attach, Network, Nic};
use crate::net::LinkSet;
use crate::types::{LinkKind, Manners, Ns, PlacedLink};

/// Of a card that is made, with all its addresses.
pub(super) fn of_card(b: &Builder<'_>, nic: &Nic) -> Manners {
    let network = nic.attach.network().and_then(|name| b.desired.networks.get(name));
    let (Some(on), true) = (on(nic), nic.up && network.is_some_and(Network::has_strangers)) else { return Manners::default() };
    manners(b, on, nic.probe, nic.addresses.iter())
}

/// Of one that is there.
pub(super) fn of_change(b: &Builder<'_>, nic: &Nic, set: &LinkSet) -> Manners {
    let LinkSet { mac, up, add_addresses, .. } = set;
    if add_addresses.is_empty() && mac.is_none() && *up != Some(true) {
        return Manners::default();
    }
    let mut manners = of_card(b, nic);
    manners.probe.retain(|address| add_addresses.iter().any(|net| net.addr() == *address));
    manners
}

/// Of the host's own card on a network.
pub(super) fn of_host(b: &Builder<'_>, network: &Network, placed: &PlacedLink) -> Manners {
    match &placed.link.kind {
        LinkKind::Macvlan { parent: Some(parent), .. } if network.has_strangers() => {
            manners(b, &parent.name, network.probe, placed.link.addresses.iter())
        }
        // A bridge that is yet to be made has nobody to ask.
        LinkKind::Bridge if network.has_strangers() && b.actual.host_link(&placed.at.name).is_some() => {
            manners(b, &placed.at.name, network.probe, placed.link.addresses.iter())
        }
        _ => Manners::default(),
    }
}

/// What a card hangs on: one wire, as far as the host sees.
fn on(nic: &Nic) -> Option<&str> {
    match &nic.attach {
        Attach::Bridge { bridge, .. } => Some(bridge),
        Attach::Macvlan { parent, .. } | Attach::Ipvlan { parent, .. } | Attach::Physical { device: parent, .. } => Some(parent),
        Attach::Nat { .. } | Attach::Cable { .. } => None,
    }
}

fn manners<'a>(b: &Builder<'_>, on: &str, probe: bool, addresses: impl Iterator<Item = &'a ipnet::IpNet>) -> Manners {
    let addresses: BTreeSet<_> = addresses.map(ipnet::IpNet::addr).collect();
    let announce = !addresses.is_empty();
    if !probe || addresses.is_empty() {
        return Manners { probe: BTreeSet::new(), announce };
    }
    let links = b.actual.net.namespaces.iter().flat_map(|(ns, namespace)| namespace.links.values().map(move |link| (ns, link)));
    let ours = links.filter(|(ns, link)| (**ns != Ns::Host || link.owner.is_ours()) && wire(b, link) == Some(on));
    let used: BTreeSet<_> = ours.flat_map(|(_, link)| link.link.addresses.iter().map(ipnet::IpNet::addr)).collect();
    Manners { probe: addresses.difference(&used).copied().collect(), announce }
}
