//! Networks that reach beyond the host: a vxlan to another one, a bridge with an uplink; and what is said when they cannot be.

use std::time::Duration;

use crate::sample::{change, changes, edited};
use crate::support::{Lab, Place, Project, eventually};

/// Two hosts, each with an engine of its own, on one wire.
struct TwoHosts {
    one: Lab,
    two: Lab,
}

impl TwoHosts {
    fn start() -> Self {
        let (one, two) = (Lab::start(), Lab::start());
        let namespace = format!("/proc/{}/ns/net", two.outer());
        // From outside: neither lab sees the other's processes.
        let wire = ["link", "add", "wire0", "netns", &one.outer().to_string(), "type", "veth", "peer", "name", "wire0", "netns"];
        Place::outside().ok(&[&["ip"], &wire[..], &[&two.outer().to_string()]].concat());
        assert!(std::path::Path::new(&namespace).exists());
        for (lab, address) in [(&one, "192.0.2.1/24"), (&two, "192.0.2.2/24")] {
            lab.ip(&["addr", "add", address, "dev", "wire0"]);
            lab.ip(&["link", "set", "wire0", "addrgenmode", "none", "up"]);
        }
        for lab in [&one, &two] {
            eventually("a carrier", Duration::from_secs(60), || {
                let shown = lab.ip(&["link", "show", "wire0"]);
                if shown.contains("state UP") && !shown.contains("NO-CARRIER") { Ok(()) } else { Err(shown) }
            });
        }
        Self { one, two }
    }
}

fn far(remote: &str, machine: &str, address: &str) -> String {
    format!(
        r#"
name: far
defaults: {{image: "fly/busybox:test"}}
networks:
  far: {{kind: vxlan, vni: 42, remotes: [{remote}], subnet: 10.20.0.0/24}}
machines:
  {machine}: {{nics: {{eth0: {{network: far, ip: {address}}}}}}}
"#
    )
}

#[test]
fn machines_on_two_hosts_reach_each_other_by_vxlan() {
    let hosts = TwoHosts::start();
    let before = (hosts.one.canonical(), hosts.two.canonical());
    let file = far("192.0.2.2", "a", "10.20.0.1");
    let one = hosts.one.project("far", &file);
    let two = hosts.two.project("far", &far("192.0.2.1", "b", "10.20.0.2"));
    for project in [&one, &two] {
        project.fly(&["up", "--yes"]).success();
        assert_eq!(changes(project), vec![]);
    }
    hosts.one.in_machine("far.a", &["ping", "-c1", "-W5", "10.20.0.2"]);
    // A frame of the card's full size has room in the wire's.
    assert!(hosts.one.in_machine("far.a", &["ip", "link", "show", "eth0"]).contains("mtu 1450 "));
    hosts.one.in_machine("far.a", &["ping", "-c1", "-W5", "-s", "1422", "-M", "do", "10.20.0.2"]);

    // Who gets the frames for everybody is changed in place; the machines keep their processes.
    let pid = hosts.one.pid_and_start("far.a");
    one.write("fly.yml", &edited(&file, "[192.0.2.2]", "[192.0.2.2, 192.0.2.9]"));
    let link = vxlan(&hosts.one);
    one.fly(&["up", "--yes"]).success();
    assert_eq!(remotes(&hosts.one, &link), ["192.0.2.2", "192.0.2.9"]);
    assert_eq!(hosts.one.pid_and_start("far.a"), pid);
    // Somebody takes it away by hand: seen, and put right.
    hosts.one.machine().ok(&["bridge", "fdb", "del", "00:00:00:00:00:00", "dev", &link, "dst", "192.0.2.2"]);
    assert_eq!(changes(&one), [change("network/far", "update", &["remotes"])]);
    one.fly(&["up", "--yes"]).success();
    assert_eq!(remotes(&hosts.one, &link), ["192.0.2.2", "192.0.2.9"]);
    // Also the whole link.
    hosts.one.ip(&["link", "del", &link]);
    assert!(!changes(&one).is_empty());
    one.fly(&["up", "--yes"]).success();
    hosts.one.in_machine("far.a", &["ping", "-c1", "-W5", "10.20.0.2"]);
    assert_eq!(hosts.one.pid_and_start("far.a"), pid);

    one.fly(&["down", "--yes"]).success();
    two.fly(&["down", "--yes"]).success();
    hosts.one.is_as_before(&before.0);
    hosts.two.is_as_before(&before.1);
}

