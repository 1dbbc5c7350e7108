//! What moves from card to card, and from machine to machine, or is exchanged between two: names, MACs, addresses, routes. At once,
//! in one `up`, while every machine keeps its process and the LAN keeps finding them.

use crate::sample::{changes, edited};
use crate::support::{Lab, Project};

/// Two machines with two cards each on the LAN and on a bridge, and one by the engine.
const FILE: &str = r#"
name: move
defaults: {image: 'fly/busybox:test'}
networks:
  lan: {parent: eth1, subnet: [192.168.77.0/24, "fd00:77::/64"], gateway: 192.168.77.2}
  back: {subnet: 10.10.0.0/24, host_ip: 10.10.0.1}
  out: {kind: nat, subnet: 10.30.0.0/24}
machines:
  a:
    nics:
      eth0: {network: lan, ip: [192.168.77.10, "fd00:77::10"], mac: "02:00:00:00:00:0a"}
      eth1: {network: back, ip: 10.10.0.10, mac: "02:00:00:00:01:0a", routes: [{to: 10.77.0.0/16, via: 10.10.0.9}]}
      eth2: {network: back, ip: 10.10.0.20, routes: [{to: 10.78.0.0/16, via: 10.10.0.9}]}
      eth3: out
  b:
    nics:
      eth0: {network: lan, ip: [192.168.77.11, "fd00:77::11"], mac: "02:00:00:00:00:0b"}
      eth1: {network: back, ip: 10.10.0.11, mac: "02:00:00:00:01:0b"}
"#;

const MACHINES: [&str; 2] = ["move.a", "move.b"];

fn start(lab: &Lab) -> Project<'_> {
    let project = lab.project("move", FILE);
    project.fly(&["up", "--yes"]).success();
    project
}

/// One `up` does it, nothing is left to do, and no process has ended.
#[track_caller]
fn goes(lab: &Lab, project: &Project<'_>, file: &str) {
    let before = MACHINES.map(|name| lab.pid_and_start(name));
    project.write("fly.yml", file);
    let output = project.fly(&["up", "--yes"]);
    output.success();
    assert_eq!(changes(project), vec![], "{output}");
    assert_eq!(MACHINES.map(|name| lab.pid_and_start(name)), before, "{output}");
}

/// The two texts change places.
fn exchanged(file: &str, one: &str, other: &str) -> String {
    edited(&edited(&edited(file, one, "<>"), other, one), "<>", other)
}

/// One answer within three seconds. A question by ARP may get lost on a busy machine, and the kernel asks again after a second; but nobody
/// waits for what the neighbour believes to get old, which takes five seconds and three questions more.
const SOON: [&str; 3] = ["ping", "-c1", "-w3"];

#[track_caller]
fn found(lab: &Lab, addresses: &[&str]) {
    for address in addresses {
        let output = lab.lan_neighbour().run(&[&SOON[..], &[address]].concat());
        assert_eq!(output.code, 0, "{address}: {output}\n{}", lab.neighbour(&["ip", "neigh"]));
    }
}

#[test]
fn macs() {
    let lab = Lab::start();
    let project = start(&lab);
    let lan = ["192.168.77.10", "192.168.77.11", "fd00:77::10", "fd00:77::11"];
    found(&lab, &lan);
    let other = exchanged(FILE, "00:00:0a", "00:00:0b");
    for _ in 0..2 {
        goes(&lab, &project, &other);
        found(&lab, &lan);
        goes(&lab, &project, FILE);
        found(&lab, &lan);
    }
    assert!(lab.in_machine("move.a", &["ip", "link", "show", "eth0"]).contains("02:00:00:00:00:0a"));
    // One goes on to the next, in both directions.
    let moved = edited(&edited(FILE, "00:00:0b", "00:00:0c"), "00:00:0a", "00:00:0b");
    goes(&lab, &project, &moved);
    goes(&lab, &project, FILE);
    // Also on a bridge, which learns where they are.
    goes(&lab, &project, &exchanged(FILE, "01:0a", "01:0b"));
    for address in ["10.10.0.10", "10.10.0.11"] {
        lab.machine().ok(&[&SOON[..], &[address]].concat());
    }
}

#[test]
fn macs_of_cards_that_come_and_go() {
    let lab = Lab::start();
    let project = start(&lab);
    // From a card that goes to one that stays, and back to one that comes.
    let card = "      eth0: {network: lan, ip: [192.168.77.11, \"fd00:77::11\"], mac: \"02:00:00:00:00:0b\"}\n";
    goes(&lab, &project, &edited(&edited(FILE, card, ""), "00:00:0a", "00:00:0b"));
    goes(&lab, &project, FILE);
    // From one that stays to that of a machine that is made anew.
    let anew = edited(&exchanged(FILE, "00:00:0a", "00:00:0b"), "  b:\n", "  b:\n    environment: {MODE: other}\n");
    project.write("fly.yml", &anew);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
}

