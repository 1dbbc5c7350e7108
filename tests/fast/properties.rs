//! What is true of every file and every world, tried on random ones.
//!
//! `FLY_CASES` in the environment raises the number of cases for each property.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fly::actual::Actual;
use fly::apply::{Because, Options, Outcome, Report, apply};
use fly::desired::{Desired, OrphanVolumes};
use fly::diff::Action;
use fly::engine::EngineOp;
use fly::fake::{Fault, FaultKind, World};
use fly::net::{LinkSet, NetOp, Tune};
use fly::observe::{observe, processes};
use fly::plan::{Op, Plan, StepId, plan};
use fly::types::{Addr, Bytes, Limits, LinkRef, Ns, Restart, Route, RouteKind, Routing, Traffic};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError};

use crate::history::{History, case, shop, when};
use crate::sketch::{MACHINES, NETWORKS, Sketch};

/// For each property.
const CASES: u32 = 300;

pub(crate) fn config() -> Config {
    let cases = std::env::var("FLY_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    // The same cases every time: a red test is red again. Raising the number tries others too.
    Config { cases, rng_seed: RngSeed::Fixed(2), max_shrink_iters: 4000, failure_persistence: None, ..Config::default() }
}

pub(crate) type Outcomes = Result<(), TestCaseError>;

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

pub(crate) fn looked(world: &World, desired: &Desired) -> Actual {
    let images = desired.images().into_iter().map(str::to_owned).collect();
    block_on(observe(&*world.engine(), &*world.net(), &desired.project, images)).unwrap()
}

pub(crate) fn planned(world: &World, desired: &Desired) -> Result<Plan, String> {
    let images = desired.images().into_iter().map(str::to_owned).collect();
    let actual = block_on(observe(&*world.engine(), &*world.net(), &desired.project, images)).map_err(|error| format!("{error:?}"))?;
    plan(desired, &actual).map_err(|refusals| format!("{:?}", refusals.into_iter().map(|refusal| refusal.message).collect::<Vec<_>>()))
}

pub(crate) fn up(world: &World, desired: &Desired, parallel: usize) -> Result<(Plan, Report), String> {
    let images = desired.images().into_iter().map(str::to_owned).collect();
    let actual = block_on(observe(&*world.engine(), &*world.net(), &desired.project, images)).map_err(|error| format!("{error:?}"))?;
    let plan = planned(world, desired)?;
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let options = Options { parallel, rest: Duration::ZERO };
    let report = block_on(apply(&plan, world.engine(), world.net(), processes(&actual), options, |_| {}, stop));
    Ok((plan, report))
}

/// Runs until there is nothing to do; a world may need to be looked at again after a fault, but not for ever.
pub(crate) fn converge(world: &World, desired: &Desired) -> Result<(), String> {
    for _ in 0..3 {
        let (plan, report) = up(world, desired, 16)?;
        if plan.is_empty() {
            return Ok(());
        }
        if !report.is_success() {
            return Err(told(&plan, &report));
        }
    }
    let rest = planned(world, desired)?;
    Err(format!("it never ends: {}", steps(&rest)))
}

pub(crate) fn steps(plan: &Plan) -> String {
    let line =
        |step: &fly::plan::Step| format!("\n  {} {}: {} ({}) after {:?}", step.id, step.addr, step.op, step.reason.as_str(), step.after);
    plan.steps.iter().map(line).collect()
}

pub(crate) fn told(plan: &Plan, report: &Report) -> String {
    let failures: Vec<_> = report.failures().collect();
    format!("{failures:?}{}", steps(plan))
}

pub(crate) fn fail<T>(result: Result<T, String>) -> Result<T, TestCaseError> {
    result.map_err(TestCaseError::fail)
}

pub(crate) fn resolved(sketch: &Sketch) -> Result<Desired, TestCaseError> {
    sketch
        .desired()
        .map_err(|errors| TestCaseError::reject(format!("{:?}", errors.into_iter().map(|error| error.message).collect::<Vec<_>>())))
}

fn down(desired: &Desired) -> Desired {
    Desired { orphan_volumes: OrphanVolumes::Delete, ..desired.emptied() }
}

/// Without the images: what was pulled stays.
pub(crate) fn but_images(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("image ")).collect::<Vec<_>>().join("\n")
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn after_an_up_there_is_nothing_left_to_do((history, sketch) in case()) {
        let desired = resolved(&sketch)?;
        let world = history.world();
        let foreign = but_images(&world.foreign(&shop()));
        let (plan, report) = fail(up(&world, &desired, 16))?;
        prop_assert!(report.is_success(), "{}", told(&plan, &report));
        alike(&but_images(&world.foreign(&shop())), &foreign, &plan)?;
        let again = fail(planned(&world, &desired))?;
        prop_assert!(again.is_empty(), "{}\nafter{}", steps(&again), steps(&plan));
        let changed: Vec<_> = again.changes.iter().filter(|change| change.action != Action::Keep).collect();
        prop_assert!(changed.is_empty(), "{changed:?}");
        world.forget_calls();
        fail(up(&world, &desired, 16))?;
        prop_assert_eq!(world.mutations(), 0);
    }

    #[test]
    fn after_a_down_the_world_is_as_it_was((history, sketch) in case()) {
        let desired = resolved(&sketch)?;
        let world = history.world();
        // Also straight away, whatever is left of others.
        let early = world.fork();
        fail(up(&world, &desired, 16))?;
        for world in [world, early] {
            let (plan, report) = fail(up(&world, &down(&desired), 16))?;
            prop_assert!(report.is_success(), "{}", told(&plan, &report));
            alike(&but_images(&world.canonical()), &but_images(&history.untouched().canonical()), &plan)?;
        }
    }

    #[test]
    fn every_step_has_a_change_and_is_on_what_is_ours((history, sketch) in case()) {
        let desired = resolved(&sketch)?;
        let plan = fail(planned(&history.world(), &desired))?;
        for (at, step) in plan.steps.iter().enumerate() {
            prop_assert_eq!(step.id, StepId(u32::try_from(at + 1).unwrap()));
            prop_assert!(step.after.iter().all(|before| *before < step.id));
            prop_assert!(!step.reason.as_str().is_empty());
            prop_assert!(is_ours(&step.op, &desired), "{} is not ours", step.op);
            let waits = matches!(&step.op, Op::Engine(op) if !op.is_mutating());
            prop_assert!(waits || has_change(&plan, &step.addr), "{} {} without a change{}", step.addr, step.op, steps(&plan));
        }
        for change in plan.changes.iter().filter(|change| change.action != Action::Keep) {
            prop_assert!(!change.reason.is_empty());
            prop_assert!(plan.steps.iter().any(|step| is_about(&step.addr, &change.addr)), "{} {:?} and no step{}", change.addr, change, steps(&plan));
        }
    }

    #[test]
    fn a_failed_step_skips_what_needs_it_and_running_again_converges(
        (history, sketch) in case(), at in 1..30_usize, when in when(),
    ) {
        let desired = resolved(&sketch)?;
        let (world, smooth) = (history.world(), history.world());
        fail(converge(&smooth, &desired))?;
        world.plan_fault(Fault { at, when, kind: FaultKind::Other });
        let (plan, report) = fail(up(&world, &desired, 16))?;
        exactly_dependents(&plan, &report)?;
        world.clear_faults();
        fail(converge(&world, &desired))?;
        alike(&world.canonical(), &smooth.canonical(), &plan)?;
    }

    #[test]
    fn a_crash_at_any_point_is_made_good_by_the_next_up((history, sketch) in case(), at in 1..30_usize, when in when()) {
        let desired = resolved(&sketch)?;
        let (world, smooth) = (history.world(), history.world());
        fail(converge(&smooth, &desired))?;
        let foreign = but_images(&world.foreign(&shop()));
        world.plan_fault(Fault { at, when, kind: FaultKind::Crash });
        let (plan, _) = fail(up(&world, &desired, 16))?;
        world.clear_faults();
        let gone = world.fork();
        fail(converge(&world, &desired))?;
        alike(&world.canonical(), &smooth.canonical(), &plan)?;
        alike(&but_images(&world.foreign(&shop())), &foreign, &plan)?;
        // Or by the next down.
        let (plan, report) = fail(up(&gone, &down(&desired), 16))?;
        prop_assert!(report.is_success(), "{}", told(&plan, &report));
        alike(&but_images(&gone.canonical()), &but_images(&history.untouched().canonical()), &plan)?;
    }

    #[test]
    fn a_plan_is_the_same_every_time_and_in_any_order((history, sketch) in case()) {
        let desired = resolved(&sketch)?;
        let turned = resolved(&Sketch { backwards: !sketch.backwards, ..sketch.clone() })?;
        prop_assert!(desired == turned, "the order of the file counts");
        let world = history.world();
        let plan = fail(planned(&world, &desired))?;
        prop_assert!(plan == fail(planned(&world, &turned))?);
        let (serial, parallel) = (world.fork(), world.fork());
        fail(up(&serial, &desired, 1))?;
        fail(up(&parallel, &desired, 16))?;
        alike(&serial.canonical(), &parallel.canonical(), &plan)?;
    }
}

