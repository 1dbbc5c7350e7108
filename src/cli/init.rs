//! `fly init`: a small file to begin with, and the schema that editors complete it by.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use super::args::InitArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::settings::Settings;
use super::ui::Ui;
use crate::diag::{Diagnostic, Kind};
use crate::spec;

const FILE: &str = "fly.yml";
/// Beside the file: editors find it by a relative path without any network, and it is of the same fly as the file.
const SCHEMA: &str = ".fly.schema.json";
const TEXT: &str = include_str!("init/fly.yml");

pub(super) fn run(args: &InitArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let given = args.directory.as_deref();
    let directory = given.map_or_else(|| settings.environment.directory.clone(), |given| settings.environment.directory.join(given));
    let shown = |name: &str| given.map_or_else(|| name.to_owned(), |given| given.join(name).display().to_string());
    let there = ["fly.yml", "fly.yaml"].into_iter().find(|name| std::fs::symlink_metadata(directory.join(name)).is_ok());
    if let Some(there) = there {
        let error = Diagnostic::new(Kind::Usage, format!("`{}` is there already, and stays as it is", shown(there)));
        return Err(error.hint("another folder: `fly init DIR`").hint(format!("`fly validate {}` checks it", shown(there))).into());
    }
    std::fs::create_dir_all(&directory).map_err(|error| cannot(&directory.display().to_string(), &error))?;
    // The schema first: the file says that it is there.
    match write(&directory.join(SCHEMA), &spec::schema()) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        written => written.map_err(|error| cannot(&shown(SCHEMA), &error))?,
    }
    write(&directory.join(FILE), TEXT).map_err(|error| cannot(&shown(FILE), &error))?;
    ui.out(&format!("{}, and {} for editors: written\nnext: `fly validate`, `fly plan`, `fly up`\n", shown(FILE), shown(SCHEMA)))?;
    Ok(Exit::Done)
}

/// A new one only: what somebody has written is not touched, nor what a link leads to.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

fn cannot(shown: &str, error: &std::io::Error) -> Diagnostic {
    Diagnostic::new(Kind::Failed, format!("cannot write `{shown}`")).cause(error)
}
