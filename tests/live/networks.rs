//! Networks of every kind, as the file makes, changes and drops them.

use std::time::Duration;

use crate::sample::{SHOP, changes, edited};
use crate::support::{Lab, Ping, Project, command, eventually};

/// The neighbour: reached from a nat network by way of the host, behind its address.
const WORLD: &str = "192.168.77.2";

/// A project with these networks, and machines with this image.
fn up<'a>(lab: &'a Lab, networks: &str, machines: &str) -> (Project<'a>, String) {
    let file = format!("name: nets\ndefaults: {{image: 'fly/busybox:test'}}\nnetworks:\n{networks}machines:\n{machines}");
    let project = lab.project("nets", &file);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    (project, file)
}

fn ping(lab: &Lab, from: &str, to: &str) {
    lab.docker(&["exec", &format!("nets.{from}"), "ping", "-c1", "-W2", to]);
}

fn show(lab: &Lab, machine: &str, what: &[&str]) -> String {
    lab.in_machine(&format!("nets.{machine}"), &[&["ip"], what].concat())
}

#[test]
fn a_bridge_of_somebody_elses_is_used_and_stays() {
    let lab = Lab::start();
    lab.ip(&["link", "add", "br0", "type", "bridge"]);
    lab.ip(&["addr", "add", "10.50.0.1/24", "dev", "br0"]);
    // A bridge without a MAC and a port of its own takes those of whoever is plugged in.
    lab.ip(&["link", "set", "br0", "address", "02:00:00:00:00:b0", "up"]);
    lab.ip(&["link", "add", "port0", "type", "veth", "peer", "name", "port1"]);
    lab.ip(&["link", "set", "port0", "master", "br0", "up"]);
    lab.ip(&["link", "set", "port1", "up"]);
    std::thread::sleep(Duration::from_secs(2));
    drop(lab.watch_kernel(&[]).stop());
    let before = lab.canonical();
    let (project, _) = up(
        &lab,
        "  there: {bridge: br0, subnet: 10.50.0.0/24, gateway: 10.50.0.1}\n",
        "  a: {nics: {eth0: there}}\n  b: {nics: {eth0: there}}\n",
    );
    ping(&lab, "a", "b");
    ping(&lab, "a", "10.50.0.1");
    assert!(show(&lab, "a", &["route"]).contains("default via 10.50.0.1 dev eth0"));
    // Somebody's own changes to it are nobody else's business.
    lab.ip(&["addr", "add", "10.50.0.250/24", "dev", "br0"]);
    assert_eq!(changes(&project), vec![]);
    lab.ip(&["addr", "del", "10.50.0.250/24", "dev", "br0"]);
    project.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);
}

#[test]
fn two_projects_on_one_parent_reach_each_other() {
    let lab = Lab::start();
    let before = lab.canonical();
    let file = |name: &str, pool: &str, host: &str| {
        format!(
            "name: {name}\nmachines: {{a: {{image: 'fly/busybox:test', nics: {{eth0: lan}}}}}}\n\
             networks: {{lan: {{parent: eth1, subnet: 192.168.77.0/24, pool: {pool}, host_ip: {host}, gateway: 192.168.77.2}}}}\n"
        )
    };
    let one = lab.project("one", &file("one", "192.168.77.100-192.168.77.109", "192.168.77.98"));
    let two = lab.project("two", &file("two", "192.168.77.110-192.168.77.119", "192.168.77.99"));
    let (first, second) = (one.command().args(&["up", "--yes"]).start(), two.command().args(&["up", "--yes"]).start());
    first.wait().success();
    second.wait().success();
    let address = |name: &str| {
        let text = lab.in_machine(name, &["ip", "-4", "-br", "addr", "show", "eth0"]);
        text.split_whitespace().nth(2).and_then(|it| it.split('/').next()).map_or_else(|| panic!("{text}"), str::to_owned)
    };
    let (a, b) = (address("one.a"), address("two.a"));
    assert!(a.starts_with("192.168.77.10") && b.starts_with("192.168.77.11"), "{a} {b}");
    lab.docker(&["exec", "one.a", "ping", "-c1", "-W2", &b]);
    // The host by its own address on the network, the neighbour by its own, the world by the gateway: in both directions.
    for name in ["one.a", "two.a"] {
        for to in ["192.168.77.98", "192.168.77.99", "192.168.77.2", "203.0.113.1"] {
            lab.docker(&["exec", name, "ping", "-c1", "-W2", to]);
        }
    }
    for to in [&a, &b] {
        lab.machine().ok(&["ping", "-c1", "-W2", to]);
        lab.neighbour(&["ping", "-c1", "-W2", to]);
    }
    one.fly(&["down", "--yes"]).success();
    lab.machine().ok(&["ping", "-c1", "-W2", &b]);
    assert_eq!(changes(&two), vec![]);
    two.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);
}

