//! Changing links that are in use.

use std::collections::BTreeSet;

use fly::net::{LinkSet, NetErrorKind, NetOp};
use fly::types::{LinkKind, LinkRef, Mac};

use super::world::{World, at, macvlan, name, nets, nic, of_host, route, texts, veth};

fn lan() -> World {
    let world = World::new(&["web", "neighbour"]);
    world.parent("neighbour");
    let mut eth0 = macvlan("web", "eth0", &["192.168.1.100/24", "fd00:1::100/64"]);
    eth0.link.routes = [route("0.0.0.0/0", "192.168.1.1", None), route("10.9.0.0/16", "192.168.1.1", None)].into();
    world.op(&NetOp::CreateLink { link: Box::new(eth0) });
    world
}

#[test]
fn addresses_change_and_routes_stay() {
    let world = lan();
    let keep: BTreeSet<_> = [route("0.0.0.0/0", "192.168.1.1", None), route("10.9.0.0/16", "192.168.1.1", None)].into();
    // The first address of a subnet takes the others along unless told not to.
    world.set(at("web", "eth0"), LinkSet { add_addresses: nets(&["192.168.1.7/24"]), ..LinkSet::default() });
    world.set(
        at("web", "eth0"),
        LinkSet {
            add_addresses: nets(&["192.168.1.8/24", "fd00:1::8/64"]),
            remove_addresses: nets(&["192.168.1.100/24", "fd00:1::100/64"]),
            keep_routes: keep.clone(),
            ..LinkSet::default()
        },
    );
    assert_eq!(world.addresses("web", "eth0"), texts(&["192.168.1.7/24", "192.168.1.8/24", "fd00:1::8/64"]));
    assert_eq!(world.routes("web", "eth0"), texts(&["default via 192.168.1.1 0", "10.9.0.0/16 via 192.168.1.1 0"]));
    // Only the prefix length changes.
    world.set(
        at("web", "eth0"),
        LinkSet {
            add_addresses: nets(&["192.168.1.8/25", "fd00:1::8/48"]),
            remove_addresses: nets(&["192.168.1.7/24", "192.168.1.8/24", "fd00:1::8/64"]),
            keep_routes: keep,
            ..LinkSet::default()
        },
    );
    assert_eq!(world.addresses("web", "eth0"), texts(&["192.168.1.8/25", "fd00:1::8/48"]));
    assert_eq!(world.routes("web", "eth0"), texts(&["default via 192.168.1.1 0", "10.9.0.0/16 via 192.168.1.1 0"]));
    world.ok("web", "ping -c 1 -W 2 192.168.1.1");
}

