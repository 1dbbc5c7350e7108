//! What networks hang on and the host cannot give them: kinds that its kernel lacks, cards that are gone, down or in use.

use super::taken_link;
use crate::actual::Actual;
use crate::desired::{Desired, Network, NetworkKind};
use crate::diag::Diagnostic;
use crate::net::LinkState;
use crate::types::{LinkKind, LinkRef, Name, Ns, Owner};

pub(super) fn refusals(desired: &Desired, actual: &Actual, name: &Name, network: &Network, found: &mut Vec<Diagnostic>) {
    lacking(actual, name, network, found);
    let vlan = network.vlan();
    let of_vlan = vlan.and_then(|vlan| vlan.link.kind.parent()).map(|card| card.name.as_str());
    let (key, card) = match (&network.uplink, network.kind.parent(), &network.lower) {
        (Some(uplink), ..) => ("uplink", Some(of_vlan.unwrap_or(uplink))),
        (None, Some(parent), _) => ("parent", Some(of_vlan.unwrap_or(parent))),
        (None, None, Some(lower)) => ("parent", lower.link.kind.parent().map(|card| card.name.as_str())),
        (None, None, None) => ("parent", None),
    };
    let Some(card) = card.filter(|card| is_there(actual, name, network, key, card, found)) else {
        return vxlan(desired, actual, name, network, found);
    };
    if let Some(vlan) = vlan {
        vlan_refusals(actual, network, &vlan.at.name, card, &vlan.link.kind, found);
    }
    match (network.kind.parent(), &network.uplink) {
        (Some(parent), _) => parent_refusals(actual, network, parent, found),
        (None, Some(uplink)) => uplink_refusals(desired, actual, network, uplink, found),
        (None, None) => vxlan(desired, actual, name, network, found),
    }
}

fn lacking(actual: &Actual, name: &Name, network: &Network, found: &mut Vec<Diagnostic>) {
    for module in network.modules().filter(|module| actual.net.lacking.contains(*module)) {
        let error = Diagnostic::invalid(format!("network `{name}` needs the kernel module `{module}`, and this kernel has none"));
        let place = network.places.of(if module == "8021q" { "vlan" } else { "kind" });
        let hint = format!("`modprobe {module}` on the host says why; distributions have it in a package of more modules");
        let error = error.at_some(place).hint(hint);
        found.push(if module == "ipvlan" { error.hint("or `kind: macvlan`") } else { error });
    }
}

/// The card is there and is up: the kernel brings up nothing on a card that is down.
fn is_there(actual: &Actual, name: &Name, network: &Network, key: &str, card: &str, found: &mut Vec<Diagnostic>) -> bool {
    let place = network.places.of(key);
    let Some(state) = actual.host_link(card) else {
        let known = actual.namespace(&Ns::Host).map(|ns| &ns.links);
        let names: Vec<&str> =
            known.into_iter().flatten().filter(|(_, link)| !link.owner.is_ours()).map(|(name, _)| name.as_str()).collect();
        let mut missing = Diagnostic::invalid(format!("network `{name}` needs {key} `{card}`, and this host has no such network card"))
            .at_some(place)
            .label("no such card");
        if let Some(meant) = crate::diag::similar(card, names.iter().copied()) {
            missing = missing.hint(format!("did you mean `{meant}`?"));
        }
        found.push(missing.hint("`ip link` lists the cards"));
        return false;
    };
    if !state.link.up {
        let error =
            Diagnostic::invalid(format!("`{card}`, the {key} of network `{name}`, is down, and the kernel lets nothing on it be up"));
        found.push(error.at_some(place).hint(format!("ip link set {card} up")));
        return false;
    }
    true
}

/// The kernel answers EBUSY to these, but only half way through.
fn parent_refusals(actual: &Actual, network: &Network, parent: &str, found: &mut Vec<Diagnostic>) {
    let place = network.places.of("parent");
    let Some(link) = actual.host_link(parent) else { return };
    let (word, other) = if matches!(network.kind, NetworkKind::Ipvlan { .. }) { ("ipvlan", "macvlan") } else { ("macvlan", "ipvlan") };
    if let Some(bridge) = &link.link.master {
        found.push(
            Diagnostic::invalid(format!("`{parent}` is a port of bridge `{bridge}`, so it cannot be the parent of {word} cards"))
                .at_some(place)
                .hint(format!("plug into that bridge: `bridge: {bridge}` instead of `parent: {parent}`")),
        );
    }
    if let Some((name, _)) = on_card(actual, parent).find(|(_, state)| state.link.kind.word() == other && !state.owner.is_ours()) {
        found.push(
            Diagnostic::invalid(format!("`{parent}` carries `{name}`, of kind {other}, so it cannot be the parent of {word} cards"))
                .at_some(place)
                .hint(format!("`kind: {other}`, or another `parent`")),
        );
    }
}

