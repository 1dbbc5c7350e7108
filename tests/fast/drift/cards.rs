//! The keys of a network card: on a network, and as an end of a cable.

use fly::actual::Actual;
use fly::net::LinkState;
use fly::types::{Route, Table, Traffic};

use super::Rule;
use super::machines::{ns, policy};

fn card(world: &mut Actual) -> &mut LinkState {
    ns(world, "a").links.get_mut("eth0").unwrap()
}

/// The one route that the file gives.
fn route(world: &mut Actual, change: fn(&mut Route)) {
    let routes = &mut card(world).link.routes;
    let mut route = routes.pop_last().unwrap();
    change(&mut route);
    routes.insert(route);
}

fn traffic(world: &mut Actual) -> &mut Traffic {
    &mut card(world).link.tuning.traffic
}

/// As in the file, with the card's own.
fn on_network(keys: &str) -> String {
    let ip = if keys.contains("ip:") { "" } else { "ip: 10.10.0.5/24, " };
    format!(
        "networks: {{back: {{subnet: 10.10.0.0/24}}}}\nmachines:\n  a: {{image: debian, nics: {{eth0: {{network: back, {ip}{keys}}}}}}}\n  b: {{image: debian, nics: {{eth0: back}}}}\n"
    )
}

fn on_cable(keys: &str) -> String {
    let ip = if keys.contains("ip:") { "" } else { "ip: 10.10.0.5/24, " };
    format!("machines: {{a: {{image: debian}}, b: {{image: debian}}}}\nlinks: [{{ends: [{{nic: 'a:eth0', {ip}{keys}}}, 'b:eth0']}}]\n")
        .replace("{image: debian}", "{image: debian, network_mode: none}")
}

