//! The networks of the file: what kind they are, what addresses they have, what fly makes of them on the host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::kind;
use super::model::{Network, NetworkKind, Places};
use super::subnet;
use super::work::{Draft, Errors, Groups, Net, NetKind, Nets, first_place, note, place_of};
use crate::diag::{At, Diagnostic, Place};
use crate::spec::{self, Spec};
use crate::types::{
    EngineNetwork, LABEL_PROJECT, LABEL_RESOURCE, Link, LinkKind, LinkRef, Mac, MacvlanMode, Manners, Name, PlacedLink, Route,
    host_link_name,
};

/// The network of machines that say nothing of networks.
pub(super) const DEFAULT: &str = "default";

/// What fly gives a bridge of its own, and what Docker gives one.
pub(super) const DEFAULT_MTU: u32 = 1500;

/// The host's link for a network: its bridge, or the shim.
pub(super) fn host_link(project: &Name, network: &Name) -> String {
    host_link_name(project, &format!("network/{network}"))
}

pub(super) fn resolve(spec: &Spec, project: &Name, groups: &Groups, errors: &mut Errors) -> Nets {
    let mut nets = Nets { all: BTreeMap::new(), broken: spec.broken.has("networks") };
    for (key, network) in &spec.networks.0 {
        match Name::new(key.value.clone()) {
            Ok(name) => {
                let net = one(name.clone(), &key.place, network, errors);
                nets.all.entry(name).or_insert(net);
            }
            Err(error) => errors.push(Diagnostic::invalid(error.to_string()).at(&key.place)),
        }
    }
    let wanted = groups.all().iter().any(|group| !group.names.is_empty() && wants_default(&group.spec));
    let default = Name::new(DEFAULT).expect("`default` is a name");
    if wanted && !nets.contains_key(&default) {
        nets.all.insert(default.clone(), empty(default, NetKind::Nat, Places::default()));
    }
    let written: Written<'_> = spec.networks.0.iter().rev().map(|(key, network)| (key.value.as_str(), network)).collect();
    fill_subnets(&written, project, &mut nets);
    for net in nets.all.values_mut() {
        addresses(net, written.get(net.name.as_str()).copied(), errors);
    }
    kind::check_shared(&nets, errors);
    subnet::check_overlaps(&nets, errors);
    nets
}

/// No card is mentioned, and no namespace that has some already.
pub(super) fn wants_default(machine: &spec::Machine) -> bool {
    let says = |key| machine.broken.has(key);
    machine.nics.is_none() && machine.network_mode.is_none() && !says("nics") && !says("network_mode")
}

fn empty(name: Name, kind: NetKind, places: Places) -> Net {
    Net {
        name,
        kind,
        vxlan: None,
        uplink: None,
        vlan: None,
        subnets: vec![],
        gateways: vec![],
        host_ips: vec![],
        pools: vec![],
        mtu: None,
        unknown_mtu: false,
        internal: false,
        no_way_out: false,
        probe: true,
        places,
        broken: false,
    }
}

/// All that can be said of a network without knowing the others.
fn one(name: Name, place: &Place, spec: &spec::Network, errors: &mut Errors) -> Net {
    let mut net = empty(name, NetKind::Unknown, places(spec, place));
    kind::decide(&mut net, spec, place, errors);
    if let Some(mtu) = &spec.mtu {
        check_mtu(mtu, errors);
        net.mtu = Some(mtu.value);
    }
    net.unknown_mtu = spec.broken.has("mtu");
    net.internal = spec.internal.as_ref().is_some_and(|internal| internal.value);
    net.probe = spec.probe.as_ref().is_none_or(|probe| probe.value);
    // An empty list is `gateway: none`.
    net.no_way_out = net.internal || spec.gateway.as_ref().is_some_and(Vec::is_empty);
    if let Some(internal) = spec.internal.as_ref().filter(|_| !matches!(net.kind, NetKind::Nat | NetKind::Unknown)) {
        errors.push(Diagnostic::invalid("`internal` is for networks of kind `nat`").at(&internal.place).hint("kind: nat"));
    }
    let (subnets, broken) = subnet::given(spec.subnet.as_deref().unwrap_or_default(), errors);
    net.subnets = subnets;
    net.broken = broken || spec.broken.has("subnet") || net.kind == NetKind::Unknown;
    if net.kind == NetKind::Nat && !net.broken && spec.subnet.is_some() {
        check_nat(spec, &mut net, errors);
    }
    net
}

