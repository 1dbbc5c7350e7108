//! `fly up`: the machines become what the file says.

use super::args::UpArgs;
use super::ask::Verb;
use super::events::Events;
use super::exit::Exit;
use super::failure::Failure;
use super::pipeline::{self, Job};
use super::saved::Given;
use super::settings::Settings;
use super::ui::Ui;
use super::{load, only, saved};

pub(super) fn run(args: &UpArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let events = Events::new(ui, args.run.format, Verb::Up);
    events.end(up(args, settings, ui, &events))
}

fn up(args: &UpArgs, settings: &Settings, ui: &Ui, events: &Events<'_>) -> Result<Exit, Failure> {
    let saved = args.plan.as_deref().map(|path| Ok::<_, Failure>((saved::read(path)?, path))).transpose()?;
    let given = saved.as_ref().map(|(saved, path)| Given { saved, path });
    let mut file = load::load(settings, ui)?;
    if args.agent.no_agent || given.as_ref().is_some_and(|given| given.saved.no_agent) {
        file.desired.agent = None;
    }
    for guest in file.desired.machines.values_mut().filter_map(|machine| machine.guest.as_mut()) {
        guest.renew = args.renew_guests;
    }
    if args.no_probe {
        file.desired.networks.values_mut().for_each(|network| network.probe = false);
        file.desired.machines.values_mut().flat_map(|machine| machine.nics.values_mut()).for_each(|nic| nic.probe = false);
    }
    if let Some(given) = &given {
        given.check_file(&file, ui)?;
    }
    let names: Vec<String> =
        given.as_ref().map_or_else(|| args.only.clone(), |given| given.saved.only.iter().map(ToString::to_string).collect());
    only::ask_for(&mut file.desired, &names).map_err(|wrong| Failure::new(wrong, &file.sources))?;
    let (verb, settle) = (Verb::Up, pipeline::SETTLE);
    pipeline::run(&Job { verb, desired: &file.desired, file: &file, run: &args.run, settle, given: given.as_ref(), events }, settings, ui)
}
