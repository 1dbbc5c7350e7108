//! Saved plans: what is written can be read, and is done as long as nothing else would be done.

use std::collections::{BTreeMap, BTreeSet};

use fly::desired::Desired;
use fly::diff::Action;
use fly::engine::EngineOp;
use fly::fake::{Fault, FaultKind, World};
use fly::net::NetOp;
use fly::observe::observe;
use fly::plan::saved::{Circumstances, Difference, Image, Images, Saved, Unreadable};
use fly::plan::{Op, Plan, Step, plan};
use fly::types::{Addr, Name};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError};

use crate::history::{case, drift, shop, when};
use crate::properties::{block_on, config, converge, fail, fixed, planned, resolved, steps, up};

const BUILD: &str = "0123456789ab";
const ENGINE: &str = "ABCD:EFGH";

/// What the fake has under each reference, and its registry.
fn images(world: &World, desired: &Desired) -> Images {
    let all: BTreeSet<String> = desired.images().into_iter().map(str::to_owned).collect();
    let actual = block_on(observe(&*world.engine(), &*world.net(), &desired.project, all)).unwrap();
    let image = |(name, state): (&String, &fly::engine::ImageState)| {
        (name.clone(), Image { id: Some(state.id.clone()), digests: state.digests.clone(), pulled: None })
    };
    actual.engine.images.iter().map(image).collect()
}

fn saved(world: &World, desired: &Desired, plan: &Plan) -> Saved {
    let images = images(world, desired);
    Saved::new(plan, &Circumstances { fly: BUILD, engine: ENGINE, desired, images: &images }, BTreeSet::new(), false)
}

fn difference(saved: &Saved, world: &World, desired: &Desired, plan: &Plan) -> Option<Difference> {
    let images = images(world, desired);
    saved.against(plan, &Circumstances { fly: BUILD, engine: ENGINE, desired, images: &images })
}

fn holds(saved: &Saved, world: &World, desired: &Desired, plan: &Plan) -> Result<(), TestCaseError> {
    let difference = difference(saved, world, desired, plan);
    let text = difference.as_ref().map(Difference::text).unwrap_or_default();
    prop_assert!(difference.is_none(), "{text}\nnow{}", steps(plan));
    Ok(())
}

