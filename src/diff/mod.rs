//! Desired against actual: what differs, field by field.

mod change;

pub use change::{Action, Change, Effect, FieldChange, Impact, Loss};
