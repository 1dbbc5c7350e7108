//! What a run says at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use super::ask::Verb;
use crate::apply::{Because, Outcome, Report};
use crate::plan::render::{Counts, clean};
use crate::plan::{Plan, StepId};

/// `up: 3 created, 1 changed, 46 unchanged in 2.1s`.
pub(super) fn done(verb: Verb, counts: Counts, elapsed: Duration) -> String {
    let counts = counts.said(["created", "changed", "restarted", "replaced", "deleted", "unchanged"]);
    format!("{}: {counts} in {}\n", verb.as_str(), seconds(elapsed))
}

/// What was done, what failed and why, and what was not begun for it.
pub(super) fn unfinished(verb: Verb, plan: &Plan, report: &Report, elapsed: Duration) -> String {
    let does: BTreeMap<StepId, String> = plan.steps.iter().map(|step| (step.id, clean(&step.does()))).collect();
    let name = |id: &StepId| does.get(id).cloned().unwrap_or_else(|| format!("step {id}"));
    let mut skipped: BTreeMap<Option<StepId>, Vec<String>> = BTreeMap::new();
    for (id, outcome, _) in &report.outcomes {
        match outcome {
            Outcome::Skipped(Because::Step(cause)) => skipped.entry(Some(*cause)).or_default().push(name(id)),
            Outcome::Skipped(Because::Interrupted) => skipped.entry(None).or_default().push(name(id)),
            Outcome::Done | Outcome::Failed(_) => {}
        }
    }
    let mut out = String::new();
    let mut ended = BTreeSet::new();
    for (id, outcome, _) in &report.outcomes {
        let Outcome::Failed(message) = outcome else { continue };
        let _ = writeln!(out, "error: {}", clean(message));
        if let Some(step) = plan.steps.iter().find(|step| step.id == *id) {
            let _ = writeln!(out, "  in step {id}, for {}: {}", clean(&step.addr.to_string()), clean(step.reason.as_str()));
            ended.extend(step.addr.machine().filter(|_| says_that_it_ended(message)));
        }
        for left in skipped.get(&Some(*id)).into_iter().flatten() {
            let _ = writeln!(out, "  not begun for it: {left}");
        }
    }
    let interrupted = skipped.get(&None).map_or(&[][..], Vec::as_slice);
    if !interrupted.is_empty() {
        out.push_str("stopped before:\n");
        for left in interrupted {
            let _ = writeln!(out, "  {left}");
        }
    }
    let (counts, verb) = (report.counts(), verb.as_str());
    let of = report.outcomes.len();
    let _ = write!(out, "\n{verb}: {} of {of} steps done", counts.done);
    if counts.failed > 0 {
        let _ = write!(out, ", {} failed", counts.failed);
    }
    if counts.skipped > 0 {
        let _ = write!(out, ", {} not begun", counts.skipped);
    }
    let _ = writeln!(out, " in {}\n", seconds(elapsed));
    for machine in ended {
        let _ = writeln!(out, "hint: why did {machine} end? `fly logs {machine}`");
    }
    let _ = writeln!(out, "hint: run `fly {verb}` again: it goes on from here");
    out
}

/// A machine whose command ends at once takes its namespace along: the step that fails is one for its cards.
fn says_that_it_ended(message: &str) -> bool {
    ["it has ended", "it does not run"].iter().any(|words| message.ends_with(words))
}

/// `2.1s`; `1m 5s` from a minute on.
pub(super) fn seconds(elapsed: Duration) -> String {
    let tenths = elapsed.as_millis() / 100;
    if tenths < 600 {
        return format!("{}.{}s", tenths / 10, tenths % 10);
    }
    format!("{}m {}s", tenths / 600, tenths % 600 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::Impact;
    use crate::engine::EngineOp;
    use crate::plan::{Op, Reason, Step};

    #[test]
    fn one_line_says_it_all() {
        let counts = Counts { create: 3, update: 1, keep: 46, ..Counts::default() };
        insta::assert_snapshot!(done(Verb::Up, counts, Duration::from_millis(2149)), @"up: 3 created, 1 changed, 46 unchanged in 2.1s");
        let counts = Counts { delete: 12, ..Counts::default() };
        insta::assert_snapshot!(done(Verb::Down, counts, Duration::from_millis(65_149)), @"down: 12 deleted in 1m 5s");
    }

    fn plan() -> Plan {
        let step = |id: u32, name: &str| Step {
            id: StepId(id),
            addr: "machine/web".parse().unwrap(),
            op: Op::Engine(EngineOp::StartContainer { name: name.into() }),
            after: (1..id).map(StepId).collect(),
            reason: Reason::new("not there yet"),
            impact: Impact::None,
            may_rest: false,
        };
        let steps = vec![step(1, "shop.db"), step(2, "shop.web"), step(3, "shop.cache")];
        Plan { project: "shop".parse().unwrap(), changes: vec![], steps, notes: vec![], drift: BTreeMap::new() }
    }

    #[test]
    fn what_failed_and_what_was_left_for_it() {
        let outcomes =
            [Outcome::Done, Outcome::Failed("start container shop.web: no space\nleft".into()), Outcome::Skipped(Because::Step(StepId(2)))];
        let outcomes = (1..).map(StepId).zip(outcomes).map(|(id, outcome)| (id, outcome, Duration::ZERO)).collect();
        insta::assert_snapshot!(unfinished(Verb::Up, &plan(), &Report { outcomes }, Duration::from_secs(1)), @r"
        error: start container shop.web: no space\nleft
          in step 2, for machine/web: not there yet
          not begun for it: start container shop.cache

        up: 1 of 3 steps done, 1 failed, 1 not begun in 1.0s

        hint: run `fly up` again: it goes on from here
        ");
    }

    #[test]
    fn a_machine_that_ends_at_once_has_said_why() {
        let outcomes = [Outcome::Done, Outcome::Done, Outcome::Failed("reach machine web: it has ended".into())];
        let outcomes = (1..).map(StepId).zip(outcomes).map(|(id, outcome)| (id, outcome, Duration::ZERO)).collect();
        insta::assert_snapshot!(unfinished(Verb::Up, &plan(), &Report { outcomes }, Duration::from_secs(1)), @r"
        error: reach machine web: it has ended
          in step 3, for machine/web: not there yet

        up: 2 of 3 steps done, 1 failed in 1.0s

        hint: why did web end? `fly logs web`
        hint: run `fly up` again: it goes on from here
        ");
    }

    #[test]
    fn an_interrupted_run_says_what_is_left() {
        let outcomes = [Outcome::Done, Outcome::Done, Outcome::Skipped(Because::Interrupted)];
        let outcomes = (1..).map(StepId).zip(outcomes).map(|(id, outcome)| (id, outcome, Duration::ZERO)).collect();
        insta::assert_snapshot!(unfinished(Verb::Down, &plan(), &Report { outcomes }, Duration::from_secs(1)), @r"
        stopped before:
          start container shop.cache

        down: 2 of 3 steps done, 1 not begun in 1.0s

        hint: run `fly down` again: it goes on from here
        ");
    }
}
