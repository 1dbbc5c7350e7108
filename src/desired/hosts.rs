//! Names in `/etc/hosts`: every machine finds every other by the addresses on networks that they share, and only by those.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::model::{Attach, Machine};
use super::work::{Errors, Groups};
use crate::diag::Diagnostic;
use crate::spec::HostAddress;
use crate::types::{CableId, HostEntries, HostEntry, Name, NetworkMode};

type Machines = BTreeMap<Name, Machine>;

/// Where machines hear each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'a> {
    Network(&'a Name),
    Cable(&'a CableId),
}

/// A segment, by number, with the families in which somebody on it hears the others: all who have the same see the same names.
type View = (usize, (bool, bool));

/// Who has which addresses where.
pub(super) struct Reach<'a> {
    machines: &'a Machines,
    segments: BTreeMap<Segment<'a>, BTreeMap<&'a Name, Vec<IpAddr>>>,
    /// The machine whose namespace each one lives in, often its own.
    carriers: BTreeMap<&'a Name, &'a Name>,
}

impl<'a> Reach<'a> {
    pub(super) fn new(machines: &'a Machines) -> Self {
        let mut segments: BTreeMap<Segment<'a>, BTreeMap<&'a Name, Vec<IpAddr>>> = BTreeMap::new();
        for (name, machine) in machines {
            for nic in machine.nics.values() {
                let segment = match &nic.attach {
                    Attach::Nat { network, .. }
                    | Attach::Bridge { network, .. }
                    | Attach::Macvlan { network, .. }
                    | Attach::Ipvlan { network, .. }
                    | Attach::Physical { network, .. } => Segment::Network(network),
                    Attach::Cable { id, .. } => Segment::Cable(id),
                };
                let addresses = nic.addresses.iter().map(ipnet::IpNet::addr);
                segments.entry(segment).or_default().entry(name).or_default().extend(addresses);
            }
        }
        let carriers = machines.keys().map(|name| (name, carrier(name, machines))).collect();
        Self { machines, segments, carriers }
    }

    /// The addresses of `other` as `machine` sees it; nothing where they share no network.
    fn between(&self, machine: &Name, other: &Name) -> Option<BTreeSet<IpAddr>> {
        let (machine, other) = (self.carriers.get(machine)?, self.carriers.get(other)?);
        let mut found = None;
        for cards in self.segments.values() {
            if let (Some(own), Some(theirs)) = (cards.get(*machine), cards.get(*other)) {
                found.get_or_insert_with(BTreeSet::new).extend(seen(own, theirs));
            }
        }
        found
    }

    /// What each machine's `/etc/hosts` says of itself and of those that it can reach. Whoever lives in another's namespace has the
    /// other's file. With hundreds on one network their lines are worked out, and kept, once.
    pub(super) fn entries(&self, names: &BTreeMap<Name, Vec<String>>) -> BTreeMap<Name, HostEntries> {
        let mut called: BTreeMap<&Name, BTreeSet<&str>> = BTreeMap::new();
        for (name, carrier) in &self.carriers {
            let own = names.get(*name).into_iter().flatten().map(String::as_str);
            called.entry(carrier).or_default().extend(own.chain([name.as_str()]));
        }
        let mut seen: BTreeMap<&Name, Vec<View>> = BTreeMap::new();
        let mut views: BTreeMap<View, HostEntries> = BTreeMap::new();
        for (segment, cards) in self.segments.values().enumerate() {
            for (machine, own) in cards {
                let view = (segment, families(own));
                views.entry(view).or_insert_with(|| lines(own, cards, &called).into());
                seen.entry(machine).or_default().push(view);
            }
        }
        let mut unions: BTreeMap<Vec<View>, HostEntries> = BTreeMap::new();
        let mut all: BTreeMap<Name, HostEntries> = BTreeMap::new();
        for (machine, seen) in seen {
            let union = unions.entry(seen).or_insert_with_key(|seen| match seen[..] {
                [only] => views[&only].clone(),
                _ => seen.iter().flat_map(|view| views[view].iter().cloned()).collect::<BTreeSet<_>>().into(),
            });
            all.insert(machine.clone(), union.clone());
        }
        for (name, machine) in self.machines {
            let Some(hostname) = machine.container.hostname.as_ref().filter(|hostname| hostname.as_str() != name.as_str()) else {
                continue;
            };
            let addresses = machine.nics.values().flat_map(|nic| &nic.addresses);
            let own = addresses.map(|address| HostEntry { name: hostname.clone(), address: address.addr() });
            add(all.entry(name.clone()).or_default(), own);
        }
        all
    }
}

