//! The addresses of cards: those that the file gives are checked, those that it leaves to fly are found.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::ipam::{self, Request, unusable};
use super::subnet::quoted;
use super::work::{Draft, Errors, Net, NetKind, Nets, list, twice};
use crate::diag::{At, Diagnostic, Place};
use crate::spec::Ip;
use crate::types::{Dynamic, Name};

/// What `ip` says of a card: addresses that are given, and subnets that it is to get one out of.
pub(super) struct Wanted {
    pub(super) given: Vec<(IpNet, Option<Place>)>,
    pub(super) auto: Vec<IpNet>,
    /// Addresses that the network gives.
    pub(super) dynamic: BTreeSet<Dynamic>,
}

/// `broken`: more is written than could be read.
pub(super) fn wanted(ips: Option<&Vec<At<Ip>>>, broken: bool, net: &Net, errors: &mut Errors) -> Wanted {
    let mut wanted = Wanted { given: vec![], auto: vec![], dynamic: BTreeSet::new() };
    let Some(ips) = ips else {
        if !broken {
            wanted.auto.clone_from(&net.subnets);
        }
        return wanted;
    };
    let mut auto = false;
    for ip in ips {
        match ip.value {
            Ip::None => check_none(ip, ips, net, errors),
            Ip::Auto if net.subnets.is_empty() && !net.broken => errors.push(
                Diagnostic::invalid(format!("network `{}` has no subnet that an address could come from", net.name))
                    .at(&ip.place)
                    .hint("give the network a `subnet`, or the card an address with its prefix: `ip: 192.168.1.100/24`"),
            ),
            Ip::Auto => auto = true,
            Ip::Dynamic(way) if net.kind == NetKind::Nat => errors.push(
                Diagnostic::invalid(format!("a card on `{}` gets its address from the engine: the network is of kind `nat`", net.name))
                    .at(&ip.place)
                    .hint(format!("`ip: auto`, or `ip: {way}` on a network with a `parent` or a `bridge`")),
            ),
            // A server knows its clients by their MACs, and a router's prefix gives all of them the same address.
            Ip::Dynamic(way) if matches!(net.kind, NetKind::Ipvlan { .. }) => errors.push(
                Diagnostic::invalid(format!(
                    "a card on `{}` cannot get its address by {way}: ipvlan cards share the MAC of their parent",
                    net.name
                ))
                .at(&ip.place)
                .hint("`ip: auto` or an address; or `kind: macvlan`, whose cards have MACs of their own"),
            ),
            Ip::Dynamic(way) => drop(wanted.dynamic.insert(way)),
            Ip::Address { address, prefix } => {
                let found = given(address, prefix, &ip.place, net, errors);
                let once = found.filter(|found| !wanted.given.iter().any(|(known, _)| known.addr() == found.addr()));
                wanted.given.extend(once.map(|address| (address, Some(ip.place.clone()))));
            }
        }
    }
    // The engine gives a card one address of every subnet, asked or not: better that fly says which.
    if auto || net.kind == NetKind::Nat && !broken {
        let free = |subnet: &&IpNet| !wanted.given.iter().any(|(address, _)| subnet.contains(&address.addr()));
        wanted.auto = net.subnets.iter().filter(free).copied().collect();
    }
    if net.kind == NetKind::Nat {
        check_one_a_family(&wanted.given, errors);
    }
    wanted
}

fn check_none(ip: &At<Ip>, all: &[At<Ip>], net: &Net, errors: &mut Errors) {
    if all.len() > 1 {
        errors.push(Diagnostic::invalid("`none` stands alone: a card without an address has no other").at(&ip.place).hint("ip: none"));
    }
    if net.kind == NetKind::Nat {
        let message =
            format!("a card on `{}` cannot be without an address: the network is of kind `nat`, where the engine gives one", net.name);
        errors.push(Diagnostic::invalid(message).at(&ip.place).hint("ip: auto"));
    }
}

