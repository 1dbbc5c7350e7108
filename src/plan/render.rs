//! A plan as people read it, and as programs do.
//!
//! The worst news comes first: what is lost, what is interrupted, then what changes, then the steps. The same plan gives the same
//! text, byte for byte. Whatever comes from a file or from the engine is made harmless (`clean`): it cannot move the cursor.
//! Payloads of operations are never shown, they may hold secrets; changed fields come masked from the differ.

mod json;
mod values;

use std::collections::BTreeMap;

use anstyle::{AnsiColor, Style};

pub use json::{JSON_VERSION, json};
pub use values::clean;

use super::{Plan, Step};
use crate::diag::Place;
use crate::diff::{Action, Change, Effect, FieldChange, Impact};
use crate::types::Addr;

/// How wide the columns of the steps may get.
const LONGEST_OP: usize = 60;
const LONGEST_AFTER: usize = 26;

/// How a plan is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub color: bool,
    /// Also in which order it is done.
    pub steps: bool,
    /// What the file is called in a sentence: `fly.yml`.
    pub file: String,
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

/// The whole text, with a line feed at its end.
pub fn text(plan: &Plan, options: &Options) -> String {
    let mut out = Text { out: String::new(), color: options.color };
    let shown: Vec<&Change> = in_reading_order(&plan.changes);
    if !shown.is_empty() || !plan.is_empty() {
        out.lost(&shown);
        out.interrupted(&shown);
        out.section("Changes:", AnsiColor::White);
        out.changes(&shown);
        if options.steps {
            out.steps(&plan.steps);
        }
    }
    out.notes(&plan.notes);
    out.blank();
    if plan.is_empty() {
        out.line(&nothing_to_do(plan, &options.file));
    } else {
        out.closing(plan);
    }
    out.out
}

/// Only what differs: for a world that is not as it was made.
pub fn changes(changes: &[Change], options: &Options) -> String {
    let mut out = Text { out: String::new(), color: options.color };
    out.changes(&in_reading_order(changes));
    out.out
}

/// What is said instead of a plan when there is nothing to be done.
pub fn nothing_to_do(plan: &Plan, file: &str) -> String {
    match plan.changes.iter().filter(|change| matches!(change.addr, Addr::Machine(_))).count() {
        0 if plan.changes.is_empty() => format!("nothing to do: there is nothing of `{}`, and nothing is wanted", plan.project),
        0 => format!("nothing to do: everything is as {} says", clean(file)),
        1 => format!("nothing to do: 1 machine is as {} says", clean(file)),
        n => format!("nothing to do: {n} machines are as {} says", clean(file)),
    }
}

/// A machine with its NICs beneath it; what machines need before them, what they share after them.
fn in_reading_order(changes: &[Change]) -> Vec<&Change> {
    let mut shown: Vec<&Change> = changes.iter().filter(|change| change.action != Action::Keep).collect();
    shown.sort_by_key(|change| {
        let rank = match &change.addr {
            Addr::Image(_) => 0,
            Addr::Agent | Addr::Guest(_) | Addr::Volume(_) | Addr::HostKey(_) => 1,
            Addr::Network(_) => 2,
            Addr::Machine(_) | Addr::Nic(..) => 3,
            Addr::Link(_) => 4,
        };
        (rank, change.addr.machine(), &change.addr)
    });
    shown
}

struct Text {
    out: String,
    color: bool,
}