#[test]
fn ipv6_alone_and_no_subnet_at_all() {
    let lab = Lab::start();
    let before = lab.canonical();
    let (project, _) = up(
        &lab,
        "  six: {subnet: \"fd00:6::/64\", host_ip: \"fd00:6::1\", gateway: \"fd00:6::1\"}\n\
         \x20 lan: {parent: eth1, subnet: \"fd00:77::/64\", pool: \"fd00:77::100-fd00:77::1ff\", gateway: none}\n\
         \x20 bare: {subnet: none}\n",
        "  a: {nics: {eth0: six, eth1: bare, eth2: lan}}\n  b: {nics: {eth0: six, eth1: {network: bare, ip: 10.60.0.2/24}}}\n",
    );
    let a = show(&lab, "a", &["addr"]);
    assert!(a.contains("fd00:6::") && a.contains("fd00:77::1") && !a.contains("inet 10."), "{a}");
    assert!(show(&lab, "a", &["-6", "route"]).contains("default via fd00:6::1 dev eth0"));
    ping(&lab, "a", "b");
    ping(&lab, "a", "fd00:6::1");
    ping(&lab, "a", "fd00:77::2");
    let bare = show(&lab, "a", &["-br", "addr", "show", "eth1"]);
    assert!(bare.contains("UP") && !bare.contains("10."), "{bare}");
    // Without addresses of fly's there is a cable all the same.
    show(&lab, "a", &["addr", "add", "10.60.0.1/24", "dev", "eth1"]);
    ping(&lab, "a", "10.60.0.2");
    project.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);
}

#[test]
fn pools_and_gateways_are_respected() {
    let lab = Lab::start();
    let (project, file) = up(
        &lab,
        "  lan: {parent: eth1, subnet: 192.168.77.0/24, pool: 192.168.77.100-192.168.77.102, gateway: 192.168.77.2}\n\
         \x20 out: {kind: nat, subnet: 10.30.0.0/24, gateway: 10.30.0.254}\n",
        "  a: {nics: {eth0: lan}}\n  b: {nics: {eth0: lan}}\n  c: {nics: {eth0: lan}}\n  e: {nics: {eth0: {network: lan, ip: 192.168.77.50}}}\n  d: {nics: {eth0: out}}\n",
    );
    for machine in ["a", "b", "c"] {
        let text = show(&lab, machine, &["-4", "-br", "addr", "show", "eth0"]);
        assert!(["100/24", "101/24", "102/24"].iter().any(|last| text.contains(&format!("192.168.77.{last}"))), "{text}");
        assert!(show(&lab, machine, &["route"]).contains("default via 192.168.77.2 dev eth0"));
        ping(&lab, machine, "203.0.113.1");
    }
    assert!(show(&lab, "e", &["addr"]).contains("192.168.77.50/24"));
    assert!(show(&lab, "d", &["route"]).contains("default via 10.30.0.254 dev eth0"));
    ping(&lab, "d", WORLD);
    // A fourth finds the pool empty, and nothing is touched.
    project.write("fly.yml", &(file + "  f: {nics: {eth0: lan}}\n"));
    let full = project.fly(&["up", "--yes"]);
    full.expect_code(65);
    assert!(full.stderr.contains("192.168.77.100") && full.stderr.contains("fly.yml:"), "{full}");
}

