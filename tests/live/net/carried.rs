//! What links carry, and what hangs on none: told by `ip`, `tc` and the files below `/proc/sys`.

use std::collections::{BTreeMap, BTreeSet};

use fly::net::{LinkSet, NetErrorKind, NetOp, NetPlane, Tune};
use fly::types::{Link, LinkRef, Mac, Ns, PlacedLink, Route, RouteKind, Routing, Rule, Scope, Sysctl, Table, Traffic, Tuning};

use super::world::{World, at, macvlan, name, nic, of_host, route, veth};

fn lan(tuning: Tuning) -> World {
    let world = World::new(&["web", "neighbour"]);
    world.parent("neighbour");
    let mut eth0 = macvlan("web", "eth0", &["192.168.1.100/24", "fd00:1::100/64"]);
    eth0.link.tuning = tuning;
    world.twice(&NetOp::CreateLink { link: Box::new(eth0) });
    world
}

fn lines(world: &World, at: &str, command: &str) -> Vec<String> {
    let mut lines: Vec<String> = world.ok(at, command).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.sort();
    lines
}

fn tune(tune: Tune) -> LinkSet {
    LinkSet { tune, ..LinkSet::default() }
}

fn rate(rate: &str) -> Traffic {
    Traffic { rate: Some(rate.parse().unwrap()), ..Traffic::default() }
}

#[test]
fn routes_of_every_kind() {
    let world = lan(Tuning::default());
    let table = |number| Some(Table(number));
    let routes: BTreeSet<Route> = [
        route("0.0.0.0/0", "192.168.1.1", Some(100)),
        route("0.0.0.0/0", "192.168.1.2", Some(200)),
        Route { table: table(100), ..route("0.0.0.0/0", "192.168.1.1", None) },
        Route { table: table(70_000), src: "192.168.1.100".parse().ok(), ..route("10.8.0.0/16", "192.168.1.1", Some(5)) },
        Route { onlink: true, ..route("10.7.0.0/16", "172.16.0.1", None) },
        Route { scope: Some(Scope::Global), ..route("10.6.0.0/16", "", None) },
        route("10.4.0.0/16", "", None),
        Route { table: table(100), ..route("::/0", "fd00:1::1", None) },
        Route { src: "fd00:1::100".parse().ok(), onlink: true, ..route("fd00:8::/64", "fd00:9::1", Some(7)) },
    ]
    .into();
    let set = LinkSet { add_routes: routes.clone(), keep_routes: routes.clone(), ..LinkSet::default() };
    world.set(at("web", "eth0"), set);
    assert_eq!(world.seen("web", "eth0").link.routes, routes, "what is seen is what was said");
    assert_eq!(world.seen("web", "eth0").foreign_routes, BTreeSet::new());
    let shown = |command: &str| lines(&world, "web", &format!("{command} | grep 241"));
    assert_eq!(
        shown("ip -4 route show table all"),
        [
            "10.4.0.0/16 dev eth0 proto 241 scope link",
            "10.6.0.0/16 dev eth0 proto 241",
            "10.7.0.0/16 via 172.16.0.1 dev eth0 proto 241 onlink",
            "10.8.0.0/16 via 192.168.1.1 dev eth0 table 70000 proto 241 src 192.168.1.100 metric 5",
            "default via 192.168.1.1 dev eth0 proto 241 metric 100",
            "default via 192.168.1.1 dev eth0 table 100 proto 241",
            "default via 192.168.1.2 dev eth0 proto 241 metric 200",
        ]
    );
    let v6 = shown("ip -6 route show table all");
    assert_eq!(v6.len(), 2, "{v6:?}");
    assert!(
        v6.iter().any(|line| line.contains("fd00:8::/64 via fd00:9::1") && line.contains("src fd00:1::100") && line.contains("onlink"))
    );
    assert!(v6.iter().any(|line| line.starts_with("default via fd00:1::1") && line.contains("table 100")), "{v6:?}");
    // Down and up again: all of them come back.
    let away = LinkSet { up: Some(false), ..LinkSet::default() };
    world.set(at("web", "eth0"), away);
    assert_eq!(world.seen("web", "eth0").link.routes, BTreeSet::new());
    world.set(at("web", "eth0"), LinkSet { up: Some(true), keep_routes: routes.clone(), ..LinkSet::default() });
    assert_eq!(world.seen("web", "eth0").link.routes, routes);
    // Each goes alone, and takes none of the others along.
    for gone in &routes {
        let set = LinkSet { remove_routes: [gone.clone()].into(), ..LinkSet::default() };
        world.op(&NetOp::SetLink { at: at("web", "eth0"), set: Box::new(set) });
        assert!(!world.seen("web", "eth0").link.routes.contains(gone), "{gone}");
    }
    assert_eq!(lines(&world, "web", "ip -4 route show table all proto 241; ip -6 route show table all proto 241"), Vec::<String>::new());
}

