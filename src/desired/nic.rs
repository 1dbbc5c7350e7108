//! Network cards: what they are plugged into, their MACs and MTUs, and the model's form of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::model::{Attach, Nic, Places};
use super::network::{DEFAULT, check_mtu, host_link, wants_default};
use super::work::{Draft, Errors, Group, Groups, Net, NetKind, Nets, Plug, first_place, note, place_of, suggest, twice};
use super::{address, tuning};
use crate::diag::{Diagnostic, Place};
use crate::spec;
use crate::types::{Endpoint, IfName, Mac, Name, Tuning, host_link_name};

/// IPv6 does not work below.
const MIN_IPV6_MTU: u32 = 1280;

/// The cards that are plugged into networks, machine by machine in the file's order.
pub(super) fn drafts(project: &Name, groups: &Groups, nets: &Nets, errors: &mut Errors) -> Vec<Draft> {
    let mut drafts = vec![];
    for group in groups.all() {
        if wants_default(&group.spec) {
            let default = Name::new(DEFAULT).expect("`default` is a name");
            let Some(net) = nets.get(&default) else { continue };
            let card = IfName::new("eth0").expect("`eth0` is a name");
            drafts.extend(group.names.iter().map(|machine| default_card(project, group, machine, &card, net)));
            continue;
        }
        for (key, nic) in group.spec.nics.iter().flat_map(|nics| &nics.0) {
            match IfName::new(key.value.clone()) {
                Ok(name) => card(project, group, &name, &key.place, nic, nets, errors, &mut drafts),
                Err(error) => errors.push(Diagnostic::invalid(error.to_string()).at(&key.place).hint("at most 15 characters, as `eth0`")),
            }
        }
        check_nat_twice(group, &drafts, nets, errors);
    }
    drafts
}

pub(super) fn automatic_mac(project: &Name, machine: &Name, card: &IfName) -> Mac {
    Mac::automatic(&format!("{project}/{machine}/{card}"))
}

fn default_card(project: &Name, group: &Group, machine: &Name, card: &IfName, net: &Net) -> Draft {
    Draft {
        machine: machine.clone(),
        base: group.base.clone(),
        base_place: group.place.clone(),
        name: card.clone(),
        plug: Plug::Network(net.name.clone()),
        addresses: vec![],
        auto: net.subnets.clone(),
        dynamic: std::collections::BTreeSet::new(),
        unknown_addresses: false,
        mac: automatic_mac(project, machine, card),
        mtu: mtu(net, None),
        up: true,
        probe: net.probe,
        gateway: None,
        route_specs: vec![],
        routes: std::collections::BTreeSet::new(),
        dead_ends: std::collections::BTreeSet::new(),
        tuning: Tuning::default(),
        rules: vec![],
        place: group.place.clone(),
        places: Places::default(),
    }
}

/// What a card's MTU is where it is decided; otherwise it is what the kernel gives it.
fn mtu(net: &Net, own: Option<u32>) -> Option<u32> {
    let default = match net.kind {
        _ if net.unknown_mtu => None,
        NetKind::Nat | NetKind::Bridge => Some(net.default_mtu()),
        NetKind::Existing(_) | NetKind::Macvlan { .. } | NetKind::Ipvlan { .. } | NetKind::Physical { .. } | NetKind::Unknown => None,
    };
    own.or(net.mtu).or(default)
}

