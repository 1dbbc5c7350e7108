//! Network cards and cables: what differs, and by which of three ways it is put right.

use std::collections::BTreeSet;

use super::link::{self, LinkDiff};
use super::{Action, Change, Diff, Effect, FieldChange, Impact, cable, physical, tuning};
use crate::actual::Actual;
use crate::desired::{Attach, Desired, Machine, NetworkKind, Nic};
use crate::net::{LinkSet, LinkState};
use crate::types::{Addr, Dynamic, IfName, Link, LinkKind, LinkRef, Name, Ns};

/// Why a card is made with its machine.
pub(super) const STARTS: &str = "its machine starts";

/// How a network card gets from what it is to what it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NicDiff {
    Same,
    /// It is not there.
    Missing,
    /// It is there, by the name `name`; `peer` is what to set at its other end on the host.
    Set {
        name: String,
        set: Box<LinkSet>,
        peer: Box<LinkSet>,
        fields: Vec<FieldChange>,
    },
    /// It hangs on the wrong thing: away with it and make it anew. `name` is what it is called now.
    Recreate {
        name: String,
        fields: Vec<FieldChange>,
    },
    /// The engine's record of it is wrong: disconnect and connect.
    Reconnect {
        name: Option<String>,
        fields: Vec<FieldChange>,
    },
}

/// The card of a machine whose namespace stays.
pub fn nic(desired: &Desired, actual: &Actual, machine: &Name, name: &IfName) -> NicDiff {
    let nic = &desired.machines[machine].nics[name];
    match &nic.attach {
        Attach::Nat { engine_name, bridge, .. } => engine_nic(desired, actual, machine, name, nic, engine_name, bridge),
        _ => own_nic(desired, actual, machine, name, nic),
    }
}

/// The link that the card is to be, with everything filled in that hangs on the world.
pub fn wanted(actual: &Actual, nic: &Nic) -> Link {
    let plugged_into = match &nic.attach {
        Attach::Macvlan { parent, .. } | Attach::Ipvlan { parent, .. } => Some(parent),
        Attach::Bridge { bridge, .. } => Some(bridge),
        Attach::Nat { .. } | Attach::Physical { .. } | Attach::Cable { .. } => None,
    };
    let mut link = nic.link(plugged_into.and_then(|name| actual.host_link(name)).and_then(|link| link.link.mtu));
    physical::as_it_was(actual, nic, &mut link);
    link
}

/// The other end of a card on a bridge, on the host.
pub fn host_end(actual: &Actual, desired: &Desired, machine: &Name, name: &IfName) -> Option<Link> {
    let nic = &desired.machines[machine].nics[name];
    let Attach::Bridge { bridge, .. } = &nic.attach else { return None };
    Some(Link {
        kind: LinkKind::Veth { peer: Some(LinkRef::machine(machine, name.as_str())) },
        mac: Some(crate::types::Mac::automatic(&format!("{}/{machine}/{name}/host", desired.project))),
        mtu: wanted(actual, nic).mtu,
        up: true,
        master: Some(bridge.clone()),
        addresses: BTreeSet::new(),
        routes: BTreeSet::new(),
        // What comes in is shaped where it leaves for the card.
        tuning: crate::types::Tuning { traffic: nic.tuning.traffic.clone(), ..crate::types::Tuning::default() },
    })
}

/// A card is known by its alias, under whatever name, and otherwise by its name; but a port of the engine's that happens to bear
/// that name is another card's.
pub(super) fn find<'a>(actual: &'a Actual, desired: &Desired, machine: &Name, name: &IfName) -> Option<(&'a str, &'a LinkState)> {
    let links = &actual.namespace(&Ns::Machine(machine.clone()))?.links;
    let alias = alias(&desired.project, machine, name);
    let first_word = |link: &'a LinkState| link.alias.as_deref().and_then(|alias| alias.split(' ').next());
    // The engine's cards are known by their ports: the alias of one may be the name of another card by now.
    let by_alias = links.iter().find(|(_, link)| first_word(link) == Some(&alias) && !is_port(actual, link));
    let prefix = format!("fly:{}/", desired.project);
    let is_anothers = |link: &'a LinkState| first_word(link).is_some_and(|alias| alias.starts_with(&prefix)) || is_port(actual, link);
    let by_name = || links.get_key_value(name.as_str()).filter(|(_, link)| !is_anothers(link));
    by_alias.or_else(by_name).map(|(name, link)| (name.as_str(), link))
}

