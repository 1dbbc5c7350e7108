//! What `up` and `down` share: lock, observe, plan, ask, apply, verify, say.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::args::Run;
use super::ask::{self, Verb};
use super::events::Events;
use super::exit::Exit;
use super::failure::Failure;
use super::load::Loaded;
use super::progress::Progress;
use super::saved::Given;
use super::settings::Settings;
use super::stop::Stop;
use super::summary;
use super::ui::Ui;
use super::world::{self, Real, World};
use crate::actual::Actual;
use crate::apply::Report;
use crate::desired::Desired;
use crate::diag::{Diagnostic, Kind};
use crate::diff::{Action, Change};
use crate::engine::Engine;
use crate::lock::{self, Holder, Lock, LockError, Patience};
use crate::net::NetPlane;
use crate::plan::review::{Aside, Review};
use crate::plan::{Plan, render};
use crate::types::Addr;

/// How long the world may take to settle after the last step: a NIC's address appears at once, an engine's view a little later.
pub(super) const SETTLE: Duration = Duration::from_secs(10);

/// How long the agent, or whoever is about to end, is waited for.
pub(super) const AGENTS_WORK: Duration = Duration::from_secs(10);

pub(super) struct Job<'a> {
    pub(super) verb: Verb,
    pub(super) desired: &'a Desired,
    pub(super) file: &'a Loaded,
    pub(super) run: &'a Run,
    /// How long the result may take to be as it should be.
    pub(super) settle: Duration,
    /// A saved plan, which alone is to be done.
    pub(super) given: Option<&'a Given<'a>>,
    pub(super) events: &'a Events<'a>,
}

pub(super) fn run(job: &Job<'_>, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    job.events.start(job.desired.project.as_str());
    world::block_on(async {
        let engine = world::reach(&settings.engine()?).await?;
        let id = world::engine_id(&engine).await?;
        if let Some(given) = job.given {
            given.check_engine(&id)?;
        }
        // Blocking is as good as waiting: nothing else goes on yet.
        let _lock = lock(job, settings, &id, ui)?;
        Real::with(engine, async |world| {
            let patience = (!job.run.wait_lock).then_some(AGENTS_WORK);
            let Some(_hold) = world.hold(&job.desired.project, patience).await? else { return Err(elsewhere(job).into()) };
            let draws = ui.can_draw && !settings.is_verbose;
            go(job, world, ui, draws, Stop::signals).await
        })
        .await?
    })?
}

/// The way through, in a world. `listen` is called when something is about to be done: before, whoever wants to stop just stops it.
async fn go<E: Engine, N: NetPlane>(
    job: &Job<'_>,
    world: &World<E, N>,
    ui: &Ui,
    draws: bool,
    listen: impl FnOnce() -> Result<Stop, Diagnostic>,
) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let mut actual = world.observe_for(job.desired).await?;
    let make = |actual: &Actual| crate::plan::plan(job.desired, actual).map_err(|wrong| Failure::new(wrong, &job.file.sources));
    let mut plan = make(&actual)?;
    // Who takes everything down does not ask how much it was.
    if job.verb == Verb::Up && world.weigh(&plan, &mut actual).await {
        plan = make(&actual)?;
    }
    if let Some(given) = job.given {
        given.check_world(&plan, &actual, world, job.file, ui).await?;
    }
    let review = Review::new(&plan, job.desired, &actual, Aside::of(&plan));
    job.events.plan(&review);
    if plan.is_empty() {
        for note in &plan.notes {
            ui.say(&format!("note: {}\n", render::clean(note)));
        }
        job.events.said(&format!("{}\n", nothing_to_do(job, &plan)))?;
        return Ok(Exit::Done);
    }
    let observed = begun.elapsed();
    let options = render::Options { color: ui.err_color, file: job.file.shown.clone(), ..render::Options::default() };
    ui.say(&render::text(&review, &options));
    // Who saved a plan has looked at it.
    let allowed = job.run.yes || job.given.is_some() || ask::permission(job.verb, &plan, ui)?;
    if !allowed {
        ui.say("nothing was changed\n");
        return Ok(Exit::Failed);
    }
    ui.say("\n");
    // The time that somebody took to answer is not fly's.
    let begun = Instant::now();
    let elapsed = || observed + begun.elapsed();
    let mut stop = listen()?;
    let progress = Progress::new(&plan, ui, draws);
    let Some(report) = apply(job, world, &plan, &actual, &mut stop, &progress).await else {
        ui.say(&format!(
            "stopped at once: what was being done may be half done\n\nhint: run `fly {}` again: it puts that right\n",
            job.verb.as_str()
        ));
        return Ok(Exit::Interrupted);
    };
    job.events.applied(&report);
    let exit = Exit::of_report(&report);
    if exit != Exit::Done {
        ui.say(&summary::unfinished(job.verb, &plan, &report, elapsed()));
        return Ok(exit);
    }
    let verified = tokio::select! {
        left = world.verify(job.desired, job.settle) => left?,
        () = stop.asked() => {
            ui.say("all steps are done, but the result was not checked\n\nhint: `fly plan --check` does\n");
            return Ok(Exit::Interrupted);
        }
    };
    let verified = if are_guests(&verified) { remove_guests(job, world, &mut stop, ui, draws).await? } else { verified };
    job.events.verified(&verified);
    if verified.is_empty() {
        job.events.said(&summary::done(job.verb, render::Counts::of(&plan.changes), elapsed()))?;
        return Ok(Exit::Done);
    }
    ui.say(&format!("error: all steps are done, but this is still not as {} says:\n", render::clean(&job.file.shown)));
    ui.say(&render::changes(&verified, &options));
    ui.say("\nhint: something else may be changing it; `fly plan` looks again\n");
    Ok(Exit::Unverified)
}

