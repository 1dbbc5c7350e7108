//! The live tests: a private engine, the real kernel, a pretend LAN.

#[path = "../support/mod.rs"]
mod support;

mod drift;
mod inplace;
mod lab;
mod lifecycle;
mod sample;
mod engine;
mod net;