/// Two worlds are the same; otherwise what differs, and the plan that led there.
pub(crate) fn alike(one: &str, other: &str, plan: &Plan) -> Outcomes {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (lines(one), lines(other));
    let only = |these: &[String], those: &[String]| {
        these.iter().filter(|line| !those.contains(line)).fold(String::new(), |all, line| all + "\n  " + line)
    };
    prop_assert!(one == other, "found{}\nexpected{}\nplan{}", only(&one, &other), only(&other, &one), steps(plan));
    Ok(())
}

fn exactly_dependents(plan: &Plan, report: &Report) -> Outcomes {
    let failed: BTreeSet<StepId> = report.failures().map(|(id, _)| id).collect();
    let mut lost = failed.clone();
    for step in &plan.steps {
        if step.after.iter().any(|before| lost.contains(before)) {
            lost.insert(step.id);
        }
    }
    for (id, outcome, _) in &report.outcomes {
        match outcome {
            Outcome::Done => prop_assert!(!lost.contains(id), "{id} was done although what it needs was not"),
            Outcome::Failed(_) => {}
            Outcome::Skipped(Because::Step(because)) => {
                prop_assert!(failed.contains(because) && lost.contains(id), "{id} was skipped for nothing");
            }
            Outcome::Skipped(Because::Interrupted) => prop_assert!(false, "nobody interrupted"),
        }
    }
    prop_assert_eq!(report.outcomes.len(), plan.steps.len());
    Ok(())
}

