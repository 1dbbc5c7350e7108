//! The snapshot of the world that plans are made from.

mod model;
mod record;
mod veil;

pub use model::Actual;
pub use record::RecordError;
pub use veil::{Said, VEIL, fingerprint, shown};
