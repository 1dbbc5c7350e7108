//! For a comment on a pull or merge request: a summary, boxes for what is lost and interrupted, a table, a coloured diff, and folded
//! what is only for the curious.
//!
//! Never longer than the forges take. What has to go then is what harms nobody; whatever destroys or interrupts is named, in as many
//! words as there is room for.

mod blocks;
mod escape;

use blocks::Detail;
use escape::{code, fenced, words};

use std::collections::BTreeSet;

use super::{Options, counted, in_waves, of_machines, reason, short, values};
use crate::plan::review::{Group, Item, Review, Severity, Told};
use crate::plan::{Step, review};
use crate::types::{Addr, Name};

/// In bytes, and so in characters: GitHub takes 65 536.
pub const LONGEST: usize = 60_000;

/// For what is said of what was left out.
const RESERVE: usize = 1_000;

/// More rows than these nobody reads: the diff has them all.
const MOST_ROWS: usize = 40;

/// The title of a part, with what stands around it.
const TITLE: usize = 120;

/// More of one line of somebody else's nobody needs.
const LONGEST_LINE: usize = 300;

/// For names alone, where not even those fit.
const ROOM_FOR_LOST: usize = 40_000;
const ROOM_FOR_INTERRUPTED: usize = 10_000;

/// More than these reasons of one replacement are counted.
const MOST_REASONS: usize = 4;

/// By which a workflow finds its comment.
fn marker(project: &str) -> String {
    format!("<!-- fly plan: {project} -->\n")
}

/// How much is said of what destroys or interrupts, from all to the least.
const LEVELS: [Level; 4] = [Level::Full, Level::Heads, Level::Names, Level::Fewer];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Full,
    /// One line each.
    Heads,
    /// Only their names, in the boxes.
    Names,
    /// As many names as there is room for: not even all of them fit.
    Fewer,
}

/// The comment as the APIs of GitHub and GitLab take it: `{"body": "…"}`.
pub fn comment(markdown: &str) -> String {
    serde_json::json!({ "body": markdown }).to_string() + "\n"
}

/// Instead of a plan that could not be made. `text` is what went wrong, as it is told on a terminal.
pub fn failed(project: Option<&Name>, text: &str) -> String {
    let project = project.map_or_else(|| "?".to_owned(), ToString::to_string);
    let head = marker(&project) + &format!("### fly cannot plan {}\n\n", code(&project));
    let mut shown = String::new();
    for line in text.lines().map(|line| format!("{}\n", escape::unfenced(&super::clean(line)))) {
        if head.len() + shown.len() + line.len() + RESERVE > LONGEST {
            shown.push_str("...\n");
            break;
        }
        shown.push_str(&line);
    }
    head + &fenced("", &shown)
}

/// The whole comment, with a line feed at its end.
pub fn markdown(review: &Review<'_>, options: &Options) -> String {
    let fits = |level: &Level| Writer::new(review, options, *level).must().len() + RESERVE <= LONGEST;
    let level = LEVELS.into_iter().find(fits).unwrap_or(Level::Fewer);
    Writer::new(review, options, level).write()
}

/// What there was no room for.
#[derive(Default)]
struct Left {
    rows: usize,
    fields: usize,
    changes: usize,
    steps: usize,
    notes: usize,
}

struct Writer<'w> {
    review: &'w Review<'w>,
    options: &'w Options,
    level: Level,
    out: String,
    left: Left,
}

fn is_harmful(group: &Group<'_>) -> bool {
    group.severity >= Severity::Interrupts
}

impl<'w> Writer<'w> {
    fn new(review: &'w Review<'w>, options: &'w Options, level: Level) -> Self {
        Self { review, options, level, out: String::new(), left: Left::default() }
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// What has to be said, at this level.
    fn must(mut self) -> String {
        self.top();
        self.table(0);
        for (title, groups) in self.sections() {
            self.diff(&title, groups, 0);
        }
        self.out
    }

    fn write(mut self) -> String {
        // What has to come is reserved before anything else takes its room.
        let must = Self::new(self.review, self.options, self.level).must().len();
        let mut spare = (LONGEST - RESERVE).saturating_sub(must);
        self.top();
        // Rows of a table say less than lines of a diff: they come where both fit.
        let benign = self.review.groups().filter(|group| !is_harmful(group));
        let lines: usize = benign.map(|group| self.block(group).len()).sum();
        spare = spare.saturating_sub(self.table(spare.saturating_sub(lines)));
        for (title, groups) in self.sections() {
            spare = self.diff(&title, groups, spare);
        }
        self.rest(spare);
        self.tail();
        self.out
    }

    fn sections(&self) -> [(String, &'w [Group<'w>]); 3] {
        let outside = format!("Changed outside of {}", code(&self.options.file));
        [
            ("Changes".to_owned(), self.review.changes.as_slice()),
            ("Touched by these changes".to_owned(), self.review.touched.as_slice()),
            (outside, self.review.drift.as_slice()),
        ]
    }

