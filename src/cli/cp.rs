//! `fly cp`.
use super::args::CpArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::settings::Settings;
use super::ui::Ui;

pub(super) fn run(_args: &CpArgs, _settings: &Settings, _ui: &Ui) -> Result<Exit, Failure> {
    Ok(Exit::Failed)
}
