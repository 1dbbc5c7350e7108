//! Hardware in machines: what the kernel does with it when they die, and that it is found, taken again and given back as it was.
//!
//! The virtual machine has two cards on one wire, in its first namespace. That is where the kernel puts a card whose namespace dies.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fly::net::{Kernel, NetOp};
use fly::types::{Link, LinkKind, LinkRef, Ns, Owner, PlacedLink};
use serde_json::Value;

use crate::support::{Lab, Place, Project, eventually};
use crate::world::{World, name, nic};
use crate::{lab, world};

/// There is one wire, and one test at a time has it.
fn wire() -> MutexGuard<'static, ()> {
    static WIRE: Mutex<()> = Mutex::new(());
    WIRE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of the first namespace.
fn ip(words: &str) -> String {
    Place::outside().ok(&[&["ip"], &words.split(' ').collect::<Vec<_>>()[..]].concat())
}

fn found(link: &str) -> Option<Value> {
    let all: Value = serde_json::from_str(&ip("-j link show")).unwrap();
    all.as_array().unwrap().iter().find(|found| found["ifname"] == link).cloned()
}

/// What stands on a card says which one it is, under a name that the kernel has made up of a number of its choice.
fn made_up() -> String {
    let mut name = String::new();
    eventually("the card in the first namespace", Duration::from_secs(60), || {
        let all: Value = serde_json::from_str(&ip("-j link show")).unwrap();
        let is_it = |link: &&Value| link["ifalias"].as_str().is_some_and(|alias| alias.contains(" host=eth0,"));
        let found = all.as_array().unwrap().iter().find(is_it).and_then(|link| link["ifname"].as_str().map(str::to_owned));
        found.map(|found| name = found).ok_or_else(|| ip("link show"))
    });
    assert!(name.starts_with("dev"), "{name}");
    name
}

/// A namespace dies at its leisure.
fn comes_back(link: &str) -> Value {
    let mut seen = None;
    eventually("the card in the first namespace", Duration::from_secs(60), || {
        seen = found(link);
        if seen.is_some() { Ok(()) } else { Err(ip("link show")) }
    });
    seen.unwrap()
}

fn is_up(link: &Value) -> bool {
    link["flags"].as_array().unwrap().contains(&"UP".into())
}

#[test]
fn hardware_outlives_its_machine_and_is_found_by_what_stands_on_it() {
    let _wire = wire();
    let mut world = world(&["web", "neighbour"]);
    world.kernel = Kernel::in_namespace(Path::new("/proc/1/ns/net")).unwrap();
    ip(&format!("link set eth1 netns {}", world.pid("neighbour")));
    world.ok("neighbour", "ip addr add 10.55.0.2/24 dev eth1 && ip link set eth1 up");
    ip("link set eth0 mtu 1400 alias port-7 up");
    let kind = LinkKind::Physical { device: "eth0".into() };
    let plain = nic("web", "lab0", kind, &["10.55.0.5/24"]);
    let link = Link { mac: Some("02:00:5e:10:00:07".parse().unwrap()), mtu: Some(1300), ..plain.link.clone() };
    let take = NetOp::TakeLink { device: "eth0".into(), link: Box::new(PlacedLink { link, ..plain.clone() }) };
    world.twice(&take);
    assert_eq!(found("eth0"), None);
    world.ok("web", "ping -c1 -W10 10.55.0.2");

    // Killed: the kernel gives it to the first namespace, under the name that it had inside; it says of itself what it was.
    let again = |world: &mut World, back: Option<&str>| {
        world.kill("web");
        let back = &back.map_or_else(made_up, str::to_owned);
        let card = comes_back(back);
        assert_eq!((&card["address"], &card["mtu"]), (&"02:00:5e:10:00:07".into(), &1300.into()), "{card}");
        assert!(!is_up(&card), "{card}");
        world.processes.remove(&name("web"));
        let snapshot = world.observe();
        let seen = &snapshot.namespaces[&Ns::Host].links[back.as_str()];
        assert_eq!((&seen.link.kind, &seen.owner), (&LinkKind::Physical { device: "eth0".into() }, &Owner::Ours));
        world.start("web");
    };
    again(&mut world, Some("lab0"));
    world.twice(&take);
    world.ok("web", "ping -c1 -W10 10.55.0.2");
    assert_eq!(found("lab0"), None);
    // Where that name is taken, under one that the kernel makes up.
    ip("link add lab0 type dummy");
    again(&mut world, None);
    world.twice(&take);
    world.ok("web", "ping -c1 -W10 10.55.0.2");

    // Without a MAC and an MTU in the file it is as it was on the host.
    world.twice(&NetOp::GiveBack { at: LinkRef::machine(&name("web"), "lab0"), device: "eth0".into() });
    let as_it_was = || {
        let card = found("eth0").unwrap_or_else(|| panic!("{}", ip("link show")));
        assert_eq!((&card["address"], &card["mtu"], &card["ifalias"]), (&"52:54:00:00:53:00".into(), &1400.into(), &"port-7".into()));
        assert!(is_up(&card), "{card}");
    };
    as_it_was();
    let link = Link { mac: None, mtu: None, ..plain.link.clone() };
    world.op(&NetOp::TakeLink { device: "eth0".into(), link: Box::new(PlacedLink { link, ..plain }) });
    let inside = world.link("web", "lab0");
    assert_eq!((&inside["address"], &inside["mtu"]), (&"52:54:00:00:53:00".into(), &1400.into()));

    // And from where the kernel has put it.
    world.op(&take);
    world.kill("web");
    let made_up = made_up();
    world.processes.remove(&name("web"));
    world.twice(&NetOp::GiveBack { at: LinkRef::host(made_up), device: "eth0".into() });
    as_it_was();
    ip("link del lab0");
    world.kill("neighbour");
    comes_back("eth1");
    ip("link set eth0 mtu 1500 down");
}

