//! What went wrong, as data: the command line draws it, the layers below only fill it in.
//!
//! A diagnostic says what happened, where (file, line, column), and what to do now.

mod mistakes;
mod veil;

use std::sync::Arc;

pub use mistakes::{Mistakes, Spans};
use serde::{Deserialize, Serialize};
pub use veil::{Veil, Weaver};

/// A stretch of a file. Lines and columns count from 1, columns in characters; `offset` and `len` are bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// As the user would type it: `fly.yml`.
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
    pub offset: usize,
    pub len: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A value with its place in a file.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub value: T,
    pub place: Place,
}

impl<T> At<T> {
    pub fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }

    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> At<U> {
        At { value: f(self.value), place: self.place }
    }

    pub fn as_ref(&self) -> At<&T> {
        At { value: &self.value, place: self.place.clone() }
    }
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// What sort of trouble it is. It decides the exit code, and nothing else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The file says something that cannot be.
    Invalid,
    /// A stranger holds a name that is needed.
    Stranger,
    /// The engine, or a right that is needed, is missing.
    Engine,
    /// Another run holds the project.
    Locked,
    /// The world is no longer what the saved plan was made for.
    Stale,
    /// The command line itself is wrong.
    Usage,
    /// A command that is to be run in a machine is not there, or cannot be run.
    NotFound,
    NotExecutable,
    /// Anything else.
    Failed,
}

/// Whether it is in the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    #[default]
    Error,
    /// It may be meant so, or be so only here.
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub kind: Kind,
    #[serde(default)]
    pub severity: Severity,
    /// One phrase: lower-case, literals in backticks, no full stop.
    pub message: String,
    pub place: Option<Place>,
    /// What stands beside the caret.
    pub label: Option<String>,
    /// Other places that belong to it, each with a word on why.
    pub also: Vec<(Place, String)>,
    /// The chain of causes, the outermost first.
    pub causes: Vec<String>,
    /// What to do now, best as something that can be typed.
    pub hints: Vec<String>,
    /// How many others it stands for, which are only counted.
    #[serde(default, skip)]
    pub unshown: usize,
}

impl Diagnostic {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let (severity, message) = (Severity::Error, message.into());
        Self { kind, severity, message, place: None, label: None, also: vec![], causes: vec![], hints: vec![], unshown: 0 }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::new(Kind::Invalid, message) }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    #[must_use]
    pub fn at(mut self, place: &Place) -> Self {
        self.place = Some(place.clone());
        self
    }

    /// At a place where there is one: what the file does not name has none.
    #[must_use]
    pub fn at_some(self, place: Option<&Place>) -> Self {
        match place {
            Some(place) => self.at(place),
            None => self,
        }
    }

    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(text.into());
        self
    }

    #[must_use]
    pub fn also(mut self, place: &Place, text: impl Into<String>) -> Self {
        self.also.push((place.clone(), text.into()));
        self
    }

    #[must_use]
    pub fn cause(mut self, cause: impl std::fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// The error itself and everything below it.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// Orders as a reader wants them: by place, those without one last; then by text.
pub fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| {
        let key = |d: &Diagnostic| (d.unshown, d.place.is_none(), d.place.as_ref().map(|p| (p.file.clone(), p.offset)), d.message.clone());
        key(a).cmp(&key(b))
    });
    diagnostics.dedup();
}

/// Of `known`, the one that `word` was probably meant to be.
pub fn similar<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let limit = (word.len() / 3).max(1);
    let near = |known: &&str| known.len() / 4 <= word.len() + limit && word.len() <= known.len() + limit;
    let away = |known: &'a str| (distance(&word, &known.to_lowercase().chars().collect::<Vec<_>>()), known);
    known.into_iter().filter(near).map(away).filter(|(distance, _)| *distance <= limit).min().map(|(_, known)| known)
}

/// Edits between two words: insertions, deletions, replacements, swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_word_that_was_meant() {
        let known = ["image", "command", "networks", "nics"];
        assert_eq!(similar("iamge", known), Some("image"));
        assert_eq!(similar("nic", known), Some("nics"));
        assert_eq!(similar("NICS", known), Some("nics"));
        assert_eq!(similar("banana", known), None);
    }
}
