//! A server that gives no address: what is done all the same.

use std::collections::{BTreeMap, BTreeSet};

use fly::apply::Outcome;
use fly::desired::{Context, Desired, resolve};
use fly::engine::{Engine as _, EngineOp, EngineQuery};
use fly::fake::{Fault, FaultKind, When, World};
use fly::net::NetOp;
use fly::plan::{Op, Plan, StepId};
use fly::types::ImageDefaults;

use crate::properties::{planned, steps, up};

const FILE: &str = "
name: shop
networks: {lan: {parent: eth1}, back: {subnet: 10.10.0.0/24}}
machines:
  web: {image: plain, nics: {eth0: {network: lan, ip: dhcp}, eth1: back}}
  db: {image: plain, nics: {eth0: back}, links: [web]}
  other: {image: plain, nics: {eth0: back}}
";

fn desired() -> Desired {
    let spec = fly::spec::parse("fly.yml", FILE, &BTreeMap::new()).unwrap();
    let version = "0123456789ab".to_owned();
    resolve(&spec, &Context { directory: "/srv/shop".into(), guest: version.clone(), agent: Some(version), ..Context::default() }).unwrap()
}

/// The leases, and all that hangs on them.
fn unsure(plan: &Plan) -> BTreeSet<StepId> {
    let mut unsure = BTreeSet::new();
    for step in &plan.steps {
        if matches!(step.op, Op::Net(NetOp::Lease { .. })) || step.after.iter().any(|before| unsure.contains(before)) {
            unsure.insert(step.id);
        }
    }
    unsure
}

fn orders(world: &World) -> BTreeSet<String> {
    let query = EngineQuery { project: "shop".parse().unwrap(), images: BTreeSet::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(world.engine().observe(&query)).unwrap().orders.into_iter().collect()
}

#[test]
fn the_agent_gets_its_orders_without_an_address_and_without_anything_else_it_does_not() {
    let (desired, world) = (desired(), World::new());
    world.add_parent("eth1");
    world.add_image("plain", ImageDefaults::default());
    let whole = world.fork();
    let (plan, report) = up(&whole, &desired, 4).unwrap();
    assert!(report.is_success(), "{}", steps(&plan));
    let unsure = unsure(&plan);
    assert!(plan.steps.iter().any(|step| unsure.contains(&step.id) && matches!(step.op, Op::Engine(EngineOp::StartContainer { .. }))));
    for at in 1..=plan.steps.len() {
        let world = world.fork();
        world.plan_fault(Fault { at, when: When::Before, kind: FaultKind::Other });
        let (plan, report) = up(&world, &desired, 1).unwrap();
        let (failed, _) = report.failures().next().unwrap();
        let told = plan.steps.iter().find(|step| matches!(step.op, Op::Engine(EngineOp::TellAgent { .. }))).unwrap().id;
        let is_told = report.outcomes.iter().any(|(id, outcome, _)| *id == told && *outcome == Outcome::Done);
        assert_eq!(is_told, unsure.contains(&failed), "{failed} failed\n{}", steps(&plan));
        // Whole, or not there.
        assert_eq!(orders(&world), if is_told { orders(&whole) } else { BTreeSet::new() });
        world.clear_faults();
        assert!(up(&world, &desired, 4).unwrap().1.is_success());
        assert_eq!(steps(&planned(&world, &desired).unwrap()), "");
    }
}
