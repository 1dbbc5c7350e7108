//! Values of fields, as one line or as differing lines, and the cleaning of foreign text.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use similar::{ChangeTag, TextDiff};

use crate::diff::{Action, FieldChange};
use crate::plan::StepId;

/// The longest list that is still shown on one line.
const LONGEST: usize = 60;

/// Without anything that a terminal would act upon: control characters, and the marks that turn the direction of writing.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if is_dangerous(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{61c}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// `mtu: 1500 -> 9000`; nothing for what is better shown line by line.
pub(super) fn one_line(field: &FieldChange, action: Action) -> Option<String> {
    let name = clean(&field.field);
    match (&field.old, &field.new) {
        (Some(old), Some(new)) if needs_lines(field, old) || needs_lines(field, new) => None,
        (Some(one), None) | (None, Some(one)) if one.contains('\n') => None,
        (Some(old), Some(new)) => Some(format!("{name}: {} -> {}", value(old), value(new))),
        (None, Some(new)) if action == Action::Create => Some(format!("{name}: {}", value(new))),
        (Some(old), None) if action == Action::Delete => Some(format!("{name}: {}", value(old))),
        (None, Some(new)) => Some(format!("{name}: (none) -> {}", value(new))),
        (Some(old), None) => Some(format!("{name}: {} -> (none)", value(old))),
        (None, None) => Some(name),
    }
}

/// The same for any field: what is longer is only named.
pub(super) fn short_line(field: &FieldChange, action: Action) -> String {
    let line = one_line(field, action).filter(|line| line.chars().count() <= 4 * LONGEST);
    line.unwrap_or_else(|| format!("{}: differs", clean(&field.field)))
}

pub(super) fn value(text: &str) -> String {
    if text.is_empty() { "\"\"".to_owned() } else { clean(text) }
}

pub(super) fn needs_lines(field: &FieldChange, text: &str) -> bool {
    text.contains('\n') || (text.len() > LONGEST && (is_bracketed(text) || is_set(field, text)))
}

fn is_bracketed(text: &str) -> bool {
    text.starts_with('[') && text.ends_with(']')
}

/// Members with commas. A key's own value (`labels.motto`) is one text, whatever is in it.
fn is_set(field: &FieldChange, text: &str) -> bool {
    text.contains(", ") && !field.field.contains('.')
}

/// Both values line by line: what goes, what comes, what stays.
pub(super) fn line_diff(field: &FieldChange) -> Vec<(char, String)> {
    let lines = |text: &Option<String>| text.as_deref().map(|text| split(field, text)).unwrap_or_default();
    let (old, new) = (lines(&field.old), lines(&field.new));
    let (old, new): (Vec<&str>, Vec<&str>) = (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
    let diff = TextDiff::from_slices(&old, &new);
    let sign = |tag| match tag {
        ChangeTag::Equal => ' ',
        ChangeTag::Delete => '-',
        ChangeTag::Insert => '+',
    };
    diff.iter_all_changes().map(|change| (sign(change.tag()), clean(change.value()))).collect()
}

/// The lines of a text, or the items of a list or set.
fn split(field: &FieldChange, text: &str) -> Vec<String> {
    if text.contains('\n') || !(is_bracketed(text) || is_set(field, text)) {
        return text.lines().map(str::to_owned).collect();
    }
    if let Ok(items) = serde_json::from_str::<Vec<serde_json::Value>>(text) {
        return items.iter().map(ToString::to_string).collect();
    }
    let inner = if is_bracketed(text) { &text[1..text.len() - 1] } else { text };
    inner.split(", ").map(str::to_owned).collect()
}

/// `after 1-3, 5`; empty for none. Of more than fit into `width`, the last ones: they are the latest to be done.
pub(super) fn ranges(ids: &BTreeSet<StepId>, width: usize) -> String {
    let mut runs: Vec<(u32, u32)> = vec![];
    for StepId(id) in ids {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *id => *last = *id,
            _ => runs.push((*id, *id)),
        }
    }
    if runs.is_empty() {
        return String::new();
    }
    let run = |(first, last): &(u32, u32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}-{last}"),
    };
    let all = runs.iter().map(run).collect::<Vec<_>>().join(", ");
    if "after ".len() + all.len() <= width {
        return format!("after {all}");
    }
    let mut text = run(&runs[runs.len() - 1]);
    for earlier in runs.iter().rev().skip(1).map(run) {
        let longer = format!("{earlier}, {text}");
        if "after ..., ".len() + longer.len() > width {
            break;
        }
        text = longer;
    }
    format!("after ..., {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_told_anything_by_foreign_text() {
        assert_eq!(clean("a\x1b[31mb\u{9b}c\u{202e}d\n\u{7f}"), "a\\x1b[31mb\\u{9b}c\\u{202e}d\\n\\x7f");
        assert_eq!(clean("größe 漢字"), "größe 漢字");
    }

    #[test]
    fn runs_of_steps_are_short() {
        let ids = [1, 2, 3, 5, 7, 8].map(StepId).into_iter().collect();
        assert_eq!(ranges(&ids, 26), "after 1-3, 5, 7, 8");
        assert_eq!(ranges(&BTreeSet::new(), 26), "");
        let odd = (0..20).map(|n| StepId(100 + 2 * n)).collect();
        assert_eq!(ranges(&odd, 26), "after ..., 134, 136, 138");
    }
}
