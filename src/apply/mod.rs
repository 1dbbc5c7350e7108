//! Runs a plan: exactly its steps, each as soon as all that it waits for is done, so many at a time.
//!
//! Nothing is decided here. A step that fails takes along those that need it and no others; a panic inside a boundary is a failed
//! step. Somebody who wants to stop gets what is in flight finished and nothing new started.

mod processes;
mod report;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use report::{Because, Counts, Event, Outcome, Report};

use crate::engine::Engine;
use crate::net::{NetPlane, Processes};
use crate::plan::Plan;

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Steps at a time, over both boundaries.
    pub parallel: usize,
    /// How long a step rests before its second and last try, where the first one's error says that it may pass.
    pub rest: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { parallel: 16, rest: Duration::from_millis(300) }
    }
}

/// Runs all steps of `plan`. `processes` are those of the snapshot that the plan was made from (`observe::processes`); as soon
/// as `stop` is true nothing new is started.
pub async fn apply<E: Engine, N: NetPlane>(
    plan: &Plan,
    engine: Arc<E>,
    net: Arc<N>,
    processes: Processes,
    options: Options,
    events: impl FnMut(Event),
    stop: watch::Receiver<bool>,
) -> Report {
    walk::Walk::new(plan, engine, net, processes, options, events).run(stop).await
}