#[test]
fn inside_an_internal_network_there_is_no_way_out() {
    let lab = Lab::start();
    let before = lab.canonical();
    let (project, file) = up(
        &lab,
        "  in: {kind: nat, subnet: 10.31.0.0/24, internal: true}\n  out: {kind: nat, subnet: 10.30.0.0/24, mtu: 1400}\n",
        "  a: {nics: {eth0: in}}\n  b: {nics: {eth0: in}}\n  c: {nics: {eth0: out}}\n",
    );
    ping(&lab, "a", "b");
    assert_ne!(lab.try_docker(&["exec", "nets.a", "ping", "-c1", "-W1", WORLD]).code, 0);
    assert!(!show(&lab, "a", &["route"]).contains("default"));
    ping(&lab, "c", WORLD);
    assert!(show(&lab, "c", &["link", "show", "eth0"]).contains("mtu 1400"));
    // What the engine fixes of a network makes a new network, not a new machine.
    let pids = ["nets.a", "nets.b", "nets.c"].map(|name| lab.pid_and_start(name));
    project.write("fly.yml", &edited(&file, ", internal: true", ""));
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    ping(&lab, "a", WORLD);
    ping(&lab, "a", "b");
    assert_eq!(["nets.a", "nets.b", "nets.c"].map(|name| lab.pid_and_start(name)), pids);
    project.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);
}

/// Changes the file, with a ping over a card that is not concerned; no machine may lose its process.
fn changed(edits: &[(&str, &str)], look: impl Fn(&Lab)) {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    shop.fly(&["up", "--yes"]).success();
    let pids = ["shop.web", "shop.db", "shop.spare"].map(|name| lab.pid_and_start(name));
    let ping = Ping::start(&lab.lan_neighbour(), "192.168.77.10");
    shop.write("fly.yml", &edits.iter().fold(SHOP.to_owned(), |text, (from, to)| edited(&text, from, to)));
    let output = shop.fly(&["up", "--yes"]);
    output.success();
    assert_eq!(ping.stop().lost, 0, "{output}");
    assert_eq!(["shop.web", "shop.db", "shop.spare"].map(|name| lab.pid_and_start(name)), pids, "{output}");
    assert_eq!(changes(&shop), vec![]);
    look(&lab);
    shop.write("fly.yml", SHOP);
    shop.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&shop), vec![]);
    assert_eq!(["shop.web", "shop.db", "shop.spare"].map(|name| lab.pid_and_start(name)), pids);
}

#[test]
fn another_subnet_of_a_nat_network() {
    changed(&[("subnet: 10.30.0.0/24", "subnet: 10.40.0.0/24")], |lab| {
        assert!(lab.in_machine("shop.web", &["ip", "route"]).contains("default via 10.40.0.1 dev eth2"));
        lab.docker(&["exec", "shop.web", "ping", "-c1", "-W2", WORLD]);
    });
}

#[test]
fn another_mtu_of_every_network() {
    let edits = [("host_ip: 192.168.77.99}", "host_ip: 192.168.77.99, mtu: 1400}"), ("10.30.0.0/24}", "10.30.0.0/24, mtu: 1300}")];
    changed(&edits, |lab| {
        assert!(lab.in_machine("shop.web", &["ip", "link", "show", "eth0"]).contains("mtu 1400"));
        assert!(lab.in_machine("shop.web", &["ip", "link", "show", "eth2"]).contains("mtu 1300"));
    });
}

#[test]
fn another_subnet_of_a_bridge() {
    let edits = [
        ("[10.10.0.0/24, \"fd00:10::/64\"], host_ip: 10.10.0.1", "[10.12.0.0/16], host_ip: 10.12.0.1"),
        ("ip: [10.10.0.50, \"fd00:10::50\"]", "ip: 10.12.7.50"),
    ];
    changed(&edits, |lab| {
        lab.docker(&["exec", "shop.web", "ping", "-c1", "-W2", "10.12.7.50"]);
        lab.docker(&["exec", "shop.db", "ping", "-c1", "-W2", "10.12.0.1"]);
        assert!(!lab.in_machine("shop.spare", &["ip", "addr"]).contains("10.10.0."));
    });
}

