//! How a run goes, for programs: one JSON object a line. The shape is promised: it changes only together with `VERSION`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::Progression;
use super::ask::Verb;
use super::exit::Exit;
use super::failure::Failure;
use super::ui::Ui;
use crate::apply::{Because, Counts, Event, Outcome, Report};
use crate::diff::Change;
use crate::plan::review::Review;
use crate::plan::{Plan, StepId, render};

const VERSION: u32 = 1;

/// A pull says how far it is thousands of times.
const PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Events<'a> {
    ui: &'a Ui,
    is_on: bool,
    verb: Verb,
    begun: Instant,
    steps: RefCell<BTreeMap<StepId, Running>>,
    counts: Cell<Counts>,
}

struct Running {
    begun: Instant,
    told: Option<Instant>,
}

impl<'a> Events<'a> {
    pub(super) fn new(ui: &'a Ui, format: Progression, verb: Verb) -> Self {
        let (begun, steps) = (Instant::now(), RefCell::default());
        Self { ui, is_on: format == Progression::Jsonl, verb, begun, steps, counts: Cell::default() }
    }

    /// What a person is told: beside the events, where there are any.
    pub(super) fn said(&self, text: &str) -> Result<(), Failure> {
        if self.is_on {
            self.ui.say(text);
            return Ok(());
        }
        self.ui.out(text)
    }

    /// Somebody who does not read them any more does not stop the run.
    fn tell(&self, event: &str, mut body: Value) {
        if let (true, Some(fields)) = (self.is_on, body.as_object_mut()) {
            fields.insert("version".to_owned(), VERSION.into());
            fields.insert("event".to_owned(), event.into());
            let _ = self.ui.out(&format!("{body}\n"));
        }
    }

    pub(super) fn start(&self, project: &str) {
        self.tell("start", json!({"command": self.verb.as_str(), "project": project, "fly": env!("CARGO_PKG_VERSION")}));
    }

    pub(super) fn plan(&self, review: &Review<'_>) {
        if self.is_on {
            let document: Value = serde_json::from_str(&render::json(review)).unwrap_or_default();
            self.tell("plan", json!({"plan": document}));
        }
    }

    pub(super) fn on(&self, plan: &Plan, event: &Event) {
        if !self.is_on {
            return;
        }
        let mut steps = self.steps.borrow_mut();
        let (id, more) = match event {
            Event::Started(id) => {
                steps.insert(*id, Running { begun: Instant::now(), told: None });
                (id, json!({"state": "started"}))
            }
            Event::Progress(id, progress) => {
                let Some(running) = steps.get_mut(id) else { return };
                let is_last = progress.total > 0 && progress.done == progress.total;
                if !is_last && running.told.is_some_and(|told| told.elapsed() < PAUSE) {
                    return;
                }
                running.told = Some(Instant::now());
                (id, json!({"state": "progress", "what": progress.what, "done": progress.done, "total": progress.total}))
            }
            Event::Finished(id, outcome) => (id, ended(outcome)),
        };
        let (mut body, Some(step)) = (more, plan.steps.iter().find(|step| step.id == *id)) else { return };
        let fields = body.as_object_mut().expect("it is one");
        fields.insert("id".to_owned(), json!(id));
        fields.insert("addr".to_owned(), json!(step.addr));
        fields.insert("does".to_owned(), step.does().into());
        if let Some(running) = steps.get(id) {
            fields.insert("elapsed_ms".to_owned(), millis(running.begun));
        }
        self.tell("step", body);
    }

    pub(super) fn applied(&self, report: &Report) {
        self.counts.set(report.counts());
    }

    pub(super) fn verified(&self, differing: &[Change]) {
        self.tell("verify", json!({"ok": differing.is_empty(), "differs": differing}));
    }

    /// The last one, however it ended.
    pub(super) fn end(&self, done: Result<Exit, Failure>) -> Result<Exit, Failure> {
        let (exit, errors) = match &done {
            Ok(exit) => (*exit, json!([])),
            Err(failure) => (failure.exit(), json!(failure.diagnostics())),
        };
        self.tell("end", json!({"exit": exit as u8, "counts": self.counts.get(), "elapsed_ms": millis(self.begun), "errors": errors}));
        done
    }
}

fn ended(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Done => json!({"state": "done"}),
        Outcome::Failed(message) => json!({"state": "failed", "message": message}),
        Outcome::Skipped(Because::Step(step)) => json!({"state": "skipped", "because": step}),
        Outcome::Skipped(Because::Interrupted) => json!({"state": "skipped", "because": "interrupted"}),
    }
}

fn millis(begun: Instant) -> Value {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX).into()
}
