//! `fly.yml` as written, with the place of every value.
//!
//! Text becomes a tree with spans (`yaml`), variables are replaced in it (`node`), and tables of keys read it (`reader`, and one
//! module for each topic). All mistakes of a file are collected. Nothing is decided here, and nothing is looked up outside.

mod cable;
mod dotenv;
mod file;
mod foreign;
mod image;
mod interpolate;
mod lists;
mod machine;
mod model;
mod mounts;
mod needs;
mod network;
mod nic;
mod node;
mod ports;
mod reader;
mod route;
mod runtime;
mod scalars;
mod schema;
mod security;
mod shell;
mod sshd;
mod tuning;
mod volume;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use dotenv::{Dotenv, dotenv};
pub use model::{
    Broken, Cable, CableEnd, Condition, Dependency, Entries, EnvFile, Gateway, HostAddress, Init, Ip, Machine, MachineLink, ModeSpec,
    Network, NetworkKind, NetworkModeSpec, Nic, PortRange, PullPolicy, RouteSpec, RuleSpec, Spec, Sshd, SshdUser, Tmpfs, TrafficSpec,
    Tuning, Unset, Volume, VolumeMount, VolumeMountKind,
};
pub use schema::schema;
pub use security::seccomp_profile;

use crate::diag::{Diagnostic, Mistakes, Place};

/// Reads `text`, which users know as `file`, with the variables of `environment`. Every mistake of the file is reported.
pub fn parse(file: &str, text: &str, environment: &BTreeMap<String, String>) -> Result<Spec, Vec<Diagnostic>> {
    match read(file, text, environment, &BTreeSet::new()) {
        (Some(spec), errors) if errors.is_empty() => Ok(spec),
        (_, errors) => Err(errors.finish()),
    }
}

/// The same, with whatever could be read in spite of the mistakes, so that what it says can be checked in the same run; nothing where
/// the text is no YAML at all. Of `unreadable` variables it is known that they are set, but not to what.
pub fn read(file: &str, text: &str, environment: &BTreeMap<String, String>, unreadable: &BTreeSet<String>) -> (Option<Spec>, Mistakes) {
    let file: Arc<str> = file.into();
    let raw = match load(&file, text) {
        Ok(raw) => raw,
        Err(refusal) => {
            let mut mistakes = Mistakes::default();
            mistakes.push(refusal);
            return (None, mistakes);
        }
    };
    let mut builder = node::Builder::new(file, text, environment, unreadable);
    let root = builder.root(raw);
    let node::Builder { mut errors, weaver, unset, .. } = builder;
    let veil = weaver.finish(text);
    errors.cover(veil.clone());
    let mut reader = reader::Reader::with(errors);
    let spec = file::read(&mut reader, &root);
    let mistakes = reader.finish();
    (Some(Spec { unset, veil, wrong: mistakes.places(), ..spec }), mistakes)
}

fn load(file: &Arc<str>, text: &str) -> Result<yaml::Raw, Diagnostic> {
    if text.len() > yaml::MAX_BYTES {
        let size = crate::types::Bytes(text.len() as u64).human();
        let error = Diagnostic::invalid(format!("`{file}` is too large: {size}, and at most 1 MiB is read"));
        return Err(error.hint("a file for each part of the project, each with a `name` of its own"));
    }
    yaml::load(text).map_err(|refusal| refused(file, text, refusal))
}

fn refused(file: &Arc<str>, text: &str, refusal: yaml::Refusal) -> Diagnostic {
    let error = Diagnostic::invalid(refusal.message);
    let error = error.hint(refusal.hint);
    // It has a place in the file at least.
    let (file_line, column) = if refusal.line == 0 { (1, 1) } else { (refusal.line, refusal.column) };
    let line_start = text.split_inclusive('\n').take(file_line as usize - 1).map(str::len).sum::<usize>();
    let line = text[line_start..].lines().next().unwrap_or_default();
    let at = line.char_indices().nth(column.saturating_sub(1) as usize).map_or(line.len(), |(at, _)| at);
    let len = line[at..].chars().next().map_or(0, char::len_utf8);
    error.at(&Place { file: file.clone(), line: file_line, column, offset: line_start + at, len })
}
