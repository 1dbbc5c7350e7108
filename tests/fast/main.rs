//! The fast tests: no privileges, no engine, under a minute.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod apply;
mod cli;
mod desired;
mod examples;
mod guest_file;
mod guest_sftp;
mod guest_ssh;
mod history;
mod layers;
mod lock;
mod plan_text;
mod properties;
mod readme;
mod record;
mod sketch;
mod spec;
