//! Draws diagnostics as compilers do: what is wrong, where, the line with a caret, what to do about it.
//!
//! Whatever a file says is shown escaped: it could hold sequences that a terminal obeys.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::diag::{self, Diagnostic, Place, Severity};

/// The same on every terminal, so that what is pasted into a report looks as it did.
const WIDTH: usize = 120;
/// A longer line is named, not shown.
const MAX_LINE: usize = 1000;

/// All of them in the order of their places, each once; with several, a closing line that counts them.
pub fn render(diagnostics: &[Diagnostic], sources: &BTreeMap<Arc<str>, String>, color: bool) -> String {
    let mut sorted = diagnostics.to_vec();
    diag::sort(&mut sorted);
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(WIDTH).decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for diagnostic in &sorted {
        out.push_str(&renderer.render(&groups(diagnostic, sources)));
        out.push_str("\n\n");
    }
    if sorted.len() > 1 {
        let level = if sorted.iter().any(Diagnostic::is_error) { Level::ERROR } else { Level::WARNING };
        out.push_str(&renderer.render(&[Group::with_title(level.primary_title(total(&sorted)))]));
        out.push('\n');
    } else if out.ends_with("\n\n") {
        out.pop();
    }
    out
}

fn total(diagnostics: &[Diagnostic]) -> String {
    let files: BTreeSet<_> = diagnostics.iter().filter_map(|d| Some(d.place.as_ref()?.file.to_string())).collect();
    let files: Vec<_> = files.iter().map(|file| escaped(file)).collect();
    let place = if files.is_empty() { String::new() } else { format!(" in {}", files.join(", ")) };
    format!("{}{place}", counted(diagnostics))
}

/// `2 errors, 1 warning`; nothing for none.
pub(super) fn counted(diagnostics: &[Diagnostic]) -> String {
    let count = |severity: Severity| -> usize {
        diagnostics.iter().filter(|it| it.severity == severity).map(|diagnostic| diagnostic.unshown.max(1)).sum()
    };
    let words = [(count(Severity::Error), "error"), (count(Severity::Warning), "warning")].map(|(count, word)| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{count} {word}s")),
    });
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn groups<'a>(diagnostic: &Diagnostic, sources: &'a BTreeMap<Arc<str>, String>) -> Vec<Group<'a>> {
    let level = if diagnostic.is_error() { Level::ERROR } else { Level::WARNING };
    let mut group = Group::with_title(level.primary_title(escaped(&diagnostic.message)));
    let mut marks: Vec<Mark<'_>> = vec![];
    if let Some(place) = &diagnostic.place {
        marks.push(Mark { place, label: diagnostic.label.as_deref(), kind: AnnotationKind::Primary });
    }
    marks.extend(diagnostic.also.iter().map(|(place, label)| Mark { place, label: Some(label), kind: AnnotationKind::Context }));
    let mut files: Vec<&Arc<str>> = vec![];
    for mark in &marks {
        if !files.contains(&&mark.place.file) {
            files.push(&mark.place.file);
        }
    }
    for file in files {
        let marks: Vec<_> = marks.iter().filter(|mark| mark.place.file == *file).collect();
        group = match sources.get(file).and_then(|source| snippet(source, &marks)) {
            Some(snippet) => group.element(snippet),
            None => group.element(origin(marks[0].place)),
        };
    }
    for cause in &diagnostic.causes {
        group = group.element(Level::NOTE.with_name("caused by").message(escaped(cause)));
    }
    for hint in &diagnostic.hints {
        group = group.element(Level::HELP.with_name("hint").message(escaped(hint)));
    }
    vec![group]
}

struct Mark<'a> {
    place: &'a Place,
    label: Option<&'a str>,
    kind: AnnotationKind,
}

fn origin(place: &Place) -> Origin<'static> {
    let origin = Origin::path(escaped(&place.file)).line(place.line as usize);
    origin.char_column(place.column as usize)
}

/// The lines of one file from the first mark to the last; `None` if they cannot be shown.
fn snippet<'a>(source: &'a str, marks: &[&Mark<'_>]) -> Option<Snippet<'a, Annotation<'a>>> {
    let spans: Vec<_> = marks.iter().map(|mark| span(source, mark.place)).collect::<Option<_>>()?;
    let start = spans.iter().map(|span| line_of(source, span.start).start).min()?;
    let end = spans.iter().map(|span| line_of(source, span.start).end).max()?;
    let line = marks.iter().map(|mark| mark.place.line).min()?;
    let shown = &source[start..end];
    if shown.lines().any(|line| line.len() > MAX_LINE) {
        return None;
    }
    let snippet = Snippet::source(harmless(shown)).line_start(line as usize).path(escaped(&marks[0].place.file));
    Some(snippet.annotations(marks.iter().zip(spans).map(|(mark, span)| {
        let annotation = mark.kind.span(span.start - start..span.end - start);
        match mark.label {
            Some(label) => annotation.label(escaped(label)),
            None => annotation,
        }
    })))
}

/// What to underline: of a value of several lines the first.
fn span(source: &str, place: &Place) -> Option<Range<usize>> {
    let rest = source.get(place.offset..place.offset + place.len).or_else(|| source.get(place.offset..place.offset))?;
    let first = rest.lines().next().unwrap_or_default().trim_end();
    // Nothing to underline, as where a mapping begins: one character.
    let next = || source[place.offset..].chars().next().filter(|c| !c.is_control()).map_or(0, char::len_utf8);
    let len = if first.is_empty() { next() } else { first.len() };
    Some(place.offset..place.offset + len)
}

/// The line that holds the offset, without its end.
fn line_of(source: &str, offset: usize) -> Range<usize> {
    let offset = offset.min(source.len());
    let start = source[..offset].rfind('\n').map_or(0, |at| at + 1);
    // A byte order mark is no part of the line.
    let start = if start == 0 && source.starts_with('\u{feff}') && offset >= 3 { 3 } else { start };
    let line = source[offset..].split('\n').next().unwrap_or_default();
    start..offset + line.trim_end_matches('\r').len()
}

/// The drawing library replaces most control characters itself, but not those beyond ASCII. No offset may move, and both have
/// two bytes.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if ('\u{80}'..='\u{9f}').contains(&c) { '¿' } else { c }).collect::<String>().replace("\r\n", " \n")
}

/// Without what a terminal would obey.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (c.is_control() && c != '\n') || turns {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
