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
use crate::actual::Actual;
use crate::desired::Desired;
use crate::diag::Diagnostic;
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
    let (mut file, actual) = match (&args.base, &args.world) {
        (Some(reference), _) => {
            let Compared { file, world, notes: said } = base::compare(reference, args.agent.no_agent, settings, ui)?;
            notes = said;
            (file, world)
        }
        (None, Some(path)) => recorded::load(path, settings, ui)?,
        (None, None) => {
            let file = load::load(settings, ui)?;
            // The agent is looked at in any case.
            let actual = world::block_on(look(settings, &file.desired))??;
            (file, actual)
        }
    };
    if args.agent.no_agent {
        file.desired.agent = None;
    }
    let Loaded { desired, shown, sources, .. } = file;
    let mut plan = crate::plan::plan(&desired, &actual).map_err(|wrong| Failure::new(wrong, &sources))?;
    plan.notes.extend(notes);
    Ok((plan, shown))
}

/// The world that a plan for `desired` is made from.
pub(super) async fn look(settings: &Settings, desired: &Desired) -> Result<Actual, Diagnostic> {
    let look = async |world: &Real| {
        let mut actual = world.observe_for(desired).await?;
        if let Ok(plan) = crate::plan::plan(desired, &actual) {
            world.weigh(&plan, &mut actual).await;
        }
        Ok(actual)
    };
    Real::with(world::reach(&settings.engine()?).await?, look).await?
}