const FILE: &str = r#"
name: bare
defaults: {image: "fly/busybox:test"}
networks: {lab: {kind: physical, parent: card, subnet: 10.55.0.0/24}}
machines:
  a:
    restart: always
    nics: {lab0: {network: lab, ip: 10.55.0.5, mac: "02:00:5e:10:00:07", mtu: 1300}}
"#;

/// The lab is a machine of its own, but its network namespace is not the first one: what the kernel puts there goes on to the lab.
fn handed_on(lab: &Lab, link: &str) {
    comes_back(link);
    ip(&format!("link set {link} netns {}", lab.outer()));
}

fn is_whole(lab: &Lab, project: &Project<'_>, what: &str) {
    eventually(what, Duration::from_secs(120), || {
        let plan = project.command().with_agent().args(&["plan", "--check"]).run();
        if plan.code == 0 { Ok(()) } else { Err(format!("{plan}\n{}", lab.try_docker(&["logs", "fly-agent"]).stderr)) }
    });
    lab.in_machine("bare.a", &["ping", "-c1", "-W10", "10.55.0.2"]);
}

#[test]
fn the_agent_the_next_up_and_the_next_down_find_hardware_that_has_come_back() {
    let _wire = wire();
    let lab = lab();
    for (link, name) in [("eth0", "card"), ("eth1", "wire")] {
        ip(&format!("link set {link} down"));
        ip(&format!("link set {link} name {name} alias port-7 mtu 1400"));
        ip(&format!("link set {name} netns {}", lab.outer()));
    }
    lab.ip(&["link", "set", "wire", "netns", "neighbour"]);
    lab.neighbour(&["ip", "addr", "add", "10.55.0.2/24", "dev", "wire"]);
    lab.neighbour(&["ip", "link", "set", "wire", "up"]);
    let project = lab.project("bare", FILE);
    let plan = project.fly(&["plan"]);
    assert!(plan.stdout.contains("takes card away from the host") && !plan.stdout.contains("no hardware"), "{plan}");
    let fly = |args: &[&str]| project.command().with_agent().args(args).run();
    fly(&["up", "--yes"]).success();
    is_whole(&lab, &project, "the machine after `up`");

    // It crashes and the engine starts it again: the agent gives it its card as soon as that is there.
    let (pid, _) = lab.pid_and_start("bare.a");
    lab.machine().ok(&["kill", "-9", &pid.to_string()]);
    handed_on(&lab, "lab0");
    is_whole(&lab, &project, "the machine after a crash");
    assert_ne!(lab.pid_and_start("bare.a").0, pid);
    assert!(lab.in_machine("bare.a", &["ip", "link", "show", "lab0"]).contains("02:00:5e:10:00:07"));

    // It is killed for good: the next `up` starts it, and finds its card under the name that it had inside.
    lab.docker(&["kill", "bare.a"]);
    handed_on(&lab, "lab0");
    fly(&["up", "--yes"]).success();
    is_whole(&lab, &project, "the machine after the second `up`");

    // And again: the next `down` gives the host its card back, as it was.
    lab.docker(&["kill", "bare.a"]);
    handed_on(&lab, "lab0");
    fly(&["down", "--yes"]).success();
    let shown: Value = serde_json::from_str(&lab.ip(&["-j", "link", "show", "card"])).unwrap();
    let card = &shown[0];
    assert_eq!((&card["address"], &card["mtu"], &card["ifalias"]), (&"52:54:00:00:53:00".into(), &1400.into(), &"port-7".into()));
    assert!(!is_up(card), "{card}");

    drop(lab);
    for (link, name) in [("eth0", "card"), ("eth1", "wire")] {
        comes_back(name);
        ip(&format!("link set {name} name {link} mtu 1500"));
    }
}
