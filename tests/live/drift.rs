//! What somebody changes by hand shows as exactly that field, and the next `up` puts exactly that right.

use crate::sample::{self, change, changes};
use crate::support::{Lab, eventually};

const MACHINES: [&str; 3] = ["shop.web", "shop.db", "shop.spare"];

type Expected<'a> = (&'a str, &'a str, &'a [&'a str]);

/// Lets `by_hand` loose, expects exactly these changes in the plan, puts them right, and checks that nothing else has moved.
fn drifts(by_hand: impl Fn(&Lab), expected: &[Expected<'_>], stays: &[&str]) {
    let lab = Lab::start();
    let shop = sample::running(&lab);
    // A port gets its carrier a moment after the card behind it is up.
    eventually("every carrier", std::time::Duration::from_secs(5), || {
        let links = lab.ip(&["-o", "link"]);
        if links.contains("LOWERLAYERDOWN") { Err(links) } else { Ok(()) }
    });
    let world = settled(&lab);
    let before: Vec<_> = stays.iter().map(|name| lab.pid_and_start(name)).collect();
    by_hand(&lab);
    let expected: Vec<_> = expected.iter().map(|(addr, action, fields)| change(addr, action, fields)).collect();
    // The kernel takes its time to take a namespace apart.
    eventually("the plan", std::time::Duration::from_secs(5), || {
        let found = changes(&shop);
        if found == expected { Ok(()) } else { Err(format!("{found:?}\nexpected {expected:?}\n{}", shop.fly(&["plan"]))) }
    });
    let output = shop.fly(&["up", "--yes"]);
    output.success();
    assert_eq!(changes(&shop), vec![], "{output}");
    let after: Vec<_> = stays.iter().map(|name| lab.pid_and_start(name)).collect();
    assert_eq!(after, before, "{output}");
    if stays.len() == MACHINES.len() {
        eventually("the world as it was", std::time::Duration::from_secs(10), || {
            let now = view(&lab);
            let differs = || similar::TextDiff::from_lines(&world, &now).unified_diff().context_radius(1).to_string();
            if now == world { Ok(()) } else { Err(differs()) }
        });
    }
}

/// The world without what the kernel gets to in its own time: carriers, and the link-local routes that come with them.
fn view(lab: &Lab) -> String {
    let world = lab.canonical();
    let own = |line: &&str| !line.contains(" fe80::") && !line.starts_with("multicast ff00::");
    world.lines().filter(own).collect::<Vec<_>>().join("\n")
}

/// The same when nothing of it moves any more.
fn settled(lab: &Lab) -> String {
    let mut world = view(lab);
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = view(lab);
        if now == world {
            break;
        }
        world = now;
    }
    world
}

#[test]
fn an_address_is_deleted() {
    let by_hand = |lab: &Lab| drop(lab.in_machine("shop.web", &["ip", "addr", "del", "192.168.77.10/24", "dev", "eth0"]));
    drifts(by_hand, &[("nic/web:eth0", "update", &["ip"])], &MACHINES);
}

#[test]
fn an_address_of_the_engines_card_is_deleted() {
    let by_hand = |lab: &Lab| drop(lab.in_machine("shop.web", &["ip", "-4", "addr", "flush", "dev", "eth2"]));
    // The default route goes with the address.
    drifts(by_hand, &[("nic/web:eth2", "update", &["ip", "gateway"])], &MACHINES);
}

#[test]
fn an_ipv6_address_is_deleted() {
    let by_hand = |lab: &Lab| drop(lab.in_machine("shop.spare", &["ip", "addr", "del", "fd00:10::50/64", "dev", "eth1"]));
    drifts(by_hand, &[("nic/spare:eth1", "update", &["ip"])], &MACHINES);
}

#[test]
fn an_mtu_is_set() {
    let by_hand = |lab: &Lab| drop(lab.in_machine("shop.web", &["ip", "link", "set", "eth0", "mtu", "1400"]));
    drifts(by_hand, &[("nic/web:eth0", "update", &["mtu"])], &MACHINES);
}

#[test]
fn a_mac_is_set() {
    let by_hand = |lab: &Lab| drop(lab.in_machine("shop.db", &["ip", "link", "set", "eth0", "address", "02:aa:aa:aa:aa:aa"]));
    drifts(by_hand, &[("nic/db:eth0", "update", &["mac"])], &MACHINES);
}

#[test]
fn a_card_is_set_down() {
    let by_hand = |lab: &Lab| drop(lab.in_machine("shop.db", &["ip", "link", "set", "eth5", "down"]));
    drifts(by_hand, &[("nic/db:eth5", "update", &["up"])], &MACHINES);
}

#[test]
fn a_card_is_renamed() {
    let by_hand = |lab: &Lab| {
        drop(lab.in_machine("shop.db", &["sh", "-c", "ip link set eth0 down && ip link set eth0 name lost && ip link set lost up"]));
    };
    drifts(by_hand, &[("nic/db:eth0", "update", &["name"])], &MACHINES);
}

#[test]
fn a_card_is_deleted() {
    let by_hand = |lab: &Lab| drop(lab.in_machine("shop.web", &["ip", "link", "del", "eth0"]));
    drifts(by_hand, &[("nic/web:eth0", "create", &["network", "ip", "mac", "mtu"])], &MACHINES);
}

#[test]
fn a_cable_is_cut() {
    let by_hand = |lab: &Lab| drop(lab.in_machine("shop.web", &["ip", "link", "del", "eth5"]));
    drifts(
        by_hand,
        &[("link/db:eth5-web:eth5", "create", &["ip of db:eth5", "mac of db:eth5", "ip of web:eth5", "mac of web:eth5", "mtu"])],
        &MACHINES,
    );
}

#[test]
fn a_default_route_is_deleted() {
    let by_hand = |lab: &Lab| drop(lab.in_machine("shop.web", &["ip", "route", "del", "default"]));
    drifts(by_hand, &[("nic/web:eth2", "update", &["gateway"])], &MACHINES);
}

#[test]
fn a_route_of_the_kernels_own_is_deleted() {
    let by_hand = |lab: &Lab| {
        lab.in_machine("shop.web", &["ip", "route", "del", "192.168.77.0/24", "dev", "eth0"]);
        lab.in_machine("shop.spare", &["ip", "-6", "route", "del", "fd00:10::/64", "dev", "eth1"]);
    };
    drifts(by_hand, &[("nic/spare:eth1", "update", &["routes"]), ("nic/web:eth0", "update", &["routes"])], &MACHINES);
}

#[test]
fn limits_are_updated() {
    let by_hand = |lab: &Lab| drop(lab.docker(&["update", "--cpus=1", "--restart=no", "shop.web"]));
    drifts(by_hand, &[("machine/web", "update", &["restart", "cpus"])], &MACHINES);
}

#[test]
fn a_network_is_disconnected() {
    // Engine 20.10 takes the card by the name that it gave it, which is another card's by now: that one is lost as well.
    let by_hand = |lab: &Lab| drop(lab.docker(&["network", "disconnect", "shop.out", "shop.web"]));
    let lab = Lab::start();
    let shop = sample::running(&lab);
    let before = MACHINES.map(|name| lab.pid_and_start(name));
    by_hand(&lab);
    let found = changes(&shop);
    assert!(found.iter().any(|(addr, ..)| addr == "nic/web:eth2"), "{found:?}");
    // It also takes the machine's own name out of its /etc/hosts.
    assert!(found.iter().all(|(addr, ..)| addr.starts_with("nic/web:") || addr == "machine/web"), "{found:?}");
    shop.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&shop), vec![]);
    assert_eq!(MACHINES.map(|name| lab.pid_and_start(name)), before);
    assert!(lab.in_machine("shop.web", &["ip", "route"]).contains("default via 10.30.0.1 dev eth2"));
    lab.neighbour(&["ping", "-c1", "-W2", "192.168.77.10"]);
}

