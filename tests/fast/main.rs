//! The fast tests: no privileges, no engine, under a minute.

mod apply;
mod layers;
mod properties;
mod sketch;
