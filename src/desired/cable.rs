//! Cables: each end is a card of its machine.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::ipam::unusable;
use super::model::{Cable, Places};
use super::network::{DEFAULT_MTU, check_mtu};
use super::nic::automatic_mac;
use super::subnet::quoted;
use super::tuning;
use super::work::{Draft, Errors, Groups, Plug, first_place, note, place_of};
use crate::diag::{At, Diagnostic, Place};
use crate::spec::{self, Ip, Spec};
use crate::types::{CableId, IfName, Name};

type End = (Name, IfName);

/// The cables of the file; their ends go to the other cards.
pub(super) fn resolve(
    project: &Name,
    spec: &Spec,
    groups: &Groups,
    drafts: &mut Vec<Draft>,
    errors: &mut Errors,
) -> BTreeMap<CableId, Cable> {
    let mut used: BTreeMap<End, Place> =
        drafts.iter().map(|draft| ((draft.machine.clone(), draft.name.clone()), draft.place.clone())).collect();
    let mut cables = BTreeMap::new();
    for cable in &spec.links {
        if let Some(mtu) = &cable.mtu {
            check_mtu(mtu, errors);
        }
        let [a, b] = cable.ends.as_slice() else {
            errors.push(Diagnostic::invalid("a cable has two ends").at(&cable.place).hint("[web:eth5, db:eth5]"));
            continue;
        };
        let ends = [a, b].map(|end| self::end(end, groups, &mut used, errors));
        let [Some(first), Some(second)] = ends else { continue };
        let id = CableId::new(first.clone(), second.clone());
        for (end, own, peer) in [(a, &first, &second), (b, &second, &first)] {
            drafts.push(draft(project, cable, end, own, (id.clone(), peer), errors));
        }
        let mut places = Places { own: Some(cable.place.clone()), fields: BTreeMap::new() };
        note(&mut places, "mtu", place_of(cable.mtu.as_ref()));
        cables.insert(id, Cable { places });
    }
    cables
}

/// The machine and the card that an end names.
fn end(end: &spec::CableEnd, groups: &Groups, used: &mut BTreeMap<End, Place>, errors: &mut Errors) -> Option<End> {
    let place = &end.nic.place;
    let Some(group) = groups.get(&end.machine) else {
        groups.missing(&end.machine, place, errors);
        return None;
    };
    if let Some(scale) = &group.spec.scale {
        let message = format!("a cable has one machine at each end, and `{}` is as many as `scale` says", group.base);
        let error = Diagnostic::invalid(message).at(place).also(&scale.place, "`scale` is set here");
        errors.push(error.hint("a network instead of the cable, or a machine without `scale`"));
        return None;
    }
    if let Some(mode) = group.spec.network_mode.as_ref().filter(|mode| mode.value != spec::NetworkModeSpec::None) {
        let message = format!("`{}` has no cards of its own: its `network_mode` takes another's", group.base);
        let error = Diagnostic::invalid(message).at(place).also(&mode.place, "set here");
        errors.push(error.hint("leave the cable or `network_mode` out"));
        return None;
    }
    let name = match IfName::new(end.ifname.clone()) {
        Ok(name) => name,
        Err(error) => {
            errors.push(Diagnostic::invalid(error.to_string()).at(place));
            return None;
        }
    };
    let key = (group.base.clone(), name);
    if let Some(other) = used.get(&key) {
        let error = Diagnostic::invalid(format!("machine `{}` has a card `{}` already", key.0, key.1)).at(place);
        errors.push(error.also(other, "it is here").hint("another name for one of them"));
        return None;
    }
    used.insert(key.clone(), place.clone());
    Some(key)
}

fn draft(project: &Name, cable: &spec::Cable, end: &spec::CableEnd, own: &End, (id, peer): (CableId, &End), errors: &mut Errors) -> Draft {
    let mut places = Places { own: Some(end.nic.place.clone()), fields: BTreeMap::new() };
    note(&mut places, "ip", end.ip.first().map(|ip| &ip.place));
    note(&mut places, "mac", place_of(end.mac.as_ref()));
    note(&mut places, "mtu", place_of(cable.mtu.as_ref()));
    note(&mut places, "gateway", first_place(end.gateway.as_ref()));
    note(&mut places, "routes", first_place(end.routes.as_ref()));
    note(&mut places, "up", place_of(end.up.as_ref()));
    let tuning = tuning::resolve(&end.tuning, Some(&cable.traffic), &mut places, errors);
    Draft {
        machine: own.0.clone(),
        base: own.0.clone(),
        base_place: end.nic.place.clone(),
        name: own.1.clone(),
        plug: Plug::Cable { id, peer: peer.clone() },
        addresses: end.ip.iter().filter_map(|ip| Some((address(ip, errors)?, Some(ip.place.clone())))).collect(),
        auto: vec![],
        dynamic: std::collections::BTreeSet::new(),
        unknown_addresses: end.broken.has("ip"),
        mac: end.mac.as_ref().map_or_else(|| automatic_mac(project, &own.0, &own.1), |mac| mac.value),
        mtu: Some(cable.mtu.as_ref().map_or(DEFAULT_MTU, |mtu| mtu.value)),
        up: end.up.as_ref().is_none_or(|up| up.value),
        // Nobody else is on it.
        probe: true,
        gateway: end.gateway.clone(),
        route_specs: end.routes.clone().unwrap_or_default(),
        routes: std::collections::BTreeSet::new(),
        dead_ends: std::collections::BTreeSet::new(),
        tuning,
        rules: end.tuning.rules.clone().unwrap_or_default(),
        place: end.nic.place.clone(),
        places,
    }
}

fn address(ip: &At<Ip>, errors: &mut Errors) -> Option<IpNet> {
    let (message, hint) = match ip.value {
        // Refused where the file was read.
        Ip::None | Ip::Dynamic(_) => return None,
        Ip::Auto => ("a cable has no pool that an address could come from".to_owned(), "ip: 10.0.0.1/30".to_owned()),
        Ip::Address { address, prefix: None } => {
            let right = quoted(&format!("{address}/{}", if address.is_ipv4() { 30 } else { 64 }));
            (format!("`{address}` needs its prefix length: a cable has no subnet to take it from"), format!("ip: {right}"))
        }
        Ip::Address { address, prefix: Some(prefix) } => match IpNet::new(address, prefix) {
            Ok(net) if !unusable(net).contains(&address) => return Some(net),
            Ok(net) => (
                format!("`{address}` stands for the subnet `{}` itself or for all in it: no card can have it", net.trunc()),
                "another address of the subnet".to_owned(),
            ),
            Err(_) => (format!("`{address}/{prefix}` has too long a prefix"), format!("ip: {}", quoted(&IpNet::from(address)))),
        },
    };
    errors.push(Diagnostic::invalid(message).at(&ip.place).hint(hint));
    None
}

/// An address that both ends have.
pub(super) fn check(drafts: &[Draft], errors: &mut Errors) {
    let mut seen: BTreeMap<(&CableId, std::net::IpAddr), &Place> = BTreeMap::new();
    for draft in drafts {
        let Plug::Cable { id, .. } = &draft.plug else { continue };
        for (address, place) in &draft.addresses {
            let place = place.as_ref().unwrap_or(&draft.place);
            if let Some(other) = seen.insert((id, address.addr()), place) {
                errors.push(
                    Diagnostic::invalid(format!("two cards have the address `{}`", address.addr()))
                        .at(place)
                        .also(other, "given here already")
                        .hint("another address of the subnet"),
                );
            }
        }
    }
}