/// The one vxlan that there is.
fn vxlan(lab: &Lab) -> String {
    let shown = lab.ip(&["-j", "link", "show", "type", "vxlan"]);
    let links: serde_json::Value = serde_json::from_str(&shown).unwrap();
    links[0]["ifname"].as_str().unwrap().to_owned()
}

fn remotes(lab: &Lab, link: &str) -> Vec<String> {
    let shown = lab.machine().ok(&["bridge", "fdb", "show", "dev", link]);
    let zero = shown.lines().filter(|line| line.starts_with("00:00:00:00:00:00"));
    let mut all: Vec<String> = zero.filter_map(|line| Some(line.split("dst ").nth(1)?.split(' ').next()?.to_owned())).collect();
    all.sort();
    all
}

#[test]
fn a_number_that_a_stranger_has_is_refused() {
    let lab = Lab::start();
    lab.ip(&["link", "add", "theirs", "type", "vxlan", "id", "42", "dstport", "4789"]);
    let before = lab.canonical();
    let refused = lab.project("far", &far("192.0.2.2", "a", "10.20.0.1")).fly(&["up", "--yes"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("this host has a vxlan 42 on port 4789 already: `theirs` has it"), "{refused}");
    lab.is_as_before(&before);
}

const WAN: &str = r#"
name: wan
defaults: {image: "fly/busybox:test"}
networks:
  wan: {kind: bridge, uplink: eth1, subnet: 192.168.77.0/24, pool: 192.168.77.100-192.168.77.199}
machines:
  a: {nics: {eth0: {network: wan, ip: 192.168.77.101}}}
"#;

/// The lab's card, without its addresses: nobody reaches this host by it.
fn without_addresses(lab: &Lab) {
    lab.ip(&["addr", "flush", "dev", "eth1"]);
}

#[test]
fn an_uplink_joins_a_bridge_and_the_lan_and_is_given_back() {
    let lab = Lab::start();
    // The host lives behind it: refused, and nothing is touched.
    let refused = lab.project("wan", WAN).fly(&["up", "--yes"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("`eth1` has the address 192.168.77.1/24 of this host: as an uplink it would be cut off"), "{refused}");

    without_addresses(&lab);
    let before = lab.canonical();
    let project = lab.project("wan", WAN);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    lab.in_machine("wan.a", &["ping", "-c1", "-W5", "192.168.77.2"]);
    let pid = lab.pid_and_start("wan.a");
    // Pulled out by hand: seen, and put right in place.
    lab.ip(&["link", "set", "eth1", "nomaster"]);
    assert_eq!(changes(&project), [change("network/wan", "update", &["uplink"])]);
    project.fly(&["up", "--yes"]).success();
    lab.in_machine("wan.a", &["ping", "-c1", "-W5", "192.168.77.2"]);
    // Given back when the file does not want it any more, while the machine runs.
    project.write("fly.yml", &edited(WAN, "uplink: eth1, ", ""));
    project.fly(&["up", "--yes"]).success();
    let shown = lab.ip(&["link", "show", "eth1"]);
    assert!(!shown.contains("master") && !shown.contains("altname"), "{shown}");
    assert_eq!(changes(&project), vec![]);
    project.write("fly.yml", WAN);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(lab.pid_and_start("wan.a"), pid);
    project.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);
}

const LAN: &str = r#"
name: modes
defaults: {image: "fly/busybox:test"}
networks:
  lan: {parent: eth1, subnet: 192.168.77.0/24}
machines:
  a: {nics: {eth0: {network: lan, ip: 192.168.77.101}}}
"#;

fn parent_flag(lab: &Lab) -> u64 {
    let shown: serde_json::Value = serde_json::from_str(&lab.ip(&["-d", "-j", "link", "show", "eth1"])).unwrap();
    shown[0]["promiscuity"].as_u64().unwrap()
}

#[test]
fn promiscuous_and_sources_change_in_place_and_go_with_the_last_card() {
    let lab = Lab::start();
    let (before, counted) = (lab.canonical(), parent_flag(&lab));
    let project = lab.project("modes", LAN);
    project.fly(&["up", "--yes"]).success();
    let (pid, plain) = (lab.pid_and_start("modes.a"), parent_flag(&lab));
    let number = || lab.in_machine("modes.a", &["ip", "-o", "link", "show", "eth0"]).split(':').next().unwrap().to_owned();
    let index = number();
    let next = |file: &str, seen: &[&str]| {
        project.write("fly.yml", file);
        assert_eq!(changes(&project), [change("nic/a:eth0", "update", seen)]);
        project.fly(&["up", "--yes"]).success();
        assert_eq!(changes(&project), vec![]);
        // The same card: not made anew.
        assert_eq!(number(), index);
        assert_eq!(lab.pid_and_start("modes.a"), pid);
    };
    next(&edited(LAN, "parent: eth1", "parent: eth1, promiscuous: true"), &["promiscuous"]);
    assert_eq!(parent_flag(&lab), plain + 1);
    let allowed = "parent: eth1, mode: source, sources: [\"02:00:5e:10:00:01\"]";
    next(&edited(LAN, "parent: eth1", allowed), &["mode", "sources", "promiscuous"]);
    assert!(lab.in_machine("modes.a", &["ip", "-d", "link", "show", "eth0"]).contains("02:00:5e:10:00:01"));
    assert_eq!(parent_flag(&lab), plain);
    // By hand.
    lab.in_machine("modes.a", &["ip", "link", "set", "eth0", "type", "macvlan", "macaddr", "flush"]);
    assert_eq!(changes(&project), [change("nic/a:eth0", "update", &["sources"])]);
    project.fly(&["up", "--yes"]).success();
    next(&edited(LAN, "parent: eth1", "parent: eth1, mode: private, promiscuous: true"), &["mode", "promiscuous"]);
    project.fly(&["down", "--yes"]).success();
    assert_eq!(parent_flag(&lab), counted);
    lab.is_as_before(&before);
}

/// What a plan says of a parent that somebody has been at, with the machine running (F19, F20).
#[test]
fn a_parent_that_is_down_gone_or_a_port_is_said_before_anything_is_done() {
    let lab = Lab::start();
    lab.ip(&["link", "add", "card", "type", "veth", "peer", "name", "wire"]);
    lab.ip(&["link", "set", "wire", "up"]);
    lab.ip(&["link", "set", "card", "up"]);
    let file = edited(LAN, "eth1", "card");
    let project = lab.project("modes", &file);
    project.fly(&["up", "--yes"]).success();
    let pid = lab.pid_and_start("modes.a");
    let refused = |words: &str| {
        let plan = project.fly(&["plan"]);
        assert!(plan.code != 0 && plan.stderr.contains(words), "{words}: {plan}");
    };
    lab.ip(&["link", "set", "card", "down"]);
    refused("`card`, the parent of network `lan`, is down, and the kernel lets nothing on it be up");
    lab.ip(&["link", "set", "card", "up"]);
    project.fly(&["up", "--yes"]).success();
    // Renamed: gone, by the name that the file knows.
    lab.ip(&["link", "set", "card", "name", "other"]);
    refused("network `lan` needs parent `card`, and this host has no such network card");
    lab.ip(&["link", "set", "other", "name", "card"]);
    assert_eq!(changes(&project), vec![]);
    // Deleted, with what hangs on it; and put back as a port of a bridge.
    lab.ip(&["link", "del", "card"]);
    refused("network `lan` needs parent `card`, and this host has no such network card");
    lab.ip(&["link", "add", "card", "type", "veth", "peer", "name", "wire"]);
    lab.ip(&["link", "add", "br9", "type", "bridge"]);
    lab.ip(&["link", "set", "wire", "up"]);
    lab.ip(&["link", "set", "card", "up", "master", "br9"]);
    refused("`card` is a port of bridge `br9`, so it cannot be the parent of macvlan cards");
    lab.ip(&["link", "set", "card", "nomaster"]);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    assert_eq!(lab.pid_and_start("modes.a"), pid);
}

/// Links are made and removed all the time by somebody else, and fly's own meanwhile (F37).
#[test]
fn others_at_work_on_the_same_kernel_do_not_disturb() {
    let lab = Lab::start();
    let before = lab.canonical();
    let churn = "while :; do ip link add x0 type veth peer name x1; ip link del x0; done";
    let busy = lab.machine().running(crate::support::command(&["sh", "-c", churn]), Duration::from_secs(300));
    let project: Project<'_> = lab.project("modes", LAN);
    for _ in 0..5 {
        project.fly(&["up", "--yes"]).success();
        project.fly(&["down", "--yes"]).success();
    }
    busy.kill();
    let _ = lab.machine().run(&["ip", "link", "del", "x0"]);
    lab.is_as_before(&before);
}