#[test]
fn rules_and_dead_ends() {
    let world = lan(Tuning::default());
    let rule = |from: &str, priority, number| Rule {
        priority,
        from: from.parse().unwrap(),
        to: None,
        fwmark: None,
        iif: None,
        table: Table(number),
    };
    let dead_end = |to: &str, kind| Route { kind, ..route(to, "", None) };
    let rules: BTreeSet<Rule> = [
        rule("192.168.1.100/32", 32765, 100),
        Rule { to: "10.9.0.0/16".parse().ok(), iif: Some("eth0".to_owned()), ..rule("0.0.0.0/0", 500, 70_000) },
        Rule { fwmark: "0x10/0xff".parse().ok(), ..rule("::/0", 10, 254) },
        Rule { fwmark: "7".parse().ok(), iif: Some("later".to_owned()), ..rule("0.0.0.0/0", 11, 9) },
    ]
    .into();
    let routes: BTreeSet<Route> = [
        dead_end("10.66.0.0/16", RouteKind::Blackhole),
        Route { metric: Some(4000), ..dead_end("0.0.0.0/0", RouteKind::Unreachable) },
        Route { table: Some(Table(100)), ..dead_end("fd00:66::/64", RouteKind::Prohibit) },
    ]
    .into();
    let wanted = Routing { rules, routes };
    let set = |add: &Routing, remove: &Routing| NetOp::SetRouting {
        machine: name("web"),
        add: Box::new(add.clone()),
        remove: Box::new(remove.clone()),
    };
    world.twice(&set(&wanted, &Routing::default()));
    let of = |world: &World| world.observe().namespaces[&Ns::Machine(name("web"))].clone();
    assert_eq!((of(&world).routing, of(&world).foreign_routing), (wanted.clone(), Routing::default()));
    assert_eq!(
        lines(&world, "web", "ip -d -4 rule show | grep 'proto 241'"),
        [
            "11: from all fwmark 0x7 iif later [detached] lookup 9 proto 241",
            "32765: from 192.168.1.100 lookup 100 proto 241",
            "500: from all to 10.9.0.0/16 iif eth0 lookup 70000 proto 241",
        ]
    );
    assert_eq!(lines(&world, "web", "ip -d -6 rule show | grep 'proto 241'"), ["10: from all fwmark 0x10/0xff lookup main proto 241"]);
    let shown = lines(&world, "web", "ip -4 route show table all proto 241; ip -6 route show table all proto 241");
    assert!(shown.iter().any(|line| line == "blackhole 10.66.0.0/16"), "{shown:?}");
    assert!(shown.iter().any(|line| line == "unreachable default metric 4000"), "{shown:?}");
    assert!(shown.iter().any(|line| line.starts_with("prohibit fd00:66::/64 dev lo table 100")), "{shown:?}");

    // Those of others are seen, and left alone; what looks like one of fly's and says more is not one.
    world.ok("web", "ip rule add from 10.3.0.0/16 lookup 33 priority 77");
    world.ok("web", "ip rule add from 192.168.1.100 lookup 100 priority 32765 ipproto tcp");
    world.ok("web", "ip rule add not from 10.4.0.0/16 lookup 33 priority 78");
    world.ok("web", "ip route add blackhole 10.77.0.0/16");
    let foreign = of(&world).foreign_routing;
    assert_eq!(foreign.rules, [rule("10.3.0.0/16", 77, 33)].into());
    assert_eq!(foreign.routes, [dead_end("10.77.0.0/16", RouteKind::Blackhole)].into());

    // A dead end takes the place of a route to the same place, and gives it back.
    let by_link = route("10.55.0.0/16", "192.168.1.1", None);
    world.set(at("web", "eth0"), LinkSet { add_routes: [by_link.clone()].into(), ..LinkSet::default() });
    let closed = Routing { routes: [dead_end("10.55.0.0/16", RouteKind::Unreachable)].into(), ..Routing::default() };
    world.twice(&set(&closed, &Routing::default()));
    assert_eq!(lines(&world, "web", "ip route show 10.55.0.0/16"), ["unreachable 10.55.0.0/16 proto 241"]);
    world.set(at("web", "eth0"), LinkSet { add_routes: [by_link].into(), ..LinkSet::default() });
    assert_eq!(lines(&world, "web", "ip route show 10.55.0.0/16"), ["10.55.0.0/16 via 192.168.1.1 dev eth0 proto 241"]);
    world.op(&set(&Routing::default(), &closed));
    assert_eq!(lines(&world, "web", "ip route show 10.55.0.0/16").len(), 1, "that one is not the one that goes");

    world.twice(&set(&Routing::default(), &wanted));
    assert_eq!(of(&world).routing, of(&world).foreign_routing);
    assert_eq!(lines(&world, "web", "ip -d rule show | grep -c 'proto 241' || true"), ["0"]);
    assert_eq!(lines(&world, "web", "ip rule show | grep -c 'lookup 33'"), ["2"]);
}

