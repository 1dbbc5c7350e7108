//! Why a command could not do what it was told: diagnostics, with the texts that they point into.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::exit::Exit;
use crate::diag::{self, Diagnostic};

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

    pub(super) fn exit(&self) -> Exit {
        Exit::of_diagnostics(&self.diagnostics)
    }

    /// Ends with a line feed.
    pub(super) fn render(&self, color: bool) -> String {
        render(&self.diagnostics, &self.sources, color)
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { diagnostics: vec![diagnostic], sources: Sources::new() }
    }
}

/// Ends with a line feed.
fn render(diagnostics: &[Diagnostic], _sources: &Sources, _color: bool) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        out += &format!("error: {}\n", diagnostic.message);
        out.extend(diagnostic.place.iter().map(|place| format!("  --> {place}\n")));
        out.extend(diagnostic.causes.iter().map(|cause| format!("  cause: {cause}\n")));
        out.extend(diagnostic.hints.iter().map(|hint| format!("\nhint: {hint}\n")));
    }
    out
}
