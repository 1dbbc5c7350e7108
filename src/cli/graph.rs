//! `fly graph`: the project as a picture, from the file alone.

use super::args::{GraphArgs, Picture};
use super::exit::Exit;
use super::failure::Failure;
use super::load;
use super::settings::Settings;
use super::ui::Ui;
use crate::graph::Graph;

pub(super) fn run(args: &GraphArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let file = load::load(settings, ui)?;
    let graph = Graph::of(&file.desired);
    ui.out(&match args.format {
        Picture::Mermaid => graph.mermaid(),
        Picture::Dot => graph.dot(),
        Picture::Svg => graph.svg(),
    })?;
    Ok(Exit::Done)
}