#[test]
fn neighbours_outlive_a_new_mac() {
    let mac = |last: u8| Mac::new([2, 0, 0, 0, 0, last]).unwrap();
    let both: BTreeMap<_, _> = [("192.168.1.7".parse().unwrap(), mac(7)), ("fd00:1::7".parse().unwrap(), mac(8))].into();
    let world = lan(Tuning { neighbours: both.clone(), ..Tuning::default() });
    let shown = || lines(&world, "web", "ip -d neigh show nud permanent dev eth0");
    let first = ["192.168.1.7 lladdr 02:00:00:00:00:07 PERMANENT proto 241", "fd00:1::7 lladdr 02:00:00:00:00:08 PERMANENT proto 241"];
    assert_eq!(shown(), first);
    assert_eq!(world.seen("web", "eth0").link.tuning.neighbours, both);
    // A stranger's, and one that is only known for a while.
    world.ok("web", "ip neigh add 192.168.1.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent");
    world.ok("web", "ping -c 1 -W 2 192.168.1.1");
    let seen = world.seen("web", "eth0");
    assert_eq!(seen.foreign_neighbours, [("192.168.1.9".parse().unwrap(), mac(9))].into());
    assert_eq!(seen.link.tuning.neighbours.len(), 3);
    // The kernel forgets them all with a change of the MAC.
    let set = LinkSet { mac: Some(mac(1)), tune: Tune { keep_neighbours: both.clone(), ..Tune::default() }, ..LinkSet::default() };
    world.set(at("web", "eth0"), set);
    let theirs = "192.168.1.9 lladdr 02:00:00:00:00:09 PERMANENT";
    let all = [first[0], theirs, first[1]];
    assert_eq!(shown(), all, "the stranger's, too, and it is still the stranger's");
    // Also with a new address, which is announced by way of the MAC.
    world.set(at("web", "eth0"), LinkSet { add_addresses: super::world::nets(&["192.168.1.101/24"]), ..LinkSet::default() });
    assert_eq!(shown(), all);
    // Another MAC, by hand and back again; then one goes.
    world.ok("web", "ip neigh replace 192.168.1.7 lladdr 02:00:00:00:00:99 dev eth0 nud permanent");
    assert_eq!(world.seen("web", "eth0").link.tuning.neighbours[&"192.168.1.7".parse().unwrap()], mac(0x99));
    world.set(at("web", "eth0"), tune(Tune { neighbours: both.clone(), ..Tune::default() }));
    assert_eq!(shown(), all);
    let gone = Tune { remove_neighbours: ["fd00:1::7".parse().unwrap()].into(), ..Tune::default() };
    world.set(at("web", "eth0"), tune(gone));
    assert_eq!(shown(), all[..2]);
}

