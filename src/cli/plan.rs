//! `fly plan`: what would be done. It takes no lock and changes nothing.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::args::{Format, PlanArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::load::{self, Loaded};
use super::settings::Settings;
use super::ui::Ui;
use super::world::{self, Real};
use super::{only, saved};
use crate::actual::Actual;
use crate::desired::Desired;
use crate::diag::{Diagnostic, Kind};
use crate::plan::render;
use crate::plan::saved::{Circumstances, Images, Saved};

pub(super) fn run(args: &PlanArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let mut file = load::load(settings, ui)?;
    if args.agent.no_agent {
        file.desired.agent = None;
    }
    let only = only::ask_for(&mut file.desired, &args.only).map_err(|wrong| Failure::new(wrong, &file.sources))?;
    let Seen { actual, engine, images } = match &args.snapshot {
        Some(path) => {
            let mut actual = from_snapshot(path)?;
            actual.unveil_passwords(|name| Some(&file.desired.machines.get(name)?.guest.as_ref()?.config));
            actual.unveil(|name| Some(&file.desired.machines.get(name)?.container.environment));
            Seen { actual, engine: String::new(), images: Images::new() }
        }
        None => world::block_on(look(settings, &file.desired, args.out.is_some()))??,
    };
    if let Some(path) = &args.record {
        record(path, &actual.clone().veiled())?;
    }
    let Loaded { desired, shown, sources, .. } = file;
    let plan = crate::plan::plan(&desired, &actual).map_err(|wrong| Failure::new(wrong, &sources))?;
    if let Some(path) = &args.out {
        let now = Circumstances { fly: &load::build(), engine: &engine, desired: &desired, images: &images };
        saved::write(path, &Saved::new(&plan, &now, only, args.agent.no_agent))?;
    }
    ui.out(&match args.format {
        Format::Text => render::text(&plan, &render::Options { color: ui.out_color, steps: true, file: shown }),
        Format::Json => render::json(&plan),
    })?;
    Ok(if args.check { Exit::of_plan(&plan) } else { Exit::Done })
}

/// The world, and what a plan that is saved is bound to.
struct Seen {
    actual: Actual,
    engine: String,
    images: Images,
}

async fn look(settings: &Settings, desired: &Desired, saves: bool) -> Result<Seen, Diagnostic> {
    let docker = world::reach(&settings.engine()?).await?;
    let engine = if saves { world::engine_id(&docker).await? } else { String::new() };
    let look = async |world: &Real| {
        let (mut actual, mut images) = (world.observe_for(desired).await?, Images::new());
        if let Ok(plan) = crate::plan::plan(desired, &actual) {
            world.weigh(&plan, &mut actual).await;
            if saves {
                images = saved::images(world, &plan, &actual).await;
            }
        }
        Ok(Seen { actual, engine, images })
    };
    Real::with(docker, look).await?
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
