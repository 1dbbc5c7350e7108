//! `fly impair`: a machine's cards are worse than the file says, for a while.
//!
//! The file stays what counts: at the end its own values are put back, and if this process has no end (SIGKILL), `fly plan` shows the
//! difference and `fly up` puts it right. So an `up` meanwhile ends it; the project is its own only for the moment in which it sets
//! something, and at the end it waits for its turn.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::args::ImpairArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::load::{self, Loaded};
use super::pipeline::AGENTS_WORK;
use super::settings::Settings;
use super::stop::Stop;
use super::ui::Ui;
use super::world::{self, LOOK, Real, World};
use crate::actual::Actual;
use crate::agent::Held;
use crate::desired::Desired;
use crate::diag::{Diagnostic, Kind, similar};
use crate::diff;
use crate::engine::{Engine, MachineState};
use crate::lock::{self, Holder, Lock, LockError, Patience};
use crate::net::{LinkSet, NetError, NetErrorKind, NetOp, NetPlane, Tune};
use crate::observe;
use crate::plan::render;
use crate::types::{IfName, LinkRef, Name, Traffic};

/// What is asked for, apart from where.
struct Wish {
    target: String,
    traffic: Traffic,
    time: Option<Duration>,
    clear: bool,
}

/// A card, and what is to become of it.
type Card = (Name, IfName, Traffic);

pub(super) fn run(args: &ImpairArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let wish = wish(args)?;
    let file = load::load(settings, ui)?;
    world::block_on(async {
        let engine = world::reach(&settings.engine()?).await?;
        // The file may be another one by the end.
        let again = || match load::load_leniently(settings) {
            Ok((file, None)) => Some(file.desired),
            _ => None,
        };
        let path = lock::path(&settings.locks, &file.desired.project, &world::engine_id(&engine).await?);
        let holder = Holder { pid: std::process::id(), command: settings.environment.command.clone() };
        Real::with(engine, async |world| {
            let turn = async |waits| turn(world, &file.desired.project, &path, &holder, waits).await;
            go(&wish, &file, world, ui, turn, Stop::signals, again).await
        })
        .await?
    })?
}

fn wish(args: &ImpairArgs) -> Result<Wish, Diagnostic> {
    let ImpairArgs { rate, delay, jitter, loss, duplicate, corrupt, reorder, time, clear, target } = args;
    let traffic =
        Traffic { rate: *rate, delay: *delay, jitter: *jitter, loss: *loss, duplicate: *duplicate, corrupt: *corrupt, reorder: *reorder };
    if traffic.is_empty() && !clear {
        let error = Diagnostic::new(Kind::Usage, "nothing was said about how the card is to be");
        return Err(error
            .hint("fly impair MACHINE:NIC --delay 50ms --loss 1%")
            .hint("`fly impair MACHINE:NIC --clear` puts back what the file says"));
    }
    Ok(Wish { target: target.clone(), traffic, time: time.map(crate::types::Seconds::duration), clear: *clear })
}

/// Until it is let go, nobody else works on the project. Who does not wait is refused.
async fn turn(world: &Real, project: &Name, path: &Path, holder: &Holder, waits: bool) -> Result<(Lock, Held), Diagnostic> {
    let taken = |error: &LockError| {
        let kind = if matches!(error, LockError::Held(_)) { Kind::Locked } else { Kind::Failed };
        Diagnostic::new(kind, render::clean(&error.to_string())).hint("try again when it has ended")
    };
    let lock = loop {
        match Lock::acquire(path, holder, Patience::Refuse) {
            Err(LockError::Held(_)) if waits => tokio::time::sleep(LOOK).await,
            lock => break lock.map_err(|error| taken(&error))?,
        }
    };
    let Some(held) = world.hold(project, (!waits).then_some(AGENTS_WORK)).await? else {
        let message = format!("somebody else is working on `{project}` on the engine's host");
        return Err(Diagnostic::new(Kind::Locked, message).hint("try again when it has ended"));
    };
    Ok((lock, held))
}

