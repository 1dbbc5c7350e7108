//! The walk over the graph, with plans made by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fly::apply::{Because, Counts, Event, Options, Outcome, Report, apply};
use fly::diff::Impact;
use fly::engine::{Engine, EngineDone, EngineError, EngineOp, EngineQuery, EngineSnapshot, InRegistry, Progress};
use fly::fake::{Fault, FaultKind, When, World};
use fly::net::{NetOp, Processes};
use fly::plan::{Op, Plan, Reason, Step, StepId};
use fly::types::{Addr, HostEntry, ImageDefaults, Name};
use tokio::sync::watch;

fn shop() -> Name {
    Name::new("shop").unwrap()
}

fn step(id: u32, op: impl Into<Op>, after: &[u32]) -> Step {
    Step {
        id: StepId(id),
        addr: Addr::Machine(Name::new("web").unwrap()),
        op: op.into(),
        after: after.iter().copied().map(StepId).collect(),
        reason: Reason::new("a test"),
        impact: Impact::None,
        may_rest: false,
    }
}

/// Steps that each make a volume of their own, and what each waits for.
fn volumes(graph: &[(u32, &[u32])]) -> Plan {
    let op =
        |id: u32| EngineOp::CreateVolume { name: format!("v{id:03}"), labels: BTreeMap::from([("fly.project".into(), "shop".into())]) };
    plan(graph.iter().map(|(id, after)| step(*id, op(*id), after)).collect())
}

fn plan(steps: Vec<Step>) -> Plan {
    Plan { project: shop(), changes: vec![], steps, notes: vec![], drift: BTreeMap::new() }
}

fn options(parallel: usize) -> Options {
    Options { parallel, rest: Duration::ZERO }
}

fn run_on(world: &World, plan: &Plan, parallel: usize) -> (Report, Vec<Event>) {
    let mut events = vec![];
    let (_keep, stop) = watch::channel(false);
    let report = block_on(apply(plan, world.engine(), world.net(), Processes::new(), options(parallel), |event| events.push(event), stop));
    (report, events)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn outcomes(report: &Report) -> Vec<String> {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Failed(_) => "failed".to_owned(),
        Outcome::Skipped(Because::Step(id)) => format!("skipped for {id}"),
        Outcome::Skipped(Because::Interrupted) => "interrupted".to_owned(),
    };
    report.outcomes.iter().map(|(id, outcome, _)| format!("{id} {}", word(outcome))).collect()
}

/// Two branches from one root, and a stranger to both.
const FORK: &[(u32, &[u32])] = &[(1, &[]), (2, &[1]), (3, &[2]), (4, &[1]), (5, &[])];

#[test]
fn every_step_is_done_once_and_told_of() {
    let world = World::new();
    let (report, events) = run_on(&world, &volumes(FORK), 1);
    assert!(report.is_success());
    assert_eq!(report.counts(), Counts { done: 5, failed: 0, skipped: 0 });
    assert_eq!(world.performs(), 5);
    let told = |id| (Event::Started(StepId(id)), Event::Finished(StepId(id), Outcome::Done));
    for (started, finished) in (1..=5).map(told) {
        let at = |event: &Event| events.iter().position(|other| other == event).unwrap();
        assert!(at(&started) < at(&finished));
    }
}

#[test]
fn a_failed_step_takes_along_those_that_need_it_and_no_others() {
    let world = World::new();
    // Serially the order is 1, 2, 3, …: the second perform is step 2.
    world.plan_fault(Fault { at: 2, when: When::Before, kind: FaultKind::Other });
    let (report, events) = run_on(&world, &volumes(FORK), 1);
    assert_eq!(outcomes(&report), ["1 done", "2 failed", "3 skipped for 2", "4 done", "5 done"]);
    assert_eq!(report.failures().map(|(id, _)| id).collect::<Vec<_>>(), [StepId(2)]);
    assert!(report.failures().all(|(_, message)| message == "create volume v002: a fault that was asked for"));
    assert!(events.contains(&Event::Finished(StepId(3), Outcome::Skipped(Because::Step(StepId(2))))));
    assert!(!events.contains(&Event::Started(StepId(3))));
}

#[test]
fn a_panic_in_a_boundary_is_a_failed_step() {
    let world = World::new();
    world.plan_fault(Fault { at: 2, when: When::Before, kind: FaultKind::Panic });
    let (report, _) = run_on(&world, &volumes(FORK), 1);
    assert_eq!(outcomes(&report), ["1 done", "2 failed", "3 skipped for 2", "4 done", "5 done"]);
    assert!(report.failures().any(|(_, message)| message == "a fault in fly itself: a fault that was asked for"));
}

