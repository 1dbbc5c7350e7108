//! The tree that the readers read: spans as places, variables replaced, duplicate keys found.
//!
//! A `Part` is a piece of a scalar that still knows where it stands, so that a mistake in the middle of `8080:80/tpc` is
//! pointed at, not the whole line. Text that holds a variable's value is never shown again: what the file says is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::interpolate::{Variables, interpolate};
use super::model::Unset;
use super::yaml::{self, Raw};
use crate::diag::{At, Diagnostic, Mistakes, Place, Weaver};

/// What all variables together may add to one file.
const MAX_INTERPOLATED: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Node {
    pub place: Place,
    pub body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Scalar(Scalar),
    Seq(Vec<Node>),
    Map(Vec<(At<String>, Node)>),
}

#[derive(Debug)]
pub(super) struct Scalar {
    pub kind: Kind,
    pub text: String,
    /// What the file says, where variables were replaced.
    written: Option<String>,
    /// Where in the place the text begins, if it stands there letter by letter.
    inset: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    /// Its variables could not be replaced, which has been said.
    Broken,
}

impl Node {
    /// For messages: what it is, not what it says.
    pub(super) fn what(&self) -> &'static str {
        match &self.body {
            Body::Scalar(scalar) => match scalar.kind {
                Kind::Null => "nothing",
                Kind::Bool => "a truth value",
                Kind::Number => "a number",
                Kind::Text | Kind::Broken => "text",
            },
            Body::Seq(_) => "a list",
            Body::Map(_) => "a mapping",
        }
    }

    pub(super) fn scalar(&self) -> Option<&Scalar> {
        match &self.body {
            Body::Scalar(scalar) => Some(scalar),
            Body::Seq(_) | Body::Map(_) => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.scalar().is_some_and(|s| s.kind == Kind::Null)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.scalar().is_some_and(|s| s.kind == Kind::Broken)
    }

    /// The scalar's text, if it is one and not nothing.
    pub(super) fn part(&self) -> Option<Part<'_>> {
        let scalar = self.scalar().filter(|s| !matches!(s.kind, Kind::Null | Kind::Broken))?;
        Some(Part { place: &self.place, scalar: Some(scalar), text: &scalar.text, start: 0 })
    }
}

/// A piece of a scalar, or of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    place: &'a Place,
    /// Not for keys, which hold no variables.
    scalar: Option<&'a Scalar>,
    pub text: &'a str,
    /// In the scalar's text, in bytes.
    start: usize,
}

impl<'a> Part<'a> {
    pub(super) fn key(key: &'a At<String>) -> Self {
        Self { place: &key.place, scalar: None, text: &key.value, start: 0 }
    }

    pub(super) fn place(&self) -> Place {
        let Some((inset, whole)) = self.scalar.and_then(|s| Some((s.inset?, &s.text))) else { return self.place.clone() };
        if self.text.len() == whole.len() {
            return self.place.clone();
        }
        let before = u32::try_from(inset + whole[..self.start].chars().count()).unwrap_or(0);
        Place {
            column: self.place.column + before,
            offset: self.place.offset + inset + self.start,
            len: self.text.len().max(1),
            ..self.place.clone()
        }
    }

    pub(super) fn at<T>(&self, value: T) -> At<T> {
        At::new(value, self.place())
    }

    pub(super) fn text(&self) -> At<String> {
        self.at(self.text.to_owned())
    }

    /// A variable's value is part of it: it must not be shown.
    pub(super) fn is_secret(&self) -> bool {
        self.scalar.is_some_and(|s| s.written.is_some())
    }

