//! Mistakes as they are found: each once, no more than somebody reads, and nothing that only follows from another.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::{Diagnostic, Place, Veil, sort};

/// More than these are counted, not shown.
const SHOWN: usize = 100;

#[derive(Clone, Debug, Default)]
pub struct Mistakes {
    shown: Vec<Diagnostic>,
    more: usize,
    said: HashSet<(Option<Place>, String)>,
    settled: Spans,
    veil: Veil,
}

impl Mistakes {
    /// Nothing is said of what is `settled`: it is wrong already.
    pub fn new(settled: Spans, veil: Veil) -> Self {
        Self { settled, veil, ..Self::default() }
    }

    /// From here on, what variables stand for is not shown.
    pub fn cover(&mut self, veil: Veil) {
        self.veil = veil;
    }

    pub fn push(&mut self, error: Diagnostic) {
        if error.unshown > 0 {
            self.more += error.unshown;
            return;
        }
        let follows = match &error.place {
            Some(place) => self.settled.meet(place),
            // It may only be missing because of what could not be read.
            None => !self.settled.is_empty(),
        };
        // What `defaults` or an anchor says wrongly is wrong once, however many machines it is said of.
        if follows || !self.said.insert((error.place.clone(), error.message.clone())) {
            return;
        }
        if self.is_full() {
            self.more += 1;
        } else {
            self.shown.push(self.veil.over(error));
        }
    }

    /// Whether the next one is only counted: its hints are not worth any work.
    pub fn is_full(&self) -> bool {
        self.shown.len() >= SHOWN
    }

    pub fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.more == 0
    }

    /// Where something is wrong.
    pub fn places(&self) -> Spans {
        let mut spans = Spans::default();
        self.said.iter().filter_map(|(place, _)| place.as_ref()).for_each(|place| spans.insert(place));
        spans
    }

    /// In the order of the file, with a closing one that counts those that are not shown.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        sort(&mut self.shown);
        if self.more > 0 {
            let closing = Diagnostic::invalid(format!("{} more errors are not shown", self.more));
            self.shown.push(Diagnostic { unshown: self.more, ..closing });
        }
        self.shown
    }
}

impl Extend<Diagnostic> for Mistakes {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, errors: I) {
        errors.into_iter().for_each(|error| self.push(error));
    }
}

/// Stretches of files: for each, from where to where, none touching another.
#[derive(Clone, Debug, Default)]
pub struct Spans(BTreeMap<Arc<str>, BTreeMap<usize, usize>>);

impl Spans {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn insert(&mut self, place: &Place) {
        let (mut start, mut end) = bounds(place);
        let spans = self.0.entry(place.file.clone()).or_default();
        while let Some((from, to)) = spans.range(..end).next_back().map(|(from, to)| (*from, *to)).filter(|(_, to)| *to > start) {
            spans.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        spans.insert(start, end);
    }

    /// Whether a part of `place` is in one of them.
    pub fn meet(&self, place: &Place) -> bool {
        let (start, end) = bounds(place);
        let before = self.0.get(&place.file).and_then(|spans| spans.range(..end).next_back());
        before.is_some_and(|(_, to)| *to > start)
    }
}

/// What has no length stands for the character that it is before.
fn bounds(place: &Place) -> (usize, usize) {
    (place.offset, place.offset + place.len.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: usize, len: usize) -> Place {
        Place { file: "fly.yml".into(), line: 1, column: 1, offset, len }
    }

    #[test]
    fn spans_that_meet_become_one() {
        let mut spans = Spans::default();
        for (offset, len) in [(10, 5), (20, 5), (14, 7), (40, 0)] {
            spans.insert(&place(offset, len));
        }
        let meets = |offset, len| spans.meet(&place(offset, len));
        assert!(meets(10, 1) && meets(24, 1) && meets(0, 11) && meets(17, 1) && meets(40, 1));
        assert!(!meets(9, 1) && !meets(25, 5) && !meets(41, 1));
        assert!(!spans.meet(&Place { file: "other".into(), ..place(10, 1) }));
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let mut mistakes = Mistakes::default();
        mistakes.extend((0..150).map(|at| Diagnostic::invalid("wrong").at(&place(at, 1))));
        mistakes.push(Diagnostic::invalid("wrong").at(&place(0, 1)));
        let mut all = Mistakes::default();
        all.extend(mistakes.finish());
        all.push(Diagnostic::invalid("another"));
        let shown = all.finish();
        assert_eq!((shown.len(), shown[100].unshown), (101, 51));
    }
}