proptest! {
    #![proptest_config(Config { cases: config().cases.div_ceil(2), ..config() })]

    #[test]
    fn what_is_written_is_read_and_written_the_same((history, sketch) in case()) {
        let desired = resolved(&sketch)?;
        let world = history.world();
        let plan = fail(planned(&world, &desired))?;
        let saved = saved(&world, &desired, &plan);
        let text = saved.to_text();
        let read = Saved::from_text(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(&read, &saved);
        prop_assert_eq!(read.to_text(), text.clone());
        // No payload: what is in the environment of the machines, and only there.
        prop_assert!(!text.contains("\"environment\""));
        holds(&read, &world, &desired, &plan)?;
    }

    #[test]
    fn a_run_that_was_cut_off_goes_on((history, sketch) in case(), at in 1..40_usize, when in when(), again in 1..20_usize) {
        let desired = resolved(&sketch)?;
        let (world, smooth) = (history.world(), history.world());
        // Whether every file can be done at all is for other properties.
        prop_assume!(converge(&smooth, &desired).is_ok());
        let plan = fail(planned(&world, &desired))?;
        let saved = saved(&world, &desired, &plan);
        for at in [at, again] {
            world.plan_fault(Fault { at, when, kind: FaultKind::Crash });
            fail(up(&world, &desired, 16))?;
            world.clear_faults();
            world.forget_calls();
            let left = fail(planned(&world, &desired))?;
            holds(&saved, &world, &desired, &left)?;
        }
        fail(converge(&world, &desired))?;
        prop_assert_eq!(world.canonical(), smooth.canonical());
    }

    #[test]
    fn what_changes_the_plan_makes_it_stale_and_nothing_else((history, sketch) in case(), drifts in prop::collection::vec(drift(), 1..=2)) {
        let desired = resolved(&sketch)?;
        let world = history.world();
        let plan = fail(planned(&world, &desired))?;
        let saved = saved(&world, &desired, &plan);
        let created: BTreeSet<Addr> =
            plan.changes.iter().filter(|it| matches!(it.action, Action::Create | Action::Replace)).map(|it| it.addr.clone()).collect();
        let starts = |step: &&Step| matches!(step.op, Op::Engine(EngineOp::StartContainer { .. }));
        let started: BTreeSet<&Name> = plan.steps.iter().filter(starts).filter_map(|step| step.addr.machine()).collect();
        let up_before: BTreeSet<Name> = desired.machines.keys().filter(|name| !started.contains(name)).cloned().collect();
        for drift in &drifts {
            drift.happen(&world);
        }
        // What cannot be planned is refused before that.
        let Ok(now) = planned(&world, &desired) else { return Ok(()) };
        let of = |step: &Step| (step.addr.to_string(), format!("{:?}", step.op));
        let before: BTreeSet<_> = plan.steps.iter().map(of).collect();
        let added: Vec<&Step> = now.steps.iter().filter(|step| !before.contains(&of(step))).collect();
        let difference = difference(&saved, &world, &desired, &now);
        if added.is_empty() {
            prop_assert!(difference.is_none(), "{:?}", difference);
        }
        // What was there when the plan was made is touched as it says, or not at all.
        let was_there = |step: &&&Step| match &step.addr {
            Addr::Machine(name) | Addr::Nic(name, _) => up_before.contains(name) && !created.contains(&step.addr),
            Addr::Link(id) => id.ends().iter().all(|(name, _)| up_before.contains(name)) && !created.contains(&step.addr),
            _ => true,
        };
        let deletes = |step: &&&Step| {
            let Op::Engine(op) = &step.op else { return matches!(step.op, Op::Net(NetOp::DeleteLink { .. })) };
            let half_made = matches!(op, EngineOp::RemoveContainer { name, .. } if name.strip_suffix(".new").is_some());
            op.is_mutating() && !half_made
        };
        if added.iter().any(|step| was_there(&step) || deletes(&step)) {
            prop_assert!(difference.is_some(), "before{}\nnow{}", steps(&plan), steps(&now));
        }
    }
}

fn text_of(world: &World, desired: &Desired) -> (Plan, Saved) {
    let plan = planned(world, desired).unwrap();
    let saved = saved(world, desired, &plan);
    (plan, saved)
}

#[test]
fn others_doings_do_not_make_it_stale() {
    let (world, desired) = fixed();
    world.drift_kill("shop.a");
    let (_, saved) = text_of(&world, &desired);
    world.add_stranger_container("other", "debian", &[]);
    world.add_stranger_network("blog.net", "10.99.0.0/24", &[]);
    world.add_stranger_volume("blog.data", &[]);
    world.add_parent("eth9");
    let now = planned(&world, &desired).unwrap();
    assert_eq!(difference(&saved, &world, &desired, &now), None);
    // Somebody has done it already.
    let (_, report) = up(&world, &desired, 16).unwrap();
    assert!(report.is_success());
    let now = planned(&world, &desired).unwrap();
    assert!(now.is_empty() && difference(&saved, &world, &desired, &now).is_none());
}

#[test]
fn what_somebody_has_changed_is_shown() {
    let (world, desired) = fixed();
    world.drift_set_link(Some("shop.a"), "eth0", &fly::net::LinkSet { mtu: Some(1300), ..Default::default() });
    world.drift_clear_hosts("shop.b");
    let (_, saved) = text_of(&world, &desired);
    world.drift_set_link(Some("shop.a"), "eth0", &fly::net::LinkSet { mtu: Some(1200), up: Some(false), ..Default::default() });
    world.drift_kill("shop.b");
    let now = planned(&world, &desired).unwrap();
    let difference = difference(&saved, &world, &desired, &now).unwrap();
    insta::assert_snapshot!("stale_world", format!("{}\n{}", difference.said("fly.yml"), difference.text()));
}

#[test]
fn an_edited_file_is_named_by_what_it_says_otherwise() {
    let (world, desired) = fixed();
    let (plan, saved) = text_of(&world, &desired);
    let mut edited = desired.clone();
    let (name, machine) = edited.machines.pop_first().unwrap();
    edited.machines.insert("new".parse().unwrap(), fly::desired::Machine { name: "shop.new".into(), ..machine });
    edited.machines.values_mut().for_each(|machine| drop(machine.container.environment.insert("A".into(), "1".into())));
    let difference = difference(&saved, &world, &edited, &plan).unwrap();
    assert_eq!(name.as_str(), "a");
    insta::assert_snapshot!("stale_file", format!("{}\n{}", difference.said("fly.yml"), difference.text()));
}

#[test]
fn where_it_is_written_does_not_count() {
    let (world, desired) = fixed();
    let (plan, saved) = text_of(&world, &desired);
    let mut moved = desired.clone();
    for machine in moved.machines.values_mut() {
        machine.places.own = Some(fly::diag::Place { file: "fly.yml".into(), line: 99, column: 1, offset: 5, len: 1 });
    }
    assert_eq!(difference(&saved, &world, &moved, &plan), None);
}

#[test]
fn another_build_may_plan_in_another_way() {
    let (world, desired) = fixed();
    let (plan, saved) = text_of(&world, &desired);
    let images = images(&world, &desired);
    let now = Circumstances { fly: "ba9876543210", engine: ENGINE, desired: &desired, images: &images };
    let difference = saved.against(&plan, &now).unwrap();
    insta::assert_snapshot!("stale_build", format!("{}\n{}", difference.said("fly.yml"), difference.text()));
}

#[test]
fn a_tag_that_has_moved_makes_it_stale_where_it_is_used() {
    let (world, desired) = fixed();
    let empty =
        crate::history::History { newer_engine: false, drops_bridged: false, strangers: 0, earlier: None, killed: None, drifts: vec![] };
    let fresh = empty.world();
    let (plan, fresh_saved) = text_of(&fresh, &desired);
    let (_, idle) = text_of(&world, &desired);
    let moved = |mut images: Images| {
        for image in images.values_mut() {
            image.id = Some("sha256:ffff".into());
        }
        images
    };
    let images = moved(images(&fresh, &desired));
    let now = Circumstances { fly: BUILD, engine: ENGINE, desired: &desired, images: &images };
    let difference = fresh_saved.against(&plan, &now).unwrap();
    assert!(
        difference.text().contains("image/debian\n    - is ") && difference.text().contains("+ is sha256:ffff"),
        "{}",
        difference.text()
    );
    // A plan that makes nothing of it does not mind.
    assert!(idle.images.is_empty());
}

#[test]
fn an_image_that_is_to_be_pulled_is_known_by_its_digest() {
    let (_, desired) = fixed();
    let (world, _) = fixed();
    let mut plan = planned(&world, &desired).unwrap();
    let image = "debian".to_owned();
    let op = Op::Engine(EngineOp::PullImage { image: image.clone() });
    let step = Step {
        id: fly::plan::StepId(1),
        addr: Addr::Image(image.clone()),
        op,
        after: BTreeSet::new(),
        reason: fly::plan::Reason::new("not on the engine"),
        impact: fly::diff::Impact::None,
        may_rest: false,
    };
    plan.steps = vec![step];
    let at = |image: Image| BTreeMap::from([("debian".to_owned(), image)]);
    let before = at(Image { id: None, digests: BTreeSet::new(), pulled: Some("sha256:aa".into()) });
    let saved =
        Saved::new(&plan, &Circumstances { fly: BUILD, engine: ENGINE, desired: &desired, images: &before }, BTreeSet::new(), false);
    let holds =
        |images: Images| saved.against(&plan, &Circumstances { fly: BUILD, engine: ENGINE, desired: &desired, images: &images }).is_none();
    assert!(holds(before.clone()));
    assert!(!holds(at(Image { pulled: Some("sha256:bb".into()), ..Image::default() })), "the registry has another one");
    let here = |digest: &str| Image { id: Some("sha256:1".into()), digests: BTreeSet::from([digest.to_owned()]), pulled: None };
    assert!(holds(at(here("sha256:aa"))), "it has been pulled meanwhile");
    assert!(!holds(at(here("sha256:bb"))), "another one has been pulled meanwhile");
}

/// Of one that runs nobody knows whether there is a host key in it; of one that a run which was cut off has stopped, somebody does.
#[test]
fn a_guests_volume_that_holds_nothing_may_go_along_and_no_other_may() {
    let (world, desired) = fixed();
    let step = |volumes: &[&str]| Step {
        id: fly::plan::StepId(1),
        addr: "machine/z".parse().unwrap(),
        op: Op::Engine(EngineOp::RemoveContainer { name: "shop.z".into(), volumes: volumes.iter().map(ToString::to_string).collect() }),
        after: BTreeSet::new(),
        reason: fly::plan::Reason::new("no longer wanted"),
        impact: fly::diff::Impact::Destroy,
        may_rest: false,
    };
    let plan = |volumes: &[&str]| Plan { steps: vec![step(volumes)], ..planned(&world, &desired).unwrap() };
    let saved = saved(&world, &desired, &plan(&[]));
    assert_eq!(difference(&saved, &world, &desired, &plan(&["shop.z.guest"])), None);
    let anonymous = "0".repeat(64);
    assert!(difference(&saved, &world, &desired, &plan(&[&anonymous])).is_some());
}

#[test]
fn what_is_no_plan_is_told_from_one_that_is_broken() {
    let (world, desired) = fixed();
    world.drift_kill("shop.a");
    let (_, saved) = text_of(&world, &desired);
    let text = saved.to_text();
    let why = |text: &str| Saved::from_text(text).unwrap_err();
    assert_eq!(why("name: shop\n"), Unreadable::Foreign);
    assert_eq!(why("{\"version\": 1, \"changes\": []}"), Unreadable::Foreign);
    assert_eq!(why(&text.replacen("\"fly_plan\": 1", "\"fly_plan\": 2", 1)), Unreadable::Newer(2));
    assert!(matches!(why(&text[..text.len() / 2]), Unreadable::Damaged(_)));
    assert!(matches!(why(&text.replacen("\"fly\":", "\"flies\": 1, \"fly\":", 1)), Unreadable::Damaged(_)));
    // Also deep in it.
    assert_eq!(why(&text.replacen("\"action\":", "\"extra\": 1, \"action\":", 1)), Unreadable::Edited);
    assert_eq!(why(&format!("{text}\n")), Unreadable::Edited);
}

#[test]
fn nothing_of_a_secret_is_in_it() {
    let (world, desired) = fixed();
    let mut desired = desired;
    for machine in desired.machines.values_mut() {
        machine.container.environment.insert("PASSWORD".into(), "hunter2-canary".into());
        for user in machine.guest.iter_mut().filter_map(|guest| guest.config.sshd.as_mut()).flat_map(|sshd| sshd.users.values_mut()) {
            user.password_hash = Some("$6$canary$hash".into());
        }
    }
    let images = images(&world, &desired);
    let all = images.keys().cloned().collect();
    let actual = block_on(observe(&*world.engine(), &*world.net(), &shop(), all)).unwrap();
    let plan = plan(&desired, &actual).unwrap();
    let saved = |desired: &Desired| {
        Saved::new(&plan, &Circumstances { fly: BUILD, engine: ENGINE, desired, images: &images }, BTreeSet::new(), false)
    };
    let text = saved(&desired).to_text();
    assert!(format!("{plan:?}").contains("hunter2-canary") && !text.contains("canary"), "{text}");
    // But another value is another file.
    let before = saved(&desired).file;
    desired.machines.values_mut().for_each(|machine| drop(machine.container.environment.insert("PASSWORD".into(), "hunter3".into())));
    assert_ne!(saved(&desired).file, before);
}

#[test]
fn the_file_as_it_is_written() {
    let (world, desired) = fixed();
    world.drift_set_link(Some("shop.a"), "eth0", &fly::net::LinkSet { mtu: Some(1300), ..Default::default() });
    let (_, saved) = text_of(&world, &desired);
    // The fingerprints hang on the whole model, which grows; that they are there is enough.
    let mut value: serde_json::Value = serde_json::from_str(&saved.to_text()).unwrap();
    for print in value["file"].as_object_mut().unwrap().values_mut() {
        assert_eq!(print.as_str().unwrap().len(), 12);
        *print = "(fingerprint)".into();
    }
    value["steps"].as_array_mut().unwrap().iter_mut().for_each(|step| step["payload"] = "(fingerprint)".into());
    value["changes"].as_array_mut().unwrap().retain(|change| change["action"] != "keep");
    insta::assert_snapshot!("saved_plan", serde_json::to_string_pretty(&value).unwrap());
}
