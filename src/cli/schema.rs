//! `fly schema`: the JSON Schema of fly.yml.

use super::exit::Exit;
use super::failure::Failure;
use super::ui::Ui;
use crate::spec;

pub(super) fn run(ui: &Ui) -> Result<Exit, Failure> {
    let mut text = spec::schema();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    ui.out(&text)?;
    Ok(Exit::Done)
}
