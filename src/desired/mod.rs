//! The resolved model: what the world is to be.
//!
//! `resolve` decides everything that the file leaves open and checks everything that it says. It is pure, and it does not stop at
//! the first error: whoever writes the file wants to see them all.

mod address;
mod cable;
mod context;
mod defaults;
mod environment;
mod fingerprints;
mod guest;
mod hosts;
mod ipam;
mod kind;
mod limits;
mod machine;
mod model;
mod mounts;
mod network;
mod nic;
mod order;
mod part;
mod passthru;
mod physical;
mod ports;
mod render;
mod resolve;
mod routes;
mod scale;
mod security;
mod subnet;
mod systemd;
mod tuning;
mod volumes;
mod work;
mod yaml;

pub use context::{Context, EnvText};
pub use fingerprints::fingerprints;
pub use model::{Attach, Cable, Desired, DesiredState, Guest, Machine, Network, NetworkKind, Nic, OrphanVolumes, Places, Volume};
pub use render::to_yaml;
pub use resolve::resolve;