#[test]
fn a_machine_is_stopped() {
    let by_hand = |lab: &Lab| drop(lab.docker(&["stop", "shop.spare"]));
    let cards: &[Expected<'_>] = &[
        ("machine/spare", "update", &["state"]),
        ("nic/spare:eth0", "create", &["network", "ip", "mac", "mtu"]),
        ("nic/spare:eth1", "create", &["network", "ip", "mac", "mtu"]),
    ];
    drifts(by_hand, cards, &["shop.web", "shop.db"]);
}

#[test]
fn a_machine_is_removed() {
    let by_hand = |lab: &Lab| drop(lab.docker(&["rm", "--force", "shop.spare"]));
    let cards: &[Expected<'_>] = &[
        ("machine/spare", "create", &["image"]),
        ("nic/spare:eth0", "create", &["network", "ip", "mac", "mtu"]),
        ("nic/spare:eth1", "create", &["network", "ip", "mac", "mtu"]),
    ];
    drifts(by_hand, cards, &["shop.web", "shop.db"]);
}

#[test]
fn what_somebody_else_adds_stays_and_is_shown() {
    let lab = Lab::start();
    let shop = sample::running(&lab);
    lab.in_machine("shop.db", &["ip", "addr", "add", "10.10.0.250/24", "dev", "eth0"]);
    lab.in_machine("shop.db", &["ip", "route", "add", "10.88.0.0/16", "via", "10.10.0.1"]);
    let plan = shop.fly(&["plan", "--check"]);
    plan.success();
    assert!(plan.stdout.contains("db:eth0 also has address 10.10.0.250/24"), "{plan}");
    assert!(plan.stdout.contains("route 10.88.0.0/16 via 10.10.0.1"), "{plan}");
    shop.fly(&["up"]).success();
    assert!(lab.in_machine("shop.db", &["ip", "addr"]).contains("10.10.0.250/24"));
    assert!(lab.in_machine("shop.db", &["ip", "route"]).contains("10.88.0.0/16"));
}

