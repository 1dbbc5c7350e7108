//! The snapshot of the world that plans are made from.

mod model;

pub use model::Actual;