    /// For messages: what the file says, cut to a readable length.
    pub(super) fn shown(&self) -> String {
        let text = self.scalar.and_then(|s| s.written.as_deref()).unwrap_or(self.text);
        let line = text.lines().next().unwrap_or_default();
        match line.char_indices().nth(60) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None if line.len() < text.trim_end().len() => format!("{line}…"),
            None => line.to_owned(),
        }
    }

    fn sub(&self, start: usize, end: usize) -> Self {
        Self { text: &self.text[start..end], start: self.start + start, ..*self }
    }

    pub(super) fn split_once(&self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        Some((self.sub(0, at), self.sub(at + separator.len_utf8(), self.text.len())))
    }

    pub(super) fn rsplit_once(&self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.rfind(separator)?;
        Some((self.sub(0, at), self.sub(at + separator.len_utf8(), self.text.len())))
    }

    pub(super) fn split(&self, separator: impl Fn(char) -> bool) -> Vec<Self> {
        let (mut parts, mut start) = (vec![], 0);
        for (at, c) in self.text.char_indices().filter(|(_, c)| separator(*c)) {
            parts.push(self.sub(start, at));
            start = at + c.len_utf8();
        }
        parts.push(self.sub(start, self.text.len()));
        parts
    }

    pub(super) fn words(&self) -> Vec<Self> {
        self.split(char::is_whitespace).into_iter().filter(|p| !p.text.is_empty()).collect()
    }

    pub(super) fn strip_prefix(&self, prefix: &str) -> Option<Self> {
        self.text.starts_with(prefix).then(|| self.sub(prefix.len(), self.text.len()))
    }

    pub(super) fn strip_suffix(&self, suffix: &str) -> Option<Self> {
        self.text.strip_suffix(suffix).map(|rest| self.sub(0, rest.len()))
    }

    pub(super) fn trim(&self) -> Self {
        let start = self.text.len() - self.text.trim_start().len();
        self.sub(start, start + self.text.trim().len())
    }
}

