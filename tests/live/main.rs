//! The live tests: a private engine, the real kernel, a pretend LAN.

#[path = "../support/mod.rs"]
mod support;

mod crash;
mod drift;
mod engine;
mod images;
mod inplace;
mod keys;
mod lab;
mod lifecycle;
mod names;
mod net;
mod networks;
mod order;
mod refusals;
mod sample;
mod strangers;
