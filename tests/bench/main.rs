//! The figures of fly: ratios against what others need for the same, measured in one run, since times alone do not carry over
//! from one machine to another. Nothing fails by a clock: whoever reads them judges.
//!
//! `tests/bench/run` builds and runs this. Without root there is no engine and no kernel to measure, only the plan of a recorded
//! world; it says so and exits with 1.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a bench speaks, and stops where something is wrong")]

mod attach;
mod compose;
mod fleet;
mod guest;
mod measure;
mod raw;
mod report;
mod snapshot;
mod wires;

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the live tests' laboratory, of which a bench needs a part")]
mod support;
#[path = "../live/net/world.rs"]
#[expect(dead_code, reason = "the live tests' namespaces, of which a bench needs a part")]
mod world;

use std::process::ExitCode;

/// What was asked for on the command line: which figures, and how often each is taken.
struct Asked {
    figures: Vec<String>,
    rounds: usize,
}

impl Asked {
    fn wants(&self, figure: &str) -> bool {
        self.figures.is_empty() || self.figures.iter().any(|it| it == figure)
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.first().is_some_and(|arg| arg == measure::WORD) {
        return measure::child(&args[1..]);
    }
    let Some(asked) = asked(&args) else {
        eprintln!("usage: tests/bench/run [--rounds N] [up] [attach] [wires] [plan] [guest]");
        return ExitCode::from(64);
    };
    let is_root = rustix::process::geteuid().is_root();
    report::facts();
    if asked.wants("plan") {
        snapshot::figures(&asked);
    }
    if !is_root {
        println!("without root there is no engine of our own: only `plan` was measured");
        return ExitCode::FAILURE;
    }
    if asked.wants("attach") {
        attach::figures();
    }
    if asked.wants("wires") {
        wires::figures();
    }
    if asked.wants("up") {
        fleet::figures(&asked);
    }
    if asked.wants("guest") {
        guest::figures(&asked);
    }
    ExitCode::SUCCESS
}

fn asked(args: &[String]) -> Option<Asked> {
    let mut asked = Asked { figures: vec![], rounds: 3 };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => asked.rounds = args.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
            "up" | "attach" | "wires" | "plan" | "guest" => asked.figures.push(arg.clone()),
            _ => return None,
        }
    }
    Some(asked)
}