/// Nothing but what fly itself has on the engine, and nobody uses any more.
fn are_guests(left: &[Change]) -> bool {
    !left.is_empty() && left.iter().all(|change| matches!(change.addr, Addr::Guest(_) | Addr::Agent) && change.action == Action::Delete)
}

/// Where the last machines of two projects went at the same moment, each was planned while the other one still used the guest.
async fn remove_guests<E: Engine, N: NetPlane>(
    job: &Job<'_>,
    world: &World<E, N>,
    stop: &mut Stop,
    ui: &Ui,
    draws: bool,
) -> Result<Vec<Change>, Failure> {
    let actual = world.observe_for(job.desired).await?;
    let plan = crate::plan::plan(job.desired, &actual).map_err(|wrong| Failure::new(wrong, &job.file.sources))?;
    if are_guests(&plan.changes) {
        let progress = Progress::new(&plan, ui, draws);
        apply(job, world, &plan, &actual, stop, &progress).await;
    }
    Ok(world.verify(job.desired, job.settle).await?)
}

fn nothing_to_do(job: &Job<'_>, plan: &Plan) -> String {
    match job.verb {
        Verb::Up => render::nothing_to_do(plan, &job.file.shown),
        Verb::Down => format!("nothing to do: nothing of `{}` is there", plan.project),
    }
}

fn lock(job: &Job<'_>, settings: &Settings, engine: &str, ui: &Ui) -> Result<Lock, Diagnostic> {
    let path = lock::path(&settings.locks, &job.desired.project, engine);
    let holder = Holder { pid: std::process::id(), command: settings.environment.command.clone() };
    match Lock::acquire(&path, &holder, Patience::Refuse) {
        Err(error @ LockError::Held(_)) if job.run.wait_lock => {
            ui.say(&format!("waiting: {}\n", render::clean(&error.to_string())));
            Lock::acquire(&path, &holder, Patience::Wait)
        }
        other => other,
    }
    .map_err(|error| locked(job.verb, &error))
}

/// The lock is this computer's and user's own; but the network that it is about may be reached from others.
fn elsewhere(job: &Job<'_>) -> Diagnostic {
    Diagnostic::new(Kind::Locked, format!("somebody else is working on `{}` on the engine's host", job.desired.project))
        .hint(format!("wait for it: `fly {} --wait-lock`", job.verb.as_str()))
        .hint("it may be another user's fly there, or one on another computer")
}

fn locked(verb: Verb, error: &LockError) -> Diagnostic {
    match error {
        LockError::Held(holder) => {
            let diagnostic = Diagnostic::new(Kind::Locked, render::clean(&error.to_string()))
                .hint(format!("wait for it: `fly {} --wait-lock`", verb.as_str()));
            match holder {
                Some(holder) => diagnostic.hint(format!("see what it is doing: `ps -fp {}`", holder.pid)),
                None => diagnostic,
            }
        }
        LockError::Io { .. } => Diagnostic::new(Kind::Failed, "cannot lock the project").caused_by(error),
    }
}

/// Runs the plan and shows how it goes. The first request to stop lets it finish what it has begun; at the second one there is no
/// report any more.
async fn apply<E: Engine, N: NetPlane>(
    job: &Job<'_>,
    world: &World<E, N>,
    plan: &Plan,
    actual: &Actual,
    stop: &mut Stop,
    progress: &Progress<'_>,
) -> Option<Report> {
    let (tell, told) = watch::channel(false);
    let on = |event| {
        progress.on(&event);
        job.events.on(plan, &event);
    };
    let work = world.apply(plan, actual, usize::from(job.run.parallel), on, told);
    tokio::pin!(work);
    let report = loop {
        tokio::select! {
            biased;
            report = &mut work => break Some(report),
            () = stop.asked() => {
                if tell.send_replace(true) {
                    break None;
                }
                progress.say("stopping: what has begun is finished, nothing new is begun (Ctrl-C again stops at once)");
            }
        }
    };
    progress.end();
    report
}

#[cfg(test)]
mod tests;
