//! Making and removing links: what `ip` shows afterwards, again when done twice, and after being cut short.

use fly::net::{NetErrorKind, NetOp};
use fly::types::{LINK_GROUP, Link, LinkKind, LinkRef, Manners, Owner, PlacedLink};

use super::world::{World, at, macvlan, name, nic, of_host, plain, route, texts, veth};

fn create(link: PlacedLink) -> NetOp {
    NetOp::CreateLink { link: Box::new(link) }
}

fn pair(a: PlacedLink, b: PlacedLink) -> NetOp {
    NetOp::CreateVeth { a: Box::new(a), b: Box::new(b) }
}

#[test]
fn two_machines_on_the_lan_reach_each_other_and_their_gateway() {
    let world = World::new(&["web", "db", "neighbour"]);
    world.parent("neighbour");
    let mut web = macvlan("web", "eth0", &["192.168.1.100/24", "fd00:1::100/64"]);
    web.link.mtu = Some(1400);
    web.link.routes = [route("0.0.0.0/0", "192.168.1.1", None), route("10.9.0.0/16", "192.168.1.1", Some(50))].into();
    world.twice(&create(web.clone()));
    world.twice(&create(macvlan("db", "eth0", &["192.168.1.101/24", "fd00:1::101/64"])));

    let shown = world.link("web", "eth0");
    assert_eq!(shown["linkinfo"]["info_kind"], "macvlan");
    assert_eq!(shown["linkinfo"]["info_data"]["mode"], "bridge");
    assert_eq!(shown["address"], web.link.mac.unwrap().to_string());
    assert_eq!(shown["mtu"], 1400);
    assert_eq!(shown["ifalias"], "fly:shop/web/eth0");
    assert!(shown["flags"].as_array().unwrap().iter().any(|flag| flag == "UP"), "{shown}");
    assert_eq!(world.addresses("web", "eth0"), texts(&["192.168.1.100/24", "fd00:1::100/64"]));
    assert_eq!(world.routes("web", "eth0"), texts(&["default via 192.168.1.1 0", "10.9.0.0/16 via 192.168.1.1 50"]));
    for target in ["192.168.1.101", "192.168.1.1", "fd00:1::101"] {
        world.ok("web", &format!("ping -c 1 -W 2 {target}"));
    }

    let seen = world.seen("web", "eth0");
    assert_eq!(seen.link, web.link);
    assert_eq!(seen.owner, Owner::Ours);
    assert_eq!(seen.connected, super::world::nets(&["192.168.1.0/24", "fd00:1::/64"]));
    world.twice(&NetOp::DeleteLink { at: web.at });
    assert!(world.link("web", "eth0").is_null());
}

#[test]
fn a_name_that_the_host_has_as_well_is_free_in_the_machine() {
    let world = World::new(&["web", "neighbour"]);
    world.parent("neighbour");
    world.ok("host", "ip link add eth0 type bridge");
    world.op(&create(macvlan("web", "eth0", &[])));
    assert_eq!(world.link("web", "eth0")["linkinfo"]["info_kind"], "macvlan");
}

#[test]
fn a_bridge_and_its_ports() {
    let world = World::new(&["web", "db"]);
    let mut bridge = of_host("network/back", LinkKind::Bridge, &["10.10.0.254/24"]);
    bridge.link.mtu = Some(9000);
    world.twice(&create(bridge.clone()));
    let shown = world.link("host", &bridge.at.name);
    assert_eq!(shown["linkinfo"]["info_data"]["stp_state"], 0);
    assert_eq!(shown["linkinfo"]["info_data"]["forward_delay"], 0);
    assert_eq!(shown["address"], bridge.link.mac.unwrap().to_string());
    assert_eq!(shown["group"], LINK_GROUP.to_string());
    assert_eq!(shown["ifalias"], "fly:shop/network/back");
    assert_eq!(world.seen("host", &bridge.at.name).owner, Owner::Ours);

    for (machine, address) in [("web", "10.10.0.1/24"), ("db", "10.10.0.2/24")] {
        let mut port = of_host(&format!("nic/{machine}:eth1"), veth(), &[]);
        port.link = Link { master: Some(bridge.at.name.clone()), mtu: Some(9000), ..port.link };
        let mut inner = nic(machine, "eth1", LinkKind::Veth { peer: Some(port.at.clone()) }, &[address]);
        inner.link.mtu = Some(9000);
        world.twice(&pair(inner.clone(), port.clone()));
        let shown = world.link("host", &port.at.name);
        assert_eq!((&shown["master"], &shown["group"]), (&bridge.at.name.clone().into(), &LINK_GROUP.to_string().into()));
        assert_eq!((&shown["mtu"], &shown["ifalias"]), (&9000.into(), &format!("fly:shop/nic/{machine}:eth1").into()));
        assert_eq!(world.addresses("host", &port.at.name), texts(&[]), "no link-local address on a port");
        assert!(!world.ok("host", &format!("ip -6 addr show dev {}", port.at.name)).contains("fe80"), "no link-local address on a port");
        assert_eq!(world.seen(machine, "eth1").link, inner.link);
        let mut wanted = port.link.clone();
        wanted.kind = LinkKind::Veth { peer: Some(inner.at.clone()) };
        assert_eq!(world.seen("host", &port.at.name).link, wanted);
    }
    world.ok("web", "ping -c 1 -W 2 -s 8900 -M do 10.10.0.254");
    world.twice(&NetOp::DeleteLink { at: bridge.at.clone() });
    assert!(world.link("host", &bridge.at.name).is_null());
}

