//! For a terminal, and for everybody: readable in ten seconds, the worst news first, ASCII, colour never alone.

use std::collections::BTreeMap;

use anstyle::{AnsiColor, Style};

use super::{Counts, Options, clean, counted, in_waves, reason, short, values};
use crate::diff::{Action, Change, Effect, FieldChange};
use crate::plan::review::{Aside, Group, Item, Review, Told};
use crate::plan::{Plan, Step};
use crate::types::Addr;

/// How wide the columns of the steps may get.
const LONGEST_OP: usize = 60;
const LONGEST_AFTER: usize = 26;
/// The longest name of a resource that others are aligned to.
const LONGEST_ADDR: usize = 32;

/// The whole text, with a line feed at its end.
pub fn text(review: &Review<'_>, options: &Options) -> String {
    let mut out = Text { out: String::new(), color: options.color };
    out.news("Lost for good:", AnsiColor::Red, &review.lost);
    if !review.lost.is_empty() {
        for (what, addrs) in &review.kept {
            out.list(&format!("kept: {}, of", clean(what)), addrs);
        }
    }
    out.news("Interrupted:", AnsiColor::Yellow, &review.interrupted);
    out.security(review);
    let title = |text: &str| text.to_owned();
    out.groups(&title("Changes:"), &review.changes);
    out.groups(&title("Touched by these changes:"), &review.touched);
    out.groups(&format!("Changed outside of {}:", clean(&options.file)), &review.drift);
    out.left_out(&review.left_out);
    if options.steps {
        out.steps(review);
    }
    out.notes(&review.plan.notes);
    out.blank();
    if review.plan.is_empty() {
        out.line(&nothing_to_do(review.plan, &options.file));
    } else {
        out.closing(review.plan);
    }
    out.out
}

