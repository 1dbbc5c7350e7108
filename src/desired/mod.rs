//! The resolved model: what the world is to be.

mod context;
mod model;

pub use context::Context;
pub use model::{Attach, Cable, Desired, DesiredState, Machine, Network, NetworkKind, Nic, OrphanVolumes, Places, Volume};
