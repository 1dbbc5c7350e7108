//! The fast tests: no privileges, no engine, under a minute.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod apply;
mod by_hand;
mod canary;
mod carried;
mod cli;
mod compose;
mod desired;
mod drift;
mod editor;
mod examples;
mod exchange;
mod graph;
mod guest_file;
mod guest_sftp;
mod guest_ssh;
mod history;
mod ideal;
mod layers;
mod leases;
mod lock;
mod manners;
mod mistakes;
mod moves;
mod offline;
mod part;
mod plan_text;
mod plans;
mod properties;
mod readme;
mod record;
mod refusals;
mod review;
mod review_workflows;
mod revision;
mod saved;
mod sketch;
mod spec;
mod unseen;
mod wrong;
