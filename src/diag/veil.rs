//! What variables stand for may be secret: messages show what the file says instead, `${DB_PASSWORD}`.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Diagnostic, Place};

/// Shorter values stand in too many words by chance.
const LONG: usize = 4;

#[derive(Clone, Debug, Default)]
pub struct Veil(Arc<Covers>);

#[derive(Debug, Default)]
struct Covers {
    /// The file: what can be read in it is no secret.
    source: String,
    covers: Vec<Cover>,
}

/// One value of the file that variables are part of.
#[derive(Debug)]
struct Cover {
    place: Place,
    /// What it comes to, and what is shown for it.
    whole: (String, String),
    /// The same for each variable in it.
    parts: Vec<(String, String)>,
}

/// Makes a veil.
#[derive(Debug, Default)]
pub struct Weaver(Vec<Cover>);

impl Weaver {
    /// `written` with its variables has become `text`.
    pub fn cover(&mut self, place: &Place, text: &str, written: &str, variables: Vec<(String, String)>) {
        let parts = variables.into_iter().map(|(name, value)| (value, format!("${{{name}}}"))).collect();
        self.0.push(Cover { place: place.clone(), whole: (text.to_owned(), shown(written)), parts });
    }

    pub fn finish(self, source: &str) -> Veil {
        // Most files have no variables.
        let source = if self.0.is_empty() { String::new() } else { source.to_owned() };
        Veil(Arc::new(Covers { source, covers: self.0 }))
    }
}

/// One line of a readable length.
fn shown(written: &str) -> String {
    let line = written.lines().next().unwrap_or_default();
    let short: String = line.chars().take(60).collect();
    if short.len() < written.trim_end().len() { format!("{short}…") } else { short }
}

impl Veil {
    /// What the file's variables stand for.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.0.covers.iter().flat_map(|cover| &cover.parts).map(|(value, _)| value.as_str())
    }

    pub fn over(&self, mut error: Diagnostic) -> Diagnostic {
        if self.0.covers.is_empty() {
            return error;
        }
        let places: Vec<&Place> = error.place.iter().chain(error.also.iter().map(|(place, _)| place)).collect();
        let concerned: Vec<&Cover> = self.0.covers.iter().filter(|cover| places.iter().any(|place| meet(place, &cover.place))).collect();
        let mut near: Vec<(&str, &str)> = vec![];
        for cover in concerned {
            near.push((&cover.whole.0, &cover.whole.1));
            for (value, name) in &cover.parts {
                near.push((value, name));
                // What becomes of it: of `10.0.0.1/24`, the address.
                let pieces = value.split(|c: char| c.is_whitespace() || ":/,=@".contains(c));
                near.extend(pieces.filter(|piece| piece.len() >= LONG).map(|piece| (piece, name.as_str())));
            }
        }
        let texts = [Some(&mut error.message), error.label.as_mut()].into_iter().flatten();
        let texts = texts.chain(error.also.iter_mut().map(|(_, text)| text)).chain(&mut error.causes).chain(&mut error.hints);
        for text in texts {
            *text = self.far(&hide(text, &near)).into_owned();
        }
        error
    }

    /// Values from elsewhere in the file, where they are quoted.
    fn far<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let quoted = |value: &str| value.len() >= LONG && text.contains(value) && !self.0.source.contains(value);
        let parts = self.0.covers.iter().flat_map(|cover| &cover.parts).filter(|(value, _)| quoted(value));
        let mut pairs: Vec<(&str, &str)> = parts.map(|(value, name)| (value.as_str(), name.as_str())).collect();
        pairs.sort_unstable();
        pairs.dedup();
        if pairs.is_empty() {
            return Cow::Borrowed(text);
        }
        let segments = text.split('`').enumerate();
        let hidden: Vec<String> =
            segments.map(|(at, segment)| if at % 2 == 1 { hide(segment, &pairs) } else { segment.to_owned() }).collect();
        Cow::Owned(hidden.join("`"))
    }
}

fn meet(a: &Place, b: &Place) -> bool {
    a.offset < b.offset + b.len.max(1) && b.offset < a.offset + a.len.max(1) && a.file == b.file
}

/// The text with the longest of `pairs` that stands at each place replaced, in one pass: what is shown is not looked at again.
fn hide(text: &str, pairs: &[(&str, &str)]) -> String {
    let mut pairs: Vec<_> = pairs.iter().filter(|(value, _)| !value.is_empty() && text.contains(value)).collect();
    pairs.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    let (mut out, mut at, mut quoted) = (String::with_capacity(text.len()), 0, false);
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        quoted ^= c == '`';
        let whole = |value: &str| {
            let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            value.len() >= LONG || quoted && !(word(text[..at].chars().next_back()) || word(rest[value.len()..].chars().next()))
        };
        let found = pairs.iter().find(|(value, _)| rest.starts_with(value) && whole(value));
        // `fly:${TAG}` begins with what it comes to, and is shown already.
        let longer = |written: &&str| found.is_none_or(|(value, _)| written.len() > value.len());
        if let Some(written) = pairs.iter().map(|(_, written)| *written).find(|it| !it.is_empty() && rest.starts_with(it) && longer(it)) {
            out.push_str(written);
            at += written.len();
        } else if let Some((value, written)) = found {
            out.push_str(written);
            at += value.len();
        } else {
            out.push(c);
            at += c.len_utf8();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: usize, len: usize) -> Place {
        Place { file: "fly.yml".into(), line: 1, column: 1, offset, len }
    }

    #[test]
    fn values_are_shown_as_they_are_written() {
        let mut weaver = Weaver::default();
        let value = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        weaver.cover(&place(10, 5), "x-hunter2/24", "x-${A}", vec![value("A", "hunter2/24")]);
        weaver.cover(&place(30, 5), "no", "${B}", vec![value("B", "no")]);
        weaver.cover(&place(50, 5), "common", "${C}", vec![value("C", "common")]);
        weaver.cover(&place(70, 5), "fly:", "fly:${TAG}", vec![value("TAG", "")]);
        let veil = weaver.finish("common");
        let over = |offset, text: &str| veil.over(Diagnostic::invalid(text).at(&place(offset, 1))).message;
        assert_eq!(over(10, "`x-hunter2/24`, or `/hunter2` of hunter2"), "`x-${A}`, or `/${A}` of ${A}");
        assert_eq!(over(30, "there is no network `no`"), "there is no network `${B}`");
        assert_eq!(over(70, "the value of `fly:${TAG}`, which is `fly:`"), "the value of `fly:${TAG}`, which is `fly:${TAG}`");
        assert_eq!(over(0, "`hunter2/24` hunter2/24 `no` `common`"), "`${A}` hunter2/24 `no` `common`");
    }
}
