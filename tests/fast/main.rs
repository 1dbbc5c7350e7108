//! The fast tests: no privileges, no engine, under a minute.

mod cli;
mod examples;
mod layers;
mod lock;
mod plan_text;