fn places(spec: &spec::Network, place: &Place) -> Places {
    let mut places = Places { own: Some(place.clone()), fields: BTreeMap::new() };
    note(&mut places, "kind", place_of(spec.kind.as_ref()));
    note(&mut places, "parent", place_of(spec.parent.as_ref()));
    note(&mut places, "bridge", place_of(spec.bridge.as_ref()));
    note(&mut places, "mode", place_of(spec.mode.as_ref()));
    note(&mut places, "vlan", place_of(spec.vlan.as_ref()));
    note(&mut places, "uplink", place_of(spec.uplink.as_ref()));
    note(&mut places, "promiscuous", place_of(spec.promiscuous.as_ref()));
    note(&mut places, "sources", first_place(spec.sources.as_ref()));
    note(&mut places, "vni", place_of(spec.vni.as_ref()));
    note(&mut places, "remotes", first_place(spec.remotes.as_ref()));
    note(&mut places, "port", place_of(spec.port.as_ref()));
    note(&mut places, "local", place_of(spec.local.as_ref()));
    note(&mut places, "subnet", first_place(spec.subnet.as_ref()));
    note(&mut places, "gateway", first_place(spec.gateway.as_ref()));
    note(&mut places, "pool", first_place(spec.pool.as_ref()));
    note(&mut places, "host_ip", first_place(spec.host_ip.as_ref()));
    note(&mut places, "mtu", place_of(spec.mtu.as_ref()));
    note(&mut places, "internal", place_of(spec.internal.as_ref()));
    places
}

pub(super) fn check_mtu(mtu: &At<u32>, errors: &mut Errors) {
    if !(68..=65535).contains(&mtu.value) {
        errors.push(Diagnostic::invalid(format!("an `mtu` is between 68 and 65535, not {}", mtu.value)).at(&mtu.place).hint("mtu: 1500"));
    }
}

/// Docker's bridge driver takes one IPv4 subnet, and one IPv6 subnet besides.
fn check_nat(spec: &spec::Network, net: &mut Net, errors: &mut Errors) {
    let Some(place) = net.places.of("subnet").cloned() else { return };
    let count = |v4: bool| net.subnets.iter().filter(|subnet| subnet.addr().is_ipv4() == v4).count();
    let message = match (count(true), count(false)) {
        (0, 0) if spec.subnet.as_ref().is_some_and(Vec::is_empty) => "a network of kind `nat` cannot do without a subnet",
        (0, _) => "a network of kind `nat` needs an IPv4 subnet",
        (1, 0 | 1) if net.subnets.iter().any(|subnet| subnet.max_prefix_len() - subnet.prefix_len() < 2) => {
            "the subnet has no room for a gateway and a machine"
        }
        (1, 0 | 1) => return,
        _ => "a network of kind `nat` has one IPv4 subnet, and at most one IPv6 subnet",
    };
    net.broken = true;
    errors.push(Diagnostic::invalid(message).at(&place).hint("leave `subnet` out: fly finds a free one"));
}

/// The networks of the file, by name.
type Written<'a> = BTreeMap<&'a str, &'a spec::Network>;