/// Whether a link is one that the engine made for a network of this project.
fn is_port(actual: &Actual, link: &LinkState) -> bool {
    actual.plugged_into(link).is_some_and(|bridge| actual.engine.networks.values().any(|n| n.network.bridge.as_deref() == Some(bridge)))
}

/// The alias of a card: whose it is, for people and for finding it under another name.
pub fn alias(project: &Name, machine: &Name, name: &IfName) -> String {
    format!("fly:{project}/{machine}/{name}")
}

fn own_nic(desired: &Desired, actual: &Actual, machine: &Name, name: &IfName, nic: &Nic) -> NicDiff {
    let Some((found, state)) = find(actual, desired, machine, name) else { return NicDiff::Missing };
    let unmarked = physical::unmarked(actual, nic, state);
    let state = unmarked.as_ref().unwrap_or(state);
    let mut wanted_link = wanted(actual, nic);
    if let Attach::Cable { peer: (other, other_nic), .. } = &nic.attach {
        // The other end may bear another name for now; that is the other card's affair.
        let other_name = find(actual, desired, other, other_nic).map_or(other_nic.as_str(), |(name, _)| name);
        wanted_link.kind = LinkKind::Veth { peer: Some(LinkRef::machine(other, other_name)) };
    }
    let mut diff = link::diff(&wanted_link, state, &nic.places);
    if diff.recreate {
        for field in diff.fields.iter_mut().filter(|field| field.field == "network") {
            (field.old, field.new) = (Some(hangs_on(desired, actual, state)), Some(plug(nic)));
        }
        return NicDiff::Recreate { name: found.to_owned(), fields: diff.fields };
    }
    rename(&mut diff, found, name, nic);
    if unmarked.is_some() {
        let mut fields = super::fields::Fields::new(&nic.places);
        fields.push("alias", None, Some(alias(&desired.project, machine, name)), Effect::Live);
        return NicDiff::Set { name: found.to_owned(), set: Box::new(diff.set), peer: Box::default(), fields: fields.changes };
    }
    let mut peer = LinkSet::default();
    if let (Attach::Bridge { host_end: end, .. }, Some(mut wanted)) = (&nic.attach, host_end(actual, desired, machine, name)) {
        wanted.kind = LinkKind::Veth { peer: Some(LinkRef::machine(machine, found)) };
        match actual.host_link(end) {
            Some(state) => {
                let other = link::diff_on_host(&wanted, state, &nic.places);
                peer = other.set;
                peer.keep_routes.clear();
                // A MAC at the host's end concerns nobody, unless it is no mark of fly's any more.
                let is_marked = state.link.mac.is_some_and(crate::types::Mac::is_automatic);
                peer.mac = peer.mac.filter(|_| !is_marked);
                for mut field in other.fields {
                    if field.field == "mac" {
                        field.field = "mac at the host's end".into();
                    }
                    // The rest is one field with this end's.
                    let is_told = diff.fields.iter().any(|f| f.field == field.field);
                    if !(is_told || is_marked && field.field.starts_with("mac ")) {
                        diff.fields.push(field);
                    }
                }
            }
            None => return NicDiff::Recreate { name: found.to_owned(), fields: diff.fields },
        }
    }
    set_or_same(found, diff, peer)
}

/// What comes in is shaped where it leaves for the card, also where the engine has made that end.
fn other_end(actual: &Actual, nic: &Nic, card: &LinkState, diff: &mut LinkDiff) {
    let LinkKind::Veth { peer: Some(peer) } = &card.link.kind else { return };
    let Some(end) = actual.link(peer).filter(|_| peer.ns == Ns::Host) else { return };
    if diff.set.tune.traffic.is_none() {
        let mut fields = super::fields::Fields::new(&nic.places);
        diff.set.tune.traffic = tuning::traffic(&nic.tuning.traffic, end, " at the host's end", &mut fields);
        diff.fields.extend(fields.changes);
    }
}

fn set_or_same(found: &str, diff: LinkDiff, peer: LinkSet) -> NicDiff {
    if diff.set.is_empty() && peer.is_empty() {
        NicDiff::Same
    } else {
        NicDiff::Set { name: found.to_owned(), set: Box::new(diff.set), peer: Box::new(peer), fields: diff.fields }
    }
}

