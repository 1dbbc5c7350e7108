//! How a tree becomes the model: keys out of tables, values by forms, every mistake collected.
//!
//! A key is described once, as a `Key`: its name, its meaning, how it is read and what its schema is. The reader, the check for
//! unknown keys and the JSON Schema all come from that table.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;

use super::foreign;
use super::model::{Broken, Entries};
use super::node::{Body, Kind, Node, Part};
use crate::diag::{At, Diagnostic, Mistakes, Place, similar};

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
    mistakes: Mistakes,
    /// Goes up with every value that cannot be read: whoever compares knows whether something of a value is missing.
    pub lost: usize,
}

impl Reader {
    pub(super) fn with(mistakes: Mistakes) -> Self {
        Self { mistakes, lost: 0 }
    }

    pub(super) fn push(&mut self, error: Diagnostic) {
        self.lost += 1;
        self.mistakes.push(error);
    }

    pub(super) fn finish(self) -> Mistakes {
        self.mistakes
    }

    /// `what` says what is wanted: "a size, as `512M`". The example becomes the hint.
    pub(super) fn wrong<T>(&mut self, node: &Node, what: &str) -> Option<T> {
        if node.is_broken() {
            self.lost += 1;
        } else {
            let (what, example) = example(what);
            let error = Diagnostic::invalid(format!("expected {what}, found {}", node.what())).at(&node.place);
            let hint = run_together(node, &[]).or(example).unwrap_or_else(|| instead_of(node).to_owned());
            self.push(error.hint(hint));
        }
        None
    }

    /// A scalar that cannot be read as what it has to be.
    pub(super) fn bad<T>(&mut self, part: &Part<'_>, what: &str) -> Option<T> {
        let (what, example) = example(what);
        let error = not(part, what);
        self.push(example.into_iter().fold(error, Diagnostic::hint));
        None
    }

    /// The same with another hint.
    pub(super) fn bad_hint<T>(&mut self, part: &Part<'_>, what: &str, hint: impl Into<String>) -> Option<T> {
        self.push(not(part, example(what).0).hint(hint));
        None
    }

    /// The same, with the one of `known` that was probably meant in its place.
    pub(super) fn bad_near<T>(&mut self, part: &Part<'_>, what: &str, known: &[&str], hint: impl Into<String>) -> Option<T> {
        match near(part, known.iter().copied()) {
            Some(meant) => self.bad_hint(part, what, format!("did you mean `{meant}`?")),
            None => self.bad_hint(part, what, hint),
        }
    }