#[test]
fn a_bridge_is_deleted() {
    let by_hand = |lab: &Lab| {
        let bridges = lab.ip(&["-o", "link", "show", "type", "bridge"]);
        let bridge = bridges
            .lines()
            .filter_map(|line| line.split(": ").nth(1))
            .find(|name| lab.ip(&["addr", "show", name]).contains("10.10.0.1/24"));
        lab.ip(&["link", "del", bridge.expect("fly's bridge has the host's address")]);
    };
    drifts(
        by_hand,
        &[
            ("network/back", "create", &["kind", "subnet", "host_ip", "mtu"]),
            ("nic/db:eth0", "update", &["bridge"]),
            ("nic/spare:eth1", "update", &["bridge"]),
            ("nic/web:eth1", "update", &["bridge"]),
        ],
        &MACHINES,
    );
}

#[test]
fn a_restarted_machine_gets_its_cards_back() {
    let by_hand = |lab: &Lab| drop(lab.docker(&["restart", "shop.web"]));
    let lab = Lab::start();
    let shop = sample::running(&lab);
    by_hand(&lab);
    shop.fly(&["plan", "--check"]).expect_code(2);
    shop.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&shop), vec![]);
    lab.neighbour(&["ping", "-c1", "-W2", "192.168.77.10"]);
    lab.in_machine("shop.web", &["ping", "-c1", "-W2", "10.99.0.2"]);
    lab.docker(&["exec", "shop.web", "ping", "-c1", "-W2", "database"]);
    lab.docker(&["exec", "shop.db", "ping", "-c1", "-W2", "web"]);
}

/// What marks a link of the host's as fly's is put back: nobody is told to delete what works.
#[test]
fn marks_are_set() {
    let name = |lab: &Lab, alias: &str| {
        let all = lab.ip(&["-o", "link"]);
        let line = all.lines().find(|line| line.contains(&format!("alias {alias}")) || line.ends_with(alias));
        let line = line.unwrap_or_else(|| panic!("{alias} in {all}"));
        line.split(": ").nth(1).unwrap().split('@').next().unwrap().to_owned()
    };
    let set = |alias: &'static str, what: &'static [&'static str]| {
        move |lab: &Lab| drop(lab.ip(&[["link", "set", &name(lab, alias)].as_slice(), what].concat()))
    };
    let mac: &[&str] = &["address", "02:aa:aa:aa:aa:aa"];
    drifts(set("fly:shop/back", mac), &[("network/back", "update", &["mac"])], &MACHINES);
    drifts(set("fly:shop/back", &["group", "0"]), &[("network/back", "update", &["group"])], &MACHINES);
    drifts(set("fly:shop/spare/eth1", mac), &[("nic/spare:eth1", "update", &["mac at the host's end"])], &MACHINES);
    drifts(set("fly:shop/spare/eth1", &["group", "7"]), &[("nic/spare:eth1", "update", &["group"])], &MACHINES);
    // Without two of them it may be anybody's; what to do if it is not, stands there.
    let lab = Lab::start();
    let shop = sample::running(&lab);
    for what in [mac, &["group", "0"]] {
        set("fly:shop/back", what)(&lab);
    }
    let refused = shop.fly(&["plan"]);
    refused.expect_code(7);
    let back = refused.stderr.split('`').find(|text| text.starts_with("ip link set ")).unwrap_or_else(|| panic!("{refused}")).to_owned();
    lab.machine().ok(&back.split(' ').collect::<Vec<_>>());
    shop.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&shop), vec![]);
}

/// What was changed by hand is told from what the file changes, with what the engine remembers of it.
#[test]
fn what_was_changed_by_hand_stands_apart_from_the_file() {
    let lab = Lab::start();
    let shop = lab.project("shop", sample::SHOP);
    let fly = |args: &[&str]| shop.command().with_agent().args(args).run();
    fly(&["up", "--yes"]).success();
    lab.docker(&["update", "--memory=32m", "--memory-swap=32m", "shop.web"]);
    lab.docker(&["stop", "--time=0", "shop.db"]);
    lab.in_machine("shop.spare", &["ip", "link", "set", "eth1", "mtu", "1400"]);
    shop.write("fly.yml", &sample::edited(sample::SHOP, "cpus: 1.5", "cpus: 1"));
    let plan = fly(&["plan"]);
    let (file, by_hand) = plan.success().stdout.split_once("Changed outside of fly.yml:").unwrap_or_else(|| panic!("{plan}"));
    assert!(file.contains("cpus: 1.5 -> 1") && !file.contains("memory") && !file.contains("mtu"), "{plan}");
    for part in ["memory: 32M -> 64M", "docker update, 20", "machine/db", "docker stop, 20", "mtu: 1400 -> 1500"] {
        assert!(by_hand.contains(part), "`{part}` is missing:\n{plan}");
    }
    assert!(!by_hand.contains("cpus"), "{plan}");
    fly(&["up", "--yes"]).success();
    assert!(!fly(&["plan"]).success().stdout.contains("outside of"));
    fly(&["down", "--yes"]).success();
}
