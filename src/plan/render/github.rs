//! Annotations: GitHub's workflow commands, each at its line of fly.yml.
//!
//! GitHub shows ten of each kind for a step of a workflow. So there is one for a machine rather than for a field, the worst come first,
//! and where there are more than ten the last one names the rest.

use super::{Options, clean, reason};
use crate::diag::Place;
use crate::plan::review::{Group, Item, Review, Severity};

/// As many of a kind as are shown.
const MOST: usize = 10;
/// The longest text of one: more is not shown.
const LONGEST: usize = 3000;

struct Note {
    level: &'static str,
    place: Option<Place>,
    title: String,
    text: String,
}

/// One command a line; nothing where nothing differs.
pub fn github(review: &Review<'_>, options: &Options) -> String {
    let mut notes: Vec<Note> = vec![];
    for line in &review.security {
        let title = format!("{} has power over the host", line.addr);
        notes.push(Note { level: "warning", place: line.place.clone(), title, text: clean(&line.text) });
    }
    for (groups, drift) in [(&review.changes, false), (&review.touched, false), (&review.drift, true)] {
        notes.extend(groups.iter().map(|group| note(group, drift, &options.file)));
    }
    let mut out = String::new();
    for level in ["error", "warning", "notice"] {
        let of_level: Vec<&Note> = notes.iter().filter(|note| note.level == level).collect();
        let shown = if of_level.len() > MOST { MOST - 1 } else { of_level.len() };
        for note in &of_level[..shown] {
            out += &written(note, options);
        }
        if let rest @ [_, ..] = &of_level[shown..] {
            let titles: Vec<String> = rest.iter().map(|note| clean(&note.title)).collect();
            let title = format!("and {} more", rest.len());
            out += &written(&Note { level, place: None, title, text: titles.join("; ") }, options);
        }
    }
    out
}

fn note(group: &Group<'_>, drift: bool, file: &str) -> Note {
    let level = match group.severity {
        Severity::Loses => "error",
        Severity::Interrupts => "warning",
        Severity::Nothing | Severity::Create | Severity::Live => "notice",
    };
    let outside = if drift { format!(", changed outside of {file}") } else { String::new() };
    let title = format!("{} {}{outside}", group.addr, group.happens());
    let mut lines: Vec<String> = vec![];
    lines.extend(group.losses.iter().map(|(addr, loss)| format!("lost for good: {loss} ({addr})")));
    if !group.kept.is_empty() {
        lines.push(format!("kept: {}", group.kept.join(", ")));
    }
    lines.extend(group.touched.iter().cloned());
    for item in group.items.iter().filter(|item| !item.comes_back()) {
        let of = if item.change.addr == group.addr { String::new() } else { format!("{}: ", item.change.addr) };
        lines.push(format!("{of}{}: {}", item.action.verb(), reason(item)));
        lines.extend(item.fields.iter().map(|field| format!("  {}", super::values::short_line(field, item.action))));
    }
    // A line feed is fly's own here: whatever else there is of that kind is cleaned away.
    let text: Vec<String> = lines.iter().map(|line| clean(line)).collect();
    Note { level, place: place(group), title, text: text.join("\n") }
}

/// Of the field that weighs most, and otherwise of what it is about.
fn place(group: &Group<'_>) -> Option<Place> {
    let of_item = |item: &Item<'_>| {
        let forcing = item.forced_by().find_map(|field| field.place.clone());
        forcing.or_else(|| item.fields.iter().find_map(|field| field.place.clone())).or_else(|| item.change.place.clone())
    };
    group.items.iter().filter(|item| !item.comes_back()).find_map(of_item).or_else(|| group.place.clone())
}

fn written(note: &Note, options: &Options) -> String {
    let file = note.place.as_ref().map_or(options.file.as_str(), |place| &place.file);
    let mut properties = vec![format!("file={}", property(&from_root(&options.folder, file)))];
    if let Some(place) = &note.place {
        properties.push(format!("line={}", place.line));
        properties.push(format!("col={}", place.column));
    }
    properties.push(format!("title={}", property(&note.title)));
    let mut text = note.text.clone();
    if let Some((at, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(at);
        text.push_str("...");
    }
    let text = if text.is_empty() { clean(&note.title) } else { text };
    format!("::{} {}::{}\n", note.level, properties.join(","), data(&text))
}

/// GitHub's rules for the text of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// And for a property of one.
fn property(text: &str) -> String {
    data(&clean(text)).replace(':', "%3A").replace(',', "%2C")
}

/// A path as the repository's root sees it.
fn from_root(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = if path.starts_with('/') { vec![] } else { folder.split('/').collect() };
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.retain(|part| !matches!(*part, "" | "."));
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_those_of_the_repository() {
        assert_eq!(from_root("", "fly.yml"), "fly.yml");
        assert_eq!(from_root("deploy/office", "../fly.yml"), "deploy/fly.yml");
        assert_eq!(from_root("deploy", "./fly.yml"), "deploy/fly.yml");
    }

    #[test]
    fn nothing_ends_a_property_or_a_command() {
        assert_eq!(property("a,b:c%\n::error::x"), "a%2Cb%3Cc%25\\n%3A%3Aerror%3A%3Ax".replace("%3C", "%3A"));
        assert_eq!(data("100%\r\nok"), "100%25%0D%0Aok");
    }
}
