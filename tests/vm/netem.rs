//! Delays, losses and their like, on a kernel that has netem: told by `tc` and by `ping`.

use fly::net::{LinkSet, NetOp, Tune};
use fly::types::{LinkKind, Traffic};

use crate::world::{World, at, nic, of_host, veth};
use crate::{lab, world};

fn traffic(fields: &[(&str, &str)]) -> Traffic {
    let of = |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
    Traffic {
        rate: of("rate").map(|text| text.parse().unwrap()),
        delay: of("delay").map(|text| text.parse().unwrap()),
        jitter: of("jitter").map(|text| text.parse().unwrap()),
        loss: of("loss").map(|text| text.parse().unwrap()),
        duplicate: of("duplicate").map(|text| text.parse().unwrap()),
        corrupt: of("corrupt").map(|text| text.parse().unwrap()),
        reorder: of("reorder").map(|text| text.parse().unwrap()),
    }
}

/// A machine on a bridge of the host's.
fn bridged(tuned: Traffic) -> World {
    let world = world(&["web"]);
    let bridge = of_host("network/back", LinkKind::Bridge, &["10.0.0.1/24"]);
    world.op(&NetOp::CreateLink { link: Box::new(bridge.clone()) });
    let mut card = nic("web", "eth0", veth(), &["10.0.0.2/24"]);
    let mut port = of_host("nic/web:eth0", veth(), &[]);
    port.link.master = Some(bridge.at.name);
    card.link.tuning.traffic = tuned;
    world.twice(&NetOp::CreateVeth { a: Box::new(card), b: Box::new(port) });
    world
}

fn shape(world: &World, tuned: Traffic) {
    world.set(at("web", "eth0"), LinkSet { tune: Tune { traffic: Some(tuned), ..Tune::default() }, ..LinkSet::default() });
}

fn root(world: &World) -> String {
    world.ok("web", "tc qdisc show dev eth0").lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The least round trip of several, in milliseconds.
fn round_trip(world: &World) -> f64 {
    let text = world.ok("web", "ping -c 4 -i 0.2 -W 5 10.0.0.1");
    let least = text.lines().find_map(|line| line.strip_prefix("rtt min/avg/max/mdev = ")).and_then(|rest| rest.split('/').next());
    least.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[test]
fn every_field_is_what_tc_shows_and_what_is_seen() {
    let all: &[(&str, &str)] = &[
        ("rate", "50mbit"),
        ("delay", "30ms"),
        ("jitter", "2ms"),
        ("loss", "0.5%"),
        ("duplicate", "1%"),
        ("corrupt", "2%"),
        ("reorder", "25%"),
    ];
    let world = bridged(traffic(all));
    let shown = root(&world);
    assert!(shown.starts_with("qdisc netem f2: root"), "{shown}");
    for part in ["delay 30ms 2ms", "loss 0.5%", "duplicate 1%", "reorder 25%", "corrupt 2%", "rate 50Mbit", "gap 1"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let seen = |world: &World| (world.seen("web", "eth0").link.tuning.traffic, world.seen("web", "eth0").foreign_qdisc);
    assert_eq!(seen(&world), (traffic(all), None));
    // Each goes alone, the others stay: the kernel keeps what it is not told.
    for (gone, _) in all.iter().filter(|(field, _)| *field != "delay") {
        let rest: Vec<_> = all.iter().filter(|(field, _)| field != gone).copied().collect();
        shape(&world, traffic(&rest));
        assert_eq!(seen(&world), (traffic(&rest), None), "without {gone}");
        shape(&world, traffic(all));
    }
    // To a rate alone, back, and to nothing.
    shape(&world, traffic(&[("rate", "10mbit")]));
    assert!(root(&world).starts_with("qdisc tbf f1: root"), "{}", root(&world));
    shape(&world, traffic(&[("rate", "40gbit"), ("delay", "1ms")]));
    assert_eq!(seen(&world), (traffic(&[("rate", "40gbit"), ("delay", "1ms")]), None));
    // By hand, in fly's place and in its own.
    for by_hand in ["change dev eth0 root netem delay 7ms", "replace dev eth0 root handle 9: netem delay 1ms loss 3%"] {
        world.ok("web", &format!("tc qdisc {by_hand}"));
        assert_ne!(seen(&world), (traffic(&[("delay", "1ms")]), None), "{by_hand}");
        shape(&world, traffic(&[("delay", "1ms")]));
        assert_eq!(seen(&world), (traffic(&[("delay", "1ms")]), None), "{by_hand}");
    }
    shape(&world, Traffic::default());
    assert!(root(&world).starts_with("qdisc noqueue 0:"), "{}", root(&world));
}

#[test]
fn a_delay_is_met_once_each_way() {
    let world = bridged(Traffic::default());
    let before = round_trip(&world);
    shape(&world, traffic(&[("delay", "200ms")]));
    let delayed = round_trip(&world);
    assert!(delayed >= 400.0, "{before} and {delayed}");
    shape(&world, Traffic::default());
    let after = round_trip(&world);
    assert!(after < 400.0, "{after}");
}

#[test]
fn what_is_lost_is_lost() {
    let world = bridged(traffic(&[("loss", "100%")]));
    let (answered, text) = world.run("web", "ping -c 3 -i 0.2 -W 1 10.0.0.1");
    assert!(!answered && text.contains("100% packet loss"), "{text}");
    shape(&world, Traffic::default());
    world.ok("web", "ping -c 1 -W 5 10.0.0.1");
}

#[test]
fn the_module_is_found() {
    let world = world(&[]);
    let asked = ["sch_netem".to_owned(), "sch_tbf".to_owned()].into();
    assert_eq!(world.block_on(fly::net::NetPlane::lacking(&world.kernel, &asked)), Ok(std::collections::BTreeSet::new()));
}

/// The whole program: a cable with a delay, changed while it is in use, and worse for a while.
#[test]
fn a_cable_is_changed_live_and_impaired() {
    const FILE: &str = "name: shop\ndefaults: {image: fly/busybox:test}\nmachines: {a: {nics: {}}, b: {nics: {}}}\nlinks:\n  - {ends: [{nic: 'a:eth5', ip: 10.99.0.1/30}, {nic: 'b:eth5', ip: 10.99.0.2/30}], delay: 20ms}\n";
    let lab = lab();
    let shop = lab.project("shop", FILE);
    shop.fly(&["up", "--yes"]).success();
    let alive = ["shop.a", "shop.b"].map(|name| lab.pid_and_start(name));
    let shown = |machine: &str| lab.in_machine(machine, &["tc", "qdisc", "show", "dev", "eth5"]);
    for machine in ["shop.a", "shop.b"] {
        assert!(shown(machine).contains("netem f2:") && shown(machine).contains("delay 20ms"), "{}", shown(machine));
    }
    shop.write("fly.yml", &FILE.replace("delay: 20ms", "delay: 10ms, loss: 0.1%"));
    shop.fly(&["up"]).success();
    assert!(shown("shop.b").contains("delay 10ms loss 0.1%"), "{}", shown("shop.b"));
    let impaired = shop.fly(&["impair", "a:eth5", "--delay", "300ms", "--loss", "0%", "--for", "1s"]);
    impaired.success();
    assert!(impaired.stderr.contains("a:eth5: delay 300ms\n"), "{impaired}");
    assert!(shown("shop.a").contains("delay 10ms loss 0.1%"), "{}", shown("shop.a"));
    shop.fly(&["plan", "--check"]).expect_code(0);
    assert_eq!(["shop.a", "shop.b"].map(|name| lab.pid_and_start(name)), alive);
}