fn has_change(plan: &Plan, addr: &Addr) -> bool {
    // The agent is told of any change at the end.
    plan.changes.iter().any(|change| change.action != Action::Keep && (*addr == Addr::Agent || is_about(addr, &change.addr)))
}

/// A machine's steps bring its cards along, and a cable's both its ends.
fn is_about(step: &Addr, change: &Addr) -> bool {
    let ends = |addr: &Addr| match addr {
        Addr::Link(id) => id.ends().iter().map(|(machine, nic)| Addr::nic(machine, nic)).collect(),
        _ => vec![],
    };
    step == change
        || (matches!(step, Addr::Machine(_)) && step.machine() == change.machine())
        || ends(change).contains(step)
        || ends(step).contains(change)
}

fn is_ours(op: &Op, desired: &Desired) -> bool {
    let named = |name: &str| name.starts_with("shop.") && !matches!(name, "shop.z" | "shop.net" | "shop.vol");
    let at = |at: &LinkRef| match &at.ns {
        Ns::Host => {
            at.name.starts_with("fly") && at.name != "flyaaaaaaaaaaaa" || matches!(at.name.as_str(), "eth3.42" | "eth3.43" | "eth4.7")
        }
        Ns::Machine(_) => true,
    };
    match op {
        Op::Engine(op) => match op {
            EngineOp::PullImage { image } => desired.images().contains(image.as_str()),
            EngineOp::CreateNetwork { name, .. }
            | EngineOp::DeleteNetwork { name }
            | EngineOp::CreateVolume { name, .. }
            | EngineOp::DeleteVolume { name }
            | EngineOp::CreateContainer { name, .. }
            | EngineOp::StartContainer { name }
            | EngineOp::StopContainer { name }
            | EngineOp::UnpauseContainer { name }
            | EngineOp::UpdateContainer { name, .. } => named(name),
            EngineOp::RemoveContainer { name, volumes } => {
                named(name) && volumes.iter().all(|volume| volume.len() == 64 || volume.strip_suffix(".guest").is_some_and(named))
            }
            EngineOp::RenameContainer { name, to } => named(name) && named(to),
            EngineOp::Connect { container, network, .. } | EngineOp::Disconnect { container, network } => {
                named(container) && (named(network) || network == "none")
            }
            EngineOp::Wait { container, .. } => named(container),
            EngineOp::InstallGuest { .. } | EngineOp::RemoveGuest { .. } | EngineOp::InstallAgent { .. } | EngineOp::RemoveAgent => true,
            EngineOp::TellAgent { project, .. } => project.as_str() == "shop",
        },
        Op::Net(op) => match op {
            NetOp::CreateLink { link } | NetOp::AdoptPort { link, .. } => at(&link.at),
            NetOp::CreateVeth { a, b } => at(&a.at) && at(&b.at),
            NetOp::SetLink { at: link, .. }
            | NetOp::Lease { at: link, .. }
            | NetOp::Release { at: link, .. }
            | NetOp::DeleteLink { at: link } => at(link),
            // Somebody else's, and left as they were found.
            NetOp::UseLink { at: link, .. } | NetOp::LeaveLink { at: link, .. } => at(link) || link.name == "eth4",
            NetOp::TakeLink { device, link } => at(&link.at) && device == "eth5",
            NetOp::GiveBack { device, .. } => device == "eth5",
            NetOp::SetHosts { machine, .. } | NetOp::SetGuest { machine, .. } | NetOp::SetRouting { machine, .. } => {
                MACHINES.contains(&machine.as_str())
            }
            // The rule is ours, whosever the bridge is.
            NetOp::AllowForward { comment, .. } | NetOp::RevokeForward { comment, .. } => comment.starts_with("fly:shop/"),
        },
    }
}

