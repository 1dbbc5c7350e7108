//! `fly config`: the file with everything decided.

use super::exit::Exit;
use super::failure::Failure;
use super::settings::Settings;
use super::ui::Ui;
use super::{load, world};

pub(super) fn run(settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let file = load::load(settings)?;
    ui.out(&world::to_yaml(&file.desired))?;
    Ok(Exit::Done)
}