#[test]
fn ipv6_comes_to_a_link_where_it_was_disabled() {
    let world = World::new(&["web", "neighbour"]);
    world.parent("neighbour");
    world.ok("web", "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
    world.op(&NetOp::CreateLink { link: Box::new(macvlan("web", "eth0", &["192.168.1.100/24"])) });
    assert_eq!(world.ok("web", "cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6").trim(), "1", "left as it was");
    world.set(at("web", "eth0"), LinkSet { add_addresses: nets(&["fd00:1::5/64"]), ..LinkSet::default() });
    assert_eq!(world.addresses("web", "eth0"), texts(&["192.168.1.100/24", "fd00:1::5/64"]));
    assert!(!world.ok("web", "ip -6 addr show dev eth0").lines().any(|line| line.contains("fd00:1::5") && line.contains("tentative")));
    world.op(&NetOp::CreateLink { link: Box::new(macvlan("web", "eth1", &["fd00:2::5/64"])) });
    assert_eq!(world.addresses("web", "eth1"), texts(&["fd00:2::5/64"]));
}

#[test]
fn routes_are_replaced_in_place() {
    let world = lan();
    world.set(
        at("web", "eth0"),
        LinkSet {
            add_routes: [
                route("0.0.0.0/0", "192.168.1.2", None),
                route("10.9.0.0/16", "192.168.1.3", None),
                route("::/0", "fd00:1::1", None),
            ]
            .into(),
            remove_routes: [route("0.0.0.0/0", "192.168.1.1", None), route("10.9.0.0/16", "192.168.1.1", None)].into(),
            ..LinkSet::default()
        },
    );
    assert_eq!(
        world.routes("web", "eth0"),
        texts(&["default via 192.168.1.2 0", "10.9.0.0/16 via 192.168.1.3 0", "default via fd00:1::1 1024"])
    );
    // Another metric is another route; a route without a gateway goes without taking its twin along.
    world.set(
        at("web", "eth0"),
        LinkSet {
            add_routes: [route("0.0.0.0/0", "192.168.1.1", Some(200)), route("10.9.0.0/16", "", Some(9)), route("::/0", "fd00:1::2", None)]
                .into(),
            remove_routes: [route("::/0", "fd00:1::1", None)].into(),
            ..LinkSet::default()
        },
    );
    world.set(at("web", "eth0"), LinkSet { remove_routes: [route("10.9.0.0/16", "", Some(9))].into(), ..LinkSet::default() });
    let wanted =
        ["default via 192.168.1.2 0", "default via 192.168.1.1 200", "10.9.0.0/16 via 192.168.1.3 0", "default via fd00:1::2 1024"];
    assert_eq!(world.routes("web", "eth0"), texts(&wanted));
    let seen = world.seen("web", "eth0").link.routes;
    assert!(seen.contains(&route("0.0.0.0/0", "192.168.1.1", Some(200))) && seen.contains(&route("::/0", "fd00:1::2", None)), "{seen:?}");
    assert_eq!(seen.len(), 4);
}

#[test]
fn a_default_route_takes_the_place_of_another_links() {
    let world = lan();
    let mut eth1 = macvlan("web", "eth1", &["172.16.0.2/24"]);
    eth1.link.routes = [route("0.0.0.0/0", "172.16.0.1", None)].into();
    world.twice(&NetOp::CreateLink { link: Box::new(eth1) });
    assert_eq!(world.routes("web", "eth0"), texts(&["10.9.0.0/16 via 192.168.1.1 0"]));
    assert_eq!(world.routes("web", "eth1"), texts(&["default via 172.16.0.1 0"]));
}

#[test]
fn name_mac_and_mtu_change_while_another_nic_loses_nothing() {
    let world = lan();
    let port = of_host("nic/web:eth1", veth(), &["10.5.0.254/24"]);
    let inner = nic("web", "eth1", LinkKind::Veth { peer: Some(port.at.clone()) }, &["10.5.0.1/24"]);
    world.op(&NetOp::CreateVeth { a: Box::new(inner), b: Box::new(port.clone()) });
    let pid = world.pid("web");
    let ping = std::thread::spawn(move || {
        let net = format!("--net=/proc/{pid}/ns/net");
        std::process::Command::new("nsenter").args([&net, "ping", "-c", "60", "-i", "0.01", "-W", "1", "192.168.1.1"]).output().unwrap()
    });
    let mac: Mac = "02:00:5e:10:00:01".parse().unwrap();
    let set = LinkSet { name: Some("lan9".into()), mac: Some(mac), mtu: Some(9000), ..LinkSet::default() };
    world.set(at("web", "eth1"), set);
    let shown = world.link("web", "lan9");
    assert_eq!((&shown["address"], &shown["mtu"]), (&mac.to_string().into(), &9000.into()));
    assert_eq!(world.link("host", &port.at.name)["mtu"], 9000, "the host's end takes the same frames");
    assert_eq!(world.addresses("web", "lan9"), texts(&["10.5.0.1/24"]));
    world.set(at("web", "lan9"), LinkSet { mtu: Some(1300), ..LinkSet::default() });
    assert_eq!(world.link("host", &port.at.name)["mtu"], 1300);
    let output = ping.join().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(" 0% packet loss"), "{text}");
}

#[test]
fn down_and_up_again() {
    let world = lan();
    world.set(at("web", "eth0"), LinkSet { up: Some(false), ..LinkSet::default() });
    assert!(!world.seen("web", "eth0").link.up);
    assert_eq!(world.addresses("web", "eth0"), texts(&["192.168.1.100/24", "fd00:1::100/64"]), "addresses stay, also those of IPv6");
    assert_eq!(world.routes("web", "eth0"), texts(&[]), "the kernel forgets routes");
    let keep = [route("0.0.0.0/0", "192.168.1.1", None), route("10.9.0.0/16", "192.168.1.1", None)].into();
    world.set(at("web", "eth0"), LinkSet { up: Some(true), keep_routes: keep, ..LinkSet::default() });
    assert_eq!(world.routes("web", "eth0"), texts(&["default via 192.168.1.1 0", "10.9.0.0/16 via 192.168.1.1 0"]));
    world.ok("web", "ping -c 1 -W 2 192.168.1.1");
}