fn rename(diff: &mut LinkDiff, found: &str, name: &IfName, nic: &Nic) {
    if found != name.as_str() {
        diff.set.name = Some(name.to_string());
        let place = nic.places.own.clone();
        let field =
            FieldChange { field: "name".into(), old: Some(found.to_owned()), new: Some(name.to_string()), place, effect: Effect::Live };
        diff.fields.insert(0, field);
    }
}

/// A card that the engine makes: its record counts as much as the link.
fn engine_nic(desired: &Desired, actual: &Actual, machine: &Name, name: &IfName, nic: &Nic, network: &str, bridge: &str) -> NicDiff {
    let Some(state) = actual.machine(machine) else { return NicDiff::Missing };
    let port = actual.port(machine, bridge);
    let port_name = port.map(|(name, _)| name.to_owned());
    let network_change = nic.attach.network().is_some_and(|network| nat_is_remade(desired, actual, network));
    let Some(endpoint) = state.endpoints.get(network) else {
        return match port_name {
            // A port without a record is one that a disconnect left behind.
            Some(_) => NicDiff::Reconnect { name: port_name, fields: vec![] },
            None => NicDiff::Missing,
        };
    };
    let Attach::Nat { endpoint: wanted_endpoint, .. } = &nic.attach else { return NicDiff::Same };
    let mut fields = super::fields::Fields::new(&nic.places);
    let show = |e: &crate::types::Endpoint| {
        let both = e.ipv4.map(|ip| ip.to_string()).into_iter().chain(e.ipv6.map(|ip| ip.to_string()));
        Some(both.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
    };
    if (endpoint.ipv4, endpoint.ipv6) != (wanted_endpoint.ipv4, wanted_endpoint.ipv6) {
        fields.push("ip", show(endpoint), show(wanted_endpoint), Effect::Live);
    }
    fields.set("aliases", &endpoint.aliases, &wanted_endpoint.aliases, Effect::Live);
    if !fields.changes.is_empty() || port.is_none() || network_change {
        return NicDiff::Reconnect { name: port_name, fields: fields.changes };
    }
    let Some((found, link)) = port else { return NicDiff::Missing };
    let mut diff = link::diff(&wanted(actual, nic), link, &nic.places);
    other_end(actual, nic, link, &mut diff);
    rename(&mut diff, found, name, nic);
    set_or_same(found, diff, LinkSet::default())
}

/// Whether the Docker network is to be made, or made anew: then every card on it is.
fn nat_is_remade(desired: &Desired, actual: &Actual, network: &Name) -> bool {
    super::network::nat_fields(desired, actual, network).is_none_or(|fields| !fields.is_empty())
}

pub(super) fn changes(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    for (machine, wanted) in &desired.machines {
        for (name, nic) in &wanted.nics {
            if diff.rests(desired, actual, machine) {
                diff.add(Change::keep(Addr::nic(machine, name), nic.places.own.clone()));
                continue;
            }
            if let Some(change) = nic_change(desired, actual, machine, wanted, name, &|m| diff.keeps_namespace(actual, m)) {
                diff.add(change);
            }
        }
        if diff.keeps_namespace(actual, machine) {
            extra(desired, actual, machine, wanted, diff);
        }
    }
}

fn nic_change(
    desired: &Desired,
    actual: &Actual,
    machine: &Name,
    wanted: &Machine,
    name: &IfName,
    stays: &dyn Fn(&Name) -> bool,
) -> Option<Change> {
    let nic_desired = &wanted.nics[name];
    let addr = Addr::nic(machine, name);
    let place = nic_desired.places.own.clone();
    let change = |action, fields, reason: &str, impact| {
        Some(Change { addr: addr.clone(), action, fields, reason: reason.to_owned(), impact, losses: vec![], place: place.clone() })
    };
    if let Attach::Cable { id, .. } = &nic_desired.attach {
        // The cable's own change makes both ends.
        if cable::state(desired, actual, id, stays).is_some() {
            return None;
        }
    }
    if !stays(machine) {
        return change(Action::Create, created(actual, nic_desired), STARTS, Impact::None);
    }
    match nic(desired, actual, machine, name) {
        NicDiff::Same if !leases(actual, desired, machine, name).is_empty() => {
            change(Action::Update, lease_fields(actual, desired, machine, name), "differs from the file", Impact::Live)
        }
        NicDiff::Same => Some(Change::keep(addr.clone(), place.clone())),
        NicDiff::Missing => change(Action::Create, created(actual, nic_desired), "not there", Impact::Live),
        NicDiff::Set { fields, .. } => {
            let fields = fields.into_iter().chain(lease_fields(actual, desired, machine, name)).collect();
            change(Action::Update, fields, "differs from the file", Impact::Live)
        }
        NicDiff::Recreate { fields, .. } => change(Action::Replace, fields, "it hangs on something else", Impact::Live),
        NicDiff::Reconnect { fields, .. } => change(Action::Replace, fields, "the engine has to connect it anew", Impact::Live),
    }
}

/// What is missing, or too much, of what the network gives a card that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    pub get: BTreeSet<Dynamic>,
    pub give_back: BTreeSet<Dynamic>,
}

