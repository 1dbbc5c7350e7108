//! Routes of a machine's cards: those that the file gives, and one default route a family.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::subnet::quoted;
use super::work::{Draft, Errors, Net, NetKind, Nets, list};
use crate::diag::{Diagnostic, Place};
use crate::types::Route;

fn default_of(v4: bool) -> IpNet {
    if v4 { Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0).into() } else { Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0).into() }
}

/// Works out the routes of one machine: `cards` are its own, in the file's order.
pub(super) fn resolve(cards: &mut [&mut Draft], nets: &Nets, errors: &mut Errors) {
    let mut seen: BTreeMap<(IpNet, u32), Place> = BTreeMap::new();
    for card in cards.iter_mut() {
        for (route, place) in written(card, nets, errors) {
            // What the kernel takes where nobody says one: two routes with one metric cannot be told apart.
            let metric = route.metric.unwrap_or(if route.to.addr().is_ipv4() { 0 } else { 1024 });
            match seen.get(&(route.to, metric)) {
                Some(other) if *other != place => {
                    let what = if route.is_default() { "default routes".to_owned() } else { format!("routes to `{}`", route.to) };
                    let error = Diagnostic::invalid(format!("a machine cannot have two {what} with one metric")).at(&place);
                    errors.push(
                        error.also(other, "the first is here").hint("`gateway: none` on one of the cards, or a `metric` for the route"),
                    );
                }
                _ => {
                    seen.insert((route.to, metric), place);
                    card.routes.insert(route);
                }
            }
        }
    }
    for v4 in [true, false] {
        if !seen.keys().any(|(to, _)| *to == default_of(v4)) {
            automatic(cards, v4, nets);
        }
    }
    // The kernel keeps no routes by a link that is down.
    for card in cards.iter_mut().filter(|card| !card.up) {
        card.routes.clear();
    }
}

/// The default route by the first card that has a gateway.
fn automatic(cards: &mut [&mut Draft], v4: bool, nets: &Nets) {
    for card in cards.iter_mut().filter(|card| card.up && card.gateway.is_none()) {
        let Some(net) = card.network().and_then(|name| nets.get(name)).filter(|net| !net.no_way_out) else { continue };
        let Some(via) = net.gateways.iter().copied().find(|gateway| gateway.is_ipv4() == v4) else { continue };
        let reachable = card.addresses.iter().any(|(address, _)| address.contains(&via) && address.addr() != via);
        if reachable {
            card.routes.insert(Route { to: default_of(v4), via: Some(via), metric: None });
            return;
        }
    }
}

/// What the file says of a card's routes, as far as it can be.
fn written(card: &Draft, nets: &Nets, errors: &mut Errors) -> Vec<(Route, Place)> {
    let net = card.network().and_then(|name| nets.get(name));
    // What is wrong with the addresses has been said.
    let known = net.is_none_or(|net| !net.broken) && !card.unknown_addresses && (card.auto.is_empty() || !card.addresses.is_empty());
    let mut routes = vec![];
    for gateway in card.gateway.iter().flatten() {
        let Some(via) = gateway.value else { continue };
        if !known || reachable(via, card, net, &gateway.place, errors) {
            routes.push((Route { to: default_of(via.is_ipv4()), via: Some(via), metric: None }, gateway.place.clone()));
        }
    }
    for route in &card.route_specs {
        let (to, via) = (route.value.to, route.value.via);
        let mut refuse = |message: String, hint: String| errors.push(Diagnostic::invalid(message).at(&route.place).hint(hint));
        let to = match (to, via) {
            (Some(to), _) if to.addr() != to.network() => {
                refuse(format!("`{to}` has bits behind its prefix"), format!("to: {}", quoted(&to.trunc())));
                continue;
            }
            (Some(to), Some(via)) if to.addr().is_ipv4() != via.is_ipv4() => {
                refuse(format!("`{to}` and `{via}` are of two families"), "`to` and `via` both IPv4, or both IPv6".to_owned());
                continue;
            }
            (Some(to), _) => to,
            (None, Some(via)) => default_of(via.is_ipv4()),
            (None, None) => {
                refuse("a default route needs `via`".to_owned(), "{to: default, via: 10.0.0.1}".to_owned());
                continue;
            }
        };
        if via.is_none_or(|via| !known || reachable(via, card, net, &route.place, errors)) {
            routes.push((Route { to, via, metric: route.value.metric }, route.place.clone()));
        }
    }
    routes
}

/// Whether the card can reach this router by one of its own subnets.
fn reachable(via: IpAddr, card: &Draft, net: Option<&Net>, place: &Place, errors: &mut Errors) -> bool {
    let own: Vec<IpNet> = card.addresses.iter().map(|(address, _)| address.trunc()).collect();
    let link_local = matches!(via, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let message = if card.addresses.iter().any(|(address, _)| address.addr() == via) {
        format!("`{via}` is the card's own address: nothing can be routed by it")
    } else if link_local || own.iter().any(|subnet| subnet.contains(&via)) {
        return true;
    } else if own.is_empty() {
        format!("`{via}` cannot be reached: the card has no address")
    } else {
        format!("`{via}` cannot be reached: the card is in {}", list(&own))
    };
    let mut error = Diagnostic::invalid(message).at(place);
    error = match net.filter(|net| net.kind != NetKind::Bridge).and_then(|net| net.gateways.first()) {
        Some(gateway) => error.hint(format!("`{gateway}` is the network's gateway")),
        None if own.is_empty() => error.hint("give the card an address in the same subnet: `ip`"),
        None => error.hint("the address of a router in one of these subnets"),
    };
    errors.push(error);
    false
}