/// The names that fly has for the kernel's numbers, held against the files.
#[test]
fn kernel_parameters_are_those_of_the_files() {
    let world = lan(Tuning::default());
    let seen = world.seen("web", "eth0").sysctls;
    let file = |sysctl: &Sysctl| world.run("web", &format!("cat {}", sysctl.path("eth0")));
    assert!(seen.len() > 70, "{seen:?}");
    let mut tried = 0;
    for (sysctl, value) in &seen {
        let (there, text) = file(sysctl);
        if !there {
            // The kernel's number stands for something that this one was built without.
            continue;
        }
        assert_eq!(text.trim(), value.to_string(), "{sysctl}");
        if sysctl.kept().is_some() || sysctl.is_disable_ipv6() {
            continue;
        }
        // Another value than that of any other, as far as the kernel takes it.
        let other = i32::from(*value != 1);
        let set = tune(Tune { sysctls: [(*sysctl, other)].into(), ..Tune::default() });
        match world.try_op(&NetOp::SetLink { at: at("web", "eth0"), set: Box::new(set) }) {
            Ok(()) => {}
            Err(error) => {
                assert!(error.message.contains("does not take this value"), "{error}");
                continue;
            }
        }
        let (_, text) = file(sysctl);
        let now = world.seen("web", "eth0").sysctls;
        assert_eq!(now[sysctl].to_string(), text.trim(), "{sysctl}");
        let moved: Vec<_> = now.iter().filter(|(name, value)| seen.get(name) != Some(value)).map(|(name, _)| *name).collect();
        assert!(moved.contains(sysctl), "{sysctl}: {moved:?}");
        let back = tune(Tune { sysctls: [(*sysctl, *value)].into(), ..Tune::default() });
        let _ = world.try_op(&NetOp::SetLink { at: at("web", "eth0"), set: Box::new(back) });
        tried += 1;
    }
    assert!(tried > 60, "only {tried}");
}

#[test]
fn parameters_come_before_addresses() {
    let sysctls = |values: &[(&str, i32)]| values.iter().map(|(name, value)| (name.parse().unwrap(), *value)).collect::<BTreeMap<_, _>>();
    let world =
        lan(Tuning { sysctls: sysctls(&[("ipv4.rp_filter", 2), ("ipv6.accept_dad", 0), ("ipv4.forwarding", 1)]), ..Tuning::default() });
    let cat = |file: &str| world.ok("web", &format!("cat /proc/sys/net/{file}")).trim().to_owned();
    assert_eq!(
        (cat("ipv4/conf/eth0/rp_filter"), cat("ipv4/conf/eth0/forwarding"), cat("ipv4/conf/lo/forwarding")),
        ("2".into(), "1".into(), "0".into())
    );
    // IPv6 goes, and comes back in the step that gives it an address again.
    let off = LinkSet {
        remove_addresses: super::world::nets(&["fd00:1::100/64"]),
        ..tune(Tune { sysctls: sysctls(&[("ipv6.disable_ipv6", 1)]), ..Tune::default() })
    };
    world.set(at("web", "eth0"), off);
    assert_eq!(world.ok("web", "ip -6 addr show dev eth0"), "");
    let on = LinkSet {
        add_addresses: super::world::nets(&["fd00:1::5/64"]),
        ..tune(Tune { sysctls: sysctls(&[("ipv6.disable_ipv6", 0)]), ..Tune::default() })
    };
    world.set(at("web", "eth0"), on);
    assert!(world.ok("web", "ip -6 addr show dev eth0").contains("fd00:1::5/64"));
    let odd = tune(Tune { sysctls: sysctls(&[("ipv6.addr_gen_mode", 99)]), ..Tune::default() });
    let error = world.try_op(&NetOp::SetLink { at: at("web", "eth0"), set: Box::new(odd) }).unwrap_err();
    assert_eq!(error.to_string(), "set ipv6.addr_gen_mode of web:eth0 to 99: the kernel does not take this value (invalid argument)");
}

/// The discipline at the root of a link, as `tc` tells it.
fn root(world: &World, at: &str, link: &str) -> String {
    lines(world, at, &format!("tc qdisc show dev {link}")).first().cloned().unwrap_or_default()
}

