//! The plan: steps in order, each with its reason.

mod step;

pub use step::{Op, Plan, Reason, Step, StepId};