impl Text {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// An empty line, but never at the top.
    fn blank(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    fn section(&mut self, title: &str, color: AnsiColor) {
        self.blank();
        let title = self.paint(title, color.on_default().bold());
        self.line(&title);
    }

    fn paint(&self, text: &str, style: Style) -> String {
        if self.color && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn dim(&self, text: &str) -> String {
        self.paint(text, Style::new().dimmed())
    }

    /// What cannot be had back, the same words for several resources once.
    fn lost(&mut self, changes: &[&Change]) {
        let mut losses: Vec<(String, Vec<String>)> = vec![];
        for change in changes {
            for loss in &change.losses {
                let (what, addr) = (clean(&loss.to_string()), clean(&change.addr.to_string()));
                match losses.iter_mut().find(|(known, _)| *known == what) {
                    Some((_, addrs)) => addrs.push(addr),
                    None => losses.push((what, vec![addr])),
                }
            }
        }
        if losses.is_empty() {
            return;
        }
        self.section("Lost for good:", AnsiColor::Red);
        for (what, addrs) in losses {
            self.list(&format!("{what}:"), &addrs);
        }
    }

    fn interrupted(&mut self, changes: &[&Change]) {
        let mut impacts: BTreeMap<Impact, Vec<String>> = BTreeMap::new();
        for change in
            changes.iter().filter(|c| c.impact.is_disruptive() && !matches!(c.addr, Addr::Volume(_) | Addr::HostKey(_) | Addr::Image(_)))
        {
            impacts.entry(change.impact).or_default().push(clean(&change.addr.to_string()));
        }
        if impacts.is_empty() {
            return;
        }
        self.section("Interrupted:", AnsiColor::Yellow);
        for (impact, addrs) in impacts.into_iter().rev() {
            self.list(&format!("{impact}:"), &addrs);
        }
    }

    /// `  title one, two, three`, broken at a readable width.
    fn list(&mut self, title: &str, items: &[String]) {
        let mut line = format!("  {title}");
        let indent = " ".repeat(4);
        for (at, item) in items.iter().enumerate() {
            if line.len() + item.len() > 110 {
                self.line(&line);
                line.clone_from(&indent);
            } else {
                line.push(' ');
            }
            line.push_str(item);
            if at + 1 < items.len() {
                line.push(',');
            }
        }
        self.line(&line);
    }

    fn changes(&mut self, changes: &[&Change]) {
        let widths = changes.iter().map(|change| clean(&change.addr.to_string()).chars().count());
        let width = widths.filter(|width| *width <= 32).max().unwrap_or(0);
        for change in changes {
            self.change(change, width);
        }
    }

    fn change(&mut self, change: &Change, width: usize) {
        let style = style(change.action);
        let symbol = self.paint(&format!("{:<3}", change.action.symbol()), style);
        let addr = self.paint(&format!("{:<width$}", clean(&change.addr.to_string())), Style::new().bold());
        let place = change.place.as_ref().filter(|_| change.fields.iter().all(|field| field.place.is_none())).map(short);
        let place = place.map_or_else(String::new, |place| format!("   {}", self.dim(&place)));
        self.line(&format!("  {symbol} {addr}  {}: {}{place}", change.action.verb(), clean(&change.reason)));
        let heads: Vec<Option<String>> = change.fields.iter().map(|field| values::one_line(field, change.action)).collect();
        // Places stand in one column, unless one long value would push them all away.
        let width = heads.iter().flatten().map(|head| head.chars().count()).filter(|width| *width <= 72).max().unwrap_or(0);
        for (field, head) in change.fields.iter().zip(heads) {
            self.field(field, head, width, change.action);
        }
    }

    fn field(&mut self, field: &FieldChange, head: Option<String>, width: usize, action: Action) {
        let mut tail: Vec<String> = field.place.iter().map(|place| self.dim(&short(place))).collect();
        match field.effect {
            Effect::Replace if action == Action::Replace => tail.push(self.paint("replaces", style(Action::Replace))),
            Effect::Restart if action == Action::Restart => tail.push(self.paint("restarts", style(Action::Restart))),
            Effect::Live | Effect::Restart | Effect::Replace => {}
        }
        let tail = tail.join("  ");
        if let Some(head) = head {
            self.line(&format!("        {head:<width$}   {tail}"));
            return;
        }
        self.line(&format!("        {}:   {tail}", clean(&field.field)));
        for (sign, text) in values::line_diff(field) {
            let color = match sign {
                '+' => AnsiColor::Green.on_default(),
                '-' => AnsiColor::Red.on_default(),
                _ => Style::new().dimmed(),
            };
            let text = self.paint(format!("{sign} {text}").trim_end(), color);
            self.line(&format!("          {text}"));
        }
    }

    fn steps(&mut self, steps: &[Step]) {
        if steps.is_empty() {
            return;
        }
        self.section("Steps:", AnsiColor::White);
        let ops: Vec<String> = steps.iter().map(|step| clean(&step.does())).collect();
        let afters: Vec<String> = steps.iter().map(|step| values::ranges(&step.after, LONGEST_AFTER)).collect();
        let widest = |texts: &[String]| texts.iter().map(|t| t.chars().count()).filter(|w| *w <= LONGEST_OP).max().unwrap_or(0);
        let (op_width, after_width) = (widest(&ops), widest(&afters));
        let id_width = steps.iter().map(|step| step.id.to_string().len()).max().unwrap_or(0);
        for (step, (op, after)) in steps.iter().zip(ops.iter().zip(&afters)) {
            let impact = format!("{:<8}", step.impact);
            let impact = if step.impact.is_disruptive() { self.paint(&impact, AnsiColor::Red.on_default()) } else { impact };
            let reason = clean(step.reason.as_str());
            let (mut id, mut op) = (step.id.to_string(), op.as_str());
            // What is longer than its column has a line of its own.
            if op.chars().count() > op_width {
                self.line(&format!("  {id:>id_width$}  {op}"));
                (id, op) = (String::new(), "");
            }
            self.line(&format!("  {id:>id_width$}  {op:<op_width$}  {after:<after_width$}  {impact}  {reason}"));
        }
    }

    fn notes(&mut self, notes: &[String]) {
        if notes.is_empty() {
            return;
        }
        self.blank();
        for note in notes {
            let head = self.paint("note:", AnsiColor::Cyan.on_default().bold());
            self.line(&format!("{head} {}", clean(note)));
        }
    }

    fn closing(&mut self, plan: &Plan) {
        let n = Counts::of(&plan.changes);
        let counts = n.said(["to create", "to change", "to restart", "to replace", "to delete", "unchanged"]);
        self.line(&format!("Plan: {counts}; impact: {}", plan.impact()));
    }
}

fn style(action: Action) -> Style {
    match action {
        Action::Keep => Style::new(),
        Action::Create => AnsiColor::Green.on_default(),
        Action::Update => AnsiColor::Yellow.on_default(),
        Action::Restart => AnsiColor::Magenta.on_default().bold(),
        Action::Replace | Action::Delete => AnsiColor::Red.on_default().bold(),
    }
}

/// `fly.yml:12`.
fn short(place: &Place) -> String {
    format!("{}:{}", clean(&place.file), place.line)
}
