//! Changing a link that is in use. What the kernel takes away on the way, and nobody asked to remove, is put back.

use std::collections::BTreeSet;

use ipnet::IpNet;
use rtnetlink::packet_route::link::LinkAttribute;

use super::error::While;
use super::link::Card;
use super::place::Places;
use super::port::other_end_takes;
use super::probe;
use super::read::same_address;
use super::{kind, message};
use crate::net::{LinkSet, NetError};
use crate::types::{LinkRef, Route};

pub(super) fn link(places: &Places<'_>, at: &LinkRef, set: &LinkSet) -> Result<(), NetError> {
    let doing = || format!("change {at}");
    let mut card = match (Card::find(places, at)?, &set.name) {
        (Some(card), _) => card,
        // Renamed by a run that was cut short.
        (None, Some(name)) => Card::get(places, &LinkRef { ns: at.ns.clone(), name: name.clone() }, doing)?,
        (None, None) => Card::get(places, at, doing)?,
    };
    // What has to be there again if the link must be down for a moment.
    let (addresses, routes) = (card.addresses()?, card.routes()?);
    let is_new = set.mac.is_some_and(|mac| card.raw.mac != Some(mac)) || !set.add_addresses.is_subset(&addresses);
    // The kernel forgets them with every change of the MAC, and when the link is down.
    let neighbours = if is_new || set.name.is_some() { card.neighbours()? } else { vec![] };
    let was_down = attributes(places, &mut card, set)?;
    let unused: BTreeSet<_> =
        set.add_addresses.difference(&addresses).map(IpNet::addr).filter(|it| set.manners.probe.contains(it)).collect();
    if !unused.is_empty() && set.up.unwrap_or(card.raw.up) {
        card.bring(true)?;
        card.raw.up = true;
        probe::ask(&card, &unused)?;
    }
    card.set_sysctls(&set.tune.sysctls)?;
    change_addresses(&card, set, &addresses)?;
    if let Some(up) = set.up {
        card.bring(up)?;
        card.raw.up = up;
    }
    if was_down {
        card.add_addresses(addresses.difference(&set.remove_addresses))?;
    }
    if is_new {
        card.announce()?;
    }
    if set.manners.announce && card.raw.up {
        places.later.tell(&card, card.addresses()?.iter().map(IpNet::addr).collect());
    }
    if let Some(traffic) = &set.tune.traffic {
        card.shape(traffic)?;
    }
    if !card.raw.up {
        // A link that is down has no routes, and can be given none.
        return Ok(());
    }
    card.change_neighbours(&set.tune, &neighbours)?;
    for address in &set.connect {
        card.connect_subnet(address)?;
    }
    let mut kept: BTreeSet<Route> = set.keep_routes.clone();
    if was_down {
        kept.extend(routes.difference(&set.remove_routes).cloned());
    }
    change_routes(&card, set, &routes, &kept)
}

/// Name, MAC, MTU and bridge. Says if the link was down for a moment.
fn attributes(places: &Places<'_>, card: &mut Card<'_>, set: &LinkSet) -> Result<bool, NetError> {
    let mut was_down = false;
    if let Some(name) = set.name.as_ref().filter(|name| card.raw.name != **name) {
        let doing = || format!("rename {} to {name}", card.at());
        was_down |= card.change_even_down(&LinkAttribute::IfName(name.clone())).doing(doing)?;
        card.raw.name.clone_from(name);
    }
    if let Some(mac) = set.mac.filter(|mac| card.raw.mac != Some(*mac)) {
        let doing = || format!("set the MAC of {} to {mac}", card.at());
        was_down |= card.change_even_down(&LinkAttribute::Address(mac.bytes().to_vec())).doing(doing)?;
        card.raw.mac = Some(mac);
    }
    if let Some(group) = set.group {
        card.change(vec![LinkAttribute::Group(group)]).doing(|| format!("set the group of {}", card.at()))?;
    }
    if let Some(mtu) = set.mtu {
        // The host's end first when frames are to grow, last when they are to shrink: never one that does not fit.
        let grows = mtu > card.raw.mtu;
        if grows {
            other_end_takes(places, card, mtu)?;
        }
        if card.raw.mtu != mtu {
            card.change(vec![LinkAttribute::Mtu(mtu)]).doing(|| format!("set the MTU of {} to {mtu}", card.at()))?;
        }
        if !grows {
            other_end_takes(places, card, mtu)?;
        }
    }
    if let Some(wanted) = &set.kind {
        kind::become_as(card, wanted)?;
    }
    if let Some(master) = &set.master {
        let doing = || format!("plug {} into {master}", card.at());
        let bridge = Card::get(places, &LinkRef { ns: card.place.ns.clone(), name: master.clone() }, doing)?;
        if card.raw.master != Some(bridge.raw.index) {
            card.change(vec![LinkAttribute::Controller(bridge.raw.index)]).doing(doing)?;
        }
    }
    Ok(was_down)
}

/// New addresses come before old ones go, so that the link is never without and keeps its routes.
fn change_addresses(card: &Card<'_>, set: &LinkSet, there: &BTreeSet<IpNet>) -> Result<(), NetError> {
    if set.remove_addresses.iter().any(|net| matches!(net, IpNet::V4(_))) {
        card.change(vec![message::ipv4_settings()]).doing(|| format!("change the addresses of {}", card.at()))?;
    }
    // IPv6 knows an address once, whatever its prefix: the old one has to go first.
    let stands_in_the_way = |old: &IpNet| {
        let is_new = |net: &IpNet| matches!(net, IpNet::V6(net) if same_address(old, *net));
        !set.add_addresses.contains(old) && set.add_addresses.iter().any(is_new)
    };
    for old in set.remove_addresses.iter().filter(|old| stands_in_the_way(old)) {
        card.remove_address(old)?;
    }
    card.add_addresses(set.add_addresses.difference(there))?;
    set.remove_addresses.iter().filter(|old| !set.add_addresses.contains(old)).try_for_each(|old| card.remove_address(old))
}

/// A new route takes the place of an old one with the same destination and metric in one step.
fn change_routes(card: &Card<'_>, set: &LinkSet, before: &BTreeSet<Route>, kept: &BTreeSet<Route>) -> Result<(), NetError> {
    if set.add_routes.is_empty() && set.remove_routes.is_empty() && kept.is_empty() {
        return Ok(());
    }
    let twins = |one: &Route, other: &Route| one.key() == other.key();
    let now = card.routes()?;
    let mut replaced = BTreeSet::new();
    for route in set.add_routes.difference(&now) {
        let old = set.remove_routes.iter().find(|old| twins(old, route) && now.contains(*old) && !replaced.contains(*old));
        card.put_route(route)?;
        replaced.extend(old.cloned());
    }
    for old in set.remove_routes.intersection(before).filter(|old| !replaced.contains(*old) && !set.add_routes.contains(old)) {
        card.remove_route(old)?;
    }
    let missing = kept.iter().filter(|route| !set.remove_routes.contains(*route));
    let now = card.routes()?;
    let mut missing: Vec<&Route> = missing.filter(|route| !now.contains(*route)).collect();
    missing.sort_by_key(|route| route.via.is_some());
    // Never in the place of another's default route that has come meanwhile.
    missing.into_iter().try_for_each(|route| card.add_route(route))
}
