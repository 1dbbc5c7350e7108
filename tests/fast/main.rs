//! The fast tests: no privileges, no engine, under a minute.

mod apply;
mod cli;
mod desired;
mod examples;
mod layers;
mod lock;
mod plan_text;
mod properties;
mod sketch;
mod spec;
