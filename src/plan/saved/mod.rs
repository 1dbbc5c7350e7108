//! A plan in a file: made and reviewed now, done later, as far as it still holds.
//!
//! The file holds no payload of an operation, which may have secrets in it, but a fingerprint of each. It is not run: what is to
//! be done is planned again, from the file and the world as they are by then, and this says whether that is what was reviewed.

mod compare;
mod print;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use compare::{Difference, Lines};
pub use print::file;

use super::{Op, Plan, Reason, StepId};
use crate::desired::Desired;
use crate::diff::{Change, Impact};
use crate::engine::EngineOp;
use crate::net::NetOp;
use crate::types::{Addr, Name};

/// The shape of the file is promised: it changes only together with this.
pub const SAVED_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// `SAVED_VERSION`; also the mark by which such a file is known.
    pub fly_plan: u32,
    /// The build of fly that made it.
    pub fly: String,
    pub project: Name,
    /// The engine's own id.
    pub engine: String,
    /// The machines that were asked for; none: all.
    pub only: BTreeSet<Name>,
    pub no_agent: bool,
    /// What the file said, with all that goes into it, by resource: fingerprints.
    pub file: BTreeMap<String, String>,
    /// The images that machines are made from, by reference.
    pub images: BTreeMap<String, Pin>,
    pub changes: Vec<Change>,
    pub steps: Vec<SavedStep>,
    pub notes: Vec<String>,
}

/// A step in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedStep {
    pub id: StepId,
    pub addr: Addr,
    pub does: String,
    /// A fingerprint of all that it does.
    pub payload: String,
    /// What it makes, as the engine or the kernel calls it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub makes: BTreeSet<String>,
    /// It starts its machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub starts: bool,
    pub after: BTreeSet<StepId>,
    pub reason: Reason,
    pub impact: Impact,
}

/// Which image a reference stood for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// The engine's, by its id.
    Id(String),
    /// One that is to be pulled, by its manifest's digest in the registry.
    Digest(String),
}

/// What an image's reference stands for when a plan is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The engine's.
    pub id: Option<String>,
    pub digests: BTreeSet<String>,
    /// The plan pulls it, and the registry has this one.
    pub pulled: Option<String>,
}

pub type Images = BTreeMap<String, Image>;

/// For whom, and from what, a plan is made.
pub struct Circumstances<'a> {
    pub fly: &'a str,
    pub engine: &'a str,
    pub desired: &'a Desired,
    pub images: &'a Images,
}

/// Why a text is no plan that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("it is no saved plan")]
    Foreign,
    #[error("it was written by a newer fly, in form {0}; this one knows form {SAVED_VERSION}")]
    Newer(u32),
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it is damaged, or somebody has edited it: it is not as fly writes it")]
    Edited,
}

impl Saved {
    /// `only`: the machines that were asked for, as far as a part was; `no_agent`: it was not the file that did without one.
    pub fn new(plan: &Plan, now: &Circumstances<'_>, only: BTreeSet<Name>, no_agent: bool) -> Self {
        let steps = plan.steps.iter().map(|step| SavedStep {
            id: step.id,
            addr: step.addr.clone(),
            does: step.does(),
            payload: print::payload(&step.op),
            makes: makes(&step.op),
            starts: matches!(step.op, Op::Engine(EngineOp::StartContainer { .. })),
            after: step.after.clone(),
            reason: step.reason.clone(),
            impact: step.impact,
        });
        Self {
            fly_plan: SAVED_VERSION,
            fly: now.fly.to_owned(),
            project: plan.project.clone(),
            engine: now.engine.to_owned(),
            only,
            no_agent,
            file: file(now.desired),
            images: used(plan).into_iter().filter_map(|image| Some((image.to_owned(), pin(now.images.get(image)?)?))).collect(),
            changes: plan.changes.clone(),
            steps: steps.collect(),
            notes: plan.notes.clone(),
        }
    }

    /// One JSON document, the same for the same plan, with a line feed at its end.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("maps have text keys, and nothing here can fail to serialise");
        text.push('\n');
        text
    }

    pub fn from_text(text: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Mark {
            fly_plan: Option<u32>,
        }
        if !text.trim_start().starts_with('{') {
            return Err(Unreadable::Foreign);
        }
        let damaged = |error: serde_json::Error| Unreadable::Damaged(error.to_string());
        let mark: Mark = serde_json::from_str(text).map_err(damaged)?;
        match mark.fly_plan {
            Some(SAVED_VERSION) => {}
            Some(newer) if newer > SAVED_VERSION => return Err(Unreadable::Newer(newer)),
            _ => return Err(Unreadable::Foreign),
        }
        let saved: Self = serde_json::from_str(text).map_err(damaged)?;
        // Also what lies deeper may hold nothing that fly does not know.
        if saved.to_text() == text { Ok(saved) } else { Err(Unreadable::Edited) }
    }
}

/// The images that a plan makes machines from.
pub fn used(plan: &Plan) -> BTreeSet<&str> {
    let made = plan.steps.iter().filter_map(|step| match &step.op {
        Op::Engine(EngineOp::CreateContainer { container, .. }) => Some(container.image.as_str()),
        Op::Engine(EngineOp::PullImage { image }) => Some(image.as_str()),
        _ => None,
    });
    made.collect()
}

/// The images that a plan pulls.
pub fn pulled(plan: &Plan) -> BTreeSet<&str> {
    plan.steps
        .iter()
        .filter_map(|step| if let Op::Engine(EngineOp::PullImage { image }) = &step.op { Some(image.as_str()) } else { None })
        .collect()
}

/// Containers and links that an operation makes.
fn makes(op: &Op) -> BTreeSet<String> {
    match op {
        Op::Engine(EngineOp::CreateContainer { name, .. }) => BTreeSet::from([name.clone()]),
        Op::Net(NetOp::CreateLink { link }) => BTreeSet::from([link.at.to_string()]),
        Op::Net(NetOp::CreateVeth { a, b }) => BTreeSet::from([a.at.to_string(), b.at.to_string()]),
        _ => BTreeSet::new(),
    }
}

fn pin(image: &Image) -> Option<Pin> {
    image.pulled.clone().map(Pin::Digest).or_else(|| image.id.clone().map(Pin::Id))
}
