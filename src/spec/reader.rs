//! How a tree becomes the model: keys out of tables, values by forms, every mistake collected.
//!
//! A key is described once, as a `Key`: its name, its meaning, how it is read and what its schema is. The reader, the check for
//! unknown keys and the JSON Schema all come from that table.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;

use super::foreign;
use super::model::Entries;
use super::node::{Body, Kind, Node, Part};
use crate::diag::{At, Diagnostic, Place, similar};

/// More mistakes than this are counted, not shown.
const MAX_ERRORS: usize = 100;

/// A way to write a value, with the schema of all its short and long forms.
pub(super) struct Form<T> {
    pub schema: fn() -> Value,
    /// `None` where there is no value to keep: a mistake, which has been reported.
    pub read: fn(&mut Reader, &Node) -> Option<T>,
}

pub(super) struct Key<T> {
    pub name: &'static str,
    pub doc: &'static str,
    pub schema: fn() -> Value,
    pub read: fn(&mut Reader, &Node, &mut T),
}

/// A key whose field has its name: `key!(image: TEXT, "what it means")`.
macro_rules! key {
    ($field:ident: $form:expr, $doc:literal) => {
        $crate::spec::reader::Key {
            name: stringify!($field),
            doc: $doc,
            schema: || ($form.schema)(),
            read: |reader, node, into| into.$field = ($form.read)(reader, node),
        }
    };
}
pub(super) use key;

#[derive(Default)]
pub(super) struct Reader {
    errors: Vec<Diagnostic>,
    /// Those that are only counted.
    more: usize,
}

impl Reader {
    pub(super) fn with(errors: Vec<Diagnostic>) -> Self {
        let mut reader = Self::default();
        for error in errors {
            reader.push(error);
        }
        reader
    }

