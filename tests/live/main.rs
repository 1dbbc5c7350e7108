//! The live tests: a private engine, the real kernel, a pretend LAN.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod compose;
mod console;
mod cp;
mod crash;
mod drift;
mod engine;
mod exchange;
mod exec;
mod faults;
mod files;
mod guest;
mod guest_ssh;
mod images;
mod inplace;
mod keys;
mod kinds;
mod lab;
mod lifecycle;
mod logs;
mod macvlan;
mod mounts;
mod moves;
mod names;
mod net;
mod networks;
mod order;
mod quickstart;
mod refusals;
mod renew;
mod sample;
mod ssh_client;
mod ssh_hardened;
mod ssh_images;
mod ssh_openssh;
mod strangers;
mod walk;