#[expect(clippy::too_many_arguments, reason = "everything that one card is made of")]
fn card(
    project: &Name,
    group: &Group,
    name: &IfName,
    place: &Place,
    spec: &spec::Nic,
    nets: &Nets,
    errors: &mut Errors,
    drafts: &mut Vec<Draft>,
) {
    let Some(network) = &spec.network else {
        if spec.broken.has("network") {
            return;
        }
        errors.push(Diagnostic::invalid("a card is plugged into a `network`").at(place).hint(format!("{name}: {{network: NAME}}")));
        return;
    };
    let Some(net) = Name::new(network.value.clone()).ok().and_then(|name| nets.get(&name)) else {
        if !nets.broken {
            let error = Diagnostic::invalid(format!("there is no network `{}`", network.value)).at(&network.place);
            let error = suggest(error, &network.value, nets.keys().map(Name::as_str), errors.is_full());
            let is_name = error.hints.iter().all(|hint| !hint.starts_with("did you mean")) && Name::new(network.value.clone()).is_ok();
            errors.push(if is_name { error.hint(format!("`{}: {{}}` in `networks` makes one", network.value)) } else { error });
        }
        return;
    };
    if let Some(mtu) = &spec.mtu {
        check_mtu(mtu, errors);
        let whole = mtu_of_bridge(net).filter(|whole| mtu.value > *whole);
        if let Some(whole) = whole {
            let error = Diagnostic::invalid(format!("an `mtu` of {} is more than that of network `{}`, {whole}", mtu.value, net.name));
            let error = error.at(&mtu.place).hint(format!("`mtu: {}` in the network", mtu.value));
            errors.push(net.places.fields.get("mtu").map_or_else(|| error.clone(), |there| error.clone().also(there, "set here")));
        }
    }
    if let (Some(mac), NetKind::Ipvlan { parent, .. }) = (&spec.mac, &net.kind) {
        let error = Diagnostic::invalid(format!("a card on a network of kind `ipvlan` has the MAC of its parent, `{parent}`"));
        errors.push(error.at(&mac.place).hint("leave `mac` out, or `kind: macvlan` for the network"));
    }
    let wanted = address::wanted(spec.ip.as_ref(), spec.broken.has("ip"), net, errors);
    let mut places = places(spec, place);
    let tuning = tuning::resolve(&spec.tuning, None, &mut places, errors);
    for machine in &group.names {
        drafts.push(Draft {
            machine: machine.clone(),
            base: group.base.clone(),
            base_place: group.place.clone(),
            name: name.clone(),
            plug: Plug::Network(net.name.clone()),
            addresses: wanted.given.clone(),
            auto: wanted.auto.clone(),
            dynamic: wanted.dynamic.clone(),
            unknown_addresses: spec.broken.has("ip"),
            mac: spec.mac.as_ref().map_or_else(|| automatic_mac(project, machine, name), |mac| mac.value),
            mtu: mtu(net, spec.mtu.as_ref().map(|mtu| mtu.value)).filter(|_| !spec.broken.has("mtu")),
            up: spec.up.as_ref().is_none_or(|up| up.value),
            probe: spec.probe.as_ref().map_or(net.probe, |probe| probe.value),
            gateway: spec.gateway.clone(),
            route_specs: spec.routes.clone().unwrap_or_default(),
            routes: std::collections::BTreeSet::new(),
            dead_ends: std::collections::BTreeSet::new(),
            tuning: tuning.clone(),
            rules: spec.tuning.rules.clone().unwrap_or_default(),
            place: place.clone(),
            places: places.clone(),
        });
    }
}

fn mtu_of_bridge(net: &Net) -> Option<u32> {
    (matches!(net.kind, NetKind::Bridge | NetKind::Nat) && !net.unknown_mtu).then(|| net.mtu.unwrap_or(net.default_mtu()))
}

fn places(spec: &spec::Nic, place: &Place) -> Places {
    let mut places = Places { own: Some(place.clone()), fields: BTreeMap::new() };
    note(&mut places, "network", place_of(spec.network.as_ref()));
    note(&mut places, "ip", first_place(spec.ip.as_ref()));
    note(&mut places, "mac", place_of(spec.mac.as_ref()));
    note(&mut places, "mtu", place_of(spec.mtu.as_ref()));
    note(&mut places, "gateway", first_place(spec.gateway.as_ref()));
    note(&mut places, "routes", first_place(spec.routes.as_ref()));
    note(&mut places, "up", place_of(spec.up.as_ref()));
    places
}

/// The engine has one endpoint for a container and a network.
fn check_nat_twice(group: &Group, drafts: &[Draft], nets: &Nets, errors: &mut Errors) {
    let Some(machine) = group.names.first() else { return };
    let mut seen: BTreeMap<&Name, &Draft> = BTreeMap::new();
    for draft in drafts.iter().filter(|draft| draft.machine == *machine) {
        let Some(net) = draft.network().and_then(|name| nets.get(name)).filter(|net| net.kind == NetKind::Nat) else { continue };
        if let Some(other) = seen.insert(&net.name, draft) {
            errors.push(
                Diagnostic::invalid(format!("a machine has one card on a network of kind `nat`, and `{}` is one", net.name))
                    .at(&draft.place)
                    .also(&other.place, "the first is here")
                    .hint("another network for one of them, or one card alone"),
            );
        }
    }
}

