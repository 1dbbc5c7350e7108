//! Routes of a machine's cards: those that the file gives, and one default route a family.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::subnet::quoted;
use super::work::{Draft, Errors, Net, NetKind, Nets, list};
use crate::diag::{Diagnostic, Place};
use crate::spec;
use crate::types::{Route, RouteKey, RouteKind, Scope, Table};

fn default_of(v4: bool) -> IpNet {
    if v4 { Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0).into() } else { Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0).into() }
}

/// Works out the routes of one machine: `cards` are its own, in the file's order.
pub(super) fn resolve(cards: &mut [&mut Draft], nets: &Nets, errors: &mut Errors) {
    let mut seen: BTreeMap<RouteKey, Place> = BTreeMap::new();
    for card in cards.iter_mut() {
        for (route, place) in written(card, nets, errors) {
            // Two routes with one metric cannot be told apart.
            match seen.get(&route.key()) {
                Some(other) if *other != place => {
                    let what = if route.is_default() { "default routes".to_owned() } else { format!("routes to `{}`", route.to) };
                    let error = Diagnostic::invalid(format!("a machine cannot have two {what} with one metric")).at(&place);
                    let hint = if route.is_default() {
                        "`gateway: none` on one of the cards, or a metric for one: `gateway: 10.0.0.1 metric 100`"
                    } else {
                        "a `metric` for one of them"
                    };
                    errors.push(error.also(other, "the first is here").hint(hint));
                }
                _ => {
                    seen.insert(route.key(), place);
                    let all = if route.kind == RouteKind::Unicast { &mut card.routes } else { &mut card.dead_ends };
                    all.insert(route);
                }
            }
        }
    }
    for v4 in [true, false] {
        if !seen.keys().any(|(to, _, table)| *to == default_of(v4) && table.is_none()) {
            automatic(cards, v4, nets);
        }
    }
    // The kernel keeps no routes by a link that is down, and forgets the neighbours there.
    for card in cards.iter_mut().filter(|card| !card.up) {
        card.routes.clear();
        card.tuning.neighbours.clear();
    }
}

/// The default route by the first card that has a gateway.
fn automatic(cards: &mut [&mut Draft], v4: bool, nets: &Nets) {
    for card in cards.iter_mut().filter(|card| card.up && card.gateway.is_none()) {
        let Some(net) = card.network().and_then(|name| nets.get(name)).filter(|net| !net.no_way_out) else { continue };
        let Some(via) = net.gateways.iter().copied().find(|gateway| gateway.is_ipv4() == v4) else { continue };
        let reachable = card.addresses.iter().any(|(address, _)| address.contains(&via) && address.addr() != via);
        if reachable {
            card.routes.insert(Route::new(default_of(v4), Some(via)));
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
        let Some(spec::Gateway { via, metric }) = gateway.value else { continue };
        if !known || reachable(via, card, net, &gateway.place, errors) {
            let route = Route { metric, ..Route::new(default_of(via.is_ipv4()), Some(via)) };
            routes.push((normal(route), gateway.place.clone()));
        }
    }
    for route in &card.route_specs {
        let written = match whole(&route.value) {
            Ok(whole) => whole,
            Err((message, hint)) => {
                errors.push(Diagnostic::invalid(message).at(&route.place).hint(hint));
                continue;
            }
        };
        if let Some(src) = written.src.filter(|src| known && !card.addresses.iter().any(|(address, _)| address.addr() == *src)) {
            let own: Vec<IpAddr> = card.addresses.iter().map(|(address, _)| address.addr()).collect();
            let error = Diagnostic::invalid(format!("`src: {src}` is not an address of this card")).at(&route.place);
            errors.push(error.hint(if own.is_empty() {
                "it has none: leave `src` out".to_owned()
            } else {
                format!("it has {}", list(&own))
            }));
            continue;
        }
        if !known || written.onlink || written.via.is_none_or(|via| reachable(via, card, net, &route.place, errors)) {
            routes.push((normal(written), route.place.clone()));
        }
    }
    routes
}

/// What is said as what is not, where it means the same: the kernel tells it in one way.
fn normal(mut route: Route) -> Route {
    let v4 = route.to.addr().is_ipv4();
    let (usual, scope) = (|metric: &u32| if v4 { *metric == 0 } else { matches!(metric, 0 | 1024) }, route.usual_scope());
    route.metric.take_if(|metric| usual(metric));
    route.scope.take_if(|said| *said == scope);
    route.table.take_if(|table| *table == Table::MAIN);
    route
}

/// The route of a card, or what is wrong with it, and what to do.
fn whole(written: &spec::RouteSpec) -> Result<Route, (String, String)> {
    let spec::RouteSpec { to, via, metric, table, src, scope, onlink, kind } = written.clone();
    let wrong = |message: String, hint: &str| Err((message, hint.to_owned()));
    if kind != RouteKind::Unicast && (via.is_some() || src.is_some() || scope.is_some() || onlink) {
        return wrong(format!("a route of type `{kind}` leads nowhere"), "leave `via`, `src`, `scope` and `onlink` out");
    }
    let to = match (to, via) {
        (Some(to), _) if to.addr() != to.network() => {
            return wrong(format!("`{to}` has bits behind its prefix"), &format!("to: {}", quoted(&to.trunc())));
        }
        (Some(to), Some(via)) if to.addr().is_ipv4() != via.is_ipv4() => {
            return wrong(format!("`{to}` and `{via}` are of two families"), "`to` and `via` both IPv4, or both IPv6");
        }
        (Some(to), _) => to,
        (None, Some(via)) => default_of(via.is_ipv4()),
        (None, None) if kind != RouteKind::Unicast => {
            return wrong("`default` has no family here".to_owned(), "`to: 0.0.0.0/0`, or `to: \"::/0\"` for IPv6");
        }
        (None, None) => return wrong("a default route needs `via`".to_owned(), "{to: default, via: 10.0.0.1}"),
    };
    if onlink && via.is_none() {
        return wrong("`onlink` is about a next hop, and there is none".to_owned(), "`via: ADDRESS`, or leave `onlink` out");
    }
    if table == Some(Table::LOCAL) {
        return wrong("the table `local` is the kernel's own".to_owned(), "another table, as `table: 100`, or none for the main one");
    }
    match scope {
        Some(_) if !to.addr().is_ipv4() => return wrong("routes of IPv6 have no `scope`".to_owned(), "leave it out"),
        Some(scope) if via.is_some() && scope != Scope::Global => {
            return wrong(format!("a route by a next hop is not of scope `{scope}`"), "leave `scope` or `via` out");
        }
        _ => {}
    }
    Ok(Route { to, via, metric, table, src, scope, onlink, kind })
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
