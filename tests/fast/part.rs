//! `--only`: a part is done, with what it needs; nothing else is touched.

use std::collections::BTreeSet;

use fly::desired::Desired;
use fly::diag::Diagnostic;
use fly::diff::Action;
use fly::engine::EngineOp;
use fly::fake::World;
use fly::net::Orders;
use fly::observe::observe;
use fly::plan::review::{Aside, Review};
use fly::plan::{Op, Plan, plan};
use fly::types::{Addr, Name};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError};

use crate::history::case;
use crate::properties::{block_on, config, fail, fixed, looked, planned, resolved, steps, told, up};

fn only(desired: &Desired, chosen: &BTreeSet<Name>) -> Desired {
    Desired { only: Some(desired.with_needs(chosen)), ..desired.clone() }
}

fn try_plan(world: &World, desired: &Desired) -> Result<Plan, Vec<Diagnostic>> {
    let images = desired.images().into_iter().map(str::to_owned).collect();
    let actual = block_on(observe(&*world.engine(), &*world.net(), &desired.project, images)).unwrap();
    plan(desired, &actual)
}

/// The machines that a refusal asks to take in.
fn asked_for(refusals: &[Diagnostic]) -> BTreeSet<Name> {
    let hints = refusals.iter().flat_map(|refusal| &refusal.hints);
    hints.flat_map(|hint| hint.split("--only ").skip(1)).filter_map(|rest| Name::new(rest.split([' ', '`']).next()?).ok()).collect()
}

