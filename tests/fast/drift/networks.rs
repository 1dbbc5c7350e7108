//! Networks, and what else stands at the top.

use std::collections::BTreeSet;

use fly::actual::Actual;
use fly::net::LinkState;
use fly::types::{EngineNetwork, IpvlanMode, LinkKind, LinkRef, MacvlanMode, Ns};

use super::Rule;
use super::machines::{name, ns};

fn docker(world: &mut Actual) -> &mut EngineNetwork {
    &mut world.engine.networks.get_mut(&name("lan")).unwrap().network
}

/// fly's own link on the host: the bridge, or the shim.
fn host(world: &mut Actual, is_it: fn(&LinkKind) -> bool) -> &mut LinkState {
    let links = &mut world.net.namespaces.get_mut(&Ns::Host).unwrap().links;
    links.values_mut().find(|link| link.owner.is_ours() && is_it(&link.link.kind)).unwrap()
}

fn bridge(world: &mut Actual) -> &mut LinkState {
    host(world, |kind| *kind == LinkKind::Bridge)
}

fn vxlan(world: &mut Actual, change: fn(&mut u32, &mut u16, &mut Option<std::net::IpAddr>, &mut BTreeSet<std::net::IpAddr>)) {
    let link = host(world, |kind| matches!(kind, LinkKind::Vxlan { .. }));
    let LinkKind::Vxlan { vni, port, local, remotes, .. } = &mut link.link.kind else { unreachable!() };
    change(vni, port, local, remotes);
}

fn macvlan(world: &mut Actual, change: fn(&mut MacvlanMode, &mut Option<BTreeSet<fly::types::Mac>>, &mut bool)) {
    let link = ns(world, "a").links.get_mut("eth0").unwrap();
    let LinkKind::Macvlan { mode, sources, promiscuous, .. } = &mut link.link.kind else { unreachable!() };
    change(mode, sources, promiscuous);
}

type Row = (&'static str, &'static str, fn(&mut Actual));

const NOBODY: &str = "machines: {a: {image: debian, network_mode: none}}";
const ON_IT: &str = "machines: {a: {image: debian, nics: {eth0: {network: lan, ip: none}}}}";

pub(super) fn rules() -> Vec<Rule> {
    const VXLAN: &str = "kind: vxlan, vni: 7, port: 4790, local: 192.0.2.1, remotes: [192.0.2.7]";
    let alone: Vec<Row> = vec![
        ("networks", "subnet: 10.10.0.0/24", |w| {
            let links = &mut w.net.namespaces.get_mut(&Ns::Host).unwrap().links;
            links.retain(|_, link| !(link.owner.is_ours() && link.link.kind == LinkKind::Bridge));
        }),
        ("network.kind", "kind: nat, subnet: 10.10.0.0/24", |w| {
            let bridge = docker(w).bridge.clone().unwrap();
            w.engine.networks.remove(&name("lan"));
            w.net.namespaces.get_mut(&Ns::Host).unwrap().links.remove(&bridge);
        }),
        ("network.subnet", "kind: nat, subnet: 10.10.0.0/24", |w| docker(w).subnets = [("10.11.0.0/24").parse().unwrap()].into()),
        ("network.gateway", "kind: nat, subnet: 10.10.0.0/24, gateway: 10.10.0.9", |w| docker(w).gateways.clear()),
        ("network.internal", "kind: nat, internal: true", |w| docker(w).internal = false),
        ("network.mtu", "mtu: 1400", |w| bridge(w).link.mtu = Some(1300)),
        ("network.host_ip", "subnet: 10.10.0.0/24, host_ip: 10.10.0.9", |w| bridge(w).link.addresses.clear()),
        ("network.uplink", "uplink: eth1", |w| {
            w.net.namespaces.get_mut(&Ns::Host).unwrap().links.get_mut("eth1").unwrap().link.master = None;
        }),
        ("network.vlan", "parent: eth1, vlan: 5", |w| {
            let link = w.net.namespaces.get_mut(&Ns::Host).unwrap().links.get_mut("eth1.5").unwrap();
            link.link.kind = LinkKind::Vlan { parent: Some(LinkRef::host("eth1")), id: 6 };
        }),
        ("network.parent", "parent: eth1, subnet: 10.10.0.0/24, host_ip: 10.10.0.9", |w| {
            let link = host(w, |kind| matches!(kind, LinkKind::Macvlan { .. }));
            let LinkKind::Macvlan { parent, .. } = &mut link.link.kind else { unreachable!() };
            *parent = Some(LinkRef::host("br0"));
        }),
        ("network.vni", VXLAN, |w| vxlan(w, |vni, _, _, _| *vni = 8)),
        ("network.port", VXLAN, |w| vxlan(w, |_, port, _, _| *port = 4791)),
        ("network.local", VXLAN, |w| vxlan(w, |_, _, local, _| *local = None)),
        ("network.remotes", VXLAN, |w| vxlan(w, |_, _, _, remotes| remotes.clear())),
    ];
    let with_card: Vec<Row> = vec![
        ("network.mode", "parent: eth1, mode: private", |w| macvlan(w, |mode, _, _| *mode = MacvlanMode::Vepa)),
        ("network.mode", "parent: eth1, kind: ipvlan, mode: l3", |w| {
            let LinkKind::Ipvlan { mode, .. } = &mut ns(w, "a").links.get_mut("eth0").unwrap().link.kind else { unreachable!() };
            *mode = IpvlanMode::L2;
        }),
        ("network.sources", "parent: eth1, mode: source, sources: ['02:00:00:00:00:01']", |w| {
            macvlan(w, |_, sources, _| *sources = Some(BTreeSet::new()));
        }),
        ("network.promiscuous", "parent: eth1, promiscuous: true", |w| macvlan(w, |_, _, promiscuous| *promiscuous = false)),
    ];
    let file = |keys: &str, machines: &str| format!("networks: {{lan: {{{keys}}}}}\n{machines}\n");
    let mut rules: Vec<Rule> = alone.into_iter().map(|(key, keys, by_hand)| Rule { key, file: file(keys, NOBODY), by_hand }).collect();
    rules.extend(with_card.into_iter().map(|(key, keys, by_hand)| Rule { key, file: file(keys, ON_IT), by_hand }));
    let agent = file("subnet: 10.10.0.0/24", "machines: {a: {image: debian, nics: {eth0: lan}}}");
    rules.push(Rule { key: "agent", file: agent, by_hand: |w| w.engine.agent.as_mut().unwrap().running = false });
    rules
}
