//! `fly config`: the file with everything decided.

use super::exit::Exit;
use super::failure::Failure;
use super::load;
use super::settings::Settings;
use super::ui::Ui;
use crate::desired;

pub(super) fn run(settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let file = load::load(settings, ui)?;
    ui.out(&desired::to_yaml(&file.desired))?;
    Ok(Exit::Done)
}
