//! ipvlan: in its modes, changed while the machine runs, and what is said of a parent that carries the other kind.

use crate::{lab, world};
use fly::net::{LinkSet, NetOp};
use fly::types::{IpvlanMode, LinkKind, LinkRef, PlacedLink};

use crate::world::nic;

fn ipvlan(mode: IpvlanMode) -> LinkKind {
    LinkKind::Ipvlan { parent: Some(LinkRef::host("eth1")), mode }
}

fn card(machine: &str, address: &str) -> PlacedLink {
    let mut card = nic(machine, "eth0", ipvlan(IpvlanMode::L2), &[address]);
    card.link.mac = None;
    card
}

#[test]
fn cards_of_one_mac_reach_the_lan_and_each_other_in_every_mode() {
    let world = world(&["web", "db", "neighbour"]);
    world.parent("neighbour");
    let web = card("web", "192.168.1.100/24");
    world.twice(&NetOp::CreateLink { link: Box::new(web.clone()) });
    world.twice(&NetOp::CreateLink { link: Box::new(card("db", "192.168.1.101/24")) });
    let shown = world.link("web", "eth0");
    assert_eq!((&shown["linkinfo"]["info_kind"], &shown["linkinfo"]["info_data"]["mode"]), (&"ipvlan".into(), &"l2".into()));
    assert_eq!(world.seen("web", "eth0").link.kind, ipvlan(IpvlanMode::L2));
    for target in ["192.168.1.1", "192.168.1.101"] {
        world.ok("web", &format!("ping -c 1 -W 5 {target}"));
    }
    for (mode, word) in [(IpvlanMode::L3, "l3"), (IpvlanMode::L3s, "l3s"), (IpvlanMode::L2, "l2")] {
        world.set(web.at.clone(), LinkSet { kind: Some(ipvlan(mode)), ..LinkSet::default() });
        // One for all cards of a parent: the kernel has it so.
        assert_eq!(world.link("db", "eth0")["linkinfo"]["info_data"]["mode"], word);
        world.ok("web", "ping -c 1 -W 5 192.168.1.101");
    }
    // An address that comes later needs no MAC to be told of.
    world.set(web.at.clone(), LinkSet { add_addresses: world::nets(&["192.168.1.110/24"]), ..LinkSet::default() });
    world.twice(&NetOp::DeleteLink { at: web.at });
}

const FILE: &str = r#"
name: air
defaults: {image: "fly/busybox:test"}
networks:
  air: {kind: ipvlan, parent: eth1, subnet: 192.168.77.0/24}
machines:
  a: {nics: {eth0: {network: air, ip: 192.168.77.101}}}
"#;

#[test]
fn a_project_on_ipvlan_changes_its_mode_in_place_and_leaves_nothing() {
    let lab = lab();
    let before = lab.canonical();
    let project = lab.project("air", FILE);
    project.fly(&["up", "--yes"]).success();
    lab.in_machine("air.a", &["ping", "-c1", "-W5", "192.168.77.2"]);
    let pid = lab.pid_and_start("air.a");
    project.write("fly.yml", &FILE.replace("kind: ipvlan", "kind: ipvlan, mode: l3"));
    project.fly(&["up", "--yes"]).success();
    assert!(lab.in_machine("air.a", &["ip", "-d", "link", "show", "eth0"]).contains("ipvlan  mode l3 "));
    assert_eq!(lab.pid_and_start("air.a"), pid);
    let plan = project.fly(&["plan", "--check"]);
    assert_eq!(plan.code, 0, "{plan}");
    project.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);
    // A parent carries one kind: said before anything is done.
    lab.ip(&["link", "add", "theirs", "link", "eth1", "type", "macvlan"]);
    let refused = project.fly(&["up", "--yes"]);
    assert!(refused.stderr.contains("`eth1` carries `theirs`, of kind macvlan"), "{refused}");
}
