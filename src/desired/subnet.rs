//! Which addresses a network has: its subnets, given or found, its pools, and what may not overlap.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::ipam::{Pool, unusable};
use super::work::{Errors, Net, NetKind, Nets, list};
use crate::diag::{At, Diagnostic, Place};
use crate::spec;
use crate::types::{Name, stable_hash};

/// Where fly takes subnets from: 16384 of 256 addresses, in a corner of 10/8 that few use.
const OWN: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 192, 0, 0), 14);
const OWN_PREFIX: u8 = 24;

pub(super) fn overlap(a: IpNet, b: IpNet) -> bool {
    a.contains(&b) || b.contains(&a)
}

/// The default subnet of a network: by hash of project and network, or the next one that is free.
/// `own`: those that this has found for others.
pub(super) fn default_subnet(project: &Name, network: &Name, used: &[IpNet], own: &BTreeSet<IpNet>) -> Option<IpNet> {
    let count = 1_u32 << OWN.1;
    let hash = stable_hash(&["subnet", project.as_str(), network.as_str()]);
    let start = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % count;
    (0..count).find_map(|step| {
        let index = (start + step) % count;
        let base = Ipv4Addr::from(u32::from(OWN.0) + (index << (32 - OWN_PREFIX)));
        let subnet = IpNet::V4(Ipv4Net::new(base, OWN_PREFIX).expect("24 is a prefix length"));
        (!own.contains(&subnet) && !used.iter().any(|other| overlap(subnet, *other))).then_some(subnet)
    })
}

/// The subnets as written, without what is wrong with them; whether something was.
pub(super) fn given(subnets: &[At<IpNet>], errors: &mut Errors) -> (Vec<IpNet>, bool) {
    let (mut good, mut broken): (Vec<At<IpNet>>, bool) = (vec![], false);
    for subnet in subnets {
        let net = subnet.value;
        if net.addr() != net.network() {
            errors.push(
                Diagnostic::invalid(format!("`{net}` is not a subnet: it has bits behind its prefix"))
                    .at(&subnet.place)
                    .hint(format!("subnet: {}", quoted(&net.trunc()))),
            );
            broken = true;
        } else if let Some(other) = good.iter().find(|other| overlap(other.value, net)) {
            errors.push(
                Diagnostic::invalid(format!("`{net}` overlaps with `{}` of the same network", other.value))
                    .at(&subnet.place)
                    .also(&other.place, "given here")
                    .hint("one of them is enough"),
            );
            broken = true;
        } else if net.prefix_len() == 0 {
            let error = Diagnostic::invalid(format!("`{net}` is every address there is, not a subnet")).at(&subnet.place);
            errors.push(error.hint("subnet: 10.10.0.0/24"));
            broken = true;
        } else if let Some((special, what)) = special(net) {
            let error = Diagnostic::invalid(format!("no card can have an address of `{net}`: `{special}` {what}")).at(&subnet.place);
            errors.push(error.hint(if net.addr().is_ipv4() { "subnet: 10.10.0.0/24" } else { "subnet: \"fd00:10::/64\"" }));
            broken = true;
        } else {
            good.push(subnet.clone());
        }
    }
    (good.into_iter().map(|subnet| subnet.value).collect(), broken)
}

/// What no card's addresses can come from, where `net` has a part of it.
fn special(net: IpNet) -> Option<(IpNet, &'static str)> {
    const SPECIAL: [(&str, &str); 6] = [
        ("0.0.0.0/8", "stands for no address"),
        ("127.0.0.0/8", "is the loopback's"),
        ("224.0.0.0/4", "is multicast"),
        ("255.255.255.255/32", "is the broadcast address"),
        ("::/127", "is no address, and the loopback's"),
        ("ff00::/8", "is multicast"),
    ];
    SPECIAL.iter().filter_map(|(special, what)| Some((special.parse().ok()?, *what))).find(|(special, _)| overlap(net, *special))
}

/// As it has to stand in YAML: `fd00::/64` would otherwise be fine too, but not in a flow map.
pub(super) fn quoted(text: &impl std::fmt::Display) -> String {
    let text = text.to_string();
    if text.contains(':') { format!("\"{text}\"") } else { text }
}

/// One pool for each subnet, out of what the file says.
pub(super) fn pools(spec: &spec::Network, net: &mut Net, errors: &mut Errors) {
    let mut ranges: BTreeMap<IpNet, Vec<(IpAddr, IpAddr)>> = BTreeMap::new();
    // Where one range could not be read, the pool is larger than the others.
    for pool in spec.pool.iter().flatten().filter(|_| !net.broken && !spec.broken.has("pool")) {
        match range(pool.value, &net.subnets, &ranges) {
            Ok(subnet) => ranges.entry(subnet).or_default().push(pool.value),
            Err((message, hint)) => {
                errors.push(Diagnostic::invalid(message).at(&pool.place).hint(hint));
            }
        }
    }
    let reserved: Vec<IpAddr> = net.gateways.iter().chain(&net.host_ips).copied().collect();
    let pool = |subnet: &IpNet| {
        let ranges = ranges.get(subnet).map_or(&[][..], Vec::as_slice);
        Pool::new(*subnet, ranges, reserved.iter().copied())
    };
    net.pools = net.subnets.iter().map(pool).collect();
}