#[test]
fn a_bridge_in_place_of_a_nat_network() {
    // Ports need an engine's network, so they go along, which only a new container can.
    let lab = Lab::start();
    let file = edited(SHOP, "    ports: [\"8080:80\"]\n", "");
    let shop = lab.project("shop", &file);
    shop.fly(&["up", "--yes"]).success();
    let pids = ["shop.web", "shop.db", "shop.spare"].map(|name| lab.pid_and_start(name));
    for to in [
        "{subnet: 10.30.0.0/24, host_ip: 10.30.0.1, gateway: 10.30.0.1}",
        "{parent: eth1, subnet: 192.168.77.0/24, pool: 192.168.77.60-192.168.77.69}",
    ] {
        shop.write("fly.yml", &edited(&file, "{kind: nat, subnet: 10.30.0.0/24}", to));
        shop.fly(&["up", "--yes"]).success();
        assert_eq!(changes(&shop), vec![], "{to}");
        assert_eq!(["shop.web", "shop.db", "shop.spare"].map(|name| lab.pid_and_start(name)), pids);
        assert_eq!(lab.docker(&["network", "ls", "--filter", "name=shop", "--quiet"]), "");
        let route = lab.in_machine("shop.web", &["ip", "route"]);
        assert_eq!(route.contains("default via 10.30.0.1 dev eth2"), to.contains("gateway"), "{route}");
        shop.write("fly.yml", &file);
        shop.fly(&["up", "--yes"]).success();
        assert_eq!(changes(&shop), vec![]);
        assert!(lab.in_machine("shop.web", &["ip", "route"]).contains("default via 10.30.0.1 dev eth2"));
        lab.docker(&["exec", "shop.web", "ping", "-c1", "-W2", WORLD]);
    }
    assert_eq!(["shop.web", "shop.db", "shop.spare"].map(|name| lab.pid_and_start(name)), pids);
}

#[test]
fn flushed_routes_come_back_with_the_way_to_their_gateway() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    shop.fly(&["up", "--yes"]).success();
    // Who has made a route is another's business.
    let routes = || lab.in_machine("shop.web", &["ip", "route"]).replace(" proto 241", "");
    let before = routes();
    lab.in_machine("shop.web", &["ip", "route", "flush", "dev", "eth2"]);
    assert_eq!(changes(&shop), vec![crate::sample::change("nic/web:eth2", "update", &["gateway", "routes"])]);
    shop.fly(&["up", "--yes"]).success();
    assert_eq!(routes(), before);
    assert_eq!(changes(&shop), vec![]);
}

#[test]
fn networks_that_the_file_drops_are_gone() {
    let lab = Lab::start();
    let before = lab.canonical();
    let (project, _) = up(
        &lab,
        "  lan: {parent: eth1, subnet: 192.168.77.0/24, pool: 192.168.77.100-192.168.77.109, host_ip: 192.168.77.99}\n\
         \x20 back: {subnet: 10.10.0.0/24, host_ip: 10.10.0.1}\n  out: {kind: nat, subnet: 10.30.0.0/24}\n",
        "  a: {nics: {eth0: lan, eth1: back, eth2: out}}\n",
    );
    let pid = lab.pid_and_start("nets.a");
    project.write("fly.yml", "name: nets\nmachines: {a: {image: 'fly/busybox:test', nics: {}}}\n");
    project.fly(&["up", "--yes"]).success();
    assert_eq!(lab.pid_and_start("nets.a"), pid);
    assert_eq!(lab.docker(&["exec", "nets.a", "ls", "/sys/class/net"]), "lo\n");
    assert_eq!(changes(&project), vec![]);
    // Apart from the machine the host is as before.
    let part = |text: &str| text.split("== containers").next().unwrap_or_default().to_owned();
    assert_eq!(part(&lab.canonical()), part(&before));
    assert_eq!(lab.docker(&["network", "ls", "--quiet"]).lines().count(), 3);
}