/// Makes the tree, and says everything that is wrong with it before anybody asks what it means.
pub(super) struct Builder<'a> {
    pub file: Arc<str>,
    pub source: &'a str,
    pub variables: &'a BTreeMap<String, String>,
    /// Variables whose values could not be read, which has been said.
    pub unreadable: &'a BTreeSet<String>,
    pub errors: Mistakes,
    /// Variables that are not set and have no default, where they are used.
    pub unset: Vec<Unset>,
    /// What the variables stand for.
    pub weaver: Weaver,
    interpolated: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(file: Arc<str>, source: &'a str, variables: &'a BTreeMap<String, String>, unreadable: &'a BTreeSet<String>) -> Self {
        let (errors, weaver) = (Mistakes::default(), Weaver::default());
        Self { file, source, variables, unreadable, errors, unset: vec![], weaver, interpolated: 0 }
    }

    /// The whole file: of `x-` keys at the top only what others refer to counts.
    pub(super) fn root(&mut self, mut raw: Raw) -> Node {
        if let yaml::Body::Map(entries) = &mut raw.value {
            entries.retain(|(key, _)| !matches!(&key.value, yaml::Body::Text(text) if text.starts_with("x-")));
        }
        self.node(raw)
    }

    fn node(&mut self, raw: Raw) -> Node {
        let place = self.place(&raw);
        let body = match raw.value {
            yaml::Body::Seq(items) => Body::Seq(items.into_iter().map(|item| self.node(item)).collect()),
            yaml::Body::Map(entries) => Body::Map(self.map(entries)),
            yaml::Body::Null => scalar(Kind::Null, String::new()),
            yaml::Body::Bool(value) => scalar(Kind::Bool, value.to_string()),
            yaml::Body::Number(value) => Body::Scalar(self.literal(&place, Kind::Number, value)),
            yaml::Body::Text(text) => Body::Scalar(self.text(&place, text)),
        };
        Node { place, body }
    }

    /// The first of equal keys counts, the others are errors.
    fn map(&mut self, entries: Vec<(Raw, Raw)>) -> Vec<(At<String>, Node)> {
        let (mut nodes, mut seen) = (Vec::with_capacity(entries.len()), HashMap::<String, Place>::new());
        for (key, value) in entries {
            let place = self.place(&key);
            let name = match key.value {
                yaml::Body::Text(text) => text,
                yaml::Body::Bool(value) => value.to_string(),
                yaml::Body::Number(value) => self.literal(&place, Kind::Number, value).text,
                yaml::Body::Null | yaml::Body::Seq(_) | yaml::Body::Map(_) => {
                    self.errors.push(Diagnostic::invalid("a key must be text").at(&place).hint("a name and a `:`, as in `web:`"));
                    continue;
                }
            };
            if let Some(first) = seen.get(&name) {
                let name = name.chars().take(60).collect::<String>();
                let error = Diagnostic::invalid(format!("the key `{name}` is written twice")).at(&place);
                let error = error.label("here again").also(first, "first here");
                self.errors.push(error.hint("leave one of them out: only one value can count"));
                continue;
            }
            seen.insert(name.clone(), place.clone());
            nodes.push((At::new(name, place), self.node(value)));
        }
        nodes
    }

    fn literal(&self, place: &Place, kind: Kind, value: String) -> Scalar {
        // `1.50` and `010` are kept as people wrote them.
        let text = self.source.get(place.offset..place.offset + place.len).map_or(value, str::to_owned);
        Scalar { kind, text, written: None, inset: Some(0) }
    }

    fn text(&mut self, place: &Place, text: String) -> Scalar {
        let source = self.source.get(place.offset..place.offset + place.len).unwrap_or_default();
        let quoted = source.starts_with(['"', '\'']) && source.len() >= 2;
        let inset =
            if source == text { Some(0) } else { (quoted && source[1..].strip_suffix(['"', '\'']) == Some(text.as_str())).then_some(1) };
        let mut scalar = Scalar { kind: Kind::Text, text, written: None, inset };
        if self.unreadable.iter().any(|name| mentions(&scalar.text, name)) {
            scalar.kind = Kind::Broken;
            return scalar;
        }
        match interpolate(&scalar.text, Variables(&[self.variables]), MAX_INTERPOLATED.saturating_sub(self.interpolated)) {
            Ok(None) => {}
            Ok(Some(filled)) => {
                self.interpolated += filled.text.len();
                let unset = |name| Unset { name: At::new(name, place.clone()), required: None };
                self.unset.extend(filled.unset.into_iter().map(unset));
                self.weaver.cover(place, &filled.text, &scalar.text, filled.used);
                scalar.written = Some(std::mem::replace(&mut scalar.text, filled.text));
                scalar.inset = None;
            }
            Err(error) => {
                let part = Part { place, scalar: Some(&scalar), text: &scalar.text[error.at..error.at + error.len], start: error.at };
                if let Some(name) = error.unset {
                    self.unset.push(Unset { name: At::new(name, part.place()), required: Some(error.message.clone()) });
                }
                let diagnostic = Diagnostic::invalid(error.message).at(&part.place());
                self.errors.push(error.hint.into_iter().fold(diagnostic, Diagnostic::hint));
                scalar.kind = Kind::Broken;
            }
        }
        scalar
    }

    fn place(&self, raw: &Raw) -> Place {
        let (at, span) = (raw.defined, raw.defined.span());
        let number = |n: u64| usize::try_from(n).unwrap_or(0);
        let (offset, len) = (number(span.byte_offset().unwrap_or(0)), number(span.byte_len().unwrap_or(0)));
        let line = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Place { file: self.file.clone(), line: line(at.line()), column: line(at.column()), offset, len }
    }
}

/// Whether a text says `$NAME` or `${NAME`.
fn mentions(text: &str, name: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    text.match_indices(name).any(|(at, _)| text[..at].ends_with(['$', '{']) && ends(&text[at + name.len()..]))
}

fn scalar(kind: Kind, text: String) -> Body {
    Body::Scalar(Scalar { kind, text, written: None, inset: None })
}