#[test]
fn a_cable_between_two_machines() {
    let world = World::new(&["web", "db", "other"]);
    // Makes indices and numbers of namespaces differ, so that guessing would go wrong.
    world.ok("other", "ip link add x type veth peer name y");
    let ends = |a: &str, b: &str, n: u8| {
        let end = |one: &str, two: &str, address: String| {
            let mut end = nic(
                one,
                &format!("eth{n}"),
                LinkKind::Veth { peer: Some(at(two, &format!("eth{n}"))) },
                &[&address, &format!("fd00:{n}::{one}/64").replace("web", "1").replace("db", "2").replace("other", "3")],
            );
            end.link.mtu = Some(9000);
            end
        };
        (end(a, b, format!("10.0.{n}.1/30")), end(b, a, format!("10.0.{n}.2/30")))
    };
    for (one, two, n) in [("web", "db", 5), ("db", "other", 6), ("other", "web", 7)] {
        let (mut a, b) = ends(one, two, n);
        a.link.routes =
            [route(&format!("10.{n}.0.0/16"), &format!("10.0.{n}.2"), None), route("fd00:ffff::/32", &format!("fd00:{n}::9"), Some(7))]
                .into();
        world.twice(&pair(a.clone(), b.clone()));
        assert_eq!(world.seen(one, &a.at.name).link, a.link);
        assert_eq!(world.seen(two, &b.at.name).link, b.link);
        world.ok(one, &format!("ping -c 1 -W 2 -s 8900 -M do 10.0.{n}.2"));
        assert!(world.routes(one, &a.at.name).contains(&format!("10.{n}.0.0/16 via 10.0.{n}.2 0")));
    }
    world.ok("web", "ping -c 1 -W 2 fd00:5::2");
}

#[test]
fn what_was_cut_short_is_finished_or_made_anew() {
    let world = World::new(&["web", "db", "neighbour"]);
    world.parent("neighbour");
    // Between the first message and the second: everything but alias, addresses and up.
    let nic0 = macvlan("web", "eth0", &["192.168.1.100/24"]);
    let pid = world.pid("web");
    world.ok("host", &format!("ip link add link eth1 name t0 address {} netns {pid} type macvlan mode bridge", nic0.link.mac.unwrap()));
    world.ok("web", "ip link set t0 name eth0");
    world.twice(&create(nic0.clone()));
    assert_eq!(world.seen("web", "eth0").link, nic0.link);
    assert_eq!(world.link("web", "eth0")["ifalias"], "fly:shop/web/eth0");

    // A pair whose other end is not the one that is wanted.
    let port = of_host("nic/web:eth1", veth(), &[]);
    let mut inner = nic("web", "eth1", LinkKind::Veth { peer: Some(port.at.clone()) }, &["10.1.0.1/24"]);
    inner.link.routes = [route("10.2.0.0/16", "10.1.0.2", None)].into();
    world.ok("host", &format!("ip link add {} group {LINK_GROUP} type veth peer name wrong", port.at.name));
    world.twice(&pair(inner.clone(), port.clone()));
    assert_eq!(world.seen("web", "eth1").link, inner.link);
    assert!(world.link("host", "wrong").is_null());

    // Both ends there, nothing else.
    let (a, b) = (
        nic("web", "eth2", LinkKind::Veth { peer: Some(at("db", "eth2")) }, &["10.3.0.1/30"]),
        nic("db", "eth2", veth(), &["10.3.0.2/30"]),
    );
    world.ok(
        "web",
        &format!(
            "ip link add eth2 address {} type veth peer name eth2 address {} netns {}",
            a.link.mac.unwrap(),
            b.link.mac.unwrap(),
            world.pid("db")
        ),
    );
    world.twice(&pair(a.clone(), b));
    assert_eq!(world.seen("web", "eth2").link, a.link);
    world.ok("web", "ping -c 1 -W 2 10.3.0.2");
}

