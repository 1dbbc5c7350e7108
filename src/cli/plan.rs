//! `fly plan`: what would be done. It takes no lock and changes nothing.

use super::args::{Format, PlanArgs};
use super::base::{self, Compared};
use super::exit::Exit;
use super::failure::Failure;
use super::load::{self, Loaded};
use super::recorded;
use super::settings::Settings;
use super::ui::Ui;
use super::world::{self, Real};
use super::{only, saved};
use crate::actual::Actual;
use crate::desired::Desired;
use crate::diag::Diagnostic;
use crate::plan::saved::{Circumstances, Images, Saved};
use crate::plan::{Plan, render};

pub(super) fn run(args: &PlanArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let (plan, shown) = make(args, settings, ui)?;
    ui.out(&match args.format {
        Format::Text => render::text(&plan, &render::Options { color: ui.out_color, steps: true, file: shown }),
        Format::Json => render::json(&plan),
    })?;
    Ok(if args.check { Exit::of_plan(&plan) } else { Exit::Done })
}

/// The plan, and the file as the user would type it.
fn make(args: &PlanArgs, settings: &Settings, ui: &Ui) -> Result<(Plan, String), Failure> {
    let mut notes = vec![];
    let (mut file, known) = match (&args.base, &args.world) {
        (Some(reference), _) => {
            let Compared { file, world, notes: said } = base::compare(reference, args.agent.no_agent, settings, ui)?;
            notes = said;
            (file, Some(world))
        }
        (None, Some(path)) => {
            let (file, world) = recorded::load(path, settings, ui)?;
            (file, Some(world))
        }
        (None, None) => (load::load(settings, ui)?, None),
    };
    let only = only::ask_for(&mut file.desired, &args.only).map_err(|wrong| Failure::new(wrong, &file.sources))?;
    let Seen { actual, engine, images } = match known {
        Some(actual) => Seen { actual, engine: String::new(), images: Images::new() },
        // The agent is looked at in any case.
        None => world::block_on(see(settings, &file.desired, args.out.is_some()))??,
    };
    if args.agent.no_agent {
        file.desired.agent = None;
    }
    let Loaded { desired, shown, sources, .. } = file;
    let mut plan = crate::plan::plan(&desired, &actual).map_err(|wrong| Failure::new(wrong, &sources))?;
    if let Some(path) = &args.out {
        let now = Circumstances { fly: &load::build(), engine: &engine, desired: &desired, images: &images };
        saved::write(path, &Saved::new(&plan, &now, only, args.agent.no_agent))?;
    }
    plan.notes.extend(notes);
    Ok((plan, shown))
}

/// The world, and what a plan that is saved is bound to.
struct Seen {
    actual: Actual,
    engine: String,
    images: Images,
}

/// The world that a plan for `desired` is made from.
pub(super) async fn look(settings: &Settings, desired: &Desired) -> Result<Actual, Diagnostic> {
    Ok(see(settings, desired, false).await?.actual)
}

async fn see(settings: &Settings, desired: &Desired, saves: bool) -> Result<Seen, Diagnostic> {
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
