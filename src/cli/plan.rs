//! `fly plan`: what would be done. It takes no lock and changes nothing.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::args::{PlanArgs, PlanFormat};
use super::exit::Exit;
use super::failure::Failure;
use super::load::{self, Loaded};
use super::settings::Settings;
use super::ui::Ui;
use super::world::{self, Real};
use crate::actual::Actual;
use crate::desired::Desired;
use crate::diag::{Diagnostic, Kind};
use crate::plan::render;
use crate::plan::review::{Aside, Review};

pub(super) fn run(args: &PlanArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let done = planned(args, settings, ui);
    // Whoever reads a comment sees no standard error.
    if let Err(failure) = &done {
        let text = || render::failed(load::project(settings).as_ref(), &failure.render(false));
        match args.format {
            PlanFormat::Markdown => ui.out(&text())?,
            PlanFormat::Comment => ui.out(&render::comment(&text()))?,
            PlanFormat::Text | PlanFormat::Json | PlanFormat::Github => {}
        }
    }
    done
}

fn planned(args: &PlanArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let mut file = load::load(settings, ui)?;
    if args.agent.no_agent {
        file.desired.agent = None;
    }
    let actual = match &args.snapshot {
        Some(path) => {
            let mut actual = from_snapshot(path)?;
            actual.unveil_passwords(|name| Some(&file.desired.machines.get(name)?.guest.as_ref()?.config));
            actual.unveil(|name| Some(&file.desired.machines.get(name)?.container.environment));
            actual
        }
        None => world::block_on(look(settings, &file.desired))??,
    };
    if let Some(path) = &args.record {
        record(path, &actual.clone().veiled())?;
    }
    let Loaded { desired, shown, sources, .. } = file;
    let plan = crate::plan::plan(&desired, &actual).map_err(|wrong| Failure::new(wrong, &sources))?;
    let review = Review::new(&plan, &desired, &actual, Aside::default());
    ui.out(&shown_as(args.format, &review, &options(args, settings, ui, shown)))?;
    Ok(if args.check { Exit::of_plan(&plan) } else { Exit::Done })
}

fn options(args: &PlanArgs, settings: &Settings, ui: &Ui, file: String) -> render::Options {
    let folder = settings.environment.directory.clone();
    render::Options { color: ui.out_color, steps: args.steps, file, folder: in_repository(&folder) }
}

/// A folder as the root of its repository sees it.
fn in_repository(folder: &Path) -> String {
    let root = folder.ancestors().find(|folder| folder.join(".git").exists());
    root.and_then(|root| folder.strip_prefix(root).ok()).map(|path| path.display().to_string()).unwrap_or_default()
}

fn shown_as(format: PlanFormat, review: &Review<'_>, options: &render::Options) -> String {
    match format {
        PlanFormat::Text => render::text(review, options),
        PlanFormat::Json => render::json(review),
        PlanFormat::Markdown => render::markdown(review, options),
        PlanFormat::Comment => render::comment(&render::markdown(review, options)),
        PlanFormat::Github => render::github(review, options),
    }
}

async fn look(settings: &Settings, desired: &Desired) -> Result<Actual, Diagnostic> {
    let look = async |world: &Real| {
        let mut actual = world.observe_for(desired).await?;
        if let Ok(plan) = crate::plan::plan(desired, &actual) {
            world.weigh(&plan, &mut actual).await;
        }
        Ok(actual)
    };
    Real::with(world::reach(&settings.engine()?).await?, look).await?
}

fn from_snapshot(path: &Path) -> Result<Actual, Diagnostic> {
    let cannot = |kind| Diagnostic::new(kind, format!("cannot use the snapshot `{}`", path.display()));
    let text = std::fs::read(path).map_err(|error| cannot(Kind::Failed).cause(error))?;
    serde_json::from_slice(&text)
        .map_err(|error| cannot(Kind::Failed).cause(error).hint(format!("record a new one: `fly plan --record {}`", path.display())))
}

/// Readable by its owner only: commands and labels are in it, but no values of the environment.
fn record(path: &Path, actual: &Actual) -> Result<(), Diagnostic> {
    let cannot =
        |error: &dyn std::error::Error| Diagnostic::new(Kind::Failed, format!("cannot write `{}`", path.display())).caused_by(error);
    let mut text = serde_json::to_string_pretty(actual).map_err(|error| cannot(&error))?;
    text.push('\n');
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| cannot(&error))
}
