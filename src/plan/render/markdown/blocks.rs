//! Lines of a `diff` block: GitHub and GitLab colour them by their first character.

use super::super::{clean, reason, short, values};
use crate::diff::{Action, Effect, FieldChange};
use crate::plan::review::{Group, Item};

/// What of a resource is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    Fields,
    /// One line each.
    Heads,
}

/// A line feed at the end of each line.
pub(super) fn group(group: &Group<'_>, detail: Detail) -> String {
    let mut out = String::new();
    let (own, rest): (Vec<_>, Vec<_>) = group.items.iter().filter(|item| !item.comes_back()).partition(|it| it.change.addr == group.addr);
    for one in own {
        item(one, detail, &mut out);
    }
    let back: Vec<String> = group.coming_back().map(|addr| clean(&addr.to_string())).collect();
    if !back.is_empty() && detail == Detail::Fields {
        line(&mut out, ' ', &format!("      comes back as it was: {}", back.join(", ")));
    }
    for words in &group.touched {
        line(&mut out, '!', &format!("    {}  {}", clean(&group.addr.to_string()), clean(words)));
    }
    for one in rest {
        item(one, detail, &mut out);
    }
    out
}

fn line(out: &mut String, sign: char, text: &str) {
    out.push_str(super::escape::unfenced(&format!("{sign} {text}")).trim_end());
    out.push('\n');
}

fn item(item: &Item<'_>, detail: Detail, out: &mut String) {
    let (change, action) = (item.change, item.action);
    let sign = match action {
        Action::Keep => ' ',
        Action::Create => '+',
        Action::Update | Action::Restart => '!',
        Action::Replace | Action::Delete => '-',
    };
    let place = change.place.as_ref().filter(|_| detail == Detail::Heads || item.fields.iter().all(|field| field.place.is_none()));
    let place = place.map_or_else(String::new, |place| format!("   # {}", short(place)));
    let symbol = action.symbol();
    line(out, sign, &format!("{symbol:<3} {}  {}: {}{place}", clean(&change.addr.to_string()), action.verb(), clean(&reason(item))));
    if detail == Detail::Fields {
        item.fields.iter().for_each(|it| field(it, action, out));
    }
}

/// What goes is red, what comes is green.
fn field(field: &FieldChange, action: Action, out: &mut String) {
    let mut tail: Vec<String> = field.place.iter().map(short).collect();
    if action == Action::Replace && field.effect == Effect::Replace {
        tail.push("replaces".to_owned());
    }
    let tail = if tail.is_empty() { String::new() } else { format!("   # {}", tail.join(", ")) };
    let name = clean(&field.field);
    let long = |text: &Option<String>| text.as_deref().is_some_and(|text| values::needs_lines(field, text));
    if long(&field.old) || long(&field.new) {
        line(out, ' ', &format!("      {name}:{tail}"));
        for (sign, text) in values::line_diff(field) {
            line(out, sign, &format!("        {text}"));
        }
        return;
    }
    match (&field.old, &field.new) {
        (None, None) => line(out, '!', &format!("      {name}{tail}")),
        (Some(old), None) => line(out, '-', &format!("      {name}: {}{tail}", values::value(old))),
        (old, Some(new)) => {
            if let Some(old) = old {
                line(out, '-', &format!("      {name}: {}", values::value(old)));
            }
            line(out, '+', &format!("      {name}: {}{tail}", values::value(new)));
        }
    }
}
