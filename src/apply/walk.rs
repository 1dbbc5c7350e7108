//! The walk over the graph of steps.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

use super::processes::Running;
use super::{Because, Event, Options, Outcome, Report};
use crate::engine::{Engine, EngineErrorKind, Progress};
use crate::net::{NetErrorKind, NetPlane, Processes};
use crate::plan::{Op, Plan, Step, StepId};
use crate::types::Name;

/// What a boundary call came to: the first process where it started one, or what was refused.
type Result = std::result::Result<Option<u32>, Refused>;

struct Refused {
    message: String,
    /// Another try may go well.
    passing: bool,
}

pub(super) struct Walk<'a, E, N, F> {
    plan: &'a Plan,
    steps: BTreeMap<StepId, &'a Step>,
    needed_by: BTreeMap<StepId, Vec<StepId>>,
    /// How many each step still waits for.
    waits: BTreeMap<StepId, usize>,
    ready: BTreeSet<StepId>,
    outcomes: BTreeMap<StepId, (Outcome, Duration)>,
    running: Running,
    engine: Arc<E>,
    net: Arc<N>,
    options: Options,
    events: F,
}

impl<'a, E: Engine, N: NetPlane, F: FnMut(Event)> Walk<'a, E, N, F> {
    pub(super) fn new(plan: &'a Plan, engine: Arc<E>, net: Arc<N>, processes: Processes, options: Options, events: F) -> Self {
        let mut needed_by = BTreeMap::<_, Vec<_>>::new();
        for step in &plan.steps {
            for needed in &step.after {
                needed_by.entry(*needed).or_default().push(step.id);
            }
        }
        let waits: BTreeMap<_, _> = plan.steps.iter().map(|step| (step.id, step.after.len())).collect();
        Self {
            plan,
            steps: plan.steps.iter().map(|step| (step.id, step)).collect(),
            needed_by,
            ready: waits.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect(),
            waits,
            outcomes: BTreeMap::new(),
            running: Running::new(&plan.project, processes),
            engine,
            net,
            options,
            events,
        }
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Report {
        // Dropping the set ends what is in flight: only a second, impatient request to stop gets there.
        let mut tasks = JoinSet::new();
        let mut flights = HashMap::<Id, (StepId, Instant)>::new();
        let (told, mut tell) = mpsc::unbounded_channel();
        let mut can_stop = true;
        loop {
            if !*stop.borrow() {
                while flights.len() < self.options.parallel.max(1) {
                    let Some(id) = self.ready.pop_first() else { break };
                    (self.events)(Event::Started(id));
                    let task = tasks.spawn(self.call(self.steps[&id], told.clone()).run());
                    flights.insert(task.id(), (id, Instant::now()));
                }
            }
            tokio::select! {
                biased;
                Some((id, progress)) = tell.recv() => (self.events)(Event::Progress(id, progress)),
                ended = tasks.join_next_with_id() => {
                    let Some(ended) = ended else { break };
                    self.land(&mut flights, ended);
                }
                changed = stop.changed(), if can_stop => can_stop = changed.is_ok(),
            }
        }
        self.report(*stop.borrow())
    }

    fn call(&self, step: &Step, told: mpsc::UnboundedSender<(StepId, Progress)>) -> Call<E, N> {
        let processes = match &step.op {
            Op::Net(op) => self.running.of(op),
            Op::Engine(_) => Processes::new(),
        };
        Call {
            id: step.id,
            op: step.op.clone(),
            may_rest: step.may_rest,
            project: self.plan.project.clone(),
            processes,
            engine: self.engine.clone(),
            net: self.net.clone(),
            rest: self.options.rest,
            told,
        }
    }

    fn land(&mut self, flights: &mut HashMap<Id, (StepId, Instant)>, ended: std::result::Result<(Id, Result), JoinError>) {
        let (task, result) = match ended {
            Ok((task, result)) => (task, result),
            Err(error) => (error.id(), Err(Refused { message: panic_text(error), passing: false })),
        };
        let (id, began) = flights.remove(&task).expect("every task was entered when it was spawned");
        match result {
            Ok(pid) => {
                self.running.note(self.steps[&id], pid);
                self.finish(id, Outcome::Done, began.elapsed());
                for next in self.needed_by.remove(&id).unwrap_or_default() {
                    let waits = self.waits.get_mut(&next).expect("every step has a count");
                    *waits -= 1;
                    if *waits == 0 && !self.outcomes.contains_key(&next) {
                        self.ready.insert(next);
                    }
                }
            }
            Err(refused) => {
                self.finish(id, Outcome::Failed(refused.message), began.elapsed());
                self.skip_dependents(id);
            }
        }
    }

    /// Everything that needs `failed`, directly or by others, and nothing else.
    fn skip_dependents(&mut self, failed: StepId) {
        let mut reached = vec![failed];
        while let Some(step) = reached.pop() {
            for next in self.needed_by.get(&step).cloned().unwrap_or_default() {
                if !self.outcomes.contains_key(&next) {
                    self.finish(next, Outcome::Skipped(Because::Step(failed)), Duration::ZERO);
                    reached.push(next);
                }
            }
        }
    }

    fn finish(&mut self, id: StepId, outcome: Outcome, took: Duration) {
        (self.events)(Event::Finished(id, outcome.clone()));
        self.outcomes.insert(id, (outcome, took));
    }

    fn report(mut self, stopped: bool) -> Report {
        for step in &self.plan.steps {
            if !self.outcomes.contains_key(&step.id) {
                // Without a request to stop only a plan with a circle, or with a hole, leaves a step over.
                let outcome = if stopped {
                    Outcome::Skipped(Because::Interrupted)
                } else {
                    Outcome::Failed("it waits for a step that cannot come before it".to_owned())
                };
                self.finish(step.id, outcome, Duration::ZERO);
            }
        }
        let mut outcomes = self.outcomes;
        let take = |step: &Step| outcomes.remove(&step.id).map(|(outcome, took)| (step.id, outcome, took));
        Report { outcomes: self.plan.steps.iter().filter_map(take).collect() }
    }
}

/// One step's boundary call, with all that it needs to live on a thread of its own.
struct Call<E, N> {
    id: StepId,
    op: Op,
    may_rest: bool,
    project: Name,
    processes: Processes,
    engine: Arc<E>,
    net: Arc<N>,
    rest: Duration,
    told: mpsc::UnboundedSender<(StepId, Progress)>,
}

impl<E: Engine, N: NetPlane> Call<E, N> {
    /// With a second try where that may help.
    async fn run(self) -> Result {
        match self.once().await {
            Err(refused) if refused.passing => {
                tokio::time::sleep(self.rest).await;
                self.once().await
            }
            result => result,
        }
    }

    async fn once(&self) -> Result {
        match &self.op {
            Op::Engine(op) => {
                let (told, id) = (self.told.clone(), self.id);
                let progress = move |progress| drop(told.send((id, progress)));
                let done = self.engine.perform(op, &progress).await;
                done.map(|done| done.pid).map_err(|e| Refused { passing: e.kind == EngineErrorKind::Transient, message: e.to_string() })
            }
            Op::Net(op) => {
                let done = match self.net.perform(op, &self.project, &self.processes).await {
                    Err(error) if self.may_rest && error.kind == NetErrorKind::Ended => Ok(()),
                    done => done,
                };
                done.map(|()| None).map_err(|e| Refused { passing: e.kind == NetErrorKind::Transient, message: e.to_string() })
            }
        }
    }
}

/// What a panicking boundary had to say.
fn panic_text(error: JoinError) -> String {
    let said = match error.try_into_panic() {
        Ok(said) => said.downcast::<String>().map(|text| *text).or_else(|said| said.downcast::<&str>().map(|text| (*text).to_owned())),
        Err(error) => return error.to_string(),
    };
    format!("a fault in fly itself: {}", said.unwrap_or_else(|_| "it panicked".to_owned()))
}
