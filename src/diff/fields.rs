//! Gathering the fields of one resource that differ, as a reader sees them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Effect, FieldChange};
use crate::actual::shown;
use crate::desired::Places;

/// Collects field changes of one resource.
pub(super) struct Fields<'a> {
    places: &'a Places,
    pub(super) changes: Vec<FieldChange>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(places: &'a Places) -> Self {
        Self { places, changes: vec![] }
    }

    /// A field that differs for certain.
    pub(super) fn push(&mut self, field: impl Into<String>, old: Option<String>, new: Option<String>, effect: Effect) {
        let field = field.into();
        let key = field.split('.').next().unwrap_or_default().to_owned();
        self.push_of(&key, field, old, new, effect);
    }

    /// The same by another name than its key in the file.
    pub(super) fn push_of(&mut self, key: &str, field: String, old: Option<String>, new: Option<String>, effect: Effect) {
        let place = self.places.of(key).cloned();
        // Of a recorded world, not everything is known.
        let old = old.map(|old| shown(&old).into_owned());
        self.changes.push(FieldChange { field, old, new, place, effect });
    }

    pub(super) fn value<T: PartialEq + ToString>(&mut self, field: &str, old: &T, new: &T, effect: Effect) {
        if old != new {
            self.push(field, Some(old.to_string()), Some(new.to_string()), effect);
        }
    }

    pub(super) fn option<T: PartialEq + ToString>(&mut self, field: &str, old: Option<&T>, new: Option<&T>, effect: Effect) {
        if old != new {
            self.push(field, old.map(ToString::to_string), new.map(ToString::to_string), effect);
        }
    }

    /// Lists whose order counts, as commands.
    pub(super) fn list<T: PartialEq + ToString>(&mut self, field: &str, old: Option<&[T]>, new: Option<&[T]>, effect: Effect) {
        if old != new {
            self.push(field, old.map(words), new.map(words), effect);
        }
    }

    pub(super) fn set<T: Ord + ToString>(&mut self, field: &str, old: &BTreeSet<T>, new: &BTreeSet<T>, effect: Effect) {
        if old != new {
            self.push(field, joined(old), joined(new), effect);
        }
    }

    /// One field for every key that differs: `labels.tier`.
    pub(super) fn map<V: PartialEq>(
        &mut self,
        field: &str,
        old: &BTreeMap<String, V>,
        new: &BTreeMap<String, V>,
        effect: Effect,
        show: impl Fn(&str, &V) -> String,
    ) {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let (old, new) = (old.get(key), new.get(key));
            if old != new {
                self.push(format!("{field}.{key}"), old.map(|v| show(key, v)), new.map(|v| show(key, v)), effect);
            }
        }
    }
}

fn words<T: ToString>(list: &[T]) -> String {
    let words: Vec<String> = list.iter().map(|word| format!("{:?}", word.to_string())).collect();
    format!("[{}]", words.join(", "))
}

/// The members with commas; nothing for an empty set.
pub(super) fn joined<T: ToString>(set: &BTreeSet<T>) -> Option<String> {
    let members: Vec<String> = set.iter().map(ToString::to_string).collect();
    (!members.is_empty()).then(|| members.join(", "))
}
