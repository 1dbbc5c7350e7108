//! Looks again after an apply: what still differs from the file?
//!
//! The same observation and the same comparison as before it, so that "done" means what "nothing to do" means. Some things settle
//! a moment later (a namespace dies asynchronously, a container that crashes at once is running for an instant), so a difference counts
//! only when it is still there after a while.

use std::time::{Duration, Instant};

use crate::desired::Desired;
use crate::diag::Diagnostic;
use crate::diff::{Action, Change, not_listening};
use crate::engine::Engine;
use crate::net::NetPlane;
use crate::observe::observe;
use crate::plan::plan;

/// Looks are this far apart at first, then twice as far each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// However short the looks are: a bound on their number.
const LOOKS: u32 = 10;

/// What still differs: nothing, as soon as nothing does; otherwise what did when `deadline` was over.
pub async fn verify<E: Engine, N: NetPlane>(engine: &E, net: &N, desired: &Desired, deadline: Duration) -> Result<Vec<Change>, Diagnostic> {
    let (began, mut pause, mut looks) = (Instant::now(), FIRST_PAUSE, 1);
    loop {
        let found = differences(engine, net, desired).await;
        let is_last = looks == LOOKS || began.elapsed() + pause > deadline;
        if is_last || found.as_ref().is_ok_and(Vec::is_empty) {
            return found;
        }
        tokio::time::sleep(pause).await;
        (pause, looks) = (pause * 2, looks + 1);
    }
}

async fn differences<E: Engine, N: NetPlane>(engine: &E, net: &N, desired: &Desired) -> Result<Vec<Change>, Diagnostic> {
    let images = desired.images().into_iter().map(str::to_owned).collect();
    let actual = observe(engine, net, &desired.project, images).await?;
    match plan(desired, &actual) {
        Ok(plan) => {
            let differing = plan.changes.into_iter().filter(|change| change.action != Action::Keep);
            Ok(differing.chain(not_listening(&desired.part(), &actual)).collect())
        }
        Err(mut refusals) => Err(refusals.swap_remove(0)),
    }
}