impl Leases {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Of a card that stays, and is up.
pub fn leases(actual: &Actual, desired: &Desired, machine: &Name, name: &IfName) -> Leases {
    let nic = &desired.machines[machine].nics[name];
    let Some((_, link)) = found(desired, actual, machine, name, nic) else { return Leases::default() };
    let wanted = if nic.up { nic.dynamic.clone() } else { BTreeSet::new() };
    // What a router tells is the kernel's affair, whether somebody asked for it or not.
    let now: BTreeSet<Dynamic> = link.leases.keys().copied().collect();
    let give_back = now.difference(&wanted).copied().filter(|way| *way != Dynamic::Slaac).collect();
    Leases { get: wanted.difference(&now).copied().collect(), give_back }
}

fn lease_fields(actual: &Actual, desired: &Desired, machine: &Name, name: &IfName) -> Vec<FieldChange> {
    let nic = &desired.machines[machine].nics[name];
    let mut fields = super::fields::Fields::new(&nic.places);
    let Leases { get, give_back } = leases(actual, desired, machine, name);
    let now = found(desired, actual, machine, name, nic).map(|(_, link)| link.leases.clone()).unwrap_or_default();
    for way in get {
        fields.push(format!("ip by {way}"), None, Some("whichever the network gives".to_owned()), Effect::Live);
    }
    for way in give_back {
        fields.push(format!("ip by {way}"), now.get(&way).map(ToString::to_string), None, Effect::Live);
    }
    fields.changes
}

/// What a new card gets, for reading.
pub(super) fn created(actual: &Actual, nic: &Nic) -> Vec<FieldChange> {
    let mut fields = super::fields::Fields::new(&nic.places);
    let link = wanted(actual, nic);
    fields.push("network", None, Some(plug(nic)), Effect::Live);
    let addresses = link.addresses.iter().map(ToString::to_string).chain(nic.dynamic.iter().map(ToString::to_string));
    let addresses = addresses.collect::<Vec<_>>().join(", ");
    fields.push("ip", None, Some(if addresses.is_empty() { "none".to_owned() } else { addresses }), Effect::Live);
    fields.push(
        "mac",
        None,
        Some(link.mac.map_or_else(
            || if matches!(nic.attach, Attach::Physical { .. }) { "its own" } else { "the parent's" }.to_owned(),
            |mac| mac.to_string(),
        )),
        Effect::Live,
    );
    if let Some(mtu) = link.mtu {
        fields.push("mtu", None, Some(mtu.to_string()), Effect::Live);
    }
    if let Some(routes) = super::fields::joined(&link.routes) {
        fields.push("routes", None, Some(routes), Effect::Live);
    }
    tuning::created(&link.tuning, &mut fields);
    fields.changes
}

/// What a card is to be plugged into, for reading.
fn plug(nic: &Nic) -> String {
    match &nic.attach {
        Attach::Nat { network, .. } => format!("{network} (nat)"),
        Attach::Bridge { network, .. } => format!("{network} (bridge)"),
        Attach::Macvlan { network, parent, .. } => format!("{network} (macvlan on {parent})"),
        Attach::Ipvlan { network, parent, .. } => format!("{network} (ipvlan on {parent})"),
        Attach::Physical { network, device } => format!("{network} (physical {device})"),
        Attach::Cable { peer: (machine, nic), .. } => format!("cable to {machine}:{nic}"),
    }
}

/// Cards in a running machine that the file does not have (any more).
fn extra(desired: &Desired, actual: &Actual, machine: &Name, wanted: &Machine, diff: &mut Diff) {
    for (name, link) in extra_links(desired, actual, machine, wanted) {
        let Ok(nic) = IfName::new(name) else { continue };
        let addr = Addr::nic(machine, &nic);
        match diff.changes.get_mut(&addr) {
            // Another card is to have its name: what that one gets has been said, and what goes for it is said with it.
            Some(change) => makes_way(change, hangs_on(desired, actual, link), &wanted.nics[&nic]),
            None => diff.add(Change::delete(addr)),
        }
    }
    for (name, nic) in &wanted.nics {
        let Some((_, link)) = found(desired, actual, machine, name, nic) else { continue };
        let mut link = link.clone();
        // What was asked for is nobody else's.
        let leased = link.leases.iter().filter(|(way, _)| nic.dynamic.contains(way)).map(|(_, net)| *net).collect::<BTreeSet<_>>();
        link.foreign_addresses.retain(|net| !leased.contains(net));
        let foreign = link::diff(&self::wanted(actual, nic), &link, &nic.places).foreign;
        diff.notes.extend(foreign.into_iter().map(|what| format!("{machine}:{name} also has {what}, which is not fly's and stays")));
    }
}

fn makes_way(change: &mut Change, old: String, nic: &Nic) {
    match change.fields.iter_mut().find(|field| field.field == "network") {
        Some(field) if field.old.is_none() => field.old = Some(old),
        Some(_) => {}
        None => {
            let place = nic.places.of("network").cloned();
            change.fields.push(FieldChange { field: "network".into(), old: Some(old), new: Some(plug(nic)), place, effect: Effect::Live });
        }
    }
    if change.action == Action::Create {
        change.action = Action::Replace;
        "it hangs on something else".clone_into(&mut change.reason);
    }
}

/// What a card is plugged into, as it is told of a new one.
fn hangs_on(desired: &Desired, actual: &Actual, link: &LinkState) -> String {
    let Some(bridge) = actual.plugged_into(link) else { return link.link.kind.to_string() };
    let nat = actual.engine.networks.iter().find(|(_, network)| network.network.bridge.as_deref() == Some(bridge));
    let is_bridge = |network: &crate::desired::Network| match &network.kind {
        NetworkKind::Bridge => network.host_link.as_ref().is_some_and(|link| link.at.name == bridge),
        NetworkKind::ExistingBridge { bridge: existing } => existing == bridge,
        NetworkKind::Nat { .. } | NetworkKind::Macvlan { .. } | NetworkKind::Ipvlan { .. } | NetworkKind::Physical { .. } => false,
    };
    match (nat, desired.networks.iter().find(|(_, network)| is_bridge(network))) {
        (Some((name, _)), _) => format!("{name} (nat)"),
        (None, Some((name, _))) => format!("{name} (bridge)"),
        (None, None) => format!("bridge {bridge}"),
    }
}

/// The link that a card is now, whatever it is called.
fn found<'a>(desired: &Desired, actual: &'a Actual, machine: &Name, name: &IfName, nic: &Nic) -> Option<(&'a str, &'a LinkState)> {
    match &nic.attach {
        Attach::Nat { bridge, .. } => actual.port(machine, bridge),
        _ => find(actual, desired, machine, name),
    }
}

