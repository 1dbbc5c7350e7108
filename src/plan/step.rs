//! One step of a plan, and the graph that steps make.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::diff::{Change, Drift, Impact};
use crate::engine::EngineOp;
use crate::net::NetOp;
use crate::types::{Addr, Name, Ns};

/// The number of a step; a step comes after every step that it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

impl std::fmt::Display for StepId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One boundary call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "boundary", rename_all = "snake_case")]
pub enum Op {
    Engine(EngineOp),
    Net(NetOp),
}

impl std::fmt::Display for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Engine(op) => op.fmt(f),
            Self::Net(op) => op.fmt(f),
        }
    }
}

/// Why a step is done. There is no empty one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reason(String);

impl Reason {
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        assert!(!text.is_empty(), "a step has a reason");
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub id: StepId,
    /// The resource that it is done for.
    pub addr: Addr,
    pub op: Op,
    pub after: BTreeSet<StepId>,
    pub reason: Reason,
    pub impact: Impact,
    /// Its machine may come to its good end at any moment, and needs nothing more then: to find it ended is as good as done. Whether
    /// the end was a good one is for whoever waits for it to say.
    pub may_rest: bool,
}

impl Step {
    /// What is done, in words. A link of the host's has a name made of hashes: whose it is stands behind it.
    pub fn does(&self) -> String {
        match &self.op {
            Op::Net(op @ (NetOp::SetLink { at, .. } | NetOp::DeleteLink { at })) if at.ns == Ns::Host => format!("{op} of {}", self.addr),
            op => op.to_string(),
        }
    }
}

/// What will be done, whole and in order. The executor runs exactly this and decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub project: Name,
    /// What differs, resource by resource; `Keep` is among them.
    pub changes: Vec<Change>,
    /// In an order that could be run one by one.
    pub steps: Vec<Step>,
    /// What of the changes does not come from the file: somebody has changed the world since the last `up`.
    pub drift: BTreeMap<Addr, Drift>,
    /// What a reader should know although nothing is done about it.
    pub notes: Vec<String>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub fn impact(&self) -> Impact {
        self.changes.iter().map(|change| change.impact).max().unwrap_or_default()
    }
}
