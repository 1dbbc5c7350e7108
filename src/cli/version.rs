//! `fly version`.

use super::exit::Exit;
use super::failure::Failure;
use super::ui::Ui;

pub(super) fn run(ui: &Ui) -> Result<Exit, Failure> {
    ui.out(concat!("fly ", env!("CARGO_PKG_VERSION"), "\n"))?;
    Ok(Exit::Done)
}