fn check_one_a_family(given: &[(IpNet, Option<Place>)], errors: &mut Errors) {
    for v4 in [true, false] {
        let mut family = given.iter().filter(|(address, _)| address.addr().is_ipv4() == v4);
        let (Some((_, Some(first))), Some((_, Some(second)))) = (family.next(), family.next()) else { continue };
        let family = if v4 { "IPv4" } else { "IPv6" };
        let message = format!("a card on a network of kind `nat` has one {family} address");
        errors.push(Diagnostic::invalid(message).at(second).also(first, "the first is given here").hint("leave one of them out"));
    }
}

/// One address as written, with its prefix length.
fn given(address: IpAddr, prefix: Option<u8>, place: &Place, net: &Net, errors: &mut Errors) -> Option<IpNet> {
    if net.broken {
        return None;
    }
    let mut refuse = |message: String, hint: String| {
        errors.push(Diagnostic::invalid(message).at(place).hint(hint));
        None
    };
    if let Some(what) = special(address) {
        return refuse(format!("`{address}` is {what}: no card can have it"), "ip: auto".to_owned());
    }
    let subnet = net.subnet_of(address);
    let length = match (subnet, prefix) {
        (Some(subnet), Some(prefix)) if prefix != subnet.prefix_len() => {
            let right = quoted(&format!("{address}/{}", subnet.prefix_len()));
            return refuse(format!("the prefix of `{address}/{prefix}` is not that of its subnet {subnet}"), format!("ip: {right}"));
        }
        (Some(subnet), _) => subnet.prefix_len(),
        (None, _) if !net.subnets.is_empty() => {
            let message = format!("`{address}` is outside its subnet: network `{}` has {}", net.name, list(&net.subnets));
            return refuse(message, "`ip: auto`, or an address out of the subnet".to_owned());
        }
        (None, Some(prefix)) => prefix,
        (None, None) => {
            let right = quoted(&format!("{address}/{}", if address.is_ipv4() { 24 } else { 64 }));
            return refuse(
                format!("`{address}` needs its prefix length: network `{}` has no subnet to take it from", net.name),
                format!("ip: {right}"),
            );
        }
    };
    let Ok(full) = IpNet::new(address, length) else {
        return refuse(format!("`{address}/{length}` has too long a prefix"), format!("ip: {}", quoted(&address)));
    };
    if unusable(full).contains(&address) {
        let message = format!("`{address}` stands for the subnet `{}` itself or for all in it: no card can have it", full.trunc());
        let first = full.hosts().find(|host| *host != full.network()).unwrap_or(address);
        let hint = if subnet.is_some() { "auto".to_owned() } else { quoted(&format!("{first}/{length}")) };
        return refuse(message, format!("ip: {hint}"));
    }
    check_reserved(address, place, net, errors).then_some(full)
}

/// What an address is that is not one card's.
fn special(address: IpAddr) -> Option<&'static str> {
    let loopback = address.is_loopback();
    [
        (address.is_unspecified(), "no address"),
        (loopback, "the loopback's"),
        (address.is_multicast(), "a multicast address"),
        (matches!(address, IpAddr::V4(v4) if v4.is_broadcast()), "the broadcast address"),
    ]
    .into_iter()
    .find_map(|(is, what)| is.then_some(what))
}

/// What the network keeps for the gateway or the host. On a bridge of fly's own, a machine may well be the gateway: who else?
fn check_reserved(address: IpAddr, place: &Place, net: &Net, errors: &mut Errors) -> bool {
    let gateway = net.gateways.contains(&address) && net.kind != NetKind::Bridge;
    let (what, field) = match (gateway, net.host_ips.contains(&address)) {
        (true, _) => ("gateway", "gateway"),
        (_, true) => ("`host_ip`", "host_ip"),
        _ => return true,
    };
    let mut error = Diagnostic::invalid(format!("`{address}` is the {what} of network `{}`", net.name)).at(place).hint("ip: auto");
    if let Some(there) = net.places.fields.get(field) {
        error = error.also(there, "taken here");
    }
    errors.push(error);
    false
}

