//! What became of each step.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::Progress;
use crate::plan::StepId;

/// How one step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    /// In the boundary's own words.
    Failed(String),
    Skipped(Because),
}

/// Why a step was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// This step failed, and the skipped one needs it, directly or by others.
    Step(StepId),
    /// Somebody asked to stop.
    Interrupted,
}

/// Something to tell while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Started(StepId),
    Progress(StepId, Progress),
    Finished(StepId, Outcome),
}

/// How many steps ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub done: usize,
    pub failed: usize,
    pub skipped: usize,
}

/// What became of a plan: every step of it, in the plan's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub outcomes: Vec<(StepId, Outcome, Duration)>,
}

impl Report {
    /// Every step was done.
    pub fn is_success(&self) -> bool {
        self.outcomes.iter().all(|(_, outcome, _)| *outcome == Outcome::Done)
    }

    /// Somebody asked to stop, and something was left undone for it.
    pub fn is_interrupted(&self) -> bool {
        self.outcomes.iter().any(|(_, outcome, _)| *outcome == Outcome::Skipped(Because::Interrupted))
    }

    pub fn counts(&self) -> Counts {
        self.outcomes.iter().fold(Counts::default(), |mut counts, (_, outcome, _)| {
            match outcome {
                Outcome::Done => counts.done += 1,
                Outcome::Failed(_) => counts.failed += 1,
                Outcome::Skipped(_) => counts.skipped += 1,
            }
            counts
        })
    }

    pub fn outcome(&self, id: StepId) -> Option<&Outcome> {
        self.outcomes.iter().find(|(step, ..)| *step == id).map(|(_, outcome, _)| outcome)
    }

    /// The steps that failed by themselves, with what was said.
    pub fn failures(&self) -> impl Iterator<Item = (StepId, &str)> {
        self.outcomes.iter().filter_map(|(id, outcome, _)| match outcome {
            Outcome::Failed(message) => Some((*id, message.as_str())),
            Outcome::Done | Outcome::Skipped(_) => None,
        })
    }
}