    /// Marker, summary, boxes.
    fn top(&mut self) {
        let review = self.review;
        let project = review.plan.project.as_str();
        self.put(&marker(project));
        let nothing = if review.plan.is_empty() { ": nothing to do" } else { "" };
        self.put(&format!("### fly plan: {}{nothing}\n\n", code(project)));
        if let Some(machines) = of_machines(review.machines) {
            self.put(&format!("{machines}.\n"));
        }
        let kept = review.kept.iter().map(|(what, addrs)| format!("kept: {}, of {}", words(what), names(addrs)));
        let kept = if review.lost.is_empty() || self.level >= Level::Names { vec![] } else { kept.collect() };
        let lost = self.told(&review.lost, ROOM_FOR_LOST).into_iter().chain(kept).collect();
        self.boxed("CAUTION", "Lost for good", &lost);
        self.boxed("WARNING", "Interrupted", &self.told(&review.interrupted, ROOM_FOR_INTERRUPTED));
        let mut security: Vec<String> = review.security.iter().map(security).collect();
        if let (Level::Fewer, Some(more @ 1..)) = (self.level, security.len().checked_sub(MOST_ROWS)) {
            security.truncate(MOST_ROWS);
            security.push(format!("and {more} more"));
        }
        self.boxed("WARNING", "Power over the host", &security);
    }

    /// Words with their names; at the tightest levels names alone, each once.
    fn told(&self, told: &Told, room: usize) -> Vec<String> {
        if self.level < Level::Names {
            return told.iter().map(|(what, addrs)| format!("{}: {}", words(what), names(addrs))).collect();
        }
        let room = if self.level == Level::Names { usize::MAX } else { room };
        let addrs: BTreeSet<&Addr> = told.iter().flat_map(|(_, addrs)| addrs).collect();
        let (mut text, mut left) = (String::new(), addrs.len());
        for addr in addrs {
            let name = addr.to_string();
            let name = name.strip_prefix("machine/").unwrap_or(&name);
            if text.len() + name.len() > room {
                break;
            }
            text += if text.is_empty() { "" } else { " " };
            text += name;
            left -= 1;
        }
        let more = if left > 0 { format!(" and {left} more, for whose names there is no room here") } else { String::new() };
        if told.is_empty() { vec![] } else { vec![format!("{}{more}", code(&text))] }
    }

    fn boxed(&mut self, kind: &str, title: &str, lines: &Vec<String>) {
        if lines.is_empty() {
            return;
        }
        self.put(&format!("\n> [!{kind}]\n> **{title}**\n"));
        for line in lines {
            self.put(&format!("> - {line}\n"));
        }
    }

    /// Rows of machines: what harms always, the rest as far as there is room. Gives what the rest took.
    fn table(&mut self, room: usize) -> usize {
        let (mut rows, mut taken, mut count) = (String::new(), 0, 0);
        for group in self.review.groups().filter(|group| group.machine().is_some() && self.level == Level::Full) {
            let row = row(group);
            let fits = count < MOST_ROWS && taken + row.len() <= room;
            match (is_harmful(group), fits) {
                (true, _) => {}
                (false, true) => taken += row.len(),
                (false, false) => {
                    self.left.rows += 1;
                    continue;
                }
            }
            rows += &row;
            count += 1;
        }
        if !rows.is_empty() {
            self.put(&format!("\n| | machine | what happens | why |\n|---|---|---|---|\n{rows}"));
            taken += TITLE;
        }
        taken
    }

    fn block(&self, group: &Group<'_>) -> String {
        // Of what is new, the fields are folded below.
        let detail = match group.severity {
            Severity::Create => Detail::Heads,
            _ if is_harmful(group) && self.level != Level::Full => Detail::Heads,
            _ => Detail::Fields,
        };
        blocks::group(group, detail)
    }

