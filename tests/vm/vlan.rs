//! VLANs of a card: made where they are missing, shared by those who need them, gone with the last of them.

use fly::net::{NetErrorKind, NetOp};
use fly::types::{LINK_GROUP, Link, LinkKind, LinkRef, Manners, Name, Owner, PlacedLink};

use crate::world::{name, plain};
use crate::{lab, world};

fn vlan() -> PlacedLink {
    let kind = LinkKind::Vlan { parent: Some(LinkRef::host("eth1")), id: 42 };
    let link = Link { mtu: None, ..plain(kind, &[]) };
    PlacedLink { at: LinkRef::host("eth1.42"), link, alias: None, manners: Manners::default() }
}

#[test]
fn who_uses_one_is_written_on_it_and_the_last_takes_it_away() {
    let mut world = world(&["neighbour"]);
    world.parent("neighbour");
    let (at, lan) = (LinkRef::host("eth1.42"), name("lan"));
    let used = |network: &Name| NetOp::UseLink { at: at.clone(), network: network.clone(), bridge: None };
    world.twice(&NetOp::CreateLink { link: Box::new(vlan()) });
    world.twice(&used(&lan));
    let shown = world.link("host", "eth1.42");
    assert_eq!((&shown["linkinfo"]["info_kind"], &shown["linkinfo"]["info_data"]["id"]), (&"vlan".into(), &42.into()));
    assert_eq!(shown["group"], LINK_GROUP.to_string());
    assert_eq!(shown["altnames"][0], "fly:shop:lan");
    assert_eq!(world.seen("host", "eth1.42").owner, Owner::Ours);
    world.project = name("blog");
    assert_eq!(world.seen("host", "eth1.42").owner, Owner::Project(name("shop")));
    world.op(&used(&lan));
    // Not while another uses it.
    let refused = world.try_op(&NetOp::DeleteLink { at: at.clone() }).unwrap_err();
    assert_eq!(refused.kind, NetErrorKind::Conflict);
    world.twice(&NetOp::LeaveLink { at: at.clone(), network: lan });
    world.project = name("shop");
    world.twice(&NetOp::DeleteLink { at });
    assert!(world.link("host", "eth1.42").is_null());
}

fn file(project: &str, address: &str) -> String {
    format!(
        r#"
name: {project}
defaults: {{image: "fly/busybox:test"}}
networks:
  lan: {{parent: eth1, vlan: 42, subnet: 10.42.0.0/24}}
machines:
  a: {{nics: {{eth0: {{network: lan, ip: {address}}}}}}}
"#
    )
}

#[test]
fn two_projects_on_one_vlan_and_a_strangers_that_stays() {
    let lab = lab();
    // The neighbour is on that VLAN as well.
    lab.neighbour(&["ip", "link", "add", "eth0.42", "link", "eth0", "type", "vlan", "id", "42"]);
    lab.neighbour(&["ip", "addr", "add", "10.42.0.2/24", "dev", "eth0.42"]);
    lab.neighbour(&["ip", "link", "set", "eth0.42", "up"]);
    let before = lab.canonical();
    let (one, two) = (lab.project("one", &file("one", "10.42.0.11")), lab.project("two", &file("two", "10.42.0.12")));
    one.fly(&["up", "--yes"]).success();
    lab.in_machine("one.a", &["ping", "-c1", "-W5", "10.42.0.2"]);
    two.fly(&["up", "--yes"]).success();
    one.fly(&["down", "--yes"]).success();
    lab.in_machine("two.a", &["ping", "-c1", "-W5", "10.42.0.2"]);
    let plan = two.fly(&["plan", "--check"]);
    assert_eq!(plan.code, 0, "{plan}");
    two.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);

    lab.ip(&["link", "add", "eth1.42", "link", "eth1", "type", "vlan", "id", "42"]);
    // Its link-local address would come a second later, in the middle of the test.
    lab.machine().ok(&["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/eth1.42/disable_ipv6"]);
    lab.ip(&["link", "set", "eth1.42", "up"]);
    let before = lab.canonical();
    one.fly(&["up", "--yes"]).success();
    lab.in_machine("one.a", &["ping", "-c1", "-W5", "10.42.0.2"]);
    one.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);
}
