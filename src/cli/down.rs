//! `fly down`: the same way through, towards nothing.

use super::args::DownArgs;
use super::ask::Verb;
use super::exit::Exit;
use super::failure::Failure;
use super::load;
use super::pipeline::{self, Job};
use super::settings::Settings;
use super::ui::Ui;
use crate::desired::OrphanVolumes;

pub(super) fn run(args: &DownArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
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
    pipeline::run(&Job { verb: Verb::Down, desired: &desired, file: &file, run: &args.run, settle: pipeline::SETTLE }, settings, ui)
}