#[test]
fn strangers_are_left_alone() {
    let world = World::new(&["web"]);
    let bridge = of_host("network/back", LinkKind::Bridge, &[]);
    world.ok("host", &format!("ip link add {} type bridge", bridge.at.name));
    let before = world.ip("host", "link show");
    let conflict = |op: NetOp| assert_eq!(world.try_op(&op).unwrap_err().kind, NetErrorKind::Conflict, "{op}");
    conflict(create(bridge.clone()));
    conflict(NetOp::DeleteLink { at: bridge.at.clone() });
    // What the engine plugged into the machine has neither fly's alias nor its MAC.
    world.ok("host", &format!("ip link add theirs type veth peer name eth0 netns {}", world.pid("web")));
    let port = of_host("nic/web:eth0", veth(), &[]);
    conflict(pair(nic("web", "eth0", veth(), &[]), port));
    assert_eq!(world.seen("host", "theirs").owner, Owner::Stranger);
    assert_eq!(world.seen("host", &bridge.at.name).owner, Owner::Stranger);
    world.ok("web", "ip link del eth0");
    assert_eq!(before, world.ip("host", "link show"));
}

#[test]
fn other_projects_are_told_apart() {
    let world = World::new(&[]);
    let mut bridge = of_host("network/back", LinkKind::Bridge, &[]);
    bridge.alias = Some("fly:blog/network/back".into());
    world.op(&create(bridge.clone()));
    assert_eq!(world.seen("host", &bridge.at.name).owner, Owner::Project(name("blog")));
}

#[test]
fn refusals_are_in_the_kernels_words() {
    let world = World::new(&["web", "neighbour"]);
    let error = world.try_op(&create(macvlan("web", "eth0", &[]))).unwrap_err();
    assert_eq!((error.kind, error.to_string().as_str()), (NetErrorKind::NotFound, "create web:eth0 on eth1: there is no link eth1"));
    world.parent("neighbour");
    let mut small = macvlan("web", "eth0", &[]);
    small.link.mtu = Some(20);
    let error = world.try_op(&create(small)).unwrap_err();
    assert_eq!(error.to_string(), "create web:eth0: mtu less than device minimum (invalid argument)");
    let mut far = macvlan("web", "eth0", &["192.168.1.5/24"]);
    far.link.routes = [route("10.0.0.0/8", "172.16.0.1", None)].into();
    let error = world.try_op(&create(far)).unwrap_err();
    assert_eq!(error.to_string(), "add route 10.0.0.0/8 via 172.16.0.1 to web:eth0: Nexthop has invalid gateway (network is unreachable)");
    // The same MAC a second time on one parent: made, but it cannot be set up.
    let mut twin = macvlan("web", "eth1", &[]);
    twin.link.mac = macvlan("web", "eth0", &[]).link.mac;
    assert_eq!(world.try_op(&create(twin)).unwrap_err().kind, NetErrorKind::Conflict);
    let odd =
        PlacedLink { at: LinkRef::host("x"), link: plain(LinkKind::Other("gre".into()), &[]), alias: None, manners: Manners::default() };
    assert_eq!(world.try_op(&create(odd)).unwrap_err().kind, NetErrorKind::Unsupported);
    for link in ["eth0", "eth1"] {
        world.op(&NetOp::DeleteLink { at: at("web", link) });
    }
    world.ok("host", "ip link add br0 type bridge && ip link set eth1 master br0");
    let error = world.try_op(&create(macvlan("web", "eth9", &[]))).unwrap_err();
    assert_eq!(error.kind, NetErrorKind::Conflict, "{error}");
}
