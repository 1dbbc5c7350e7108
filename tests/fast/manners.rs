//! Addresses that a stranger has: asked for before, and not taken.

use std::net::IpAddr;

use fly::apply::Outcome;
use fly::fake::World;
use fly::net::NetOp;
use fly::plan::{Op, Plan};

use crate::history::History;
use crate::properties::{fixed, planned, steps, up};

fn nothing_there() -> World {
    let history = History { newer_engine: false, drops_bridged: true, strangers: 0, earlier: None, killed: None, drifts: vec![] };
    history.untouched()
}

fn lines(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| step.op.to_string()).filter(|text| text.contains("if nobody has")).collect()
}

#[test]
fn only_where_strangers_can_be_and_only_at_first() {
    let (_, desired) = fixed();
    let world = nothing_there();
    let asked = lines(&planned(&world, &desired).unwrap());
    // Of a macvlan, and of an existing bridge; not of fly's own bridge, Docker's network, or a cable.
    assert!(asked.iter().any(|line| line.starts_with("create macvlan a:")), "{asked:?}");
    assert!(asked.iter().all(|line| line.contains(" 10.77.")), "{asked:?}");
    let (plan, report) = up(&world, &desired, 16).unwrap();
    assert!(report.is_success());
    assert_eq!(lines(&plan), asked);
    // A machine that is made anew while its cards are there asks nobody.
    let mut other = desired.clone();
    for machine in other.machines.values_mut() {
        machine.container.environment.insert("MODE".to_owned(), "other".to_owned());
    }
    let plan = planned(&world, &other).unwrap();
    assert!(!plan.is_empty());
    assert_eq!(lines(&plan), Vec::<String>::new(), "{}", steps(&plan));
    // Nor does anybody who does not want to.
    for network in other.networks.values_mut() {
        network.probe = false;
    }
    other.machines.values_mut().flat_map(|machine| machine.nics.values_mut()).for_each(|nic| nic.probe = false);
    assert_eq!(lines(&planned(&nothing_there(), &other).unwrap()), Vec::<String>::new());
}

#[test]
fn a_conflict_fails_its_step_alone_and_is_made_good_by_the_next_up() {
    let (_, desired) = fixed();
    let is_macvlan = |op: &Op| matches!(op, Op::Net(NetOp::CreateLink { link }) if !link.manners.probe.is_empty() && link.at.to_string().starts_with("b:"));
    let world = nothing_there();
    let plan = planned(&world, &desired).unwrap();
    let step = plan.steps.iter().find(|step| is_macvlan(&step.op)).unwrap();
    let Op::Net(NetOp::CreateLink { link }) = &step.op else { panic!("{step:?}") };
    let address: IpAddr = *link.manners.probe.first().unwrap();
    world.add_stranger_address("eth1", address, "02:aa:00:00:00:01".parse().unwrap());
    let (_, report) = up(&world, &desired, 16).unwrap();
    let failed: Vec<_> = report.failures().collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!((failed[0].0, failed[0].1.contains(&format!("{address} is in use by 02:aa:00:00:00:01"))), (step.id, true), "{failed:?}");
    assert!(report.outcomes.iter().all(|(id, outcome, _)| *id == step.id
        || *outcome == Outcome::Done
        || plan.steps.iter().any(|it| it.id == *id && it.after.contains(&step.id))));
    // The card is there; what is left to do is to give it its address.
    let left = planned(&world, &desired).unwrap();
    let words = format!("change {}, if nobody has {address}", link.at);
    assert!(left.steps.iter().any(|step| step.op.to_string() == words), "{}", steps(&left));
    world.remove_stranger_addresses();
    assert!(up(&world, &desired, 16).unwrap().1.is_success());
    assert_eq!(steps(&planned(&world, &desired).unwrap()), "");
}