/// What can only be said when all addresses are there.
pub(super) fn check(drafts: &[Draft], nets: &Nets, errors: &mut Errors) {
    let mut macs: BTreeMap<(String, Mac), &Draft> = BTreeMap::new();
    for draft in drafts {
        if let Some(mtu) = draft.mtu.filter(|mtu| *mtu < MIN_IPV6_MTU)
            && let Some((address, _)) = draft.addresses.iter().find(|(address, _)| address.addr().is_ipv6())
        {
            let net = draft.network().and_then(|name| nets.get(name));
            let place = draft.places.fields.get("mtu").or_else(|| net.and_then(|net| net.places.fields.get("mtu")));
            let message = format!("IPv6, as in `{address}`, needs an `mtu` of at least {MIN_IPV6_MTU}, and here it is {mtu}");
            errors.push(Diagnostic::invalid(message).at(place.unwrap_or(&draft.place)).hint(format!("mtu: {MIN_IPV6_MTU}")));
        }
        let wire = match &draft.plug {
            Plug::Network(name) => nets.get(name).map_or_else(String::new, Net::wire),
            Plug::Cable { id, .. } => id.to_string(),
        };
        let place = |draft: &Draft| draft.places.fields.get("mac").unwrap_or(&draft.place).clone();
        match macs.entry((wire, draft.mac)) {
            Entry::Vacant(free) => {
                free.insert(draft);
            }
            Entry::Occupied(taken) if taken.get().is_one_with(draft) => {}
            Entry::Occupied(taken) => {
                let other = *taken.get();
                let message = format!("two cards on one network have the MAC `{}`", draft.mac);
                let error = twice(message, (draft, &place(draft)), (other, &place(other)));
                let given = draft.places.fields.contains_key("mac");
                let hint = if given { "leave `mac` out: each card gets its own" } else { "a `mac` of its own for one of them" };
                errors.push(error.hint(hint));
            }
        }
    }
}

/// The model's card.
pub(super) fn build(project: &Name, draft: Draft, base: &Name, nets: &Nets) -> Option<Nic> {
    let attach = match draft.plug {
        Plug::Cable { id, peer } => Attach::Cable { id, peer },
        Plug::Network(name) => {
            let net = nets.get(&name)?;
            let host_end = || host_link_name(project, &format!("nic/{}:{}", draft.machine, draft.name));
            match &net.kind {
                NetKind::Nat => Attach::Nat {
                    engine_name: name.in_project(project),
                    bridge: host_link(project, &name),
                    endpoint: Endpoint {
                        ipv4: draft
                            .addresses
                            .iter()
                            .find_map(|(net, _)| if let ipnet::IpNet::V4(v4) = net { Some(v4.addr()) } else { None }),
                        ipv6: draft
                            .addresses
                            .iter()
                            .find_map(|(net, _)| if let ipnet::IpNet::V6(v6) = net { Some(v6.addr()) } else { None }),
                        aliases: [draft.machine.to_string(), base.to_string()].into(),
                        mac: Some(draft.mac),
                        ifname: Some(draft.name.clone()),
                    },
                    network: name,
                },
                NetKind::Bridge => Attach::Bridge { bridge: host_link(project, &name), host_end: host_end(), network: name },
                NetKind::Existing(bridge) => Attach::Bridge { bridge: bridge.clone(), host_end: host_end(), network: name },
                NetKind::Macvlan { parent, mode, sources, promiscuous } => Attach::Macvlan {
                    parent: parent.clone(),
                    mode: *mode,
                    sources: sources.clone(),
                    promiscuous: *promiscuous,
                    network: name,
                },
                NetKind::Ipvlan { parent, mode } => Attach::Ipvlan { parent: parent.clone(), mode: *mode, network: name },
                NetKind::Physical { device } => Attach::Physical { device: device.clone(), network: name },
                NetKind::Unknown => return None,
            }
        }
    };
    let routers = draft.gateway.is_none() && !draft.dynamic.is_empty();
    Some(Nic {
        attach,
        dynamic: draft.dynamic,
        routers,
        mac: draft.mac,
        mtu: draft.mtu,
        up: draft.up,
        addresses: draft.addresses.into_iter().map(|(address, _)| address).collect(),
        routes: draft.routes,
        probe: draft.probe,
        tuning: draft.tuning,
        places: draft.places,
    })
}
