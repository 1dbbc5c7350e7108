//! macvlan in all its modes, and cards that are switched off: what the kernel says of them.

use crate::sample::{change, changes, edited};
use crate::support::{Lab, Project};

const ONE: &str = r#"
name: modes
defaults: {image: "fly/busybox:test"}
networks:
  lan: {parent: eth1, subnet: 192.168.77.0/24, mode: bridge}
machines:
  a: {nics: {eth0: {network: lan, ip: 192.168.77.101}}}
"#;

fn details(lab: &Lab, machine: &str) -> String {
    lab.in_machine(machine, &["ip", "-d", "link", "show", "eth0"])
}

fn up_with<'a>(lab: &'a Lab, mode: &str) -> Project<'a> {
    let project = lab.project("modes", &edited(ONE, "mode: bridge", &format!("mode: {mode}")));
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![], "{mode}");
    project
}

#[test]
fn every_mode_is_the_kernels_and_changes_without_a_restart() {
    let lab = Lab::start();
    let before = lab.canonical();
    let project = up_with(&lab, "bridge");
    let pid = lab.pid_and_start("modes.a");
    for mode in ["private", "vepa", "passthru", "source", "bridge"] {
        project.write("fly.yml", &edited(ONE, "mode: bridge", &format!("mode: {mode}")));
        assert!(!changes(&project).is_empty(), "{mode}");
        project.fly(&["up", "--yes"]).success();
        let shown = details(&lab, "modes.a");
        assert!(shown.contains(&format!("macvlan mode {mode} ")), "{mode}: {shown}");
        assert_eq!(changes(&project), vec![], "{mode}");
        assert_eq!(lab.pid_and_start("modes.a"), pid, "{mode}");
        if mode != "source" {
            lab.neighbour(&["ping", "-c1", "-W2", "192.168.77.101"]);
        }
    }
    project.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);
}

/// Two machines on one parent hear each other in mode `bridge` alone; the LAN hears both.
#[test]
fn private_and_vepa_keep_machines_apart() {
    let lab = Lab::start();
    for (mode, hear_each_other) in [("private", false), ("vepa", false), ("bridge", true)] {
        let file = edited(ONE, "mode: bridge", &format!("mode: {mode}"));
        let project = lab.project("modes", &format!("{file}  b: {{nics: {{eth0: {{network: lan, ip: 192.168.77.102}}}}}}\n"));
        project.fly(&["up", "--yes"]).success();
        assert_eq!(changes(&project), vec![], "{mode}");
        let ping = lab.try_docker(&["exec", "modes.a", "ping", "-c1", "-w3", "192.168.77.102"]);
        assert_eq!(ping.code == 0, hear_each_other, "{mode}: {ping}");
        for address in ["192.168.77.101", "192.168.77.102"] {
            lab.neighbour(&["ping", "-c1", "-w3", address]);
        }
    }
}

/// The parent gives its own MAC away, and has it back afterwards.
#[test]
fn passthru_takes_the_whole_card() {
    let lab = Lab::start();
    let before = lab.canonical();
    let project = up_with(&lab, "passthru");

    let (inside, parent) = (details(&lab, "modes.a"), lab.ip(&["link", "show", "eth1"]));
    assert!(mac_of(&inside).is_some() && mac_of(&inside) == mac_of(&parent), "{inside}{parent}");
    // Another MAC is the parent's, too, as long as the card is there.
    let pid = lab.pid_and_start("modes.a");
    let file = edited(ONE, "mode: bridge", "mode: passthru");
    project.write("fly.yml", &edited(&file, "ip: 192.168.77.101", "ip: 192.168.77.101, mac: \"02:00:5e:10:00:01\""));
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    let parent = lab.ip(&["link", "show", "eth1"]);
    assert!(parent.contains("02:00:5e:10:00:01") && details(&lab, "modes.a").contains("02:00:5e:10:00:01"), "{parent}");
    assert_eq!(lab.pid_and_start("modes.a"), pid);
    lab.docker(&["restart", "modes.a"]);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    assert!(details(&lab, "modes.a").contains("02:00:5e:10:00:01"));
    project.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);
}

fn mac_of(text: &str) -> Option<String> {
    text.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned)
}

