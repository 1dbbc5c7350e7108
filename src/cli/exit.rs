//! Exit codes, all of them, and what leads to which.

use std::process::ExitCode;

use crate::apply::Report;
use crate::diag::{Diagnostic, Kind};
use crate::plan::Plan;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done, or nothing wrong.
    Done = 0,
    Failed = 1,
    /// `plan --check`: there is something to do.
    Changes = 2,
    /// The same, and it interrupts or loses something.
    Disruption = 3,
    /// A saved plan is stale.
    Stale = 4,
    /// Another run holds the project.
    Locked = 5,
    /// Partly applied: run it again.
    Partial = 6,
    /// A stranger holds a name.
    Stranger = 7,
    /// Applied, but the world is not as it should be.
    Unverified = 8,
    /// The engine, or a right, is missing.
    Engine = 9,
    Usage = 64,
    /// fly.yml is invalid.
    Invalid = 65,
    /// `exec`: as a shell has it, the command cannot be run, or is not there.
    NotExecutable = 126,
    NotFound = 127,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    pub(super) fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Invalid => Self::Invalid,
            Kind::Stranger => Self::Stranger,
            Kind::Engine => Self::Engine,
            Kind::Locked => Self::Locked,
            Kind::Stale => Self::Stale,
            Kind::Usage => Self::Usage,
            Kind::NotExecutable => Self::NotExecutable,
            Kind::NotFound => Self::NotFound,
            Kind::Failed => Self::Failed,
        }
    }

    /// One code for many: what the user has to put right first.
    pub(super) fn of_diagnostics(diagnostics: &[Diagnostic]) -> Self {
        let first = |kind: &Kind| match kind {
            Kind::Usage => 0,
            Kind::Invalid => 1,
            Kind::Stranger => 2,
            Kind::Engine => 3,
            Kind::Locked => 4,
            Kind::Stale => 5,
            Kind::NotExecutable | Kind::NotFound => 6,
            Kind::Failed => 7,
        };
        diagnostics.iter().map(|diagnostic| diagnostic.kind).min_by_key(first).map_or(Self::Failed, Self::of_kind)
    }

    /// Of a run that has not been verified yet.
    pub(super) fn of_report(report: &Report) -> Self {
        let counts = report.counts();
        if report.is_success() {
            Self::Done
        } else if counts.failed > 0 && counts.done == 0 {
            Self::Failed
        } else if counts.failed > 0 {
            Self::Partial
        } else {
            Self::Interrupted
        }
    }

    /// Of `plan --check`.
    pub(super) fn of_plan(plan: &Plan) -> Self {
        if plan.is_empty() {
            Self::Done
        } else if plan.impact().is_disruptive() || plan.changes.iter().any(|change| !change.losses.is_empty()) {
            Self::Disruption
        } else {
            Self::Changes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_own_faults_come_before_the_worlds() {
        let of = |kinds: &[Kind]| Exit::of_diagnostics(&kinds.iter().map(|kind| Diagnostic::new(*kind, "x")).collect::<Vec<_>>());
        assert_eq!(of(&[Kind::Failed, Kind::Stranger, Kind::Invalid]), Exit::Invalid);
        assert_eq!(of(&[Kind::Failed, Kind::Stranger]), Exit::Stranger);
        assert_eq!(of(&[]), Exit::Failed);
    }
}