#[test]
fn plugged_into_another_bridge() {
    let world = World::new(&["web"]);
    let (one, two) = (of_host("network/one", LinkKind::Bridge, &[]), of_host("network/two", LinkKind::Bridge, &[]));
    for bridge in [&one, &two] {
        world.op(&NetOp::CreateLink { link: Box::new(bridge.clone()) });
    }
    let mut port = of_host("nic/web:eth1", veth(), &[]);
    port.link.master = Some(one.at.name.clone());
    world.op(&NetOp::CreateVeth { a: Box::new(nic("web", "eth1", veth(), &[])), b: Box::new(port.clone()) });
    world.set(port.at.clone(), LinkSet { master: Some(two.at.name.clone()), ..LinkSet::default() });
    assert_eq!(world.link("host", &port.at.name)["master"], two.at.name);
}

#[test]
fn the_engines_nic_gets_the_wanted_name() {
    let world = World::new(&["web"]);
    let pid = world.pid("web");
    // As an engine before 28 leaves it: two networks, named in its own order.
    for (bridge, end, nic, address) in [("br-a", "vethA", "eth0", "172.18.0.2/16"), ("br-b", "vethB", "eth1", "172.19.0.2/16")] {
        world.ok("host", &format!("ip link add {bridge} type bridge && ip link set {bridge} up"));
        world.ok("host", &format!("ip link add {end} type veth peer name {nic} netns {pid} && ip link set {end} master {bridge} up"));
        world.ok("web", &format!("ip addr add {address} dev {nic} && ip link set {nic} up"));
    }
    world.ok("web", "ip route add default via 172.18.0.1");
    let adopt = |bridge: &str, name: &str, mtu: Option<u32>, addresses: &[&str]| {
        let mut link = nic("web", name, veth(), addresses);
        link.link.mac = None;
        link.link.mtu = mtu;
        NetOp::AdoptPort { bridge: bridge.into(), link: Box::new(link) }
    };
    // Swapped: the first has to move aside, and its name of old is still known afterwards.
    world.twice(&adopt("br-b", "eth0", Some(1400), &["172.19.0.9/16"]));
    assert_eq!(world.addresses("web", "eth0"), texts(&["172.19.0.2/16", "172.19.0.9/16"]), "the engine's address stays");
    assert_eq!(world.link("web", "eth0")["ifalias"], "fly:shop/web/eth0 engine=eth1");
    assert_eq!((world.link("web", "eth0")["mtu"].as_u64(), world.link("host", "vethB")["mtu"].as_u64()), (Some(1400), Some(1400)));
    world.twice(&adopt("br-a", "eth1", None, &[]));
    assert_eq!(world.link("web", "eth1")["ifalias"], "fly:shop/web/eth1 engine=eth0");
    assert_eq!(world.addresses("web", "eth1"), texts(&["172.18.0.2/16"]));
    assert_eq!(world.routes("web", "eth1"), texts(&[]), "a default route that is not wanted goes");
    assert_eq!(world.seen("web", "eth1").link.kind, LinkKind::Veth { peer: Some(LinkRef::host("vethA")) });
    // Back to the engine's own names, the note goes.
    world.twice(&adopt("br-a", "eth0", None, &[]));
    assert_eq!(world.link("web", "eth0")["ifalias"], "fly:shop/web/eth0");
    let error = world.try_op(&adopt("br-c", "eth0", None, &[])).unwrap_err();
    assert_eq!(error.kind, NetErrorKind::NotFound);
}

#[test]
fn what_is_not_there_cannot_be_changed() {
    let world = World::new(&["web"]);
    let up = LinkSet { up: Some(true), ..LinkSet::default() };
    let error = world.try_op(&NetOp::SetLink { at: at("web", "eth7"), set: Box::new(up.clone()) }).unwrap_err();
    assert_eq!((error.kind, error.to_string().as_str()), (NetErrorKind::NotFound, "change web:eth7: there is no link web:eth7"));
    let nobody = LinkRef::machine(&name("nobody"), "eth0");
    assert_eq!(world.try_op(&NetOp::SetLink { at: nobody, set: Box::new(up) }).unwrap_err().kind, NetErrorKind::Ended);
}