fn fill_subnets(written: &Written<'_>, project: &Name, nets: &mut Nets) {
    let mut own = BTreeSet::new();
    let used: Vec<IpNet> = nets.values().flat_map(|net| net.subnets.iter().copied()).collect();
    for net in nets.all.values_mut() {
        let asked = net.broken || written.get(net.name.as_str()).is_some_and(|network| network.subnet.is_some());
        if asked || !matches!(net.kind, NetKind::Nat | NetKind::Bridge) {
            continue;
        }
        let found = subnet::default_subnet(project, &net.name, &used, &own);
        own.extend(found);
        net.subnets.extend(found);
    }
}

/// Gateways, the host's own addresses and the pools.
fn addresses(net: &mut Net, spec: Option<&spec::Network>, errors: &mut Errors) {
    let written = |list: Option<&Vec<At<IpAddr>>>| list.cloned().unwrap_or_default();
    let gateways = written(spec.and_then(|spec| spec.gateway.as_ref()));
    net.gateways = one_a_family("gateway", &gateways, net, errors);
    let unread = spec.is_some_and(|spec| spec.broken.has("gateway"));
    if net.kind == NetKind::Nat && !net.broken && !unread {
        // Docker takes the first address where nobody says otherwise.
        for subnet in net.subnets.clone() {
            let given = net.gateways.iter().any(|gateway| subnet.contains(gateway));
            if let Some(first) = subnet.hosts().find(|ip| *ip != subnet.network()).filter(|_| !given) {
                net.gateways.push(first);
            }
        }
    }
    let host_ips = written(spec.and_then(|spec| spec.host_ip.as_ref()));
    if let Some(first) = host_ips.first() {
        net.host_ips = match refuse_host_ip(&net.kind) {
            None => one_a_family("host_ip", &host_ips, net, errors),
            Some((why, hint)) => {
                let hint = hint.replace("{ip}", &subnet::quoted(&first.value));
                errors.push(Diagnostic::invalid(why).at(&first.place).hint(hint));
                vec![]
            }
        };
    }
    match spec {
        Some(spec) => subnet::pools(spec, net, errors),
        None => net.pools = net.subnets.iter().map(|subnet| super::ipam::Pool::new(*subnet, &[], net.gateways.iter().copied())).collect(),
    }
}

fn refuse_host_ip(kind: &NetKind) -> Option<(&'static str, &'static str)> {
    match kind {
        NetKind::Nat => Some(("on a network of kind `nat`, the host's address is the gateway", "gateway: {ip}")),
        NetKind::Existing(_) => {
            Some(("fly gives no address to a bridge that is not its own", "leave `host_ip` out, and give the bridge its address yourself"))
        }
        NetKind::Macvlan { mode: MacvlanMode::Bridge, .. } | NetKind::Bridge | NetKind::Unknown => None,
        NetKind::Ipvlan { .. } => Some((
            "the host has no address on a network of kind `ipvlan`: it does not hear the cards of its own parent",
            "leave `host_ip` out, or `kind: macvlan`",
        )),
        NetKind::Physical { .. } => Some((
            "the host has no address on a network of kind `physical`: its card is in the machine",
            "leave `host_ip` out, or `kind: macvlan`",
        )),
        NetKind::Macvlan { .. } => Some(("`host_ip` works in macvlan's mode `bridge` only", "leave `mode` out")),
    }
}

/// Checked addresses of the network itself, at most one for each subnet.
fn one_a_family(what: &str, given: &[At<IpAddr>], net: &Net, errors: &mut Errors) -> Vec<IpAddr> {
    let mut good: Vec<&At<IpAddr>> = vec![];
    for address in given {
        if !subnet::check_own(what, address, net, errors) {
            continue;
        }
        match good.iter().find(|other| net.subnet_of(other.value) == net.subnet_of(address.value)) {
            Some(other) => errors.push(
                Diagnostic::invalid(format!("one subnet has one `{what}`"))
                    .at(&address.place)
                    .also(&other.place, "the first is given here")
                    .hint("leave one of them out"),
            ),
            None => good.push(address),
        }
    }
    good.into_iter().map(|address| address.value).collect()
}

