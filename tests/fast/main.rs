//! The fast tests: no privileges, no engine, under a minute.

mod cli;
mod layers;
mod lock;
mod plan_text;
