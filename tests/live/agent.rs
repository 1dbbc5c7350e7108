//! The agent: cards, addresses, routes and names are back without anybody running fly.

use std::time::Duration;

use crate::sample::changes_in;
use crate::support::{Lab, Output, Project, eventually};

const FILE: &str = "name: shop
networks:
  lan: {parent: eth1, subnet: 192.168.77.0/24, host_ip: 192.168.77.99}
  back: {subnet: [10.20.0.0/24, \"fd00:20::/64\"]}
  jumbo: {subnet: 10.30.0.0/24, mtu: 9000}
machines:
  web:
    image: fly/busybox:test
    restart: always
    nics:
      eth0: {network: lan, ip: 192.168.77.10}
      eth1: {network: back, ip: [10.20.0.5/24, \"fd00:20::5/64\"], routes: [{to: 10.99.0.0/16, via: 10.20.0.6}]}
      eth3: {network: jumbo, ip: 10.30.0.5}
  db: {image: fly/busybox:test, restart: always, nics: {eth0: {network: back, ip: 10.20.0.6/24}}, links: [\"web:shopfront\"]}
  out: {image: fly/busybox:test, restart: always}
links: [[\"web:eth5\", \"db:eth5\"]]
";

fn fly(project: &Project<'_>, args: &[&str]) -> Output {
    project.command().with_agent().args(args).run()
}

fn is_whole(lab: &Lab, project: &Project<'_>, what: &str) {
    eventually(what, Duration::from_secs(20), || {
        let plan = fly(project, &["plan", "--format", "json"]);
        let changes = changes_in(&plan);
        if changes.is_empty() { Ok(()) } else { Err(format!("{changes:?}\n{}", lab.try_docker(&["logs", "fly-agent"]).stderr)) }
    });
}

#[test]
fn a_machine_that_starts_again_has_its_cards_and_names() {
    let lab = Lab::start();
    let before = lab.canonical();
    let project = lab.project("shop", FILE);
    let up = fly(&project, &["up", "--yes"]);
    assert!(up.success().stderr.contains("agent"), "{up}");
    assert!(fly(&project, &["plan", "--check"]).success().stdout.contains("nothing to do"));
    let links = lab.in_machine("shop.web", &["ip", "-o", "addr"]);
    let names = lab.docker(&["exec", "shop.db", "cat", "/etc/hosts"]);
    for disturb in [&["restart", "--time=1"][..], &["kill"]] {
        for machine in ["shop.web", "shop.db", "shop.out"] {
            lab.docker(&[disturb, &[machine]].concat());
            if disturb[0] == "kill" {
                lab.docker(&["start", machine]);
            }
            is_whole(&lab, &project, &format!("{machine} after {}", disturb[0]));
        }
    }
    let addresses = |text: &str| text.lines().filter_map(|line| line.split_whitespace().nth(3).map(str::to_owned)).collect::<Vec<_>>();
    let same = |text: &str| {
        let mut all = addresses(text);
        all.retain(|address| !address.starts_with("fe80"));
        all.sort();
        all
    };
    assert_eq!(same(&lab.in_machine("shop.web", &["ip", "-o", "addr"])), same(&links));
    assert_eq!(lab.docker(&["exec", "shop.db", "cat", "/etc/hosts"]).lines().count(), names.lines().count());
    assert!(lab.in_machine("shop.web", &["ip", "link", "show", "eth3"]).contains("mtu 9000"));
    assert!(lab.in_machine("shop.web", &["ip", "route"]).contains("10.99.0.0/16 via 10.20.0.6"));
    lab.docker(&["exec", "shop.db", "ping", "-c1", "-W3", "shopfront"]);
    lab.neighbour(&["ping", "-c1", "-W3", "192.168.77.10"]);
    assert!(lab.docker(&["logs", "fly-agent"]).is_empty() || !lab.try_docker(&["logs", "fly-agent"]).stderr.contains("error"));
    fly(&project, &["down", "--yes"]).success();
    assert_eq!(lab.canonical(), before);
}
