//! The fast tests: no privileges, no engine, under a minute.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod apply;
mod carried;
mod cli;
mod compose;
mod desired;
mod examples;
mod exchange;
mod graph;
mod guest_file;
mod guest_sftp;
mod guest_ssh;
mod history;
mod layers;
mod lock;
mod manners;
mod mistakes;
mod moves;
mod plan_text;
mod plans;
mod properties;
mod readme;
mod record;
mod refusals;
mod review;
mod review_workflows;
mod sketch;
mod spec;
