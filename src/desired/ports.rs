//! Published ports: ranges taken apart, and nothing published twice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::work::{Errors, Group};
use crate::diag::{At, Diagnostic, Place};
use crate::spec::PortRange;
use crate::types::{Name, Port, Protocol};

/// The ports of one machine of a group; `number` counts from 0.
pub(super) fn resolve(group: &Group, number: usize, errors: &mut Errors) -> Vec<(Port, Place)> {
    let mut ports: BTreeMap<Port, Place> = BTreeMap::new();
    for range in group.spec.ports.iter().flatten() {
        for port in one(range, group, number, errors) {
            ports.entry(port).or_insert_with(|| range.place.clone());
        }
    }
    ports.into_iter().collect()
}

fn one(range: &At<PortRange>, group: &Group, number: usize, errors: &mut Errors) -> Vec<Port> {
    let PortRange { host_ip, published, target: (first, last), protocol } = range.value;
    let port = |target: u16, published: Option<u16>| Port { target, protocol, host_ip, published, last: None };
    if first > last || first == 0 {
        errors.push(Diagnostic::invalid(format!("`{first}-{last}` is not a range of ports")).at(&range.place).hint("80-85"));
        return vec![];
    }
    let Some((low, high)) = published else { return (first..=last).map(|target| port(target, None)).collect() };
    if low > high || low == 0 {
        errors.push(Diagnostic::invalid(format!("`{low}-{high}` is not a range of ports")).at(&range.place).hint("8080-8085"));
        return vec![];
    }
    if group.is_scaled() && first == last {
        // One of the range for each machine; that there are enough of them was checked.
        let own = u16::try_from(number).ok().and_then(|number| low.checked_add(number)).filter(|own| *own <= high);
        return own.map(|own| port(first, Some(own))).into_iter().collect();
    }
    if high - low != last - first && group.spec.broken.has("scale") {
        return vec![];
    }
    if first == last && low < high {
        return vec![Port { last: Some(high), ..port(first, Some(low)) }];
    }
    if high - low != last - first {
        let message = format!("{} published ports for {} of the machine", u32::from(high - low) + 1, u32::from(last - first) + 1);
        let end = u32::from(low) + u32::from(last - first);
        let hint = if first == last { format!("{low}:{first}") } else { format!("{low}-{end}:{first}-{last}") };
        errors.push(Diagnostic::invalid(message).at(&range.place).hint(hint));
        return vec![];
    }
    (low..=high).zip(first..=last).map(|(published, target)| port(target, Some(published))).collect()
}

/// Two that want the same port of the host.
pub(super) fn check_twice(all: &[(Name, Vec<(Port, Place)>)], errors: &mut Errors) {
    type Users<'a> = Vec<(&'a Port, &'a Name, &'a Place)>;
    let mut seen: BTreeMap<(Protocol, u16), Users<'_>> = BTreeMap::new();
    let mut said: BTreeSet<(&Place, &Place)> = BTreeSet::new();
    for (machine, ports) in all {
        for (port, place) in ports {
            // Of a range the engine takes one that is free.
            let Some(published) = port.published.filter(|_| port.last.is_none()) else { continue };
            let known = seen.entry((port.protocol, published)).or_default();
            if let Some((_, other, there)) = known.iter().find(|(other, ..)| meet(other.host_ip, port.host_ip))
                && said.insert((there, place))
            {
                errors.push(
                    Diagnostic::invalid(format!("port {published}/{} of the host is published twice", port.protocol))
                        .at(place)
                        .also(there, format!("`{other}` has it already"))
                        .hint("another port for one of them"),
                );
            }
            known.push((port, machine, place));
        }
    }
}

/// Whether two addresses to listen at exclude each other; none is every one.
fn meet(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    match (a, b) {
        (None, _) | (_, None) => true,
        (Some(a), Some(b)) => a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified())),
    }
}
