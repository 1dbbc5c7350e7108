//! What comes from the file, and what from somebody who changed the world: a plan tells them apart.

use std::collections::BTreeMap;
use std::time::Duration;

use fly::apply::{Options, apply};
use fly::desired::{Context, Desired, resolve};
use fly::fake::World;
use fly::net::LinkSet;
use fly::observe::{observe, processes};
use fly::plan::{Plan, plan};
use fly::types::{ImageDefaults, Limits, Restart};

const FILE: &str = "name: shop
networks: {lan: {subnet: 10.0.0.0/24}}
machines:
  web: {image: debian, memory: 512M, nics: {eth0: {network: lan, ip: 10.0.0.2}, eth1: {network: lan}}}
  db: {image: debian, nics: {eth0: lan}}
";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn desired(text: &str, agent: bool) -> Desired {
    let spec = fly::spec::parse("fly.yml", text, &BTreeMap::new()).unwrap();
    let mut desired = resolve(&spec, &Context { directory: "/srv/shop".into(), ..Context::default() }).unwrap();
    desired.agent = agent.then(|| "this".to_owned());
    desired
}

fn planned(world: &World, desired: &Desired) -> Plan {
    let images = desired.images().into_iter().map(str::to_owned).collect();
    let actual = block_on(observe(&*world.engine(), &*world.net(), &desired.project, images)).unwrap();
    plan(desired, &actual).unwrap()
}

fn up(world: &World, desired: &Desired) {
    let images = desired.images().into_iter().map(str::to_owned).collect();
    let actual = block_on(observe(&*world.engine(), &*world.net(), &desired.project, images)).unwrap();
    let plan = plan(desired, &actual).unwrap();
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let options = Options { parallel: 4, rest: Duration::ZERO };
    let report = block_on(apply(&plan, world.engine(), world.net(), processes(&actual), options, |_| {}, stop));
    assert!(report.is_success(), "{:?}", report.failures().collect::<Vec<_>>());
}

/// What has changed by hand after an `up`, where the file is this by now: resource and fields, or all of it.
fn drift(by_hand: impl Fn(&World), file: &str) -> Vec<String> {
    let world = World::new();
    world.add_image("debian", ImageDefaults::default());
    up(&world, &desired(FILE, true));
    by_hand(&world);
    let plan = planned(&world, &desired(file, true));
    let fields = |it: &fly::diff::Drift| if it.whole { "all".to_owned() } else { it.fields.iter().cloned().collect::<Vec<_>>().join(", ") };
    plan.drift.iter().map(|(addr, drift)| format!("{addr}: {}", fields(drift))).collect()
}

fn less_memory(world: &World) {
    world.drift_limits("shop.web", &Limits::default(), Restart::No);
}

fn smaller_frames(world: &World) {
    world.drift_set_link(Some("shop.web"), "eth0", &LinkSet { mtu: Some(1400), ..LinkSet::default() });
}

#[test]
fn what_the_file_says_as_before_was_changed_by_hand() {
    let nothing = |_: &World| ();
    assert_eq!(drift(nothing, FILE), Vec::<String>::new());
    assert_eq!(drift(less_memory, FILE), ["machine/web: all"]);
    assert_eq!(drift(smaller_frames, FILE), ["nic/web:eth0: all"]);
    assert_eq!(drift(|world| world.drift_delete_link(Some("shop.web"), "eth1"), FILE), ["nic/web:eth1: all"]);
    assert_eq!(drift(|world| world.drift_kill("shop.db"), FILE), ["machine/db: all", "nic/db:eth0: all"]);
    let gone = ["machine/web: all", "nic/web:eth0: all", "nic/web:eth1: all"];
    assert_eq!(drift(|world| world.drift_remove("shop.web"), FILE), gone);
}

#[test]
fn what_the_file_says_now_is_no_drift() {
    let nothing = |_: &World| ();
    for (old, new) in [
        ("512M", "1G"),
        ("10.0.0.2", "10.0.0.3"),
        ("subnet: 10.0.0.0/24", "subnet: 10.0.0.0/24, mtu: 1400"),
        ("image: debian, nics: {eth0: lan}", "image: other, nics: {eth0: lan}"),
        ("  db:", "  new: {image: debian, nics: {eth0: lan}}\n  db:"),
        ("eth0: lan", "eth0: lan, eth7: lan"),
        ("eth1: {network: lan}", "eth1: {network: lan, routes: [{to: 10.30.0.0/16, via: 10.0.0.9}]}"),
        ("  db: {image: debian, nics: {eth0: lan}}\n", ""),
    ] {
        assert!(FILE.contains(old));
        assert_eq!(drift(nothing, &FILE.replace(old, new)), Vec::<String>::new(), "{new}");
    }
}

#[test]
fn both_at_once_are_told_apart() {
    let file = FILE.replace("image: debian, memory: 512M", "image: debian, memory: 512M, cpus: 2");
    assert_eq!(drift(less_memory, &file), ["machine/web: memory"]);
    let file = FILE.replace("ip: 10.0.0.2", "ip: 10.0.0.3, mtu: 1300");
    assert_eq!(drift(smaller_frames, &file), Vec::<String>::new());
    let file = FILE.replace("ip: 10.0.0.2", "ip: 10.0.0.3");
    assert_eq!(drift(less_memory, &file), ["machine/web: memory"]);
}

#[test]
fn without_a_note_nothing_is_claimed() {
    let world = World::new();
    world.add_image("debian", ImageDefaults::default());
    up(&world, &desired(FILE, false));
    less_memory(&world);
    let plan = planned(&world, &desired(FILE, false));
    assert!(!plan.is_empty() && plan.drift.is_empty());
}

/// The note follows the file where something happens, and is never a reason to do something.
#[test]
fn a_note_alone_is_nothing_to_do() {
    let world = World::new();
    world.add_image("debian", ImageDefaults::default());
    up(&world, &desired(FILE, true));
    // The file follows what was done by hand.
    less_memory(&world);
    let file = desired(&FILE.replace("memory: 512M, ", ""), true);
    assert!(planned(&world, &file).is_empty());
}