#[test]
fn a_rate_is_set_at_both_ends_of_a_card_on_a_bridge() {
    let world = World::new(&["web"]);
    let bridge = of_host("network/back", fly::types::LinkKind::Bridge, &["10.0.0.1/24"]);
    world.op(&NetOp::CreateLink { link: Box::new(bridge.clone()) });
    let mut card = nic("web", "eth0", veth(), &["10.0.0.2/24"]);
    let mut port = of_host("nic/web:eth0", veth(), &[]);
    port.link = Link { master: Some(bridge.at.name.clone()), ..port.link };
    card.link.tuning.traffic = rate("8mbit");
    let make = NetOp::CreateVeth { a: Box::new(card.clone()), b: Box::new(PlacedLink { ..port.clone() }) };
    world.twice(&make);
    let ends = |world: &World| [root(world, "web", "eth0"), root(world, "host", &port.at.name)];
    for end in ends(&world) {
        assert!(end.starts_with("qdisc tbf f1: root") && end.contains("rate 8Mbit"), "{end}");
    }
    let of = |world: &World, at: &str, link: &str| (world.seen(at, link).link.tuning.traffic, world.seen(at, link).foreign_qdisc);
    assert_eq!(of(&world, "web", "eth0"), (rate("8mbit"), None));
    assert_eq!(of(&world, "host", &port.at.name), (rate("8mbit"), None));
    // Live, larger than 32 bits can say, and away.
    for text in ["16mbit", "1kbit", "100gbit"] {
        world.set(at("web", "eth0"), tune(Tune { traffic: Some(rate(text)), ..Tune::default() }));
        assert_eq!(of(&world, "web", "eth0"), (rate(text), None));
    }
    world.ok("host", &format!("tc qdisc del dev {} root", port.at.name));
    assert_eq!(of(&world, "host", &port.at.name), (Traffic::default(), None));
    world.set(at("web", "eth0"), tune(Tune { traffic: Some(rate("1gbit")), ..Tune::default() }));
    assert!(ends(&world).iter().all(|end| end.contains("rate 1Gbit")), "{:?}", ends(&world));
    // Somebody's own, of another kind, also under fly's number; and one that changes fly's own.
    for (made, shown) in
        [("handle 1: htb default 10", "htb 1:"), ("handle f1: htb", "htb f1:"), ("handle 9: tbf rate 3mbit burst 5k latency 9ms", "tbf 9:")]
    {
        world.ok("web", &format!("tc qdisc del dev eth0 root && tc qdisc add dev eth0 root {made}"));
        let now = if made.contains("tbf") { rate("3mbit") } else { Traffic::default() };
        assert_eq!(of(&world, "web", "eth0"), (now, Some(shown.to_owned())));
        world.set(at("web", "eth0"), tune(Tune { traffic: Some(rate("4mbit")), ..Tune::default() }));
        assert_eq!(of(&world, "web", "eth0"), (rate("4mbit"), None), "{made}");
    }
    world.ok("web", "tc qdisc replace dev eth0 root tbf rate 3mbit burst 5k latency 9ms");
    assert_eq!(of(&world, "web", "eth0"), (rate("3mbit"), None));
    world.set(at("web", "eth0"), tune(Tune { traffic: Some(Traffic::default()), ..Tune::default() }));
    for end in ends(&world) {
        assert!(end.starts_with("qdisc noqueue 0:"), "{end}");
    }
    assert_eq!(of(&world, "web", "eth0"), (Traffic::default(), None));
}

#[test]
fn a_macvlan_has_a_rate_for_what_it_sends() {
    let world = lan(Tuning { traffic: rate("8mbit"), ..Tuning::default() });
    assert!(root(&world, "web", "eth0").starts_with("qdisc tbf f1: root"));
    assert_eq!(world.seen("host", "eth1").link.tuning.traffic, Traffic::default(), "the parent is others', too");
    // Also while it is down.
    world.set(at("web", "eth0"), LinkSet { up: Some(false), ..tune(Tune { traffic: Some(rate("9mbit")), ..Tune::default() }) });
    assert_eq!(world.seen("web", "eth0").link.tuning.traffic, rate("9mbit"));
}

/// What the kernel has not is said before, and when it is tried all the same, by the module's name; nothing is left of the asking.
#[test]
fn modules_are_asked_for_in_a_place_of_their_own() {
    let world = lan(Tuning::default());
    let ask = |module: &str| world.block_on(world.kernel.lacking(&[module.to_owned()].into())).unwrap();
    let (there, _) = world
        .run("host", "ip link add tried type veth && tc qdisc add dev tried root netem loss 1%; code=$?; ip link del tried; exit $code");
    let before = (world.ok("host", "tc qdisc show"), world.ok("web", "tc qdisc show"));
    assert_eq!(ask("sch_netem").is_empty(), there);
    assert_eq!(ask("sch_tbf"), BTreeSet::new());
    assert_eq!((world.ok("host", "tc qdisc show"), world.ok("web", "tc qdisc show")), before);
    if !there {
        let lossy = Traffic { loss: Some("1%".parse().unwrap()), ..Traffic::default() };
        let set = tune(Tune { traffic: Some(lossy), ..Tune::default() });
        let error = world.try_op(&NetOp::SetLink { at: LinkRef { ..at("web", "eth0") }, set: Box::new(set) }).unwrap_err();
        assert_eq!(error.kind, NetErrorKind::Unsupported);
        assert!(error.to_string().starts_with("shape the traffic of web:eth0: the kernel has no module `sch_netem`"), "{error}");
    }
}
