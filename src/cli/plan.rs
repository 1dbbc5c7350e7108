//! `fly plan`: what would be done. It takes no lock and changes nothing.

use std::path::Path;

use super::args::{PlanArgs, PlanFormat};
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
use crate::plan::render;
use crate::plan::review::{Aside, Review};
use crate::plan::saved::{Circumstances, Images, Saved};

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
    let review = Review::new(&plan, &desired, &actual, Aside::of(&plan));
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