    /// A scalar's text, whatever it looks like: `true` and `1.50` as written.
    pub(super) fn scalar<'a>(&mut self, node: &'a Node, what: &str) -> Option<Part<'a>> {
        node.part().or_else(|| self.wrong(node, what))
    }

    /// A text that is text: a number or truth value is likely a mistake.
    pub(super) fn words<'a>(&mut self, node: &'a Node, what: &str) -> Option<Part<'a>> {
        let part = self.scalar(node, what)?;
        if node.scalar().is_some_and(|s| matches!(s.kind, Kind::Bool | Kind::Number)) {
            let error = Diagnostic::invalid(format!("expected {}, found {}", example(what).0, node.what())).at(&node.place);
            self.push(error.hint(format!("write it in quotes: `\"{}\"`", part.shown())));
            return None;
        }
        Some(part)
    }

    /// A scalar by its own parser. What that says of the text goes beside the caret, unless the text is secret.
    pub(super) fn parse<T: FromStr<Err: Display>>(&mut self, part: &Part<'_>, what: &str, hint: impl Into<String>) -> Option<At<T>> {
        match part.text.parse() {
            Ok(value) => Some(part.at(value)),
            Err(error) => {
                let reason = T::Err::to_string(&error);
                // A reason that repeats the text says no more than the message does.
                let adds = !part.is_secret() && !part.text.is_empty() && reason.len() < 100 && !reason.contains("` is not ");
                let error = not(part, example(what).0).hint(hint);
                self.push(if adds { error.label(reason) } else { error });
                None
            }
        }
    }

    /// A whole number within bounds.
    pub(super) fn number<T: TryFrom<i64>>(&mut self, part: &Part<'_>, bounds: (i64, i64), what: &str) -> Option<At<T>> {
        let digits = part.text.strip_prefix('-').unwrap_or(part.text);
        if zero_led(digits) {
            return self.bad_hint(part, what, NO_ZEROS);
        }
        let value = digits.bytes().all(|b| b.is_ascii_digit()).then(|| part.text.parse::<i64>().ok()).flatten();
        match value.filter(|v| (bounds.0..=bounds.1).contains(v)).and_then(|v| T::try_from(v).ok()) {
            Some(value) => Some(part.at(value)),
            None if bounds.1 >= i64::from(i32::MAX) => self.bad_hint(part, &format!("{what} of at least {}", bounds.0), WHOLE),
            None => self.bad_hint(part, &format!("{what} from {} to {}", bounds.0, bounds.1), WHOLE),
        }
    }

    pub(super) fn one_of<T: Copy>(&mut self, part: &Part<'_>, values: &[(&str, T)], what: &str) -> Option<At<T>> {
        if let Some((_, value)) = values.iter().find(|(name, _)| *name == part.text) {
            return Some(part.at(*value));
        }
        let names = values.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let error = not(part, what);
        self.push(match near(part, values.iter().map(|(name, _)| *name)) {
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
        if !self.kept_keys(node, whose, keys, into).is_empty() {
            self.lost += 1;
        }
    }

    /// The same where `into` keeps which of its keys cannot be relied on: nothing of it is missing in what is around it.
    pub(super) fn kept_keys<T>(&mut self, node: &Node, whose: &str, keys: &[&[Key<T>]], into: &mut T) -> Broken {
        let (lost, mut broken) = (self.lost, Broken::default());
        match &node.body {
            Body::Map(entries) => {
                // Keys that begin with `x-` are the user's own, as in Compose.
                for (name, value) in entries.iter().filter(|(name, _)| !name.value.starts_with("x-")) {
                    let Some(key) = keys.iter().flat_map(|table| table.iter()).find(|key| key.name == name.value) else {
                        self.unknown_key(name, whose, keys).into_iter().for_each(|meant| broken.insert(meant));
                        continue;
                    };
                    let before = self.lost;
                    (key.read)(self, value, into);
                    if self.lost != before {
                        broken.insert(key.name);
                    }
                }
            }
            Body::Scalar(scalar) if scalar.kind == Kind::Null => {}
            _ => {
                let known: Vec<&str> = keys.iter().flat_map(|table| table.iter()).map(|key| key.name).collect();
                match run_together(node, &known) {
                    Some(hint) => {
                        let message = format!("expected the keys of {whose}, found {}", node.what());
                        self.push(Diagnostic::invalid(message).at(&node.place).hint(hint));
                    }
                    None => drop(self.wrong::<()>(node, &format!("the keys of {whose}"))),
                }
                broken = Broken::all();
            }
        }
        self.lost = lost;
        broken
    }

    /// The key that was probably meant.
    fn unknown_key<T>(&mut self, name: &At<String>, whose: &str, keys: &[&[Key<T>]]) -> Option<&'static str> {
        let shown = Part::key(name).shown();
        let error = Diagnostic::invalid(format!("`{shown}` is not a key of {whose}")).at(&name.place);
        if self.mistakes.is_full() {
            // To look for what was meant takes time: not ten thousand times.
            self.push(error);
            return None;
        }
        let known = || keys.iter().flat_map(|table| table.iter()).map(|key| key.name);
        let (error, meant) = match foreign::hint(whose, &name.value) {
            Some(foreign::Hint::NotYet) => (error.label("not in this release").hint("leave it out"), None),
            Some(foreign::Hint::Instead(hint)) => {
                let first = hint.strip_prefix('`').and_then(|hint| hint.split('`').next());
                let hint = if first.is_some() { format!("use {hint}") } else { hint.to_owned() };
                (error.label("unknown key").hint(hint), known().find(|name| Some(*name) == first))
            }
            None if name.value.trim() != name.value => {
                (error.label("unknown key").hint("YAML takes plain spaces alone for an indent, and these are others: type them anew"), None)
            }
            None if name.value.len() > 64 => (error.label("unknown key").hint("`fly schema` knows all keys"), None),
            None => {
                let meant = similar(&name.value, known());
                let hint = match meant {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None if known().count() > 12 => "`fly schema` knows all keys".to_owned(),
                    None => format!("known are {}", quoted(known())),
                };
                (error.label("unknown key").hint(hint), meant)
            }
        };
        self.push(error);
        meant
    }

    /// A key that is missing in what is written at `place`.
    pub(super) fn missing(&mut self, place: &Place, whose: &str, key: &str) {
        self.push(Diagnostic::invalid(format!("{whose} needs the key `{key}`")).at(place).hint(format!("`{key}: ...`")));
    }
}

const WHOLE: &str = "a whole number within these bounds, without a unit";

/// "a size, as `512M`" in two.
fn example(what: &str) -> (&str, Option<String>) {
    what.split_once(", as ").map_or((what, None), |(what, example)| (what, Some(format!("as in {example}"))))
}

/// `-NET_ADMIN` and `image:x` are text: YAML wants a space there.
fn run_together(node: &Node, keys: &[&str]) -> Option<String> {
    let part = node.part().filter(|part| !part.is_secret() && part.text.len() < 64 && !part.text.contains('\n'))?;
    if let Some(item) = part.text.strip_prefix('-').filter(|item| item.starts_with(|c: char| c.is_ascii_alphabetic())) {
        return Some(format!("a space is missing behind the `-`: `- {item}`"));
    }
    let (key, value) = part.text.split_once(':').filter(|(key, value)| keys.contains(key) && !value.is_empty())?;
    Some(format!("a space is missing behind the `:`: `{key}: {value}`"))
}

/// Of `known`, what was probably meant.
fn near<'a>(part: &Part<'_>, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let is_word = !part.is_secret() && (3..64).contains(&part.text.len());
    is_word.then(|| similar(part.text, known)).flatten()
}

/// What to do about a value of the wrong kind where there is no example of a right one.
fn instead_of(node: &Node) -> &'static str {
    match &node.body {
        _ if node.is_null() => "give it a value, or leave the key out",
        Body::Scalar(_) => "it has values of its own below it, as in `{key: value}`",
        Body::Seq(_) => "it is no list: leave `[`, `]` and `-` out",
        Body::Map(_) => "it is no mapping: a single value, without `{`, `}` and `key:`",
    }
}

/// `010` is ten to most people, and eight to Compose.
pub(super) const NO_ZEROS: &str = "write the number without leading zeros";

pub(super) fn zero_led(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && text.as_bytes()[1].is_ascii_digit()
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
