//! The live tests: a private engine, the real kernel, a pretend LAN.
mod net;
