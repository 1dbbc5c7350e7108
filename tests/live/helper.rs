//! Without root: a user of the engine's group gets all that root gets, through a helper beside the engine.

use std::os::unix::fs::{PermissionsExt as _, chown};

use crate::support::{FlyCommand, Lab, Project};

/// In the engine's group, and nothing else.
const USER: u32 = 4711;

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

/// Everything that this user's fly writes is his; the engine's socket is his group's.
fn user(lab: &Lab, project: &Project) {
    for folder in [lab.dir().join("user"), project.dir().to_owned()] {
        std::fs::create_dir_all(&folder).unwrap();
        chown(&folder, Some(USER), Some(USER)).unwrap();
    }
    std::fs::set_permissions(lab.dir(), std::fs::Permissions::from_mode(0o755)).unwrap();
    chown(lab.socket(), Some(0), Some(USER)).unwrap();
}

fn by_user(lab: &Lab, project: &Project, args: &[&str]) -> FlyCommand {
    let home = lab.dir().join("user").display().to_string();
    let id = USER.to_string();
    let words = ["setpriv", &format!("--reuid={id}"), &format!("--regid={id}"), "--clear-groups"];
    project.command().by(&words).env("HOME", &home).env("XDG_RUNTIME_DIR", &home).env("XDG_STATE_HOME", &home).args(args)
}

#[test]
fn a_user_of_the_engine_gets_what_root_gets() {
    let lab = Lab::start();
    let project = lab.project("shop", FILE);
    let before = lab.canonical();
    user(&lab, &project);
    let up = by_user(&lab, &project, &["up", "--yes"]).run();
    up.success();
    // The same world, seen by root and by the helper.
    assert!(project.fly(&["plan", "--check"]).success().stdout.contains("nothing to do"));
    assert!(by_user(&lab, &project, &["plan", "--check"]).run().success().stdout.contains("nothing to do"));
    lab.neighbour(&["ping", "-c1", "-W3", "192.168.77.10"]);
    assert!(lab.docker(&["exec", "shop.db", "ping", "-c1", "-W3", "web"]).contains("10.20.0.5"));
    // A change in place, and drift.
    let pid = lab.pid_and_start("shop.web");
    project.write("fly.yml", &FILE.replace("10.20.0.5/24", "10.20.0.7/24"));
    by_user(&lab, &project, &["up", "--yes"]).run().success();
    assert!(lab.in_machine("shop.web", &["ip", "addr", "show", "eth1"]).contains("10.20.0.7/24"));
    assert_eq!(lab.pid_and_start("shop.web"), pid);
    by_user(&lab, &project, &["down", "--yes"]).run().success();
    assert_eq!(lab.canonical(), before);
}