/// All that there is of these machines, but for cables, whose other ends may go and come, and for namespaces that they only share.
fn of(world: &World, machines: &BTreeSet<&Name>) -> String {
    let (mut text, mut is_in) = (String::new(), false);
    for line in world.canonical().lines() {
        if !line.starts_with("  ") {
            is_in = machines.iter().any(|name| {
                line.starts_with(&format!("container shop.{name} ")) || line.starts_with(&format!("container shop.{name}.new "))
            });
        }
        is_in &= !line.contains("shares Some");
        if is_in && !line.contains("veth to shop.") && !line.contains("veth to nothing") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

proptest! {
    #![proptest_config(Config { cases: config().cases.div_ceil(2), ..config() })]

    #[test]
    fn a_part_touches_nothing_outside((history, sketch) in case(), pick in any::<u8>()) {
        let desired = resolved(&sketch)?;
        let chosen: BTreeSet<Name> = desired.machines.keys().enumerate().filter(|(at, _)| pick >> at & 1 == 1).map(|(_, name)| name.clone()).collect();
        if chosen.is_empty() {
            return Ok(());
        }
        let part = only(&desired, &chosen);
        let world = history.world();
        let Ok(plan) = try_plan(&world, &part) else { return Ok(()) };
        let within = part.only.clone().unwrap();
        for step in &plan.steps {
            let machines: BTreeSet<Name> = match (&step.op, &step.addr) {
                (_, Addr::Link(_)) => continue,
                (Op::Net(op), _) => op.machines().into_iter().cloned().collect(),
                (Op::Engine(op), _) => op.container().and_then(|name| Name::new(name.split('.').nth(1)?).ok()).into_iter().collect(),
            };
            prop_assert!(machines.is_subset(&within), "{} {} is outside", step.addr, step.op);
        }
        prop_assert!(plan.changes.iter().all(|change| change.addr.machine().is_none_or(|name| within.contains(name))));
        let there: Vec<Name> = ["a", "b", "c", "d"].map(|name| Name::new(name).unwrap()).into_iter().filter(|name| !within.contains(name)).collect();
        let outside: BTreeSet<&Name> = there.iter().collect();
        let before = of(&world, &outside);
        let (plan, report) = fail(up(&world, &part, 16))?;
        prop_assert!(report.is_success(), "{}", told(&plan, &report));
        prop_assert_eq!(of(&world, &outside), before, "{}", steps(&plan));
        let again = fail(planned(&world, &part))?;
        prop_assert!(again.is_empty(), "{}\nafter{}", steps(&again), steps(&plan));
    }

    #[test]
    fn part_after_part_is_all_of_it((history, sketch) in case()) {
        let desired = resolved(&sketch)?;
        let world = history.world();
        for name in desired.machines.keys() {
            let mut chosen = BTreeSet::from([name.clone()]);
            let part = loop {
                let part = only(&desired, &chosen);
                match try_plan(&world, &part) {
                    Ok(_) => break Some(part),
                    Err(refusals) => {
                        let before = chosen.len();
                        chosen.extend(asked_for(&refusals));
                        if chosen.len() == before {
                            break None;
                        }
                    }
                }
            };
            // Something of nobody's that has to go first.
            let Some(part) = part else { return Ok(()) };
            let (plan, report) = fail(up(&world, &part, 16))?;
            prop_assert!(report.is_success(), "{}", told(&plan, &report));
        }
        let rest = fail(planned(&world, &desired))?;
        // What a killed run left on the host, and does not say whose it is, waits for an `up` of everything.
        let debris = rest.steps.iter().any(|step| matches!(&step.addr, Addr::Network(name) if !desired.networks.contains_key(name)));
        let wanted = |addr: &Addr| match addr {
            Addr::Network(_) if debris => false,
            Addr::Network(name) => desired.machines.values().any(|machine| machine.nics.values().any(|nic| nic.attach.network() == Some(name))),
            Addr::Volume(_) | Addr::Agent => false,
            _ => true,
        };
        // Bridges that nobody is on, and the agent's word on them, are no machine's.
        if let Some(text) = rest.steps.iter().find_map(orders) {
            let told = |text: &str| {
                let mut machines = Orders::from_text(text)?.machines;
                machines.retain(|name, _| desired.machines.contains_key(name));
                Some(machines)
            };
            let images = BTreeSet::new();
            let actual = block_on(observe(&*world.engine(), &*world.net(), &desired.project, images)).unwrap();
            prop_assert_eq!(actual.engine.orders.first().and_then(|text| told(text)), told(text));
        }
        let left: Vec<_> = rest.changes.iter().filter(|change| !matches!(change.action, Action::Keep | Action::Delete) && wanted(&change.addr)).collect();
        prop_assert!(left.is_empty(), "{left:#?}{}", steps(&rest));
    }
}

fn orders(step: &fly::plan::Step) -> Option<&String> {
    if let Op::Engine(EngineOp::TellAgent { orders, .. }) = &step.op { orders.as_ref() } else { None }
}

fn names(names: &[&str]) -> BTreeSet<Name> {
    names.iter().map(|name| Name::new(*name).unwrap()).collect()
}

#[test]
fn what_a_machine_needs_comes_along() {
    let (_, desired) = fixed();
    assert_eq!(desired.with_needs(&names(&["a"])), names(&["a"]));
    assert_eq!(desired.with_needs(&names(&["b"])), names(&["a", "b"]), "b links to a");
}

#[test]
fn what_is_left_out_is_said() -> Result<(), TestCaseError> {
    let (world, desired) = fixed();
    world.drift_kill("shop.a");
    world.drift_clear_hosts("shop.b");
    let plan = fail(planned(&world, &only(&desired, &names(&["a"]))))?;
    let options = fly::plan::render::Options { steps: true, file: "fly.yml".into(), ..fly::plan::render::Options::default() };
    insta::assert_snapshot!(
        "part",
        fly::plan::render::text(&Review::new(&plan, &desired, &looked(&world, &desired), Aside::of(&plan)), &options)
    );
    Ok(())
}

#[test]
fn what_cannot_be_done_alone_names_who_has_to_come_along() {
    let (world, mut desired) = fixed();
    // Another subnet for the engine's network: it is made anew, and nobody's card on it outlives that.
    for network in desired.networks.values_mut() {
        if let fly::desired::NetworkKind::Nat { network, .. } = &mut network.kind {
            network.internal = !network.internal;
        }
    }
    let refusals = try_plan(&world, &only(&desired, &names(&["a"]))).unwrap_err();
    assert_eq!(asked_for(&refusals), names(&["b"]));
    let said: Vec<String> = refusals.iter().map(|refusal| format!("{}\n  {}\n", refusal.message, refusal.hints.join("\n  "))).collect();
    insta::assert_snapshot!("part_refused", said.concat());
    assert!(try_plan(&world, &only(&desired, &names(&["a", "b"]))).is_ok());
}
