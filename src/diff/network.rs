//! Networks: a Docker network, a bridge of fly's, a shim beside macvlan children, and the firewall's word on bridged frames.

use super::fields::{Fields, joined};
use super::link::{self, LinkDiff};
use super::lower;
use super::{Action, Change, Diff, Effect, FieldChange, Impact};
use crate::actual::Actual;
use crate::desired::{Desired, Network, NetworkKind, Places};
use crate::net::LinkState;
use crate::types::{Addr, EngineNetwork, LinkKind, Mac, Name, Ns, Owner, is_host_link_of};

/// How the part of a network that is a link on the host gets to what it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostLinkDiff {
    /// None wanted, none there.
    None,
    Same,
    Missing,
    Set(LinkDiff),
    /// There is one of ours that is of another kind.
    Recreate(LinkDiff),
    /// There is one of ours, and none is wanted.
    Unwanted(String),
}

/// Fields in which the Docker network of this name differs; `None` when there is none.
pub(super) fn nat_fields(desired: &Desired, actual: &Actual, name: &Name) -> Option<Vec<FieldChange>> {
    let network = desired.networks.get(name)?;
    let NetworkKind::Nat { network: wanted, .. } = &network.kind else { return None };
    let state = actual.engine.networks.get(name)?;
    let mut fields = compare_nat(wanted, &state.network, &network.places);
    // The engine does not notice when somebody deletes its bridge, and cannot put it back.
    if let Some(bridge) = wanted.bridge.as_ref().filter(|bridge| fields.is_empty() && actual.host_link(bridge).is_none()) {
        let mut gone = Fields::new(&network.places);
        gone.push("bridge", None, Some(bridge.clone()), Effect::Replace);
        fields = gone.changes;
    }
    Some(fields)
}

fn compare_nat(wanted: &EngineNetwork, actual: &EngineNetwork, places: &Places) -> Vec<FieldChange> {
    let mut fields = Fields::new(places);
    let EngineNetwork { subnets, gateways, mtu, bridge, internal, labels } = wanted;
    fields.set("subnet", &actual.subnets, subnets, Effect::Replace);
    fields.set("gateway", &actual.gateways, gateways, Effect::Replace);
    fields.option("mtu", actual.mtu.as_ref(), mtu.as_ref(), Effect::Replace);
    fields.option("bridge", actual.bridge.as_ref(), bridge.as_ref(), Effect::Replace);
    fields.value("internal", &actual.internal, internal, Effect::Replace);
    fields.map("labels", &actual.labels, labels, Effect::Replace, |_, value| value.clone());
    fields.changes
}

/// The network's link on the host.
pub fn host_link(desired: &Desired, actual: &Actual, name: &Name) -> HostLinkDiff {
    let link_name = crate::types::host_link_name(&desired.project, &format!("network/{name}"));
    let state = actual.host_link(&link_name).filter(|state| state.owner.is_ours());
    let wanted = desired.networks.get(name).and_then(|network| network.host_link.as_ref().map(|link| (network, link)));
    match (wanted, state) {
        (None, None) => HostLinkDiff::None,
        (None, Some(_)) => HostLinkDiff::Unwanted(link_name),
        (Some(_), None) => HostLinkDiff::Missing,
        (Some((network, placed)), Some(state)) => {
            let mut wanted = placed.link.clone();
            // Without one of its own, it is the parent's, as that of the cards.
            if let Some(parent) = wanted.kind.parent() {
                wanted.mtu = wanted.mtu.or_else(|| actual.link(parent)?.link.mtu);
            }
            let diff = link::diff_on_host(&wanted, state, &renamed_places(network));
            match diff {
                diff if diff.recreate => HostLinkDiff::Recreate(diff),
                diff if diff.set.is_empty() => HostLinkDiff::Same,
                diff => HostLinkDiff::Set(diff),
            }
        }
    }
}

/// Inside the file an address of the host's own link is `host_ip`.
fn renamed_places(network: &Network) -> Places {
    let mut places = network.places.clone();
    if let Some(place) = places.fields.get("host_ip").cloned() {
        places.fields.insert("ip", place);
    }
    places
}

/// The rule that lets frames between ports of the network's bridge pass: wanted, and there or not. `None`: nobody drops them.
pub fn forward_rule<'a>(desired: &'a Desired, actual: &Actual, name: &Name) -> Option<(&'a str, bool)> {
    let bridge = bridge(desired.networks.get(name)?)?;
    let comment = format!("fly:{}/{name}", desired.project);
    let there = actual.net.firewall.allowed.iter().any(|(at, words)| at == bridge && *words == comment);
    actual.net.firewall.drops_bridged.then_some((bridge, there))
}

/// The Linux bridge that a network is, whoever has made it.
fn bridge(network: &Network) -> Option<&str> {
    match &network.kind {
        NetworkKind::Bridge => Some(&network.host_link.as_ref()?.at.name),
        NetworkKind::ExistingBridge { bridge } => Some(bridge),
        NetworkKind::Nat { .. } | NetworkKind::Macvlan { .. } | NetworkKind::Ipvlan { .. } | NetworkKind::Physical { .. } => None,
    }
}

