//! The resolved model: what the world is to be.

mod model;

pub use model::{Attach, Cable, Desired, DesiredState, Machine, Network, NetworkKind, Nic, OrphanVolumes, Places, Volume};
