//! The seam to the rest of fly: what the commands call, in one place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::failure::Sources;
use crate::actual::Actual;
use crate::desired::{Context, Desired};
use crate::diag::{Diagnostic, Kind};
use crate::diff::Change;
use crate::engine::Progress;
use crate::plan::{Plan, StepId};
use crate::spec::Spec;
use crate::types::Name;

// ---- stand-ins until the modules are there; each has the shape of the real one ----

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Failed(String),
    Skipped(Because),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Because {
    Step(StepId),
    Interrupted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Started(StepId),
    Progress(StepId, Progress),
    Finished(StepId, Outcome),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) done: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) outcomes: Vec<(StepId, Outcome, Duration)>,
}

impl Report {
    pub(super) fn is_success(&self) -> bool {
        self.outcomes.iter().all(|(_, outcome, _)| *outcome == Outcome::Done)
    }

    pub(super) fn counts(&self) -> Counts {
        self.outcomes.iter().fold(Counts::default(), |mut counts, (_, outcome, _)| {
            match outcome {
                Outcome::Done => counts.done += 1,
                Outcome::Failed(_) => counts.failed += 1,
                Outcome::Skipped(_) => counts.skipped += 1,
            }
            counts
        })
    }
}

fn missing<T>(what: &str) -> Result<T, Diagnostic> {
    Err(Diagnostic::new(Kind::Failed, format!("{what} is not there yet")))
}

// ---- the file ----

pub(super) fn parse(_file: &str, _text: &str, _environment: &BTreeMap<String, String>) -> Result<Spec, Vec<Diagnostic>> {
    missing("reading the file").map_err(|error| vec![error])
}

pub(super) fn dotenv(_file: &str, _text: &str) -> Result<BTreeMap<String, String>, Vec<Diagnostic>> {
    missing("reading `.env`").map_err(|error| vec![error])
}

pub(super) fn schema() -> String {
    "{}".to_owned()
}

pub(super) fn resolve(_spec: &Spec, _context: &Context) -> Result<Desired, Vec<Diagnostic>> {
    missing("resolving the file").map_err(|error| vec![error])
}

pub(super) fn to_yaml(desired: &Desired) -> String {
    format!("name: {}\n", desired.project)
}

pub(super) fn plan(desired: &Desired, actual: &Actual) -> Result<Plan, Vec<Diagnostic>> {
    crate::plan::plan(desired, actual)
}

/// Ends with a line feed.
pub(super) fn render_diagnostics(diagnostics: &[Diagnostic], _sources: &Sources, _color: bool) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        out += &format!("error: {}\n", diagnostic.message);
        out.extend(diagnostic.place.iter().map(|place| format!("  --> {place}\n")));
        out.extend(diagnostic.causes.iter().map(|cause| format!("  cause: {cause}\n")));
        out.extend(diagnostic.hints.iter().map(|hint| format!("\nhint: {hint}\n")));
    }
    out
}

// ---- engine and kernel ----

/// Runs what waits for the engine and the kernel. One thread is enough: the work is theirs.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Diagnostic> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Diagnostic::new(Kind::Failed, "cannot start").cause(error))?;
    Ok(runtime.block_on(work))
}

/// The engine, and the kernel that its containers run on.
pub(super) struct World {
    _engine: Arc<()>,
    _net: Arc<()>,
}

impl World {
    #[expect(clippy::unused_async, reason = "a stand-in")]
    pub(super) async fn connect(_address: Option<&str>) -> Result<Self, Diagnostic> {
        Err(Diagnostic::new(Kind::Engine, "the container engine does not answer").hint("is it running? `systemctl start docker`"))
    }

    #[expect(clippy::unused_async, reason = "a stand-in")]
    pub(super) async fn observe(&self, _project: &Name, _images: BTreeSet<String>) -> Result<Actual, Diagnostic> {
        missing("observing")
    }

    #[expect(clippy::unused_async, reason = "a stand-in")]
    pub(super) async fn apply(
        &self,
        _plan: &Plan,
        _actual: &Actual,
        _parallel: usize,
        _events: impl FnMut(Event),
        _stop: watch::Receiver<bool>,
    ) -> Report {
        Report::default()
    }

    /// What is still not as it should be after `deadline` at the latest.
    #[expect(clippy::unused_async, reason = "a stand-in")]
    pub(super) async fn verify(&self, _desired: &Desired, _deadline: Duration) -> Result<Vec<Change>, Diagnostic> {
        missing("verifying")
    }
}