async fn go<E: Engine, N: NetPlane, T>(
    wish: &Wish,
    file: &Loaded,
    world: &World<E, N>,
    ui: &Ui,
    turn: impl AsyncFn(bool) -> Result<T, Diagnostic>,
    listen: impl FnOnce() -> Result<Stop, Diagnostic>,
    again: impl FnOnce() -> Option<Desired>,
) -> Result<Exit, Failure> {
    let desired = &file.desired;
    let cards = cards(desired, &wish.target)?;
    let alone = turn(false).await?;
    let mut actual = world.observe(&desired.project, BTreeSet::new()).await?;
    are_there(&actual, &cards)?;
    if wish.clear {
        return put_back(world, desired, &cards).await.map(|()| Exit::Done).map_err(Failure::from);
    }
    let impaired = impaired(&cards, &wish.traffic)?;
    let modules = impaired.iter().filter_map(|(.., traffic)| traffic.module()).map(str::to_owned).collect();
    observe::ask_kernel(world.net(), &mut actual, modules, BTreeSet::new()).await?;
    let lacking = impaired.iter().find_map(|(machine, nic, traffic)| diff::lacking_module(&actual, machine, nic, traffic));
    if let Some((refusal, _)) = lacking {
        return Err(refusal.into());
    }
    // From here on a signal is a wish, and what was done is undone.
    let mut stop = listen()?;
    let mut done = Ok(());
    for (machine, nic, traffic) in &impaired {
        done = set(world.net(), &desired.project, &actual, (machine, nic), traffic).await;
        match &done {
            Ok(()) => ui.say(&format!("{machine}:{nic}: {}\n", shown(traffic))),
            Err(_) => break,
        }
    }
    drop(alone);
    let mut exit = Exit::Done;
    if done.is_ok() {
        ui.say(&match wish.time {
            Some(time) => format!("for {}; Ctrl-C ends it at once\n", crate::types::Seconds::from_nanos(nanos(time))),
            None => "until Ctrl-C\n".to_owned(),
        });
        let over = async {
            match wish.time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => {}
            () = stop.asked() => exit = if wish.time.is_some() { Exit::Interrupted } else { Exit::Done },
        }
    }
    let alone = tokio::select! {
        alone = turn(true) => alone?,
        () = stop.asked() => {
            let left = Diagnostic::new(Kind::Locked, "another run works on the project, so nothing was put back");
            return Err(left.hint("`fly up` puts it right").into());
        }
    };
    let now = again();
    put_back(world, now.as_ref().unwrap_or(desired), &cards).await?;
    drop(alone);
    done.map_err(|error| refused(&error))?;
    ui.say("put back as the file says\n");
    Ok(exit)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The cards that are meant: `web:eth0`, or with `web` all of a machine's. Each with what the file says of it.
fn cards(desired: &Desired, target: &str) -> Result<Vec<Card>, Diagnostic> {
    let (machine, nic) = target.split_once(':').map_or((target, None), |(machine, nic)| (machine, Some(nic)));
    let usage = |message: String| Diagnostic::new(Kind::Usage, message);
    let nearest = |error: Diagnostic, word: &str, known: &[&str]| match similar(word, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("there are {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))),
    };
    let Some((name, found)) = desired.machines.iter().find(|(name, _)| name.as_str() == machine) else {
        let known: Vec<&str> = desired.machines.keys().map(Name::as_str).collect();
        return Err(nearest(usage(format!("there is no machine `{machine}` in the file")), machine, &known));
    };
    let wanted = |card: &IfName| nic.is_none_or(|nic| card.as_str() == nic);
    let cards: Vec<Card> = found
        .nics
        .iter()
        .filter(|(card, _)| wanted(card))
        .map(|(card, nic)| (name.clone(), card.clone(), nic.tuning.traffic.clone()))
        .collect();
    match (cards.is_empty(), nic) {
        (true, Some(nic)) if !found.nics.is_empty() => {
            let known: Vec<&str> = found.nics.keys().map(IfName::as_str).collect();
            Err(nearest(usage(format!("machine `{machine}` has no card `{nic}`")), nic, &known))
        }
        (true, _) => {
            Err(usage(format!("machine `{machine}` has no cards of its own")).hint("name a machine that has `nics`, or an end of a cable"))
        }
        (false, _) => Ok(cards),
    }
}

/// What the file says of each, and over that what is wished.
fn impaired(cards: &[Card], wish: &Traffic) -> Result<Vec<Card>, Diagnostic> {
    let one = |(machine, nic, file): &Card| {
        let traffic = wish.over(file).normal();
        match traffic.mistake() {
            Some((key, why)) => Err(Diagnostic::new(Kind::Usage, format!("--{key}: {why}")).hint(format!("--delay 10ms --{key} …"))),
            None => Ok((machine.clone(), nic.clone(), traffic)),
        }
    };
    cards.iter().map(one).collect()
}

fn are_there(actual: &Actual, cards: &[Card]) -> Result<(), Diagnostic> {
    for (machine, nic, _) in cards {
        let missing = match actual.machine(machine) {
            None => Some(format!("machine `{machine}` is not there yet")),
            Some(state) if !MachineState::is_up(state) => Some(format!("machine `{machine}` does not run")),
            _ if actual.nic(machine, nic).is_none() => {
                Some(format!("machine `{machine}` has no card `{nic}` now, though the file says so"))
            }
            _ => None,
        };
        if let Some(missing) = missing {
            return Err(Diagnostic::new(Kind::Failed, missing).hint("make it as the file says: `fly up`"));
        }
    }
    Ok(())
}

async fn set<N: NetPlane>(net: &N, project: &Name, actual: &Actual, card: (&Name, &IfName), traffic: &Traffic) -> Result<(), NetError> {
    let set = LinkSet { tune: Tune { traffic: Some(traffic.clone()), ..Tune::default() }, ..LinkSet::default() };
    let op = NetOp::SetLink { at: LinkRef::machine(card.0, card.1.as_str()), set: Box::new(set) };
    net.perform(&op, project, &observe::processes(actual)).await
}

/// What the file says of these cards now; a machine that has ended meanwhile has taken its cards along.
async fn put_back<E: Engine, N: NetPlane>(world: &World<E, N>, desired: &Desired, cards: &[Card]) -> Result<(), Diagnostic> {
    let actual = world.observe(&desired.project, BTreeSet::new()).await?;
    let mut wrong = None;
    for (machine, nic, before) in cards {
        let said = desired.machines.get(machine).and_then(|machine| machine.nics.get(nic)).map(|nic| &nic.tuning.traffic);
        match set(world.net(), &desired.project, &actual, (machine, nic), said.unwrap_or(before)).await {
            Err(error) if !matches!(error.kind, NetErrorKind::Ended | NetErrorKind::NotFound) => wrong = Some(error),
            _ => {}
        }
    }
    match wrong {
        Some(error) => Err(refused(&error).hint("`fly up` puts it right")),
        None => Ok(()),
    }
}

fn refused(error: &NetError) -> Diagnostic {
    match error.kind {
        NetErrorKind::Denied => observe::net_diagnostic(error),
        _ => Diagnostic::new(Kind::Failed, "the kernel refused").cause(error),
    }
}

/// `delay 50ms, loss 1%`
fn shown(traffic: &Traffic) -> String {
    let said: Vec<String> = traffic.shown().into_iter().filter_map(|(field, value)| Some(format!("{field} {}", value?))).collect();
    if said.is_empty() { "as it is by itself".to_owned() } else { said.join(", ") }
}

#[cfg(test)]
mod tests;