/// The subnet that a range of addresses is part of.
fn range(
    (first, last): (IpAddr, IpAddr),
    subnets: &[IpNet],
    known: &BTreeMap<IpNet, Vec<(IpAddr, IpAddr)>>,
) -> Result<IpNet, (String, String)> {
    if first.is_ipv4() != last.is_ipv4() {
        return Err((format!("`{first}-{last}` mixes IPv4 and IPv6"), "a range for each: `pool` may be a list".to_owned()));
    }
    if first > last {
        let right = quoted(&format!("{last}-{first}"));
        return Err((format!("`{first}-{last}` ends before it begins"), format!("pool: {right}")));
    }
    if subnets.is_empty() {
        return Err(("a `pool` needs a `subnet` that it is part of".to_owned(), "give the network a `subnet`".to_owned()));
    }
    let Some(subnet) = subnets.iter().copied().find(|subnet| subnet.contains(&first) && subnet.contains(&last)) else {
        let message = format!("`{first}-{last}` is outside of the network's subnet {}", list(subnets));
        return Err((message, "two addresses of the subnet, as `192.168.1.100-192.168.1.199`".to_owned()));
    };
    match known.get(&subnet).into_iter().flatten().find(|(a, b)| *a <= last && first <= *b) {
        Some((a, b)) => {
            let hint = "one range for both, or two that do not meet".to_owned();
            Err((format!("`{first}-{last}` overlaps with `{a}-{b}`"), hint))
        }
        None => Ok(subnet),
    }
}

/// An address that belongs to the network itself: inside a subnet, and one that a card can have.
pub(super) fn check_own(what: &str, address: &At<IpAddr>, net: &Net, errors: &mut Errors) -> bool {
    if net.broken {
        return false;
    }
    let message = match net.subnet_of(address.value) {
        _ if net.subnets.is_empty() => format!("`{what}` needs a `subnet` that it is part of"),
        None => format!("`{}` is outside of the network's subnet {}", address.value, list(&net.subnets)),
        Some(subnet) if unusable(subnet).contains(&address.value) => {
            format!("`{}` stands for the subnet `{subnet}` itself or for all in it: nobody can have it", address.value)
        }
        Some(_) => return true,
    };
    let hint = match net.subnets.first().and_then(|subnet| subnet.hosts().find(|host| *host != subnet.network())) {
        Some(first) => format!("{what}: {}", quoted(&first)),
        None => "give the network a `subnet`".to_owned(),
    };
    errors.push(Diagnostic::invalid(message).at(&address.place).hint(hint));
    false
}

/// Two networks that fly makes on one host cannot have one subnet: the host would not know which is meant.
pub(super) fn check_overlaps(nets: &Nets, errors: &mut Errors) {
    let made = nets.values().filter(|net| matches!(net.kind, NetKind::Nat | NetKind::Bridge));
    let mut all: Vec<(&Net, IpNet)> = made.flat_map(|net| net.subnets.iter().map(move |subnet| (net, *subnet))).collect();
    // Of two subnets that overlap one is a part of the other, so each has to be held against those only that it may be a part of.
    all.sort_by_key(|(_, subnet)| (subnet.network(), subnet.prefix_len()));
    let mut around: Vec<(&Net, IpNet)> = vec![];
    for (net, subnet) in all {
        while around.last().is_some_and(|(_, outer)| !outer.contains(&subnet)) {
            around.pop();
        }
        if let Some((other, theirs)) = around.iter().rev().find(|(other, _)| other.name != net.name) {
            errors.extend(overlapping((net, subnet), (other, *theirs)));
        }
        around.push((net, subnet));
    }
}

fn overlapping(one: (&Net, IpNet), two: (&Net, IpNet)) -> Option<Diagnostic> {
    let place = |net: &Net| -> Option<Place> { net.places.of("subnet").cloned() };
    let (a, b) = (place(one.0)?, place(two.0)?);
    let ((first, first_net), (second, second_net)) = if a.offset <= b.offset { ((a, one), (b, two)) } else { ((b, two), (a, one)) };
    let (here, there) = (&second_net.0.name, &first_net.0.name);
    let message = format!("subnet `{}` of `{here}` overlaps with `{}` of `{there}`", second_net.1, first_net.1);
    let error = Diagnostic::invalid(message).at(&second).also(&first, format!("`{there}` has it already"));
    Some(error.hint("leave `subnet` out of one of them: fly finds a free one"))
}