type Row = (&'static str, &'static str, &'static str, fn(&mut Actual));

/// By their keys on a network, on a cable, and what the file says.
fn both() -> Vec<Row> {
    const ROUTE: &str = "routes: [{to: 10.30.0.0/16, via: 10.10.0.9, metric: 10, table: 100}]";
    const POLICY: &str = "rules: [{from: 10.1.0.0/16, to: 10.2.0.0/16, fwmark: 16, iif: eth0, table: 100, priority: 50}]";
    vec![
        ("nic.ip", "cable.ip", "ip: 10.10.0.5/24", |w| card(w).link.addresses = [("10.10.0.6/24").parse().unwrap()].into()),
        ("nic.mac", "cable.mac", "mac: '02:00:00:00:00:01'", |w| card(w).link.mac = Some("02:00:00:00:00:02".parse().unwrap())),
        ("nic.up", "cable.up", "up: false", |w| card(w).link.up = true),
        ("nic.gateway", "cable.gateway", "gateway: 10.10.0.1", |w| card(w).link.routes.clear()),
        ("nic.gateway.via", "cable.gateway.via", "gateway: {via: 10.10.0.1}", |w| {
            route(w, |route| route.via = Some("10.10.0.2".parse().unwrap()));
        }),
        ("nic.gateway.metric", "cable.gateway.metric", "gateway: {via: 10.10.0.1, metric: 7}", |w| {
            route(w, |route| route.metric = Some(8));
        }),
        ("nic.routes", "cable.routes", ROUTE, |w| card(w).link.routes.clear()),
        ("nic.routes.to", "cable.routes.to", ROUTE, |w| route(w, |route| route.to = "10.31.0.0/16".parse().unwrap())),
        ("nic.routes.via", "cable.routes.via", ROUTE, |w| route(w, |route| route.via = Some("10.10.0.8".parse().unwrap()))),
        ("nic.routes.metric", "cable.routes.metric", ROUTE, |w| route(w, |route| route.metric = Some(11))),
        ("nic.routes.table", "cable.routes.table", ROUTE, |w| route(w, |route| route.table = Some(Table(101)))),
        ("nic.routes.src", "cable.routes.src", "routes: [{to: 10.30.0.0/16, src: 10.10.0.5}]", |w| route(w, |route| route.src = None)),
        ("nic.routes.scope", "cable.routes.scope", "routes: [{to: 10.30.0.0/16, scope: global}]", |w| route(w, |route| route.scope = None)),
        ("nic.routes.onlink", "cable.routes.onlink", "routes: [{to: 10.30.0.0/16, via: 10.99.0.1, onlink: true}]", |w| {
            route(w, |route| route.onlink = false);
        }),
        ("nic.routes.type", "cable.routes.type", "routes: [{to: 10.66.0.0/16, type: blackhole}]", |w| ns(w, "a").routing.routes.clear()),
        ("nic.rules", "cable.rules", POLICY, |w| ns(w, "a").routing.rules.clear()),
        ("nic.rules.from", "cable.rules.from", POLICY, |w| policy(w, |rule| rule.from = "10.9.0.0/16".parse().unwrap())),
        ("nic.rules.to", "cable.rules.to", POLICY, |w| policy(w, |rule| rule.to = None)),
        ("nic.rules.fwmark", "cable.rules.fwmark", POLICY, |w| policy(w, |rule| rule.fwmark = None)),
        ("nic.rules.iif", "cable.rules.iif", POLICY, |w| policy(w, |rule| rule.iif = None)),
        ("nic.rules.table", "cable.rules.table", POLICY, |w| policy(w, |rule| rule.table = Table(101))),
        ("nic.rules.priority", "cable.rules.priority", POLICY, |w| policy(w, |rule| rule.priority = 51)),
        ("nic.neighbours", "cable.neighbours", "neighbours: {10.10.0.7: '02:00:00:00:00:07'}", |w| card(w).link.tuning.neighbours.clear()),
        ("nic.sysctls", "cable.sysctls", "sysctls: {ipv4.rp_filter: 2}", |w| {
            card(w).sysctls.insert("ipv4.rp_filter".parse().unwrap(), 1);
        }),
        ("nic.rate", "cable.rate", "rate: 10mbit", |w| traffic(w).rate = None),
        ("nic.delay", "cable.delay", "delay: 10ms", |w| traffic(w).delay = None),
        ("nic.jitter", "cable.jitter", "delay: 10ms, jitter: 2ms", |w| traffic(w).jitter = None),
        ("nic.loss", "cable.loss", "loss: 1%", |w| traffic(w).loss = None),
        ("nic.duplicate", "cable.duplicate", "duplicate: 1%", |w| traffic(w).duplicate = None),
        ("nic.corrupt", "cable.corrupt", "corrupt: 1%", |w| traffic(w).corrupt = None),
        ("nic.reorder", "cable.reorder", "delay: 10ms, reorder: 1%", |w| traffic(w).reorder = None),
    ]
}

pub(super) fn rules() -> Vec<Rule> {
    let mut rules = vec![];
    for (nic, cable, keys, by_hand) in both() {
        rules.push(Rule { key: nic, file: on_network(keys), by_hand });
        rules.push(Rule { key: cable, file: on_cable(keys), by_hand });
    }
    let moved: fn(&mut Actual) = |world| {
        let host = world.net.namespaces.get_mut(&fly::types::Ns::Host).unwrap();
        let end = host
            .links
            .values_mut()
            .find(|link| matches!(&link.link.kind, fly::types::LinkKind::Veth { peer: Some(peer) } if peer.to_string() == "a:eth0"));
        end.unwrap().link.master = Some("br0".into());
    };
    rules.push(Rule { key: "nic.network", file: on_network("up: true"), by_hand: moved });
    rules.push(Rule { key: "nic.mtu", file: on_network("mtu: 1400"), by_hand: |w| card(w).link.mtu = Some(1300) });
    let ends = |mtu: &str| {
        format!(
            "machines: {{a: {{image: debian, network_mode: none}}, b: {{image: debian, network_mode: none}}}}\nlinks: [{{ends: ['a:eth0', 'b:eth0']{mtu}}}]\n"
        )
    };
    rules.push(Rule { key: "cable.mtu", file: ends(", mtu: 9000"), by_hand: |w| card(w).link.mtu = Some(1300) });
    let cut: fn(&mut Actual) = |world| ["a", "b"].into_iter().for_each(|machine| ns(world, machine).links.clear());
    for key in ["links", "cable.ends", "cable.nic"] {
        rules.push(Rule { key, file: ends(""), by_hand: cut });
    }
    rules
}