/// Gives every card what `auto` asks for, and finds addresses that two have.
pub(super) fn allocate(nets: &Nets, drafts: &mut [Draft], errors: &mut Errors) {
    let mut wires: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, draft) in drafts.iter().enumerate() {
        if let Some(net) = draft.network().and_then(|name| nets.get(name)) {
            wires.entry(net.wire()).or_default().push(i);
        }
    }
    let mut full: BTreeSet<(Name, IpNet)> = BTreeSet::new();
    for cards in wires.values() {
        let mut taken = check_twice(drafts, cards, errors);
        for net in nets.values() {
            taken.extend(net.host_ips.iter().filter(|_| cards.iter().any(|i| drafts[*i].network() == Some(&net.name))));
        }
        let wants = wants(nets, drafts, cards);
        let requests: Vec<Request<'_>> = wants.iter().map(|(_, request)| Request { key: request.key, pool: request.pool }).collect();
        let found = ipam::allocate(&requests, &mut taken);
        let results: Vec<(usize, IpNet, Option<IpAddr>, u128)> =
            wants.iter().zip(found).map(|((i, request), address)| (*i, request.pool.subnet(), address, request.pool.size())).collect();
        for (i, subnet, address, size) in results {
            let draft = &mut drafts[i];
            if let Some(address) = address {
                let place = draft.places.fields.get("ip").cloned();
                draft.addresses.push((IpNet::new(address, subnet.prefix_len()).expect("the subnet's own length"), place));
            } else if full.insert((draft.network().expect("only networks have pools").clone(), subnet)) {
                // The others that get none are too many in the same way.
                errors.push(exhausted(draft, subnet, size, nets));
            }
        }
    }
}

fn wants<'a>(nets: &'a Nets, drafts: &'a [Draft], cards: &[usize]) -> Vec<(usize, Request<'a>)> {
    let mut wants = vec![];
    for &i in cards {
        let draft = &drafts[i];
        let Some(net) = draft.network().and_then(|name| nets.get(name)) else { continue };
        for subnet in &draft.auto {
            let Some(pool) = net.pools.iter().find(|pool| pool.subnet() == *subnet) else { continue };
            wants.push((i, Request { key: [net.name.as_str(), draft.machine.as_str(), draft.name.as_str()], pool }));
        }
    }
    wants
}

fn exhausted(draft: &Draft, subnet: IpNet, size: u128, nets: &Nets) -> Diagnostic {
    let name = draft.network().expect("only networks have pools");
    let addresses = if size == 1 { "address" } else { "addresses" };
    let error = Diagnostic::invalid(format!("network `{name}` has no address left in `{subnet}`: its pool has {size} {addresses}"));
    let error = error.at(&draft.place).hint("a larger `subnet` or `pool`");
    let place = nets.get(name).and_then(|net| net.places.fields.get("pool").or(net.places.fields.get("subnet")));
    match place {
        Some(place) => error.also(place, "the pool is decided here"),
        None => error,
    }
}

/// The addresses that the file gives on one wire; an error for each that two cards have.
fn check_twice(drafts: &[Draft], cards: &[usize], errors: &mut Errors) -> BTreeSet<IpAddr> {
    let mut seen: BTreeMap<IpAddr, (&Draft, &Place)> = BTreeMap::new();
    for draft in cards.iter().map(|i| &drafts[*i]) {
        for (address, place) in &draft.addresses {
            let Some(place) = place else { continue };
            match seen.get(&address.addr()) {
                Some((other, there)) if !draft.is_one_with(other) => {
                    let message = format!("two cards have the address `{}`", address.addr());
                    errors.push(twice(message, (draft, place), (other, there)).hint("ip: auto"));
                }
                Some(_) => {}
                None => {
                    seen.insert(address.addr(), (draft, place));
                }
            }
        }
    }
    seen.into_keys().collect()
}
