//! The host's own card in a machine: moved in, changed in place, given back as it was. One end of a veth stands for the card, the other
//! one is the neighbour's. What becomes of hardware when its machine dies is tested in the virtual machine (`tests/vm/physical.rs`).

use crate::sample::{change, changes, edited};
use crate::support::{Lab, Project};

const FILE: &str = r#"
name: bare
defaults: {image: "fly/busybox:test"}
networks:
  lab: {kind: physical, parent: card, subnet: 10.55.0.0/24}
  back: {subnet: 10.56.0.0/24}
machines:
  a:
    nics:
      eth0: {network: lab, ip: 10.55.0.5, routes: [{to: 10.57.0.0/16, via: 10.55.0.2}]}
      eth1: {network: back, ip: 10.56.0.5}
"#;

/// With a card that has a MAC, an MTU and an alias of its own.
fn start() -> Lab {
    let lab = Lab::start();
    lab.ip(&["link", "add", "card", "address", "00:00:5e:00:53:01", "mtu", "1400", "type", "veth", "peer", "name", "wire"]);
    lab.ip(&["link", "set", "wire", "netns", "neighbour"]);
    lab.neighbour(&["ip", "addr", "add", "10.55.0.2/24", "dev", "wire"]);
    lab.neighbour(&["ip", "link", "set", "wire", "up"]);
    // Its link-local address would come a second later, in the middle of a test.
    lab.machine().ok(&["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/card/disable_ipv6"]);
    lab.ip(&["link", "set", "card", "alias", "rack 3, port 7"]);
    lab.ip(&["link", "set", "card", "up"]);
    lab
}

/// The card as the host has it, or nothing.
fn on_the_host(lab: &Lab) -> Option<serde_json::Value> {
    let shown: serde_json::Value = serde_json::from_str(&lab.ip(&["-j", "link", "show"])).unwrap();
    shown.as_array().unwrap().iter().find(|link| link["ifname"] == "card").cloned()
}

fn is_given_back(lab: &Lab) {
    let card = on_the_host(lab).unwrap_or_else(|| panic!("{}", lab.ip(&["link", "show"])));
    let told = (&card["address"], &card["mtu"], &card["ifalias"]);
    assert_eq!(told, (&"00:00:5e:00:53:01".into(), &1400.into(), &"rack 3, port 7".into()));
    assert!(card["flags"].as_array().unwrap().contains(&"UP".into()), "{card}");
}

fn up(project: &Project<'_>) {
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(project), vec![]);
}

fn card(lab: &Lab) -> String {
    lab.in_machine("bare.a", &["ip", "link", "show", "eth0"])
}

#[test]
fn a_card_of_the_host_goes_into_a_machine_changes_there_and_comes_back() {
    let lab = start();
    let before = lab.canonical();
    let project = lab.project("bare", FILE);
    let plan = project.fly(&["plan"]);
    assert!(plan.stdout.contains("a:eth0 takes card away from the host"), "{plan}");
    assert!(plan.stdout.contains("lab (physical card)"), "{plan}");
    is_given_back(&lab);
    up(&project);
    assert_eq!(on_the_host(&lab), None);
    assert!(card(&lab).contains("00:00:5e:00:53:01") && card(&lab).contains("mtu 1400"), "{}", card(&lab));
    lab.in_machine("bare.a", &["ping", "-c1", "-W5", "10.55.0.2"]);
    assert!(lab.in_machine("bare.a", &["ip", "route"]).contains("10.57.0.0/16 via 10.55.0.2"));
    let nics = project.fly(&["nics"]).success().stdout.clone();
    assert!(nics.lines().any(|line| line.contains("eth0") && line.contains("physical")), "{nics}");
    assert!(project.fly(&["graph"]).success().stdout.contains("physical card"));

    // In place: the machine keeps its process, the card its number.
    let pid = lab.pid_and_start("bare.a");
    let changed = edited(FILE, "ip: 10.55.0.5", "ip: 10.55.0.6, mac: \"02:00:5e:10:00:07\", mtu: 1300");
    project.write("fly.yml", &changed);
    let names = change("machine/a", "update", &["names"]);
    assert_eq!(changes(&project), [names, change("nic/a:eth0", "update", &["mac", "mtu", "ip"])]);
    up(&project);
    lab.neighbour(&["ping", "-c1", "-W5", "10.55.0.6"]);
    assert!(card(&lab).contains("02:00:5e:10:00:07") && card(&lab).contains("mtu 1300"), "{}", card(&lab));
    // What the file leaves to the card is as it was on the host, whoever changes it.
    project.write("fly.yml", FILE);
    up(&project);
    assert!(card(&lab).contains("00:00:5e:00:53:01") && card(&lab).contains("mtu 1400"), "{}", card(&lab));
    for (by_hand, field) in [(["address", "02:00:00:00:00:09"], "mac"), (["mtu", "1200"], "mtu"), (["alias", ""], "alias")] {
        lab.in_machine("bare.a", &[&["ip", "link", "set", "eth0"][..], &by_hand].concat());
        assert_eq!(changes(&project), [change("nic/a:eth0", "update", &[field])]);
        up(&project);
    }
    // Its note was taken off, and with it the alias that it had; the rest was still as on the host.
    lab.in_machine("bare.a", &["ip", "link", "set", "eth0", "name", "other"]);
    assert_eq!(changes(&project)[0], change("nic/a:eth0", "update", &["name"]));
    up(&project);

    // Given back live, and taken again.
    project
        .write("fly.yml", &edited(FILE, "      eth0: {network: lab, ip: 10.55.0.5, routes: [{to: 10.57.0.0/16, via: 10.55.0.2}]}\n", ""));
    assert_eq!(changes(&project).last(), Some(&change("nic/a:eth0", "delete", &[])));
    up(&project);
    lab.ip(&["link", "set", "card", "alias", "rack 3, port 7"]);
    is_given_back(&lab);
    project.write("fly.yml", FILE);
    up(&project);
    assert_eq!(lab.pid_and_start("bare.a"), pid);
    lab.in_machine("bare.a", &["ping", "-c1", "-W5", "10.55.0.2"]);
    project.fly(&["down", "--yes"]).success();
    is_given_back(&lab);
    lab.machine().ok(&["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/card/disable_ipv6"]);
    lab.is_as_before(&before);
}

