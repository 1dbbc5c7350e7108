//! What many a kernel lacks, tested on Debian's in a small virtual machine: `tests/run --vm`.
//!
//! `tests/vm/boot` starts it, with this machine's files to read and the real engine to run. Tests begin with [`world`] for the network
//! plane alone, or [`lab`] for the whole program; both refuse to run anywhere else. The processor is emulated: an engine takes half a
//! minute to come up, the plane alone a second.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, unused_imports, reason = "of the live tests' support these need a part")]
#[path = "../support/mod.rs"]
mod support;
#[expect(dead_code, reason = "the same")]
#[path = "../live/net/world.rs"]
mod world;

mod ipvlan;
mod modules;
mod netem;
mod physical;
mod vlan;

use support::Lab;
use world::World;

fn must_be_here() {
    let kernel = std::fs::read_to_string("/proc/version").unwrap_or_default();
    assert!(std::env::var_os("FLY_VM").is_some(), "these tests run in their virtual machine: tests/run --vm; this is {kernel}");
}

/// A host and machines for the network plane.
fn world(machines: &[&str]) -> World {
    must_be_here();
    World::new(machines)
}

/// A machine with an engine.
fn lab() -> Lab {
    must_be_here();
    Lab::start()
}