#[test]
fn addresses() {
    let lab = Lab::start();
    let project = start(&lab);
    let lan = ["192.168.77.10", "192.168.77.11", "fd00:77::10", "fd00:77::11"];
    let other = exchanged(&exchanged(FILE, "[192.168.77.10", "[192.168.77.11"), "::10", "::11");
    for file in [&other, FILE, &other, FILE] {
        found(&lab, &lan);
        goes(&lab, &project, file);
    }
    found(&lab, &lan);
    // An address that is free by now, and one that comes in addition.
    goes(&lab, &project, &edited(&edited(FILE, "[192.168.77.11", "[192.168.77.12"), "[192.168.77.10", "[192.168.77.10, 192.168.77.11"));
    found(&lab, &["192.168.77.11", "192.168.77.12", "192.168.77.10"]);
    // On a bridge, where the host is the neighbour.
    let on_host = || ["10.10.0.10", "10.10.0.11", "10.10.0.20"].map(|ip| lab.machine().ok(&[&SOON[..], &[ip]].concat()));
    goes(&lab, &project, FILE);
    on_host();
    goes(&lab, &project, &exchanged(FILE, "ip: 10.10.0.10", "ip: 10.10.0.11"));
    on_host();
    // And between two cards of one machine.
    goes(&lab, &project, &exchanged(FILE, "ip: 10.10.0.10", "ip: 10.10.0.20"));
}

#[test]
fn routes() {
    let lab = Lab::start();
    let project = start(&lab);
    let route = ", routes: [{to: 10.77.0.0/16, via: 10.10.0.9}]";
    let (without, second) = (edited(FILE, route, ""), "ip: 10.10.0.20, routes: [");
    let moved = edited(&without, second, "ip: 10.10.0.20, routes: [{to: 10.77.0.0/16, via: 10.10.0.9}, ");
    for file in [&moved, FILE, &moved, FILE, &moved, FILE] {
        goes(&lab, &project, file);
    }
    goes(&lab, &project, &exchanged(FILE, "10.77.0.0/16", "10.78.0.0/16"));
    let text = lab.in_machine("move.a", &["ip", "route"]);
    assert!(text.contains("10.77.0.0/16 via 10.10.0.9 dev eth2") && text.contains("10.78.0.0/16 via 10.10.0.9 dev eth1"), "{text}");
    goes(&lab, &project, FILE);
    // The default route, and somebody else's route in the place of ours.
    goes(&lab, &project, &edited(FILE, "ip: 10.10.0.20,", "ip: 10.10.0.20, gateway: 10.10.0.1,"));
    goes(&lab, &project, FILE);
    lab.in_machine("move.a", &["ip", "route", "replace", "10.77.0.0/16", "via", "10.10.0.9", "dev", "eth2"]);
    goes(&lab, &project, FILE);
}

/// By hand, in a machine: `OLD NEW`, one after the other.
fn rename(lab: &Lab, renames: &[(&str, &str)]) {
    for (from, to) in renames {
        lab.in_machine("move.a", &["sh", "-c", &format!("ip link set {from} down && ip link set {from} name {to} && ip link set {to} up")]);
    }
}

#[test]
fn names() {
    let lab = Lab::start();
    let project = start(&lab);
    let links = || {
        lab.in_machine("move.a", &["ip", "-o", "link"]).lines().map(|line| line.split(": ").nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = links();
    let by_hand: &[&[(&str, &str)]] = &[
        &[("eth0", "other"), ("eth1", "eth0")],
        &[("eth0", "tmp"), ("eth1", "eth0")],
        // An exchange, one in a ring, and with the engine's card.
        &[("eth0", "tmp"), ("eth1", "eth0"), ("tmp", "eth1")],
        &[("eth0", "tmp"), ("eth1", "eth0"), ("eth2", "eth1"), ("tmp", "eth2")],
        &[("eth3", "tmp"), ("eth1", "eth3"), ("tmp", "eth1")],
        &[("eth0", "tmp"), ("eth3", "eth0"), ("eth1", "eth3"), ("tmp", "eth1")],
    ];
    for renames in by_hand {
        rename(&lab, renames);
        assert_ne!(changes(&project), vec![], "{renames:?}");
        goes(&lab, &project, FILE);
        assert_eq!(links(), before, "{renames:?}");
        lab.in_machine("move.a", &["ping", "-c1", "-w3", "192.168.77.2"]);
    }
    // In the file: the networks change places, and the cards are made anew.
    goes(&lab, &project, &exchanged(FILE, "eth1: {network: back, ip: 10.10.0.10", "eth2: {network: back, ip: 10.10.0.20"));
    goes(&lab, &project, FILE);
}