#[test]
fn it_survives_its_machines_replacement_and_goes_from_one_to_another() {
    let lab = start();
    let project = lab.project("bare", FILE);
    up(&project);
    let (pid, _) = lab.pid_and_start("bare.a");
    // Made anew: the veth would have died with the namespace, had it not been given back before.
    let anew = edited(FILE, "    nics:", "    environment: {MODE: other}\n    nics:");
    project.write("fly.yml", &anew);
    up(&project);
    assert_ne!(lab.pid_and_start("bare.a").0, pid);
    lab.in_machine("bare.a", &["ping", "-c1", "-W5", "10.55.0.2"]);
    // Another machine gets it, while the first one is made anew without it.
    let other = "  b: {nics: {port0: {network: lab, ip: 10.55.0.7, up: false}}}\n";
    let moved =
        edited(&(FILE.to_owned() + other), "      eth0: {network: lab, ip: 10.55.0.5, routes: [{to: 10.57.0.0/16, via: 10.55.0.2}]}\n", "");
    project.write("fly.yml", &moved);
    up(&project);
    assert!(lab.in_machine("bare.b", &["ip", "link", "show", "port0"]).contains("00:00:5e:00:53:01"));
    project.write("fly.yml", &edited(&moved, "up: false", "up: true"));
    up(&project);
    lab.in_machine("bare.b", &["ping", "-c1", "-W5", "10.55.0.2"]);
    project.fly(&["down", "--yes"]).success();
    is_given_back(&lab);
}

#[test]
fn what_would_cut_somebody_off_is_refused_and_who_has_it_is_named() {
    let lab = start();
    let project = lab.project("bare", FILE);
    let refused = |words: &str| {
        let plan = project.fly(&["up", "--yes"]);
        assert!(plan.code != 0 && plan.stderr.contains(words), "{words}: {plan}");
    };
    lab.ip(&["addr", "add", "10.55.0.1/24", "dev", "card"]);
    refused("`card` has the address 10.55.0.1/24 of this host: it would be lost with it");
    lab.ip(&["route", "add", "default", "via", "10.55.0.2", "metric", "7000"]);
    refused("`card` is this host's way out (default via 10.55.0.2");
    lab.ip(&["addr", "flush", "dev", "card"]);
    lab.ip(&["link", "add", "br9", "type", "bridge"]);
    lab.ip(&["link", "set", "card", "master", "br9"]);
    refused("`card` is a port of `br9`");
    lab.ip(&["link", "set", "card", "nomaster"]);
    lab.ip(&["link", "add", "mac9", "link", "card", "type", "macvlan", "mode", "bridge"]);
    refused("`card` carries `mac9` (macvlan)");
    lab.ip(&["link", "del", "mac9"]);
    project.write("fly.yml", &edited(FILE, "parent: card", "parent: br9"));
    refused("`br9` is a bridge, which stays where it is");
    project.write("fly.yml", &edited(FILE, "parent: card", "parent: cart"));
    refused("did you mean `card`?");
    project.write("fly.yml", FILE);
    up(&project);

    // Another project wants it, and is told who has it.
    let other = lab.project("other", &edited(FILE, "name: bare", "name: other").replace("10.56.", "10.58."));
    let plan = other.fly(&["up", "--yes"]);
    assert!(plan.code != 0 && plan.stderr.contains("`a:eth0` of project `bare` has it"), "{plan}");
    // Its name is another's by now: nothing is torn down for which there is no place.
    lab.ip(&["link", "add", "card", "type", "bridge"]);
    let down = project.fly(&["down", "--yes"]);
    assert!(down.code == 7 && down.stderr.contains("the host cannot get `card` back"), "{down}");
    lab.in_machine("bare.a", &["ping", "-c1", "-W5", "10.55.0.2"]);
    lab.ip(&["link", "del", "card"]);
    project.fly(&["down", "--yes"]).success();
    is_given_back(&lab);
    other.fly(&["up", "--yes"]).success();
    other.fly(&["down", "--yes"]).success();
    is_given_back(&lab);
}

/// The helper beside the engine does the same.
#[test]
fn a_user_without_rights_has_it_moved_by_the_helper() {
    let lab = start();
    let project = lab.project("bare", FILE);
    let fly = |args: &[&str]| project.command().args(args).by_user().run();
    fly(&["up", "--yes"]).success();
    lab.in_machine("bare.a", &["ping", "-c1", "-W5", "10.55.0.2"]);
    fly(&["down", "--yes"]).success();
    is_given_back(&lab);
}