    pub(super) fn push(&mut self, error: Diagnostic) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        crate::diag::sort(&mut self.errors);
        if self.more > 0 {
            self.errors.push(Diagnostic::invalid(format!("{} more errors are not shown", self.more)));
        }
        self.errors
    }

    /// `what` says what is wanted: "a size, as `512M`".
    pub(super) fn wrong<T>(&mut self, node: &Node, what: &str) -> Option<T> {
        if !node.is_broken() {
            self.push(Diagnostic::invalid(format!("expected {what}, found {}", node.what())).at(&node.place));
        }
        None
    }

    /// A scalar that cannot be read as what it has to be.
    pub(super) fn bad<T>(&mut self, part: &Part<'_>, what: &str) -> Option<T> {
        self.push(not(part, what));
        None
    }

    /// The same with a hint.
    pub(super) fn bad_hint<T>(&mut self, part: &Part<'_>, what: &str, hint: impl Into<String>) -> Option<T> {
        self.push(not(part, what).hint(hint));
        None
    }

    /// A scalar's text, whatever it looks like: `true` and `1.50` as written.
    pub(super) fn scalar<'a>(&mut self, node: &'a Node, what: &str) -> Option<Part<'a>> {
        node.part().or_else(|| self.wrong(node, what))
    }

    /// A text that is text: a number or truth value is likely a mistake.
    pub(super) fn words<'a>(&mut self, node: &'a Node, what: &str) -> Option<Part<'a>> {
        let part = self.scalar(node, what)?;
        if node.scalar().is_some_and(|s| matches!(s.kind, Kind::Bool | Kind::Number)) {
            let error = Diagnostic::invalid(format!("expected {what}, found {}", node.what())).at(&node.place);
            self.push(error.hint(format!("write it in quotes: `\"{}\"`", part.shown())));
            return None;
        }
        Some(part)
    }

    /// A scalar by its own parser. What that says of the text goes beside the caret, unless the text is secret.
    pub(super) fn parse<T: FromStr<Err: Display>>(&mut self, part: &Part<'_>, what: &str) -> Option<At<T>> {
        match part.text.parse() {
            Ok(value) => Some(part.at(value)),
            Err(error) => {
                let reason = T::Err::to_string(&error);
                // A reason that repeats the text says no more than the message does.
                let adds = !part.is_secret() && !part.text.is_empty() && reason.len() < 100 && !reason.contains("` is not ");
                let error = not(part, what);
                self.push(if adds { error.label(reason) } else { error });
                None
            }
        }
    }

    /// A whole number within bounds.
    pub(super) fn number<T: TryFrom<i64>>(&mut self, part: &Part<'_>, bounds: (i64, i64), what: &str) -> Option<At<T>> {
        let digits = part.text.strip_prefix('-').unwrap_or(part.text);
        if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) {
            return self.bad_hint(part, what, "write the number without leading zeros");
        }
        let value = digits.bytes().all(|b| b.is_ascii_digit()).then(|| part.text.parse::<i64>().ok()).flatten();
        match value.filter(|v| (bounds.0..=bounds.1).contains(v)).and_then(|v| T::try_from(v).ok()) {
            Some(value) => Some(part.at(value)),
            None if bounds.1 >= i64::from(i32::MAX) => self.bad(part, &format!("{what} of at least {}", bounds.0)),
            None => self.bad(part, &format!("{what} from {} to {}", bounds.0, bounds.1)),
        }
    }

    pub(super) fn one_of<T: Copy>(&mut self, part: &Part<'_>, values: &[(&str, T)], what: &str) -> Option<At<T>> {
        if let Some((_, value)) = values.iter().find(|(name, _)| *name == part.text) {
            return Some(part.at(*value));
        }
        let names = values.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let error = not(part, what);
        let meant = (!part.is_secret() && part.text.len() < 64).then(|| similar(part.text, values.iter().map(|(name, _)| *name))).flatten();
        self.push(match meant {
            Some(meant) => error.hint(format!("did you mean `{meant}`?")),
            None => error.hint(format!("one of {names}")),
        });
        None
    }

    /// A list; nothing counts as an empty one. Wrong items are left out.
    pub(super) fn list<T>(&mut self, node: &Node, what: &str, item: impl Fn(&mut Self, &Node) -> Option<T>) -> Option<Vec<T>> {
        match &node.body {
            Body::Seq(items) => Some(items.iter().filter_map(|node| item(self, node)).collect()),
            Body::Scalar(scalar) if scalar.kind == Kind::Null => Some(vec![]),
            _ => self.wrong(node, what),
        }
    }

    /// One, or a list of them.
    pub(super) fn one_or_more<T>(&mut self, node: &Node, what: &str, item: impl Fn(&mut Self, &Node) -> Option<T>) -> Option<Vec<T>> {
        match &node.body {
            Body::Seq(items) => Some(items.iter().filter_map(|node| item(self, node)).collect()),
            _ if node.is_null() => self.wrong(node, what),
            _ => Some(vec![item(self, node)?]),
        }
    }

    /// A mapping from names to values; nothing counts as an empty one.
    pub(super) fn entries<T>(
        &mut self,
        node: &Node,
        what: &str,
        item: impl Fn(&mut Self, &At<String>, &Node) -> Option<T>,
    ) -> Option<Entries<T>> {
        match &node.body {
            Body::Map(entries) => {
                Some(Entries(entries.iter().filter_map(|(key, value)| Some((key.clone(), item(self, key, value)?))).collect()))
            }
            Body::Scalar(scalar) if scalar.kind == Kind::Null => Some(Entries::default()),
            _ => self.wrong(node, what),
        }
    }

    /// A mapping with known keys. `whose` is for messages: "a machine".
    pub(super) fn keys<T>(&mut self, node: &Node, whose: &str, keys: &[&[Key<T>]], into: &mut T) {
        let entries = match &node.body {
            Body::Map(entries) => entries,
            Body::Scalar(scalar) if scalar.kind == Kind::Null => return,
            _ => {
                let _: Option<()> = self.wrong(node, &format!("the keys of {whose}"));
                return;
            }
        };
        // Keys that begin with `x-` are the user's own, as in Compose.
        for (name, value) in entries.iter().filter(|(name, _)| !name.value.starts_with("x-")) {
            match keys.iter().flat_map(|table| table.iter()).find(|key| key.name == name.value) {
                Some(key) => (key.read)(self, value, into),
                None => self.unknown_key(name, whose, keys),
            }
        }
    }

    fn unknown_key<T>(&mut self, name: &At<String>, whose: &str, keys: &[&[Key<T>]]) {
        if self.errors.len() >= MAX_ERRORS {
            // To look for what was meant takes time: not ten thousand times.
            self.more += 1;
            return;
        }
        let shown = Part::key(name).shown();
        let error = Diagnostic::invalid(format!("`{shown}` is not a key of {whose}")).at(&name.place);
        let known = || keys.iter().flat_map(|table| table.iter()).map(|key| key.name);
        self.push(match foreign::hint(whose, &name.value) {
            Some(foreign::Hint::NotYet) => error.label("not in this release"),
            Some(foreign::Hint::Instead(hint)) if hint.starts_with('`') => error.label("unknown key").hint(format!("use {hint}")),
            Some(foreign::Hint::Instead(hint)) => error.label("unknown key").hint(hint),
            None if name.value.len() > 64 => error.label("unknown key"),
            None => match similar(&name.value, known()) {
                Some(meant) => error.label("unknown key").hint(format!("did you mean `{meant}`?")),
                None if known().count() > 12 => error.label("unknown key").hint("`fly schema` knows all keys"),
                None => error.label("unknown key").hint(format!("known are {}", quoted(known()))),
            },
        });
    }

    /// A key that is missing in what is written at `place`.
    pub(super) fn missing(&mut self, place: &Place, whose: &str, key: &str) {
        self.push(Diagnostic::invalid(format!("{whose} needs the key `{key}`")).at(place));
    }
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn not(part: &Part<'_>, what: &str) -> Diagnostic {
    if part.text.is_empty() && !part.is_secret() {
        return Diagnostic::invalid(format!("expected {what}, found an empty text")).at(&part.place());
    }
    let subject = if part.is_secret() { format!("the value of `{}`", part.shown()) } else { format!("`{}`", part.shown()) };
    Diagnostic::invalid(format!("{subject} is not {what}")).at(&part.place())
}