/// Two machines with a card of every kind.
pub(crate) fn fixed() -> (World, Desired) {
    use crate::sketch::{IpSketch, MachineSketch, ModeSketch, NetSketch, NicSketch};
    let nic = |network| NicSketch { network, ip: IpSketch::Auto, mtu: None, up: true, route: None, mac: None, tuning: None };
    let machine = |needs: &[(usize, bool)]| MachineSketch {
        image: 0,
        environment: None,
        memory: None,
        restart: false,
        port: false,
        volume: Some(0),
        anonymous: false,
        sshd: Some(22),
        needs: needs.to_vec(),
        mode: ModeSketch::Own,
        nics: BTreeMap::from([(0, nic(2)), (1, nic(3)), (3, nic(0))]),
    };
    let network = NetSketch { mtu: None, other_subnet: false, v6: false, host_ip: true, rude: false, turn: 0 };
    let sketch = Sketch {
        networks: vec![network; NETWORKS.len()],
        machines: BTreeMap::from([(0, machine(&[])), (1, machine(&[(0, true)]))]),
        cables: vec![(0, 1, true)],
        backwards: false,
    };
    let history =
        History { newer_engine: false, drops_bridged: true, strangers: 0, earlier: Some(sketch.clone()), killed: None, drifts: vec![] };
    (history.world(), sketch.desired().unwrap())
}