#[test]
fn what_may_pass_is_tried_once_more_and_nothing_else_is() {
    for (kind, performs, good) in [(FaultKind::Transient, 6, true), (FaultKind::Timeout, 4, false), (FaultKind::Conflict, 4, false)] {
        let world = World::new();
        world.plan_fault(Fault { at: 2, when: When::After, kind: kind.clone() });
        let (report, _) = run_on(&world, &volumes(FORK), 1);
        assert_eq!((report.is_success(), world.performs()), (good, performs), "{kind:?}");
    }
    let world = World::new();
    for at in [2, 3] {
        world.plan_fault(Fault { at, when: When::Before, kind: FaultKind::Transient });
    }
    assert_eq!(outcomes(&run_on(&world, &volumes(FORK), 1).0)[1], "2 failed", "a third try is not made");
}

#[test]
fn who_wants_to_stop_gets_what_is_in_flight_finished() {
    let world = World::new();
    let (ask, stop) = watch::channel(false);
    let events = |event| {
        if event == Event::Started(StepId(2)) {
            ask.send(true).unwrap();
        }
    };
    let report = block_on(apply(&volumes(FORK), world.engine(), world.net(), Processes::new(), options(1), events, stop));
    assert_eq!(outcomes(&report), ["1 done", "2 done", "3 interrupted", "4 interrupted", "5 interrupted"]);
    assert!(report.is_interrupted());
}

#[test]
fn a_circle_fails_instead_of_hanging() {
    let world = World::new();
    let (report, _) = run_on(&world, &volumes(&[(1, &[2]), (2, &[1]), (3, &[9]), (4, &[])]), 4);
    assert_eq!(outcomes(&report), ["1 failed", "2 failed", "3 failed", "4 done"]);
}

/// An engine that counts how many calls it has at a time.
#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Engine for Crowd {
    async fn observe(&self, _: &EngineQuery) -> Result<EngineSnapshot, EngineError> {
        Ok(EngineSnapshot::default())
    }

    async fn in_registry(&self, _: &str) -> InRegistry {
        InRegistry::Same
    }

    async fn perform(&self, _: &EngineOp, progress: &(dyn Fn(Progress) + Send + Sync)) -> Result<EngineDone, EngineError> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        progress(Progress { what: "layer".into(), done: 1, total: 2 });
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(EngineDone::default())
    }
}

#[test]
fn so_many_at_a_time_and_no_more() {
    let graph: Vec<(u32, &[u32])> = (1..=40).map(|id| (id, &[][..])).collect();
    for parallel in [1, 3, 16] {
        let crowd = Arc::new(Crowd::default());
        let mut progress = 0;
        let (_keep, stop) = watch::channel(false);
        let events = |event| progress += usize::from(matches!(event, Event::Progress(..)));
        let report =
            block_on(apply(&volumes(&graph), crowd.clone(), World::new().net(), Processes::new(), options(parallel), events, stop));
        assert!(report.is_success());
        assert_eq!((crowd.most.load(Ordering::SeqCst), progress), (parallel, 40));
    }
}

/// A new container runs under another name before the old one goes: what its start said must survive the old one's end.
#[test]
fn a_process_is_the_one_of_the_container_that_runs_last() {
    let world = World::new();
    world.add_image("debian", ImageDefaults::default());
    let labels = BTreeMap::from([("fly.project".to_owned(), "shop".to_owned()), ("fly.machine".to_owned(), "web".to_owned())]);
    let container = Box::new(fly::types::Container { labels, ..fly::fake::blank("debian") });
    let create = |name: &str| EngineOp::CreateContainer { name: name.into(), container: container.clone(), network: None };
    let start = |name: &str| EngineOp::StartContainer { name: name.into() };
    let (old, new) = ("shop.web", "shop.web.new");
    let set = BTreeSet::from([HostEntry { name: "db".into(), address: [10, 0, 0, 1].into() }]).into();
    let hosts = NetOp::SetHosts { machine: Name::new("web").unwrap(), set, remove: BTreeSet::new() };
    let steps = vec![
        step(1, create(old), &[]),
        step(2, start(old), &[1]),
        step(3, create(new), &[2]),
        step(4, start(new), &[3]),
        step(5, EngineOp::StopContainer { name: old.into() }, &[4]),
        step(6, EngineOp::RemoveContainer { name: old.into(), volumes: BTreeSet::new() }, &[5]),
        step(7, EngineOp::RenameContainer { name: new.into(), to: old.into() }, &[6]),
        step(8, hosts.clone(), &[7]),
        step(9, EngineOp::StopContainer { name: old.into() }, &[8]),
        step(10, hosts, &[9]),
    ];
    let (report, _) = run_on(&world, &plan(steps), 1);
    let failures: Vec<_> = report.failures().collect();
    assert_eq!(failures, [(StepId(10), "write /etc/hosts of web: web does not run")]);
}