/// Rules of ours for bridges that are not wanted.
pub fn unwanted_rules<'a>(desired: &Desired, actual: &'a Actual) -> Vec<(&'a str, &'a str, Name)> {
    let prefix = format!("fly:{}/", desired.project);
    let wanted = |at: &str, name: &Name| desired.networks.get(name).and_then(bridge) == Some(at);
    let ours = actual
        .net
        .firewall
        .allowed
        .iter()
        .filter_map(|(bridge, comment)| Some((bridge.as_str(), comment.as_str(), Name::new(comment.strip_prefix(&prefix)?).ok()?)));
    ours.filter(|(bridge, _, name)| !wanted(bridge, name)).collect()
}

/// Bridges of Docker networks of ours that the engine does not know: it was killed over them. They bear no mark of ours, but the
/// name that only we give. One that is wanted stays: the engine takes it over, or is just making the network that it is for.
fn engine_leftovers<'a>(desired: &Desired, actual: &'a Actual) -> Vec<(&'a str, Addr)> {
    let wanted = |bridge: &str| {
        let is_its = |kind: &NetworkKind| matches!(kind, NetworkKind::Nat { network, .. } if network.bridge.as_deref() == Some(bridge));
        desired.networks.values().any(|network| is_its(&network.kind))
    };
    let links = actual.namespace(&Ns::Host).into_iter().flat_map(|ns| ns.links.keys());
    let left = links.filter(|name| is_engine_leftover(&desired.project, actual, name) && !wanted(name));
    let addr = |name: &str| Addr::Network(Name::new(name).unwrap_or_else(|_| desired.project.clone()));
    left.map(|name| (name.as_str(), addr(name))).collect()
}

pub(super) fn is_engine_leftover(project: &Name, actual: &Actual, name: &str) -> bool {
    let known = actual.engine.networks.values().any(|network| network.network.bridge.as_deref() == Some(name));
    let is_port = |link: &LinkState| link.link.master.as_deref() == Some(name);
    let used = || actual.namespace(&Ns::Host).is_some_and(|ns| ns.links.values().any(is_port));
    let engines = |link: &LinkState| {
        link.link.kind == LinkKind::Bridge && link.owner == Owner::Stranger && link.link.mac.is_some_and(Mac::is_engines)
    };
    is_host_link_of(project, name) && !known && actual.host_link(name).is_some_and(engines) && !used()
}

/// Links on the host that are ours and that nothing in the file accounts for, with the network or card that they were for.
pub fn orphans<'a>(desired: &Desired, actual: &'a Actual) -> Vec<(&'a str, Addr)> {
    let Some(host) = actual.namespace(&Ns::Host) else { return vec![] };
    let prefix = format!("fly:{}/", desired.project);
    let expected = |name: &str| {
        let networks = desired.networks.keys().chain(actual.engine.networks.keys());
        let bridges = networks.map(|n| crate::types::host_link_name(&desired.project, &format!("network/{n}")));
        let ends = desired.machines.values().flat_map(|m| m.nics.values()).filter_map(|nic| match &nic.attach {
            crate::desired::Attach::Bridge { host_end, .. } => Some(host_end.clone()),
            _ => None,
        });
        let vxlans = desired.networks.values().filter_map(|network| Some(network.lower.as_ref()?.at.name.clone()));
        bridges.chain(ends).chain(vxlans).any(|expected| expected == name)
    };
    // The other end of a card in a machine goes with that card.
    let has_card = |link: &LinkState| match &link.link.kind {
        LinkKind::Veth { peer: Some(peer) } => actual.link(peer).is_some(),
        _ => false,
    };
    // Those are shared, and seen to by `lower`.
    let is_vlan = |link: &LinkState| matches!(link.link.kind, LinkKind::Vlan { .. });
    let address = |link: &LinkState| {
        let rest = link.alias.as_deref()?.strip_prefix(&prefix)?;
        match rest.split_once('/') {
            Some((machine, nic)) => Some(Addr::Nic(Name::new(machine).ok()?, crate::types::IfName::new(nic.split(' ').next()?).ok()?)),
            None => Some(Addr::Network(Name::new(rest).ok()?)),
        }
    };
    // And these are the host's own.
    let is_lent = |link: &LinkState| link.origin().is_some();
    let ours = host
        .links
        .iter()
        .filter(|(name, link)| link.owner.is_ours() && !is_vlan(link) && !is_lent(link) && !has_card(link) && !expected(name));
    // Without an alias (the creating message cannot carry one) the link's own name has to do.
    let nameless = |name: &str| Addr::Network(Name::new(name).unwrap_or_else(|_| desired.project.clone()));
    let ours = ours.map(|(name, link)| (name.as_str(), address(link).unwrap_or_else(|| nameless(name))));
    ours.chain(engine_leftovers(desired, actual)).collect()
}

