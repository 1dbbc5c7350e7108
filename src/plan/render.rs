//! A plan as people read it, and as programs do: one document ([`Review`]), four renderings.
//!
//! The same plan gives the same text, byte for byte. Whatever comes from a file or from the engine is made harmless for where it is
//! shown: a terminal (`clean`), Markdown, annotations. Payloads of operations are never shown, they may hold secrets; changed fields
//! come masked from the differ.

mod github;
mod json;
mod markdown;
mod text;
mod values;

pub use github::github;
pub use json::{JSON_VERSION, json, schema};
pub use markdown::{LONGEST as LONGEST_MARKDOWN, comment, failed, markdown};
pub use text::{changes, nothing_to_do, text};
pub use values::clean;

use super::Step;
use super::review::{self, Review};
use crate::diag::Place;
use crate::diff::{Action, Change};

/// How a plan is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub color: bool,
    /// Also in which order it is done.
    pub steps: bool,
    /// What the file is called in a sentence: `fly.yml`.
    pub file: String,
    /// The folder that names of files are seen from, as the repository's root sees it: `deploy`, or nothing.
    pub folder: String,
}

/// How many resources each action is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    pub create: usize,
    pub update: usize,
    pub restart: usize,
    pub replace: usize,
    pub delete: usize,
    pub keep: usize,
}

impl Counts {
    pub fn of(changes: &[Change]) -> Self {
        let mut counts = Self::default();
        for change in changes {
            *counts.slot(change.action) += 1;
        }
        counts
    }

    /// Those that are not zero, each with its word: create, update, restart, replace, delete, keep.
    pub fn said(self, words: [&str; 6]) -> String {
        let all = [self.create, self.update, self.restart, self.replace, self.delete, self.keep];
        let parts: Vec<String> = all.into_iter().zip(words).filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        parts.join(", ")
    }

    fn slot(&mut self, action: Action) -> &mut usize {
        match action {
            Action::Keep => &mut self.keep,
            Action::Create => &mut self.create,
            Action::Update => &mut self.update,
            Action::Restart => &mut self.restart,
            Action::Replace => &mut self.replace,
            Action::Delete => &mut self.delete,
        }
    }
}

/// `fly.yml:12`.
fn short(place: &Place) -> String {
    format!("{}:{}", clean(&place.file), place.line)
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// `2 machines lose data, 1 is interrupted, 3 change live, 46 are unchanged`; nothing where there are no machines.
fn of_machines(machines: review::Machines) -> Option<String> {
    let review::Machines { lost, interrupted, live, created, unchanged } = machines;
    let words = [
        (lost, "loses data or goes away", "lose data or go away"),
        (interrupted, "is interrupted", "are interrupted"),
        (live, "changes live", "change live"),
        (created, "is new", "are new"),
        (unchanged, "is unchanged", "are unchanged"),
    ];
    let mut parts: Vec<String> = vec![];
    for (n, one, many) in words.into_iter().filter(|(n, ..)| *n > 0) {
        let what = if parts.is_empty() { counted(n, "machine") } else { n.to_string() };
        parts.push(format!("{what} {}", if n == 1 { one } else { many }));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What an item is about, in words: its reason, and from whom it follows where the reason does not say so.
fn reason(item: &review::Item<'_>) -> String {
    let change = item.change;
    let split = item.action != change.action;
    let all_names = !item.fields.is_empty() && item.fields.iter().all(|field| field.field == "names");
    let mut text = if item.again {
        format!("comes back with its machine, {}", if item.comes_back() { "as it was" } else { "changed" })
    } else if split {
        "differs from the file".to_owned()
    } else if all_names && !item.because.is_empty() {
        "its names follow".to_owned()
    } else {
        change.reason.clone()
    };
    let unsaid: Vec<String> = item.because.iter().map(ToString::to_string).filter(|cause| !text.contains(cause.as_str())).collect();
    if !unsaid.is_empty() {
        text += if text == "its names follow" { " " } else { ", because of " };
        text += &unsaid.join(", ");
    }
    if let Some(hint) = item.origin.as_ref().and_then(review::Origin::hint) {
        text = format!("{text} ({hint})");
    }
    text
}

/// The steps of each wave, in their order.
fn in_waves<'a>(review: &Review<'a>) -> Vec<Vec<&'a Step>> {
    let waves = review.waves();
    let mut all: Vec<Vec<&Step>> = vec![];
    for step in &review.plan.steps {
        let at = waves.get(&step.id).copied().unwrap_or(1) - 1;
        if all.len() <= at {
            all.resize(at + 1, vec![]);
        }
        all[at].push(step);
    }
    all
}
