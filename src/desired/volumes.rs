//! The volumes of the file, with the engine's names for them.

use std::collections::BTreeMap;

use super::model::{Places, Volume};
use super::network::labels;
use super::work::{Errors, note, place_of};
use crate::diag::{At, Diagnostic};
use crate::spec::{Entries, Spec};
use crate::types::Name;

pub(super) struct Volumes {
    pub(super) all: BTreeMap<Name, Volume>,
    /// The file says of volumes what could not be read.
    pub(super) broken: bool,
}

pub(super) fn resolve(spec: &Spec, project: &Name, errors: &mut Errors) -> Volumes {
    let mut volumes = BTreeMap::new();
    for (key, volume) in &spec.volumes.0 {
        let name = match Name::new(key.value.clone()) {
            Ok(name) => name,
            Err(error) => {
                errors.push(Diagnostic::invalid(error.to_string()).at(&key.place));
                continue;
            }
        };
        let mut places = Places { own: Some(key.place.clone()), fields: BTreeMap::new() };
        note(&mut places, "external", place_of(volume.external.as_ref()));
        note(&mut places, "labels", volume.labels.as_ref().and_then(|labels| labels.0.first()).map(|(key, _)| &key.place));
        let mut all = user_labels(volume.labels.as_ref(), errors);
        let external = volume.external.is_some();
        if external {
            if let Some((key, _)) = volume.labels.iter().flat_map(|labels| &labels.0).next() {
                let error = Diagnostic::invalid("the labels of an `external` volume are not fly's to set").at(&key.place);
                errors.push(error.hint("leave `labels` or `external` out"));
            }
        } else {
            all.extend(labels(project, &name));
        }
        let engine_name = volume.external.as_ref().map_or_else(|| name.in_project(project), |external| external.value.clone());
        volumes.entry(name).or_insert(Volume { name: engine_name, external, labels: all, places });
    }
    Volumes { all: volumes, broken: spec.broken.has("volumes") }
}

/// Labels that the user gives; fly's own are not among them.
pub(super) fn user_labels(entries: Option<&Entries<At<String>>>, errors: &mut Errors) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (key, value) in entries.iter().flat_map(|entries| &entries.0) {
        if key.value.starts_with("fly.") {
            let error = Diagnostic::invalid(format!("label `{}`: labels that begin with `fly.` are fly's own", key.value));
            errors.push(error.at(&key.place).hint("another name for the label"));
        } else if key.value.is_empty() {
            errors.push(Diagnostic::invalid("the name of a label cannot be empty").at(&key.place).hint("a name for it, or leave it out"));
        } else {
            labels.insert(key.value.clone(), value.value.clone());
        }
    }
    labels
}
