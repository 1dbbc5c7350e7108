//! The live tests: a private engine, the real kernel, a pretend LAN.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod agent;
mod capture;
mod carried;
mod compose;
mod console;
mod cp;
mod crash;
mod dhcp;
mod drift;
mod engine;
mod exchange;
mod exec;
mod faults;
mod files;
mod graph;
mod guest;
mod guest_life;
mod guest_ssh;
mod helper;
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
mod neighbours;
mod net;
mod networks;
mod nics;
mod offline;
mod order;
mod physical;
mod quickstart;
mod refusals;
mod remote;
mod renew;
mod sample;
mod saved;
mod ssh_agent;
mod ssh_client;
mod ssh_ends;
mod ssh_hardened;
mod ssh_images;
mod ssh_musl;
mod ssh_openssh;
mod ssh_place;
mod ssh_remote;
mod strangers;
mod walk;