/// In mode `source` a card hears whom somebody has let in; who that is, is not fly's.
#[test]
fn source_hears_only_those_who_were_let_in() {
    let lab = Lab::start();
    let project = up_with(&lab, "source");
    let ping = || lab.lan_neighbour().run(&["ping", "-c3", "-W3", "-i0.5", "192.168.77.101"]).code;
    assert_ne!(ping(), 0);
    let neighbour = lab.neighbour(&["ip", "link", "show", "eth0"]);
    let mac = mac_of(&neighbour).unwrap_or_else(|| panic!("{neighbour}"));
    lab.in_machine("modes.a", &["ip", "link", "set", "dev", "eth0", "type", "macvlan", "macaddr", "add", &mac]);
    assert_eq!(ping(), 0);
    assert_eq!(changes(&project), vec![]);
}

/// The kernel refuses a second card beside one in mode passthru: that is said before anything is touched.
#[test]
fn a_parent_that_is_taken_is_refused() {
    let lab = Lab::start();
    let passthru = edited(ONE, "mode: bridge", "mode: passthru");
    let project = lab.project("modes", &format!("{passthru}  b: {{nics: {{eth0: {{network: lan, ip: 192.168.77.102}}}}}}\n"));
    let refused = project.fly(&["up", "--yes"]);
    refused.expect_code(65);
    assert!(refused.stderr.contains("mode `passthru` gives the whole card to one"), "{refused}");
    lab.ip(&["link", "add", "link", "eth1", "name", "theirs", "type", "macvlan", "mode", "bridge"]);
    project.write("fly.yml", &passthru);
    let refused = project.fly(&["up", "--yes"]);
    refused.expect_code(65);
    assert!(refused.stderr.contains("`eth1` carries `theirs`, in mode bridge"), "{refused}");
    assert_eq!(lab.docker(&["ps", "--all", "--quiet"]), "");
    lab.ip(&["link", "delete", "theirs"]);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
}

const OFF: &str = r#"
name: off
defaults: {image: "fly/busybox:test"}
networks:
  lan: {parent: eth1, subnet: 192.168.77.0/24, pool: 192.168.77.100-192.168.77.109}
  back: {subnet: 10.10.0.0/24}
  out: {kind: nat, subnet: 10.30.0.0/24}
machines:
  a:
    nics:
      eth0: {network: lan, up: false}
      eth1: {network: back, up: false}
      eth2: {network: out, up: false}
  b: {}
links:
  - ends: [{nic: "a:eth3", ip: 10.99.0.1/30, up: false}, {nic: "b:eth3", ip: 10.99.0.2/30}]
"#;

#[test]
fn a_card_that_is_off_stays_off_and_is_switched_on_live() {
    let lab = Lab::start();
    let before = lab.canonical();
    let project = lab.project("off", OFF);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    let flags = |nic: &str| {
        let link = lab.in_machine("off.a", &["ip", "-o", "link", "show", nic]);
        link.split(['<', '>']).nth(1).unwrap_or_default().split(',').any(|flag| flag == "UP")
    };
    let nics = ["eth0", "eth1", "eth2", "eth3"];
    assert_eq!(nics.map(flags), [false; 4]);
    let addresses = lab.in_machine("off.a", &["ip", "-4", "-o", "addr"]);
    assert!(nics.iter().all(|nic| addresses.contains(nic)), "{addresses}");

    // Somebody switches them on: exactly that differs, and is put right.
    for nic in nics {
        lab.in_machine("off.a", &["ip", "link", "set", nic, "up"]);
    }
    let found = changes(&project);
    assert_eq!(found, nics.map(|nic| change(&format!("nic/a:{nic}"), "update", &["up"])).to_vec());
    project.fly(&["up", "--yes"]).success();
    assert_eq!((nics.map(flags), changes(&project)), ([false; 4], vec![]));

    // A new namespace, after a restart by hand, has them as the file says.
    lab.docker(&["restart", "off.a"]);
    project.fly(&["up", "--yes"]).success();
    assert_eq!((nics.map(flags), changes(&project)), ([false; 4], vec![]));

    let pid = lab.pid_and_start("off.a");
    project.write("fly.yml", &OFF.replace(", up: false", ""));
    project.fly(&["up", "--yes"]).success();
    assert_eq!((nics.map(flags), changes(&project)), ([true; 4], vec![]));
    assert_eq!(lab.pid_and_start("off.a"), pid);
    lab.docker(&["exec", "off.a", "ping", "-c1", "-W2", "10.99.0.2"]);
    lab.docker(&["exec", "off.a", "ping", "-c1", "-W2", "192.168.77.2"]);
    project.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);
}