/// Adds what is not there: most machines keep the lines that they share.
fn add(lines: &mut HostEntries, more: impl Iterator<Item = HostEntry>) {
    for entry in more {
        if !lines.contains(&entry) {
            Arc::make_mut(lines).insert(entry);
        }
    }
}

/// All names on a network, as one with the addresses `own` sees them.
fn lines(own: &[IpAddr], cards: &BTreeMap<&Name, Vec<IpAddr>>, called: &BTreeMap<&Name, BTreeSet<&str>>) -> BTreeSet<HostEntry> {
    let mut lines = BTreeSet::new();
    for (other, theirs) in cards {
        for address in seen(own, theirs) {
            let names = called.get(other).into_iter().flatten();
            lines.extend(names.map(|name| HostEntry { name: (*name).to_owned(), address }));
        }
    }
    lines
}

/// Whether there are IPv4 and IPv6 addresses among them.
fn families(addresses: &[IpAddr]) -> (bool, bool) {
    (addresses.iter().any(IpAddr::is_ipv4), addresses.iter().any(IpAddr::is_ipv6))
}

/// Those of `theirs` that a machine with `own` on the same network can reach.
fn seen(own: &[IpAddr], theirs: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let (v4, v6) = families(own);
    theirs.iter().copied().filter(move |address| if address.is_ipv4() { v4 } else { v6 })
}

fn carrier<'a>(name: &'a Name, machines: &'a Machines) -> &'a Name {
    let mut at = name;
    // A circle has been said to be an error: here it only has to end.
    for _ in 0..machines.len() {
        match machines.get(at).map(|machine| &machine.container.network_mode) {
            Some(NetworkMode::Machine(next)) => at = next,
            _ => break,
        }
    }
    at
}

/// What is not known of who reaches whom, because it could not be read.
#[derive(Clone, Copy)]
pub(super) struct Unknown {
    pub(super) networks: bool,
    pub(super) addresses: bool,
}

/// Fills in the hosts of all machines.
pub(super) fn resolve(groups: &Groups, unknown: Unknown, machines: &mut Machines, errors: &mut Errors) {
    let mut names: BTreeMap<Name, Vec<String>> = BTreeMap::new();
    for group in groups.all().iter().filter(|group| group.is_scaled()) {
        names.extend(group.names.iter().map(|name| (name.clone(), vec![group.base.to_string()])));
    }
    let reach = Reach::new(machines);
    let mut entries = reach.entries(&names);
    for group in groups.all() {
        for name in &group.names {
            let lines = entries.entry(name.clone()).or_default();
            let own = group.spec.extra_hosts.iter().flatten().filter_map(|(name, address)| match address.value {
                HostAddress::Ip(address) => Some(HostEntry { name: name.value.clone(), address }),
                // Only the engine knows it.
                HostAddress::Gateway => None,
            });
            add(lines, own);
            links(group, name, groups, &reach, unknown, lines, errors);
        }
    }
    for (name, machine) in machines {
        machine.hosts = entries.remove(name).unwrap_or_default();
        machine.container.hosts = Arc::clone(&machine.hosts);
    }
}

/// The aliases of a machine's links.
fn links(
    group: &super::work::Group,
    machine: &Name,
    groups: &Groups,
    reach: &Reach<'_>,
    unknown: Unknown,
    lines: &mut HostEntries,
    errors: &mut Errors,
) {
    // Its namespace is another's, which has been said.
    if group.spec.network_mode.as_ref().is_some_and(|mode| mode.value != crate::spec::NetworkModeSpec::None) {
        return;
    }
    for link in group.spec.links.iter().flatten() {
        let Some(target) = groups.get(&link.machine.value).filter(|target| target.base != group.base) else { continue };
        let alias = link.alias.as_ref().unwrap_or(&link.machine);
        for other in &target.names {
            let (message, hint) = match reach.between(machine, other) {
                Some(addresses) if !addresses.is_empty() => {
                    add(lines, addresses.into_iter().map(|address| HostEntry { name: alias.value.clone(), address }));
                    continue;
                }
                _ if unknown.networks || group.has_unknown_cards() || target.has_unknown_cards() => break,
                Some(_) if unknown.addresses => break,
                Some(_) => (format!("`{}` has no address on the network that it shares with `{}`", target.base, group.base), "ip: auto"),
                None => (
                    format!("`{}` and `{}` share no network that a link could go by", group.base, target.base),
                    "plug a card of both into one network, or use `depends_on` for the order alone",
                ),
            };
            errors.push(Diagnostic::invalid(message).at(&link.machine.place).hint(hint));
            break;
        }
    }
}
