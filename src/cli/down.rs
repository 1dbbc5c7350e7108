//! `fly down`: the same way through, towards nothing.

use super::args::DownArgs;
use super::ask::Verb;
use super::events::Events;
use super::exit::Exit;
use super::failure::Failure;
use super::load;
use super::pipeline::{self, Job};
use super::settings::Settings;
use super::ui::Ui;
use crate::desired::OrphanVolumes;

pub(super) fn run(args: &DownArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let events = Events::new(ui, args.run.format, Verb::Down);
    events.end(down(args, settings, ui, &events))
}

fn down(args: &DownArgs, settings: &Settings, ui: &Ui, events: &Events<'_>) -> Result<Exit, Failure> {
    let (file, wrong) = load::load_leniently(settings)?;
    if let Some(failure) = wrong {
        ui.failure(&failure);
        ui.warn(&format!(
            "`{}` is taken down by its name alone, without the order in which machines depend on each other",
            file.desired.project
        ));
    }
    let orphan_volumes = if args.volumes { OrphanVolumes::Delete } else { OrphanVolumes::Keep };
    let desired = crate::desired::Desired { orphan_volumes, ..file.desired.emptied() };
    let (verb, settle) = (Verb::Down, pipeline::SETTLE);
    pipeline::run(&Job { verb, desired: &desired, file: &file, run: &args.run, settle, given: None, events }, settings, ui)
}
