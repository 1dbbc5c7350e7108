//! The boundary to the container engine.
//!
//! Two implementations: `docker`, the real one, and `fake`, a small stateful world for the fast tests. No other module names
//! bollard. What the engine says becomes an `EngineSnapshot`; what it is told is an `EngineOp`. Beside these, `session` has what
//! people do with one machine: run a command in it, read its log, copy files.

mod build;
mod docker;
mod endpoint;
mod op;
pub mod session;
mod snapshot;

use std::collections::BTreeSet;
use std::future::Future;

pub use build::guest_version;
pub use docker::{Docker, Download, Event, Events, Execution, Helper};
pub use endpoint::{EngineEndpoint, Tls};
pub use op::{EngineOp, WaitFor};
pub use snapshot::{
    AgentState, Deed, EngineFacts, EngineSnapshot, Health, ImageState, InRegistry, Leftover, MachineState, NetworkState, RunState, Taken,
    VolumeState,
};

use crate::types::Name;

/// What a snapshot is to be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineQuery {
    pub project: Name,
    /// References of the images to look for.
    pub images: BTreeSet<String>,
}

/// What an operation leaves for later ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineDone {
    /// After a start: the first process.
    pub pid: Option<u32>,
}

/// How far a long operation is. `total` is 0 while it is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub what: String,
    pub done: u64,
    pub total: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineErrorKind {
    /// What leads to it is wrong: an address, a certificate, a host key.
    Way,
    /// No engine answers there.
    Unreachable,
    /// It answers, but this user may not.
    Denied,
    NotFound,
    /// The name, address or port is in use by something else.
    Conflict,
    /// Worth one more try after observing again.
    Transient,
    /// It did not answer in time.
    Timeout,
    /// It ran, and ended other than it was to.
    Unhealthy,
    Other,
}

/// What the engine refused, and while doing what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {message}")]
pub struct EngineError {
    pub kind: EngineErrorKind,
    /// `create container shop.web`.
    pub doing: String,
    /// The engine's own words, on one line.
    pub message: String,
    /// What to do now, as far as whoever speaks to it knows better than its kind says.
    pub hints: Vec<String>,
}

/// A container engine.
pub trait Engine: Send + Sync + 'static {
    fn observe(&self, query: &EngineQuery) -> impl Future<Output = Result<EngineSnapshot, EngineError>> + Send;

    /// Compares an image that the engine has with what its registry has by now. Changes nothing, and pulls nothing.
    fn in_registry(&self, image: &str) -> impl Future<Output = InRegistry> + Send;

    /// Does exactly this one operation. `progress` is called as often as there is something to tell.
    fn perform(
        &self,
        op: &EngineOp,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> impl Future<Output = Result<EngineDone, EngineError>> + Send;
}