    /// The diff of one section; gives the room that is left.
    fn diff(&mut self, title: &str, groups: &[Group<'_>], room: usize) -> usize {
        let (mut lines, mut room) = (String::new(), room.saturating_sub(TITLE + title.len()));
        for group in groups {
            if is_harmful(group) {
                if self.level <= Level::Heads {
                    lines += &self.block(group);
                }
                continue;
            }
            let (block, heads) = (self.block(group), blocks::group(group, Detail::Heads));
            if block.len() <= room {
                room -= block.len();
                lines += &block;
            } else if heads.len() <= room {
                room -= heads.len();
                lines += &heads;
                self.left.fields += 1;
            } else {
                self.left.changes += 1;
            }
        }
        if !lines.is_empty() {
            self.put(&format!("\n**{title}**\n\n{}", fenced("diff", &lines)));
        }
        room
    }

    /// What is only for the curious, folded.
    fn rest(&mut self, mut room: usize) {
        let mut fits = |writer: &mut Self, text: &str| {
            let fits = text.len() <= room;
            if fits {
                room -= text.len();
                writer.put(text);
            }
            fits
        };
        let left_out = &self.review.left_out;
        if !left_out.is_empty() {
            let all = format!("\nLeft out of this plan, though they differ: {}.\n", names(left_out));
            let _ = fits(self, &all)
                || fits(self, &format!("\nLeft out of this plan, though they differ: {}.\n", counted(left_out.len(), "resource")));
        }
        let new: Vec<&Group<'_>> = self.review.groups().filter(|group| group.severity == Severity::Create).collect();
        let full: String = new.iter().map(|group| blocks::group(group, Detail::Fields)).collect();
        if !full.is_empty() && !fits(self, &folded("What is new, in full", &fenced("diff", &full))) {
            self.left.fields += new.len();
        }
        let steps = self.review.plan.steps.len();
        let folded_steps = self.steps();
        if steps > 0 && !fits(self, &folded_steps) {
            self.left.steps = steps;
        }
        for (at, note) in self.review.plan.notes.iter().enumerate() {
            let line = format!("{}- note: {}\n", if at == 0 { "\n" } else { "" }, words(note));
            if !fits(self, &line) {
                self.left.notes += 1;
            }
        }
    }

    fn steps(&self) -> String {
        let waves = in_waves(self.review);
        let line = |step: &&Step| {
            let after = values::ranges(&step.after, 40);
            let after = if after.is_empty() { after } else { format!(" ({after})") };
            let line =
                format!("  {}  {}{after}: {}, {}", step.id, super::clean(&step.does()), step.impact, super::clean(step.reason.as_str()));
            escape::unfenced(&line) + "\n"
        };
        let wave = |(number, steps): (usize, &Vec<&Step>)| format!("wave {}\n{}", number + 1, steps.iter().map(line).collect::<String>());
        let lines: String = waves.iter().enumerate().map(wave).collect();
        folded(&format!("{} in {}", counted(self.review.plan.steps.len(), "step"), counted(waves.len(), "wave")), &fenced("", &lines))
    }

    /// What was left out, and how to see it.
    fn tail(&mut self) {
        let Left { rows, fields, changes, steps, notes } = self.left;
        let harmful = self.review.groups().filter(|group| is_harmful(group)).count();
        let harmful = if self.level == Level::Full { 0 } else { harmful };
        let all = [
            (harmful, "the fields of what interrupts or loses something", ""),
            (changes, "", "change"),
            (fields, "the fields of ", "other change"),
            (rows, "", "row of the table"),
            (steps, "", "step"),
            (notes, "", "note"),
        ];
        let said = |(n, of, what): (usize, &str, &str)| match what {
            "" => of.to_owned(),
            "change" => format!("{} that interrupt nobody", counted(n, what)),
            "row of the table" => format!("{} of the table", counted(n, "row")),
            _ => format!("{of}{}", counted(n, what)),
        };
        let parts: Vec<String> = all.into_iter().filter(|(n, ..)| *n > 0).map(said).collect();
        if !parts.is_empty() {
            self.put(&format!("\nLeft out here for its length: {}. `fly plan --steps` shows all of it.\n", parts.join(", ")));
        }
    }
}

fn security(line: &review::Security) -> String {
    let place = line.place.as_ref().map_or_else(String::new, |place| format!(" ({})", code(&short(place))));
    let text: String = line.text.chars().take(LONGEST_LINE).collect();
    format!("{}: {}{place}", code(&line.addr.to_string()), words(&text))
}

fn names(addrs: &[Addr]) -> String {
    addrs.iter().map(|addr| code(&addr.to_string())).collect::<Vec<_>>().join(", ")
}

fn folded(title: &str, content: &str) -> String {
    format!("\n<details>\n<summary>{title}</summary>\n\n{content}\n</details>\n")
}

fn row(group: &Group<'_>) -> String {
    let what = group.happens();
    let lost: Vec<String> = group.losses.iter().map(|(_, loss)| words(&loss.to_string())).collect();
    let what = if lost.is_empty() { what.to_owned() } else { format!("{what}; loses {}", lost.join(", ")) };
    let name = group.machine().map(Name::as_str).unwrap_or_default();
    format!("| `{}` | {} | {what} | {} |\n", group.action.symbol().trim(), code(name), why(group))
}

fn why(group: &Group<'_>) -> String {
    let own = group.items.iter().find(|item| item.change.addr == group.addr);
    let forced: Vec<_> = own.into_iter().flat_map(Item::forced_by).collect();
    if forced.is_empty() {
        let Some(item) = own.or(group.items.first()) else {
            return group.touched.iter().map(|text| words(text)).collect::<Vec<_>>().join("; ");
        };
        let of = if item.change.addr == group.addr { String::new() } else { format!("{}: ", code(&item.change.addr.to_string())) };
        let place = item.fields.iter().find_map(|field| field.place.as_ref()).or(item.change.place.as_ref());
        let place = place.map_or_else(String::new, |place| format!(" ({})", code(&short(place))));
        return format!("{of}{}{place}", words(&reason(item)));
    }
    let one = |field: &&crate::diff::FieldChange| {
        let place = field.place.as_ref().map_or_else(String::new, |place| format!(" ({})", code(&short(place))));
        format!("{}{place}", code(&field.field))
    };
    let mut parts: Vec<String> = forced.iter().take(MOST_REASONS).map(one).collect();
    if forced.len() > MOST_REASONS {
        parts.push(format!("{} more", forced.len() - MOST_REASONS));
    }
    parts.join(", ")
}