#[test]
fn ports_lead_from_the_lan_to_the_machine() {
    let lab = Lab::start();
    let serve = "command: [sh, -c, 'mkdir -p /tmp/w && echo hello > /tmp/w/index.html && exec httpd -f -p 80 -h /tmp/w']";
    let (project, file) = up(
        &lab,
        "  out: {kind: nat, subnet: 10.30.0.0/24}\n  back: {subnet: 10.10.0.0/24}\n",
        &format!("  web: {{{serve}, nics: {{eth0: back, eth1: out}}, ports: ['8080:80', '192.168.77.1:8082:80', '127.0.0.1:8083:80']}}\n"),
    );
    let get = |port: &str| lab.lan_neighbour().run(&["curl", "-sS", "-m", "3", &format!("http://192.168.77.1:{port}/")]);
    // The program starts when `up` has done its part.
    let serves = |port: &str| {
        eventually("the page", Duration::from_secs(30), || {
            let page = get(port);
            if page.code == 0 && page.stdout == "hello\n" { Ok(()) } else { Err(page.to_string()) }
        });
    };
    serves("8080");
    serves("8082");
    assert_ne!(get("8083").code, 0);
    assert_eq!(lab.machine().ok(&["curl", "-sS", "-m", "3", "http://127.0.0.1:8083/"]), "hello\n");
    // Another port is another container, and the plan says so.
    let before = lab.pid_and_start("nets.web");
    project.write("fly.yml", &edited(&file, "'8080:80'", "'8080:80', '8090:80'"));
    project.fly(&["plan", "--check"]).expect_code(3);
    project.fly(&["up", "--yes"]).success();
    assert_ne!(lab.pid_and_start("nets.web"), before);
    serves("8090");
    serves("8080");
    assert_eq!(changes(&project), vec![]);
    let ps = project.fly(&["ps"]);
    assert!(ps.success().stdout.contains("8090"), "{ps}");
}

/// The neighbour advertises itself as a router: what the kernel makes of that is the kernel's, and nobody takes it away.
#[test]
fn a_lan_with_router_advertisements() {
    let lab = Lab::start();
    lab.neighbour(&["ip", "addr", "add", "fe80::2/64", "dev", "eth0", "nodad"]);
    let argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--enable-ra", "--pid-file="];
    let argv = [argv.as_slice(), &["--dhcp-range=fd00:77::,ra-only", "--ra-param=eth0,high,4,1800", "--dhcp-leasefile=/dev/null"]].concat();
    let _router = lab.lan_neighbour().running(command(&argv), Duration::from_secs(600));
    let (project, file) = up(
        &lab,
        "  lan: {parent: eth1, subnet: [192.168.77.0/24, \"fd00:77::/64\"], pool: 192.168.77.100-192.168.77.199}\n",
        "  a: {nics: {eth0: {network: lan, ip: [192.168.77.10, \"fd00:77::10\"]}}}\n",
    );
    let way_out = || {
        eventually("the advertised route", Duration::from_secs(20), || {
            let text = show(&lab, "a", &["-6", "route"]);
            if text.contains("default via fe80::2 dev eth0 proto ra") { Ok(()) } else { Err(text) }
        });
    };
    way_out();
    let plan = project.fly(&["plan", "--check"]);
    plan.success();
    let shown = ["a:eth0 also has route default via fe80::2", "a:eth0 also has address fd00:77:"];
    assert!(shown.iter().all(|text| format!("{plan}").contains(text)), "{plan}");
    project.fly(&["up", "--yes"]).success();
    assert!(show(&lab, "a", &["-6", "route"]).contains("default via fe80::2 dev eth0 proto ra"));
    ping(&lab, "a", "2001:db8:77::1");
    // Nor does a change of the card take it away.
    project.write("fly.yml", &edited(&file, "fd00:77::10", "fd00:77::11"));
    project.fly(&["up", "--yes"]).success();
    assert!(show(&lab, "a", &["-6", "route"]).contains("default via fe80::2 dev eth0 proto ra"));
    // The file's own router comes first, and goes again.
    project.write("fly.yml", &edited(&file, "\"fd00:77::10\"]", "\"fd00:77::10\"], gateway: \"fd00:77::2\""));
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    project.write("fly.yml", &file);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    way_out();
    assert_eq!(changes(&project), vec![]);
}

#[test]
fn an_mtu_that_a_macvlan_network_has_no_more() {
    let lab = Lab::start();
    let lan = "  lan: {parent: eth1, mtu: 1400, subnet: 192.168.77.0/24, pool: 192.168.77.100-192.168.77.199, host_ip: 192.168.77.99}\n";
    let (project, file) = up(&lab, lan, "  a: {nics: {eth0: lan}}\n");
    project.write("fly.yml", &edited(&file, "mtu: 1400, ", ""));
    let plan = changes(&project);
    assert_eq!(plan.len(), 2, "{plan:?}");
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    let links = lab.ip(&["-o", "link", "show", "type", "macvlan"]) + &show(&lab, "a", &["-o", "link", "show", "eth0"]);
    assert!(links.matches("mtu 1500").count() == 2, "{links}");
}