fn on_card<'a>(actual: &'a Actual, card: &'a str) -> impl Iterator<Item = (&'a str, &'a LinkState)> {
    let links = actual.namespace(&Ns::Host).into_iter().flat_map(|ns| &ns.links);
    links.filter(move |(_, link)| link.link.kind.parent() == Some(&LinkRef::host(card))).map(|(name, link)| (name.as_str(), link))
}

/// A port of a bridge has no addresses that work: whoever reaches this host by it would lose it.
fn uplink_refusals(desired: &Desired, actual: &Actual, network: &Network, uplink: &str, found: &mut Vec<Diagnostic>) {
    let Some(state) = actual.host_link(uplink) else { return };
    let place = network.places.of("uplink");
    let bridge = network.host_link.as_ref().map(|link| link.at.name.as_str());
    let mut refuse = |message: String, hint: String| found.push(Diagnostic::invalid(message).at_some(place).hint(hint));
    match state.link.master.as_deref() {
        Some(other) if Some(other) != bridge && !crate::types::is_host_link_of(&desired.project, other) => {
            let hint = format!("plug into that bridge: `bridge: {other}` instead of `uplink: {uplink}`");
            refuse(format!("`{uplink}` is a port of bridge `{other}` already"), hint);
        }
        Some(_) => return,
        None => {}
    }
    if let Some(way) = state.link.routes.iter().find(|route| route.is_default()) {
        let hint = format!("`parent: {uplink}` for macvlan cards leaves it as it is");
        refuse(format!("`{uplink}` is this host's way out ({way}): as an uplink it would be cut off"), hint);
    } else if let Some(address) = state.link.addresses.first() {
        let hint = format!(
            "`parent: {uplink}` for macvlan cards leaves it as it is; or give the address to the bridge with `host_ip`, and `ip address del {address} dev {uplink}`"
        );
        refuse(format!("`{uplink}` has the address {address} of this host: as an uplink it would be cut off"), hint);
    }
    let is_part = |state: &LinkState| matches!(state.link.kind, LinkKind::Macvlan { .. } | LinkKind::Ipvlan { .. });
    if let Some((name, _)) = on_card(actual, uplink).find(|(_, state)| is_part(state)) {
        refuse(format!("`{uplink}` is the parent of `{name}`, so it cannot be a port of a bridge"), "another `uplink`".into());
    }
}

/// The kernel has each VLAN of a card once.
fn vlan_refusals(actual: &Actual, network: &Network, link: &str, card: &str, wanted: &LinkKind, found: &mut Vec<Diagnostic>) {
    let place = network.places.of("vlan");
    if let Some(state) = actual.host_link(link).filter(|state| state.link.kind != *wanted && state.owner == Owner::Stranger) {
        let error = Diagnostic::invalid(format!("`{link}` is to be {wanted}, and is something else: {}", state.link.kind)).at_some(place);
        found.push(error.hint(format!("is it needed? `ip link set {link} name {link}-old` makes room")));
    }
    if let Some((other, _)) = on_card(actual, card).find(|(name, state)| *name != link && state.link.kind == *wanted) {
        let error = Diagnostic::invalid(format!("`{card}` has that VLAN already, as `{other}`")).at_some(place);
        found.push(error.hint(format!("use that one: `{other}` in place of `{card}`, and no `vlan`")));
    }
    if let Some(state) =
        actual.host_link(link).filter(|state| state.owner == Owner::Stranger && !state.link.up && state.link.kind == *wanted)
    {
        let error = Diagnostic::invalid(format!("`{link}` ({}) is down, and the kernel lets nothing on it be up", state.link.kind));
        found.push(error.at_some(place).hint(format!("ip link set {link} up")));
    }
}

fn vxlan(desired: &Desired, actual: &Actual, name: &Name, network: &Network, found: &mut Vec<Diagnostic>) {
    let Some(lower) = &network.lower else { return };
    let LinkKind::Vxlan { vni, port, .. } = lower.link.kind else { return };
    let place = network.places.of("vni");
    for (link, state) in actual.namespace(&Ns::Host).into_iter().flat_map(|ns| &ns.links) {
        let LinkKind::Vxlan { vni: theirs, port: at, .. } = state.link.kind else { continue };
        if (theirs, at) != (vni, port) || *link == lower.at.name || state.owner.is_ours() {
            continue;
        }
        let whose = match &state.owner {
            Owner::Project(project) => format!("project `{project}` has it, as `{link}`"),
            _ => format!("`{link}` has it, which is not fly's"),
        };
        let error = Diagnostic::invalid(format!("this host has a vxlan {vni} on port {port} already: {whose}")).at_some(place);
        found.push(error.hint("a `vni` of its own for this network, or another `port`"));
    }
    if let Some(state) = actual.link(&lower.at).filter(|state| !state.owner.is_ours()) {
        found.push(taken_link(&desired.project, &lower.at.name, name.as_str(), &state.owner, &network.places));
    }
}
