//! The snapshot of the world that plans are made from.

mod model;
mod record;

pub use model::Actual;
