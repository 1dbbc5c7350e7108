//! Why a command could not do what it was told: diagnostics, with the texts that they point into.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::diagnostic;
use super::exit::Exit;
use crate::diag::{self, Diagnostic, Place};

#[derive(Debug)]
pub(super) struct Failure {
    diagnostics: Vec<Diagnostic>,
    sources: Sources,
}

/// The files that places point into, by the name that places call them.
pub(super) type Sources = BTreeMap<Arc<str>, String>;

impl Failure {
    pub(super) fn new(mut diagnostics: Vec<Diagnostic>, sources: &Sources) -> Self {
        diag::sort(&mut diagnostics);
        Self { diagnostics, sources: sources.clone() }
    }

    /// The diagnostics, and the texts that they point into.
    pub(super) fn into_parts(self) -> (Vec<Diagnostic>, Sources) {
        (self.diagnostics, self.sources)
    }

    /// Where in a file mistakes were found.
    pub(super) fn places<'a>(&'a self, file: &'a str) -> impl Iterator<Item = &'a Place> {
        self.diagnostics.iter().filter_map(|diagnostic| diagnostic.place.as_ref()).filter(move |place| &*place.file == file)
    }

    pub(super) fn exit(&self) -> Exit {
        Exit::of_diagnostics(&self.diagnostics)
    }

    pub(super) fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Ends with a line feed.
    pub(super) fn render(&self, color: bool) -> String {
        diagnostic::render(&self.diagnostics, &self.sources, color)
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { diagnostics: vec![diagnostic], sources: Sources::new() }
    }
}
