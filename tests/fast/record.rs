//! A world that is written down and read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fly::actual::{Actual, Said};
use fly::desired::{self, Context, Desired};
use fly::fake::World;
use fly::types::{ImageDefaults, Name, Ns};
use fly::{apply, observe, plan, spec};
use tokio::sync::watch;

/// As many machines as `up` makes of `scale`, all on one network.
fn world(scale: usize) -> Actual {
    recorded(scale).0
}

fn recorded(scale: usize) -> (Actual, Desired) {
    let world = World::new();
    world.add_parent("eth1");
    world.add_image("x", ImageDefaults::default());
    let file = format!(
        "name: shop\nnetworks:\n  lan: {{parent: eth1, subnet: 10.0.0.0/16}}\nmachines:\n  \
         web: {{image: x, scale: {scale}, environment: {{PIN: hunter2}}, nics: {{eth0: lan}}}}\n"
    );
    let spec = spec::parse("fly.yml", &file, &BTreeMap::new()).unwrap();
    let desired = desired::resolve(&spec, &Context { directory: "/srv/shop".into(), ..Context::default() }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let actual = runtime.block_on(async {
        let (engine, net) = (world.engine(), world.net());
        let look = || observe::observe(&*engine, &*net, &desired.project, BTreeSet::from(["x".to_owned()]));
        let before = look().await.unwrap();
        let plan = plan::plan(&desired, &before).unwrap();
        let (_go, stop) = watch::channel(false);
        let (engine, net) = (Arc::clone(&engine), Arc::clone(&net));
        let options = apply::Options::default();
        apply::apply(&plan, engine, net, observe::processes(&before), options, |_| (), stop).await;
        look().await.unwrap()
    });
    (actual, desired)
}

#[test]
fn a_recorded_world_reads_back_as_it_was() {
    let before = world(3);
    let text = serde_json::to_string(&before).unwrap();
    let after: Actual = serde_json::from_str(&text).unwrap();
    assert_eq!(before, after);
    let name = |name: &str| Name::new(name).unwrap();
    assert!(after.machine(&name("web-1")).unwrap().container.hosts.len() >= 3);
    let file = |machine: &str| &after.namespace(&Ns::Machine(name(machine))).unwrap().hosts;
    assert!(Arc::ptr_eq(file("web-1"), file("web-2")), "what is alike is kept once");
}

#[test]
fn a_record_grows_with_the_machines_and_not_with_all_that_they_know_of_each_other() {
    let size = |scale: usize| serde_json::to_string(&world(scale)).unwrap().len();
    let (few, many) = (size(10), size(100));
    assert!(many < few * 12, "{few} bytes for 10 machines, {many} for 100");
}

#[test]
fn a_record_holds_no_values_of_the_environment_and_still_tells_what_differs() {
    let (actual, mut desired) = recorded(1);
    let text = serde_json::to_string(&actual.clone().veiled(&Said { source: "", values: &BTreeSet::new() })).unwrap();
    assert!(serde_json::to_string(&actual).unwrap().contains("hunter2") && !text.contains("hunter2"), "{text}");
    let plan = |desired: &Desired| {
        let mut read: Actual = serde_json::from_str(&text).unwrap();
        read.unveil(|name| Some(&desired.machines.get(name)?.container));
        plan::plan(desired, &read).unwrap()
    };
    assert!(plan(&desired).is_empty());
    for machine in desired.machines.values_mut() {
        machine.container.environment.insert("PIN".into(), "hunter3".into());
    }
    let options = plan::render::Options { file: "fly.yml".into(), ..plan::render::Options::default() };
    let plan = plan(&desired);
    let text = plan::render::text(&plan::review::Review::new(&plan, &desired, &actual, plan::review::Aside::default()), &options);
    assert!(text.contains("environment.PIN: (not in the record) -> hunter3"), "{text}");
}
