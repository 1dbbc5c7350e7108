//! Links, field by field: a NIC in a machine, a bridge or a shim on the host, all the same.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::fields::{Fields, joined};
use super::{Effect, FieldChange, tuning};
use crate::desired::Places;
use crate::net::{LinkSet, LinkState};
use crate::types::{LINK_GROUP, Link, LinkKind, MacvlanMode, Route};

/// How a link differs from what it is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkDiff {
    pub fields: Vec<FieldChange>,
    /// What to set, where that is enough.
    pub set: LinkSet,
    /// It hangs on something else than it is to: only a new link will do.
    pub recreate: bool,
    /// What somebody else has put there, which stays.
    pub foreign: BTreeSet<String>,
}

/// `desired.mtu` of `None` is not compared. The peer of a veth whose desired end is unknown (the engine's) is not compared either.
pub(super) fn diff(desired: &Link, actual: &LinkState, places: &Places) -> LinkDiff {
    let mut fields = Fields::new(places);
    let mut set = LinkSet::default();
    let Link { kind, mac, mtu, up, master, addresses, routes, tuning } = desired;

    let recreate = !actual.link.kind.can_become(kind);
    if recreate {
        fields.push("network", Some(actual.link.kind.to_string()), Some(kind.to_string()), Effect::Live);
    } else if diff_kind(kind, &actual.link.kind, &mut fields) {
        set.kind = Some(kind.clone());
    }
    if let Some(mac) = mac.filter(|mac| actual.link.mac != Some(*mac)) {
        fields.option("mac", actual.link.mac.as_ref(), Some(&mac), Effect::Live);
        set.mac = Some(mac);
    }
    if let Some(mtu) = mtu.filter(|mtu| actual.link.mtu != Some(*mtu)) {
        fields.option("mtu", actual.link.mtu.as_ref(), Some(&mtu), Effect::Live);
        set.mtu = Some(mtu);
    }
    if *up != actual.link.up {
        let word = |up: bool| Some(if up { "up" } else { "down" }.to_owned());
        fields.push("up", word(actual.link.up), word(*up), Effect::Live);
        set.up = Some(*up);
    }
    if master.is_some() && *master != actual.link.master {
        fields.option("bridge", actual.link.master.as_ref(), master.as_ref(), Effect::Live);
        set.master.clone_from(master);
    }
    tuning::diff(tuning, actual, &mut fields, &mut set.tune);
    diff_addresses(addresses, actual, &mut fields, &mut set);
    // A link that is down has no routes, and none can be put there.
    if *up {
        diff_routes(routes, actual, &mut fields, &mut set);
        diff_subnets(addresses, actual, &mut fields, &mut set);
        set.keep_routes.clone_from(routes);
        tuning::neighbours(&tuning.neighbours, actual, &mut fields, &mut set.tune);
    }
    LinkDiff { fields: fields.changes, set, recreate, foreign: foreign(desired, actual) }
}

/// A link of the host's, of which fly's mark counts as well.
pub(super) fn diff_on_host(desired: &Link, actual: &LinkState, places: &Places) -> LinkDiff {
    let mut diff = diff(desired, actual, places);
    if actual.group != LINK_GROUP {
        let mut fields = Fields::new(places);
        fields.push("group", Some(actual.group.to_string()), Some(LINK_GROUP.to_string()), Effect::Live);
        diff.fields.extend(fields.changes);
        diff.set.group = Some(LINK_GROUP);
    }
    diff
}

/// What is particular to the kind and changes while the link is in use. Whether something differs.
fn diff_kind(desired: &LinkKind, actual: &LinkKind, fields: &mut Fields<'_>) -> bool {
    let before = fields.changes.len();
    match (desired, actual) {
        (LinkKind::Macvlan { mode, sources, promiscuous, .. }, LinkKind::Macvlan { mode: old, sources: there, promiscuous: was, .. }) => {
            fields.value("mode", old, mode, Effect::Live);
            if let (Some(sources), MacvlanMode::Source) = (sources, mode) {
                fields.set("sources", there.as_ref().unwrap_or(&BTreeSet::new()), sources, Effect::Live);
            }
            fields.value("promiscuous", was, promiscuous, Effect::Live);
        }
        (LinkKind::Ipvlan { mode, .. }, LinkKind::Ipvlan { mode: old, .. }) => fields.value("mode", old, mode, Effect::Live),
        (LinkKind::Vxlan { remotes, .. }, LinkKind::Vxlan { remotes: old, .. }) => fields.set("remotes", old, remotes, Effect::Live),
        _ => {}
    }
    fields.changes.len() > before
}

fn diff_addresses(desired: &BTreeSet<IpNet>, actual: &LinkState, fields: &mut Fields<'_>, set: &mut LinkSet) {
    let ours: BTreeSet<IpNet> =
        actual.link.addresses.iter().filter(|a| desired.contains(a) || !actual.foreign_addresses.contains(a)).copied().collect();
    if ours != *desired {
        fields.push("ip", joined(&ours), joined(desired), Effect::Live);
        set.add_addresses = desired.difference(&ours).copied().collect();
        set.remove_addresses = ours.difference(desired).copied().collect();
    }
}

fn diff_routes(desired: &BTreeSet<Route>, actual: &LinkState, fields: &mut Fields<'_>, set: &mut LinkSet) {
    let ours: BTreeSet<Route> =
        actual.link.routes.iter().filter(|r| desired.contains(*r) || !actual.foreign_routes.contains(*r)).cloned().collect();
    if ours == *desired {
        return;
    }
    set.add_routes = desired.difference(&ours).cloned().collect();
    set.remove_routes = ours.difference(desired).cloned().collect();
    // The file has two keys for it: `gateway` for default routes, `routes` for the others.
    for (field, wanted) in [("gateway", true), ("routes", false)] {
        let some = |all: &BTreeSet<Route>| joined(&all.iter().filter(|r| r.is_way_out() == wanted).collect::<BTreeSet<_>>());
        let (old, new) = (some(&ours), some(desired));
        if old != new {
            fields.push(field, old, new, Effect::Live);
        }
    }
}

/// The kernel's own route to an address's subnet comes with the address: where it is missing, somebody has taken it away.
fn diff_subnets(desired: &BTreeSet<IpNet>, actual: &LinkState, fields: &mut Fields<'_>, set: &mut LinkSet) {
    if !actual.link.up || !actual.carrier {
        return;
    }
    let leads_there = |to: &IpNet| actual.connected.contains(to) || actual.link.routes.iter().any(|route| route.to == *to);
    let is_cut_off = |net: &&IpNet| {
        let on_link = matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local());
        net.prefix_len() < net.max_prefix_len() && !on_link && !leads_there(&net.trunc())
    };
    set.connect = desired.intersection(&actual.link.addresses).filter(is_cut_off).copied().collect();
    if !set.connect.is_empty() {
        let subnets: BTreeSet<IpNet> = set.connect.iter().map(IpNet::trunc).collect();
        fields.push("routes", None, joined(&subnets), Effect::Live);
    }
}

fn foreign(desired: &Link, actual: &LinkState) -> BTreeSet<String> {
    let addresses = actual.foreign_addresses.iter().filter(|a| !desired.addresses.contains(a)).map(|a| format!("address {a}"));
    let routes = actual.foreign_routes.iter().filter(|r| !desired.routes.contains(*r)).map(|r| format!("route {r}"));
    addresses.chain(routes).chain(tuning::foreign(&desired.tuning, actual)).collect()
}