/// Only what differs: for a world that is not as it was made.
pub fn changes(changes: &[Change], options: &Options) -> String {
    let project = crate::types::Name::new("fly").expect("a name");
    let plan = Plan { project: project.clone(), changes: changes.to_vec(), steps: vec![], notes: vec![], drift: BTreeMap::new() };
    let (desired, actual) = (crate::desired::Desired::empty(project), crate::actual::Actual::default());
    let review = Review::new(&plan, &desired, &actual, Aside::default());
    let mut out = Text { out: String::new(), color: options.color };
    out.all(&review.changes);
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

    /// What cannot be had back, or who stops: the same words for several resources once.
    fn news(&mut self, title: &str, color: AnsiColor, told: &Told) {
        if told.is_empty() {
            return;
        }
        self.section(title, color);
        for (what, addrs) in told {
            self.list(&format!("{}:", clean(what)), addrs);
        }
    }

    /// `  title one, two, three`, broken at a readable width.
    fn list(&mut self, title: &str, items: &[Addr]) {
        let mut line = format!("  {title}");
        let indent = " ".repeat(4);
        for (at, item) in items.iter().enumerate() {
            let item = clean(&item.to_string());
            if line.len() + item.len() > 110 {
                self.line(&line);
                line.clone_from(&indent);
            } else {
                line.push(' ');
            }
            line.push_str(&item);
            if at + 1 < items.len() {
                line.push(',');
            }
        }
        self.line(&line);
    }

    fn security(&mut self, review: &Review<'_>) {
        if review.security.is_empty() {
            return;
        }
        self.section("Power over the host:", AnsiColor::Red);
        for line in &review.security {
            let place = line.place.as_ref().map_or_else(String::new, |place| format!("   {}", self.dim(&short(place))));
            self.line(&format!("  {}: {}{place}", clean(&line.addr.to_string()), clean(&line.text)));
        }
    }

    fn left_out(&mut self, left_out: &[Addr]) {
        if left_out.is_empty() {
            return;
        }
        self.section("Left out, though they differ:", AnsiColor::White);
        self.list("not part of this plan:", left_out);
    }

    fn groups(&mut self, title: &str, groups: &[Group<'_>]) {
        if groups.is_empty() {
            return;
        }
        self.section(title, AnsiColor::White);
        self.all(groups);
    }

    fn all(&mut self, groups: &[Group<'_>]) {
        let addrs = groups.iter().flat_map(|group| {
            let items = group.items.iter().filter(|item| !item.comes_back()).map(|item| &item.change.addr);
            items.chain((!group.touched.is_empty()).then_some(&group.addr))
        });
        let widths = addrs.map(|addr| clean(&addr.to_string()).chars().count());
        let width = widths.filter(|width| *width <= LONGEST_ADDR).max().unwrap_or(0);
        for group in groups {
            self.group(group, width);
        }
    }

    /// A machine, what of it differs, and what goes and comes with it; then its cards and cables.
    fn group(&mut self, group: &Group<'_>, width: usize) {
        let back: Vec<Addr> = group.coming_back().cloned().collect();
        let (own, rest): (Vec<_>, Vec<_>) =
            group.items.iter().filter(|item| !item.comes_back()).partition(|it| it.change.addr == group.addr);
        for item in own {
            self.item(item, width);
        }
        if !back.is_empty() {
            self.list("      comes back as it was:", &back);
        }
        for words in &group.touched {
            let addr = self.paint(&format!("{:<width$}", clean(&group.addr.to_string())), Style::new().bold());
            self.line(&format!("      {addr}  {}", clean(words)));
        }
        for item in rest {
            self.item(item, width);
        }
    }

    fn item(&mut self, item: &Item<'_>, width: usize) {
        let (change, action) = (item.change, item.action);
        let symbol = self.paint(&format!("{:<3}", action.symbol()), style(action));
        let addr = self.paint(&format!("{:<width$}", clean(&change.addr.to_string())), Style::new().bold());
        let place = change.place.as_ref().filter(|_| item.fields.iter().all(|field| field.place.is_none())).map(short);
        let place = place.map_or_else(String::new, |place| format!("   {}", self.dim(&place)));
        self.line(&format!("  {symbol} {addr}  {}: {}{place}", action.verb(), clean(&reason(item))));
        let heads: Vec<Option<String>> = item.fields.iter().map(|field| values::one_line(field, action)).collect();
        // Places stand in one column, unless one long value would push them all away.
        let width = heads.iter().flatten().map(|head| head.chars().count()).filter(|width| *width <= 72).max().unwrap_or(0);
        for (field, head) in item.fields.iter().zip(heads) {
            self.field(field, head, width, action);
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

    /// Wave by wave: what is in one of them can start at once.
    fn steps(&mut self, review: &Review<'_>) {
        let waves = in_waves(review);
        if waves.is_empty() {
            return;
        }
        self.section(&format!("Steps, in {}:", counted(waves.len(), "wave")), AnsiColor::White);
        let steps = &review.plan.steps;
        let columns = Columns {
            id: steps.iter().map(|step| step.id.to_string().len()).max().unwrap_or(0),
            op: widest(steps.iter().map(|step| clean(&step.does()))),
            after: widest(steps.iter().map(|step| values::ranges(&step.after, LONGEST_AFTER))),
        };
        for (number, wave) in waves.iter().enumerate() {
            self.line(&format!("  wave {}", number + 1));
            for step in wave {
                self.step(step, &columns);
            }
        }
    }

    fn step(&mut self, step: &Step, columns: &Columns) {
        let (op, after) = (clean(&step.does()), values::ranges(&step.after, LONGEST_AFTER));
        let impact = format!("{:<8}", step.impact);
        let impact = if step.impact.is_disruptive() { self.paint(&impact, AnsiColor::Red.on_default()) } else { impact };
        let why = clean(step.reason.as_str());
        let (mut id, mut op) = (step.id.to_string(), op.as_str());
        let (id_width, op_width, after_width) = (columns.id, columns.op, columns.after);
        // What is longer than its column has a line of its own.
        if op.chars().count() > op_width {
            self.line(&format!("    {id:>id_width$}  {op}"));
            (id, op) = (String::new(), "");
        }
        self.line(&format!("    {id:>id_width$}  {op:<op_width$}  {after:<after_width$}  {impact}  {why}"));
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

struct Columns {
    id: usize,
    op: usize,
    after: usize,
}

fn widest(texts: impl Iterator<Item = String>) -> usize {
    texts.map(|text| text.chars().count()).filter(|width| *width <= LONGEST_OP).max().unwrap_or(0)
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
