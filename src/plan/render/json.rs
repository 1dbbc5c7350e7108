//! A plan for programs. The shape is promised: it changes only together with `JSON_VERSION`.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Counts;
use crate::diff::{Change, Impact};
use crate::plan::{Plan, StepId};
use crate::types::{Addr, Name};

pub const JSON_VERSION: u32 = 1;

#[derive(Serialize)]
struct PlanView<'a> {
    version: u32,
    project: &'a Name,
    summary: Counts,
    impact: Impact,
    changes: &'a [Change],
    steps: Vec<StepView<'a>>,
    notes: &'a [String],
}

/// A step in words: the payload of its operation may hold secrets.
#[derive(Serialize)]
struct StepView<'a> {
    id: StepId,
    addr: &'a Addr,
    does: String,
    after: &'a BTreeSet<StepId>,
    reason: &'a str,
    impact: Impact,
}

/// One JSON document, indented, with a line feed at its end.
pub fn json(plan: &Plan) -> String {
    let steps = plan.steps.iter().map(|step| StepView {
        id: step.id,
        addr: &step.addr,
        does: step.does(),
        after: &step.after,
        reason: step.reason.as_str(),
        impact: step.impact,
    });
    let view = PlanView {
        version: JSON_VERSION,
        project: &plan.project,
        summary: Counts::of(&plan.changes),
        impact: plan.impact(),
        changes: &plan.changes,
        steps: steps.collect(),
        notes: &plan.notes,
    };
    let mut text = serde_json::to_string_pretty(&view).expect("maps have text keys, and nothing here can fail to serialise");
    text.push('\n');
    text
}
