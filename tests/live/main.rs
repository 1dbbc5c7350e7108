//! The live tests: a private engine, the real kernel, a pretend LAN.

#[path = "../support/mod.rs"]
mod support;

mod drift;
mod engine;
mod inplace;
mod lab;
mod lifecycle;
mod net;
mod sample;