pub(super) fn changes(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    for (name, network) in &desired.networks {
        diff.add(change(desired, actual, name, network));
    }
    for name in actual.engine.networks.keys() {
        let is_nat = desired.networks.get(name).is_some_and(|n| matches!(n.kind, NetworkKind::Nat { .. }));
        if !is_nat && !desired.networks.contains_key(name) {
            diff.add(Change::delete(Addr::Network(name.clone())));
        }
    }
    let gone = orphans(desired, actual).into_iter().map(|(_, addr)| addr);
    let rules = unwanted_rules(desired, actual).into_iter().map(|(_, _, name)| Addr::Network(name));
    let given_back = lower::given_back(desired, actual).into_iter().map(|given| Addr::Network(given.network));
    for addr in gone.chain(rules).chain(given_back) {
        if !diff.changes.contains_key(&addr) {
            diff.add(Change::delete(addr));
        }
    }
}

fn change(desired: &Desired, actual: &Actual, name: &Name, network: &Network) -> Change {
    let addr = Addr::Network(name.clone());
    let place = network.places.own.clone();
    let change = |action, fields, reason: &str, impact| Change {
        addr: addr.clone(),
        action,
        fields,
        reason: reason.to_owned(),
        impact,
        losses: vec![],
        place: place.clone(),
    };
    let is_nat = matches!(network.kind, NetworkKind::Nat { .. });
    if !is_nat && actual.engine.networks.contains_key(name) {
        let mut fields = Fields::new(&network.places);
        fields.push("kind", Some("nat".into()), Some(network.word().into()), Effect::Replace);
        return change(Action::Replace, fields.changes, "its kind differs", Impact::Live);
    }
    if is_nat {
        return match nat_fields(desired, actual, name) {
            None => change(Action::Create, created(network), "not there yet", Impact::None),
            Some(fields) if fields.is_empty() => Change::keep(addr.clone(), place.clone()),
            Some(fields) => change(Action::Replace, fields, "the engine cannot change a network", Impact::Live),
        };
    }
    let mut fields = vec![];
    if let Some((_, false)) = forward_rule(desired, actual, name) {
        let mut firewall = Fields::new(&network.places);
        firewall.push("firewall", Some("frames are dropped".into()), Some("frames pass".into()), Effect::Live);
        fields = firewall.changes;
    }
    fields.extend(lower::fields(desired, actual, name));
    match host_link(desired, actual, name) {
        HostLinkDiff::Missing if network.kind == NetworkKind::Bridge => {
            change(Action::Create, created(network), "not there yet", Impact::None)
        }
        HostLinkDiff::Missing => {
            let mut shim = Fields::new(&network.places);
            let addresses = network.host_link.as_ref().and_then(|link| joined(&link.link.addresses));
            shim.push("host_ip", None, addresses, Effect::Live);
            shim.changes.extend(fields);
            change(Action::Update, shim.changes, "the host has no address on it", Impact::Live)
        }
        HostLinkDiff::Set(diff) | HostLinkDiff::Recreate(diff) => {
            fields.extend(diff.fields.into_iter().map(|field| match field.field.as_str() {
                "ip" => FieldChange { field: "host_ip".into(), ..field },
                "routes" if network.kind != NetworkKind::Bridge => FieldChange { field: "routes of the host".into(), ..field },
                _ => field,
            }));
            change(Action::Update, fields, "differs from the file", Impact::Live)
        }
        HostLinkDiff::Unwanted(link) => {
            let mut shim = Fields::new(&network.places);
            shim.push("host_ip", Some(link), None, Effect::Live);
            shim.changes.extend(fields);
            change(Action::Update, shim.changes, "the host has an address on it that is not in the file", Impact::Live)
        }
        HostLinkDiff::None | HostLinkDiff::Same if fields.is_empty() => Change::keep(addr.clone(), place.clone()),
        HostLinkDiff::None | HostLinkDiff::Same => {
            let firewall = fields.iter().all(|field| field.field == "firewall");
            let reason = if firewall { "the firewall drops frames between its ports" } else { "differs from the file" };
            change(Action::Update, fields, reason, Impact::Live)
        }
    }
}

fn created(network: &Network) -> Vec<FieldChange> {
    let mut fields = Fields::new(&network.places);
    fields.push("kind", None, Some(network.word().to_owned()), Effect::Live);
    if let Some(subnets) = joined(&network.subnets.iter().collect()) {
        fields.push("subnet", None, Some(subnets), Effect::Live);
    }
    if let Some(link) = &network.host_link {
        if let Some(addresses) = joined(&link.link.addresses) {
            fields.push("host_ip", None, Some(addresses), Effect::Live);
        }
        if let Some(mtu) = link.link.mtu {
            fields.push("mtu", None, Some(mtu.to_string()), Effect::Live);
        }
    }
    if let Some(lower) = &network.lower {
        fields.push(lower.link.kind.word(), None, Some(lower.link.kind.to_string()), Effect::Live);
    }
    if let Some(uplink) = &network.uplink {
        fields.push("uplink", None, Some(uplink.clone()), Effect::Live);
    }
    fields.changes
}