/// What the plan says of a world that somebody has been at: resource, action and fields.
pub(crate) fn seen(disturb: impl Fn(&World)) -> Vec<String> {
    let (world, desired) = fixed();
    assert_eq!(steps(&planned(&world, &desired).unwrap()), "", "before that there is nothing to do");
    disturb(&world);
    let plan = planned(&world, &desired).unwrap();
    let (_, report) = up(&world, &desired, 16).unwrap();
    assert!(report.is_success(), "{}", told(&plan, &report));
    assert_eq!(steps(&planned(&world, &desired).unwrap()), "", "one up puts it right");
    let line = |change: &fly::diff::Change| {
        let fields: Vec<_> = change.fields.iter().map(|field| field.field.as_str()).collect();
        format!("{} {} {}", change.addr, change.action.verb(), fields.join(" "))
    };
    plan.changes.iter().filter(|change| change.action != Action::Keep).map(line).collect()
}

#[test]
fn whatever_somebody_changes_shows_as_exactly_that() {
    let set = |link: &'static str, set: LinkSet| move |world: &World| world.drift_set_link(Some("shop.a"), link, &set);
    let nothing = LinkSet::default;
    let addresses = BTreeSet::from(["10.200.0.1/24".parse().unwrap()]);
    assert_eq!(seen(set("eth0", LinkSet { mtu: Some(1300), ..nothing() })), ["nic/a:eth0 update mtu"]);
    assert_eq!(seen(set("eth1", LinkSet { up: Some(false), ..nothing() })), ["nic/a:eth1 update up"]);
    assert_eq!(seen(set("lan0", LinkSet { mtu: Some(1300), ..nothing() })), ["nic/a:lan0 update mtu"]);
    assert_eq!(seen(set("cable0", LinkSet { add_addresses: addresses, ..nothing() })), ["nic/a:cable0 update ip"]);
    assert_eq!(seen(set("eth0", LinkSet { mac: Some("02:aa:00:00:00:01".parse().unwrap()), ..nothing() })), ["nic/a:eth0 update mac"]);
    let tuned = |link, tune| set(link, LinkSet { tune, ..nothing() });
    let rate = |rate: &str| Tune { traffic: Some(Traffic { rate: rate.parse().ok(), ..Traffic::default() }), ..Tune::default() };
    let neighbours = [("10.88.0.2".parse().unwrap(), "02:00:00:00:00:99".parse().unwrap())];
    let neighbours = Tune { neighbours: BTreeMap::from(neighbours), ..Tune::default() };
    assert_eq!(seen(tuned("cable0", rate("3mbit"))), ["nic/a:cable0 update rate"]);
    assert_eq!(seen(tuned("cable0", neighbours)), ["nic/a:cable0 update neighbours"]);
    assert_eq!(seen(tuned("eth0", rate("1gbit"))), ["nic/a:eth0 update rate"]);
    let dead_end = Route { kind: RouteKind::Prohibit, ..Route::new("10.66.0.0/16".parse().unwrap(), None) };
    let routing = Routing { routes: BTreeSet::from([dead_end]), ..Routing::default() };
    assert_eq!(seen(|world| world.drift_routing("shop.a", &routing)), ["machine/a update routes"]);
    assert_eq!(seen(|world| world.drift_rename_link("shop.a", "eth0", "moved")), ["nic/a:eth0 update name"]);
    assert_eq!(seen(|world| world.drift_clear_hosts("shop.b")), ["machine/b update names"]);
    assert_eq!(
        seen(World::drift_clear_rules),
        ["network/back update firewall", "network/far update firewall", "network/old update firewall", "network/wan update firewall"]
    );
    let limits = Limits { memory: Some(Bytes(99 << 20)), ..Limits::default() };
    assert_eq!(seen(|world| world.drift_limits("shop.a", &limits, Restart::No)), ["machine/a update memory"]);
    assert_eq!(seen(|world| world.drift_limits("shop.a", &Limits::default(), Restart::Always)), ["machine/a update restart"]);
    assert_eq!(seen(|world| world.drift_pause("shop.a")), ["machine/a update state"]);
}