/// What the model says of the networks.
pub(super) fn build(project: &Name, nets: &Nets, drafts: &[Draft]) -> BTreeMap<Name, Network> {
    nets.values()
        .filter_map(|net| {
            let host_link = placed_link(project, net, drafts);
            let kind = match &net.kind {
                NetKind::Nat => NetworkKind::Nat { name: net.name.in_project(project), network: engine_network(project, net) },
                NetKind::Bridge => NetworkKind::Bridge,
                NetKind::Existing(bridge) => NetworkKind::ExistingBridge { bridge: bridge.clone() },
                NetKind::Macvlan { parent, mode, sources, promiscuous } => {
                    NetworkKind::Macvlan { parent: parent.clone(), mode: *mode, sources: sources.clone(), promiscuous: *promiscuous }
                }
                NetKind::Ipvlan { parent, mode } => NetworkKind::Ipvlan { parent: parent.clone(), mode: *mode },
                NetKind::Physical { device } => NetworkKind::Physical { device: device.clone() },
                NetKind::Unknown => return None,
            };
            let (lower, uplink) = (kind::lower(project, net, host_link.as_ref()), net.uplink.clone());
            let (subnets, probe, places) = (net.subnets.clone(), net.probe, net.places.clone());
            Some((net.name.clone(), Network { kind, subnets, host_link, lower, uplink, probe, places }))
        })
        .collect()
}

fn engine_network(project: &Name, net: &Net) -> EngineNetwork {
    EngineNetwork {
        subnets: net.subnets.iter().copied().collect(),
        gateways: net.gateways.iter().copied().collect(),
        mtu: net.mtu,
        bridge: Some(host_link(project, &net.name)),
        internal: net.internal,
        labels: labels(project, &net.name),
    }
}

/// By which a Docker network or volume is known to be ours.
pub(super) fn labels(project: &Name, resource: &Name) -> BTreeMap<String, String> {
    [(LABEL_PROJECT, project), (LABEL_RESOURCE, resource)].map(|(label, name)| (label.to_owned(), name.to_string())).into()
}

fn placed_link(project: &Name, net: &Net, drafts: &[Draft]) -> Option<PlacedLink> {
    let (kind, mtu, routes) = match &net.kind {
        NetKind::Bridge => (LinkKind::Bridge, Some(net.mtu.unwrap_or(net.default_mtu())), BTreeSet::new()),
        NetKind::Macvlan { parent, .. } if !net.host_ips.is_empty() => {
            // A route for each machine: the subnet as a whole is reached by the parent.
            let routes = drafts.iter().filter(|draft| draft.network() == Some(&net.name)).flat_map(|draft| &draft.addresses);
            let routes = routes.map(|(address, _)| Route::new(IpNet::from(address.addr()), None));
            let families: Vec<bool> = net.host_ips.iter().map(IpAddr::is_ipv4).collect();
            let routes = routes.filter(|route| families.contains(&route.to.addr().is_ipv4())).collect();
            (LinkKind::macvlan(LinkRef::host(parent.clone()), MacvlanMode::Bridge), net.mtu, routes)
        }
        _ => return None,
    };
    let address = |ip: &IpAddr| match &kind {
        LinkKind::Bridge => IpNet::new(*ip, net.subnet_of(*ip)?.prefix_len()).ok(),
        _ => Some(IpNet::from(*ip)),
    };
    let link = Link {
        mac: Some(Mac::automatic(&format!("{project}:network/{}", net.name))),
        mtu,
        up: true,
        master: None,
        addresses: net.host_ips.iter().filter_map(address).collect(),
        routes,
        tuning: crate::types::Tuning::default(),
        kind: kind.clone(),
    };
    Some(PlacedLink {
        at: LinkRef::host(host_link(project, &net.name)),
        link,
        alias: Some(format!("fly:{project}/{}", net.name)),
        manners: Manners::default(),
    })
}
