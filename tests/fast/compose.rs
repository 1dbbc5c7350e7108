//! Keys of Compose in the small world: made once, seen as they are, and the same out of the resolved file.

use std::collections::{BTreeMap, BTreeSet};

use fly::desired::{Context, Desired, resolve, to_yaml};
use fly::fake::World;
use fly::types::ImageDefaults;

use crate::properties::up;

const FILE: &str = r#"
name: shop
networks: {lan: {parent: eth1, subnet: 192.168.1.0/24, mode: passthru}, out: {kind: nat, subnet: 10.30.0.0/24}}
machines:
  web:
    image: x
    tty: true
    stdin_open: true
    security_opt: ["seccomp=./p.json", systempaths=unconfined]
    extra_hosts: ["host:host-gateway", "far:192.0.2.7"]
    ports: ["8000-8001:80", "0:81"]
    volumes: ["data:/data:nocopy", {type: bind, source: ./a, target: /a, bind: {create_host_path: false}}]
    healthcheck: {test: "true", retries: 0, interval: "0"}
    stop_grace_period: 0
    nics: {eth0: lan, eth1: out}
  other: {image: x, ports: ["8000-8001:80"], nics: {eth0: out}}
volumes: {data: {}}
"#;

fn desired(text: &str) -> Result<Desired, String> {
    let spec = fly::spec::parse("fly.yml", text, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors:?}"));
    let profile = "{ \"defaultAction\": \"SCMP_ACT_ALLOW\" }".to_owned();
    let context =
        Context { directory: "/srv/shop".into(), seccomp_profiles: [("./p.json".to_owned(), Ok(profile))].into(), ..Context::default() };
    resolve(&spec, &context).map_err(|errors| errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; "))
}

fn world() -> World {
    let world = World::new();
    world.add_image("x", ImageDefaults::default());
    world.add_default_bridge("172.17.0.1/16".parse().unwrap());
    world
}

#[test]
fn what_was_made_is_as_it_was_wanted() {
    let world = world();
    let wanted = desired(FILE).unwrap();
    let (_, report) = up(&world, &wanted, 4).unwrap();
    assert!(report.is_success());
    let (again, _) = up(&world, &wanted, 4).unwrap();
    assert!(again.is_empty(), "{again:?}");
    // Nothing is left open in the resolved file, and it means the same.
    let yaml = to_yaml(&wanted);
    let (again, _) = up(&world, &desired(&yaml).unwrap(), 4).unwrap();
    assert!(again.is_empty(), "{yaml}");
    // A restart by hand, and a lost file of names.
    world.drift_restart("shop.web");
    assert!(up(&world, &wanted, 4).unwrap().1.is_success());
    world.drift_clear_hosts("shop.web");
    let (plan, report) = up(&world, &wanted, 4).unwrap();
    assert!(report.is_success());
    let names: BTreeSet<&str> = plan.changes.iter().flat_map(|change| &change.fields).map(|field| field.field.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["names"]));
    assert!(up(&world, &wanted, 4).unwrap().0.is_empty());
}

#[test]
fn what_a_plan_shows_of_a_profile_is_short() {
    let world = world();
    up(&world, &desired(FILE).unwrap(), 4).unwrap();
    let other = desired(&FILE.replace("\"seccomp=./p.json\", ", "")).unwrap();
    let (plan, _) = up(&world, &other, 4).unwrap();
    let fields: Vec<_> = plan.changes.iter().flat_map(|change| &change.fields).filter(|field| field.field == "security_opt").collect();
    assert_eq!(fields.len(), 1);
    let (old, new) = (fields[0].old.as_deref().unwrap(), fields[0].new.as_deref().unwrap());
    assert!(old.starts_with("seccomp=profile ") && old.len() < 60 && !old.contains("SCMP"), "{old}");
    assert_eq!(new, "systempaths=unconfined");
}

#[test]
fn what_the_engine_or_the_kernel_would_refuse_is_refused_first() {
    let old = desired(&FILE.replace("retries: 0", "start_interval: 1s")).unwrap();
    let refused = up(&world(), &old, 4).map(|_| ()).unwrap_err();
    assert!(refused.contains("needs Docker Engine 25 (API 1.44), and this one is 20.10.24 (API 1.41)"), "{refused}");
    let two = desired(
        &FILE.replace("  other: {image: x, ports: [\"8000-8001:80\"], nics: {eth0: out}}", "  other: {image: x, nics: {eth0: lan}}"),
    );
    assert_eq!(two.unwrap_err(), "`other:eth0` cannot be on `eth1`, where `web:eth0` is: mode `passthru` gives the whole card to one");
    let missing = desired(&FILE.replace("./p.json", "./q.json"));
    assert_eq!(missing.unwrap_err(), "the seccomp profile `./q.json` cannot be read");
}