/// Links of a running machine that are fly's, by alias, by the engine's record or by the look of their MAC, and that the file does not have.
pub fn extra_links<'a>(desired: &Desired, actual: &'a Actual, machine: &Name, wanted: &Machine) -> Vec<(&'a str, &'a LinkState)> {
    let Some(ns) = actual.namespace(&Ns::Machine(machine.clone())) else { return vec![] };
    let prefix = format!("fly:{}/", desired.project);
    let kept: Vec<&str> = wanted.nics.iter().filter_map(|(name, nic)| Some(found(desired, actual, machine, name, nic)?.0)).collect();
    let is_ours = |link: &LinkState| {
        let made = matches!(link.link.kind, LinkKind::Macvlan { .. } | LinkKind::Veth { .. });
        // An ipvlan has no MAC of its own to be known by.
        let grouped = matches!(link.link.kind, LinkKind::Ipvlan { .. }) && link.group == crate::types::LINK_GROUP;
        let unmarked = || is_port(actual, link) || grouped || (made && link.link.mac.is_some_and(crate::types::Mac::is_automatic));
        link.alias.as_ref().map_or_else(unmarked, |alias| alias.starts_with(&prefix))
    };
    let mut extra: Vec<(&str, &LinkState)> =
        ns.links.iter().map(|(name, link)| (name.as_str(), link)).filter(|(name, link)| !kept.contains(name) && is_ours(link)).collect();
    // A member of another's namespace has no cards of its own to lose.
    if wanted.container.network_mode != crate::types::NetworkMode::Own {
        extra.clear();
    }
    extra
}