/// The engine's own card is deleted behind its back: it still knows a name, and nobody knows which.
#[test]
fn a_card_that_has_the_name_of_another_survives_a_disconnect() {
    let (world, desired) = fixed();
    let mark = |world: &World| world.canonical().lines().filter(|line| line.contains("macvlan")).map(str::to_owned).collect::<Vec<_>>();
    let before = mark(&world);
    world.drift_delete_link(Some("shop.a"), "lan0");
    let (plan, report) = up(&world, &desired, 16).unwrap();
    assert!(report.is_success(), "{}", told(&plan, &report));
    assert_eq!(mark(&world), before);
}

#[test]
fn whatever_somebody_deletes_shows_as_exactly_that() {
    let fields = "network ip mac mtu";
    assert_eq!(seen(|world| world.drift_delete_link(Some("shop.a"), "eth0")), [format!("nic/a:eth0 create {fields}")]);
    assert_eq!(seen(|world| world.drift_delete_link(Some("shop.a"), "eth1")), [format!("nic/a:eth1 create {fields}")]);
    assert_eq!(seen(|world| world.drift_delete_link(Some("shop.a"), "lan0")), ["nic/a:lan0 replace "]);
    // The engine (before 28) takes the card that bears the name it remembers, and the machine's own name from `/etc/hosts`.
    let gone = seen(|world| world.drift_disconnect("shop.a", "shop.out"));
    assert_eq!(gone, ["machine/a update names".to_owned(), format!("nic/a:eth0 create {fields}"), "nic/a:lan0 replace ".to_owned()]);
    assert_eq!(
        seen(|world| world.drift_delete_link(Some("shop.a"), "cable0")),
        [
            "link/a:cable0-b:cable0 create ip of a:cable0 mac of a:cable0 rate of a:cable0 ip of b:cable0 mac of b:cable0 rate of b:cable0 mtu"
        ]
    );
    let all = seen(|world| world.drift_kill("shop.a"));
    assert_eq!(
        all.iter().map(|line| line.split(' ').next().unwrap()).collect::<Vec<_>>(),
        ["machine/a", "nic/a:eth0", "nic/a:eth1", "nic/a:lan0", "link/a:cable0-b:cable0",]
    );
    assert!(all[0].starts_with("machine/a update state"), "{all:?}");
}

#[test]
fn a_name_that_a_stranger_holds_is_found_before_anything_is_touched() {
    let (_, desired) = fixed();
    let take: [&dyn Fn(&World); 4] = [
        &|world| world.add_stranger_container("shop.a", "debian", &[]),
        &|world| world.add_stranger_container("shop.b", "debian", &[("fly.project", "shop")]),
        &|world| world.add_stranger_network("shop.out", "10.66.0.0/24", &[]),
        &|world| world.add_stranger_volume("shop.data", &[]),
    ];
    for take in take {
        let history = History { newer_engine: false, drops_bridged: false, strangers: 0, earlier: None, killed: None, drifts: vec![] };
        let world = history.untouched();
        take(&world);
        let before = world.canonical();
        let images = desired.images().into_iter().map(str::to_owned).collect();
        let actual = block_on(observe(&*world.engine(), &*world.net(), &desired.project, images)).unwrap();
        let refusals = plan(&desired, &actual).unwrap_err();
        assert!(refusals.iter().all(|refusal| refusal.kind == fly::diag::Kind::Stranger), "{refusals:?}");
        assert_eq!((world.canonical(), world.performs()), (before, 0));
    }
}

#[test]
fn verifying_says_what_still_differs() {
    let (world, desired) = fixed();
    let verify = || block_on(fly::verify::verify(&*world.engine(), &*world.net(), &desired, Duration::ZERO)).unwrap();
    assert_eq!(verify(), []);
    world.drift_clear_rules();
    assert_eq!(
        verify().iter().map(|change| change.addr.to_string()).collect::<Vec<_>>(),
        ["network/back", "network/far", "network/old", "network/wan"]
    );
    assert_eq!(world.mutations(), 0);
}
