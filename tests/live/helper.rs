//! Without root: a user of the engine's group gets all that root gets, through a helper beside the engine.

use std::time::Duration;

use crate::support::{FlyCommand, Lab, Project, eventually};

const FILE: &str = "name: shop
networks:
  lan: {parent: eth1, subnet: 192.168.77.0/24, host_ip: 192.168.77.99}
  back: {subnet: [10.20.0.0/24, \"fd00:20::/64\"]}
machines:
  web:
    image: fly/busybox:test
    nics: {eth0: {network: lan, ip: 192.168.77.10}, eth1: {network: back, ip: [10.20.0.5/24, \"fd00:20::5/64\"]}}
  db: {image: fly/busybox:test, nics: {eth0: {network: back, ip: 10.20.0.6/24}}, links: [web]}
  out: {image: fly/busybox:test}
links: [[\"web:eth5\", \"db:eth5\"]]
";

fn by_user(project: &Project, args: &[&str]) -> FlyCommand {
    project.command().by_user().args(args)
}

#[test]
fn a_user_of_the_engine_gets_what_root_gets() {
    let lab = Lab::start();
    let project = lab.project("shop", FILE);
    let before = lab.canonical();
    let up = by_user(&project, &["up", "--yes"]).run();
    up.success();
    // The same world, seen by root and by the helper.
    assert!(project.fly(&["plan", "--check"]).success().stdout.contains("nothing to do"));
    assert!(by_user(&project, &["plan", "--check"]).run().success().stdout.contains("nothing to do"));
    lab.neighbour(&["ping", "-c1", "-W3", "192.168.77.10"]);
    assert!(lab.docker(&["exec", "shop.db", "ping", "-c1", "-W3", "web"]).contains("10.20.0.5"));
    // A change in place, and drift.
    let pid = lab.pid_and_start("shop.web");
    project.write("fly.yml", &FILE.replace("10.20.0.5/24", "10.20.0.7/24"));
    by_user(&project, &["up", "--yes"]).run().success();
    assert!(lab.in_machine("shop.web", &["ip", "addr", "show", "eth1"]).contains("10.20.0.7/24"));
    assert_eq!(lab.pid_and_start("shop.web"), pid);
    by_user(&project, &["down", "--yes"]).run().success();
    lab.is_as_before(&before);
}

#[test]
fn a_user_of_the_engine_sees_packets_and_cards() {
    let lab = Lab::start();
    let project = lab.project("shop", FILE);
    by_user(&project, &["up", "--yes"]).run().success();
    let nics = by_user(&project, &["nics"]).run();
    assert!(nics.success().stdout.contains("192.168.77.10/24"), "{nics}");
    let capture = by_user(&project, &["capture", "web:eth0", "--write", "web.pcapng", "--filter", "icmp", "--count", "4"]).start();
    eventually("the capture", Duration::from_secs(20), || {
        lab.lan_neighbour().run(&["ping", "-c2", "-W1", "192.168.77.10"]);
        if project.dir().join("web.pcapng").exists() { Ok(()) } else { Err("no file".to_owned()) }
    });
    lab.neighbour(&["ping", "-c4", "-W3", "192.168.77.10"]);
    let capture = capture.wait();
    assert!(capture.success().stderr.contains("4 packets"), "{capture}");
    let file = project.dir().join("web.pcapng").display().to_string();
    assert_eq!(lab.machine().ok(&["tcpdump", "-nr", &file]).matches("ICMP echo").count(), 4);
    by_user(&project, &["down", "--yes"]).run().success();
}

/// Killed between the creation of its helper and the start of that, fly cannot take it away.
#[test]
fn a_helper_that_never_started_is_taken_away_by_the_next() {
    let lab = Lab::start();
    let project = lab.project("shop", FILE);
    let before = lab.canonical();
    let left = lab.docker(&["create", "--label=fly.helper=0123456789ab", "fly/busybox:test"]);
    let stranger = lab.docker(&["create", "--label=fly.other=1", "fly/busybox:test"]);
    by_user(&project, &["plan"]).run().success();
    assert!(lab.try_docker(&["inspect", left.trim()]).code == 0, "somebody may be about to start it");
    std::thread::sleep(Duration::from_secs(32));
    by_user(&project, &["plan"]).run().success();
    lab.try_docker(&["inspect", left.trim()]).expect_code(1);
    lab.docker(&["rm", stranger.trim()]);
    lab.is_as_before(&before);
}
