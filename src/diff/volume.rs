//! Volumes: made when they are missing, and deleted only when somebody says so.

use super::{Action, Change, Diff, Impact, Loss};
use crate::actual::Actual;
use crate::desired::{Desired, OrphanVolumes};
use crate::types::Addr;

pub(super) fn changes(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    for (name, volume) in &desired.volumes {
        let addr = Addr::Volume(name.clone());
        let place = volume.places.own.clone();
        match actual.engine.volumes.get(name) {
            // Whether it is there is a question of refusing, not of changing.
            _ if volume.external => diff.add(Change::keep(addr, place)),
            Some(state) => {
                if state.labels != volume.labels {
                    diff.notes.insert(format!(
                        "{addr}: the engine cannot change the labels of a volume; they stay as they were when it was made"
                    ));
                }
                diff.add(Change::keep(addr, place));
            }
            None => diff.add(Change {
                addr,
                action: Action::Create,
                fields: vec![],
                reason: "not there yet".to_owned(),
                impact: Impact::None,
                losses: vec![],
                place,
            }),
        }
    }
    for (name, state) in &actual.engine.volumes {
        if desired.volumes.get(name).is_some_and(|volume| !volume.external) {
            continue;
        }
        let addr = Addr::Volume(name.clone());
        match desired.orphan_volumes {
            OrphanVolumes::Keep => {
                diff.notes.insert(format!("{addr} is kept: `fly down --volumes` deletes it with its data"));
            }
            OrphanVolumes::Delete => diff.add(Change {
                addr,
                action: Action::Delete,
                fields: vec![],
                reason: "volumes are to be deleted as well".to_owned(),
                impact: Impact::Destroy,
                losses: vec![Loss::Volume(state.name.clone())],
                place: None,
            }),
        }
    }
}
