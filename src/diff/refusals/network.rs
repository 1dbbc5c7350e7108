//! Networks for which there is no place on this host or on the engine.

use std::collections::BTreeSet;

use super::{lower, taken, taken_link};
use crate::actual::Actual;
use crate::desired::{Desired, Network, NetworkKind};
use crate::diag::Diagnostic;
use crate::diff::{Action, Diff};
use crate::types::{Addr, LinkKind, LinkRef, MacvlanMode, Name, Ns};

pub(super) fn refusals(desired: &Desired, actual: &Actual, diff: &Diff, name: &Name, network: &Network, found: &mut Vec<Diagnostic>) {
    match &network.kind {
        NetworkKind::Nat { name: engine_name, network: wanted } => {
            // Docker allows two networks of one name; two people reading `docker network ls` do not.
            if let Some(owner) = actual.engine.taken.networks.get(engine_name) {
                found.push(taken("Docker network", engine_name, owner, &network.places).hint(format!("docker network rm {engine_name}")));
            }
            if matches!(diff.action(&Addr::Network(name.clone())), Action::Create | Action::Replace) {
                overlaps(actual, name, network, &wanted.subnets, found);
            }
        }
        // Of the card itself speaks whoever is to have it.
        NetworkKind::Bridge | NetworkKind::Physical { .. } => {}
        NetworkKind::ExistingBridge { bridge } => match actual.host_link(bridge) {
            None => found.push(
                Diagnostic::invalid(format!("network `{name}` needs bridge `{bridge}`, which is not there"))
                    .at_some(network.places.of("bridge"))
                    .hint(format!("ip link add {bridge} type bridge"))
                    .hint("without the key `bridge`, fly makes one itself"),
            ),
            Some(link) if link.link.kind != LinkKind::Bridge => found.push(
                Diagnostic::invalid(format!("`{bridge}` is not a bridge but a link of kind {}", link.link.kind))
                    .at_some(network.places.of("bridge"))
                    .hint(format!("`parent: {bridge}` for a network on that card")),
            ),
            Some(_) => {}
        },
        NetworkKind::Macvlan { parent, mode, .. } => {
            passthru_refusals(desired, actual, name, network, parent, *mode, found);
            mtu_refusals(desired, actual, name, network, parent, found);
        }
        NetworkKind::Ipvlan { parent, .. } => mtu_refusals(desired, actual, name, network, parent, found),
    }
    lower::refusals(desired, actual, name, network, found);
    let link = match &network.kind {
        NetworkKind::Nat { network, .. } => network.bridge.as_ref(),
        _ => network.host_link.as_ref().map(|wanted| &wanted.at.name),
    };
    let Some((link, state)) = link.and_then(|link| Some((link, actual.host_link(link)?))) else { return };
    // The engine's bridge for a network of ours bears the same name, and no mark of ours.
    let engines = actual.engine.networks.values().any(|network| network.network.bridge.as_ref() == Some(link));
    if !state.owner.is_ours() && !engines && !crate::diff::network::is_engine_leftover(&desired.project, actual, link) {
        found.push(taken_link(&desired.project, link, name.as_str(), &state.owner, &network.places));
    }
}

/// The kernel gives a parent to one card in mode passthru, or to any number in the others. What is so in the file has been said; who
/// is in other namespaces than ours and the host's cannot be seen.
fn passthru_refusals(
    desired: &Desired,
    actual: &Actual,
    name: &Name,
    network: &Network,
    parent: &str,
    mode: MacvlanMode,
    found: &mut Vec<Diagnostic>,
) {
    let mut cards = desired.machines.values().flat_map(|machine| machine.nics.values());
    if network.host_link.is_none() && !cards.any(|nic| nic.attach.network() == Some(name)) {
        return;
    }
    let links = actual.namespace(&Ns::Host).into_iter().flat_map(|ns| &ns.links).filter(|(_, link)| !link.owner.is_ours());
    for (other, link) in links {
        let LinkKind::Macvlan { parent: Some(its), mode: theirs, .. } = &link.link.kind else { continue };
        if *its == LinkRef::host(parent) && (mode == MacvlanMode::Passthru || *theirs == MacvlanMode::Passthru) {
            found.push(
                Diagnostic::invalid(format!("`{parent}` carries `{other}`, in mode {theirs}, and network `{name}` is in mode {mode}"))
                    .at_some(network.places.of("mode"))
                    .cause("a parent is passed through to one card alone, or carries any number in other modes")
                    .hint(format!("another `parent`, or is it needed? `ip link delete {other}`")),
            );
        }
    }
}

/// The kernel refuses a card that takes more than its parent: also one that is there already, when somebody lowers the parent's.
fn mtu_refusals(desired: &Desired, actual: &Actual, name: &Name, network: &Network, parent: &str, found: &mut Vec<Diagnostic>) {
    let Some(whole) = actual.host_link(parent).and_then(|link| link.link.mtu) else { return };
    let on_it = desired.machines.values().flat_map(|machine| machine.nics.values()).filter(|nic| nic.attach.network() == Some(name));
    let own = network.places.fields.get("mtu");
    let cards = on_it.filter_map(|nic| Some((nic.mtu?, nic.places.fields.get("mtu").or(own))));
    let shim = network.host_link.as_ref().and_then(|link| Some((link.link.mtu?, own)));
    let mut told = vec![];
    for (mtu, place) in cards.chain(shim).filter(|(mtu, _)| *mtu > whole) {
        if told.contains(&place) {
            continue;
        }
        told.push(place);
        found.push(
            Diagnostic::invalid(format!(
                "an `mtu` of {mtu} is more than that of `{parent}`, the parent of network `{name}`, which is {whole}"
            ))
            .at_some(place)
            .hint(format!("mtu: {whole}"))
            .hint(format!("or `ip link set {parent} mtu {mtu}`, where its wire takes that")),
        );
    }
}

fn overlaps(actual: &Actual, name: &Name, network: &Network, subnets: &BTreeSet<ipnet::IpNet>, found: &mut Vec<Diagnostic>) {
    let meets = |a: &ipnet::IpNet, b: &ipnet::IpNet| a.contains(b) || b.contains(a);
    for subnet in subnets {
        if let Some((other, whose)) = actual.engine.foreign_subnets.iter().find(|(other, _)| meets(subnet, other)) {
            found.push(
                Diagnostic::invalid(format!("subnet {subnet} of network `{name}` overlaps {other} of Docker network `{whose}`"))
                    .at_some(network.places.of("subnet"))
                    .hint(format!("choose another with `subnet:` under `{name}`")),
            );
        }
    }
}
