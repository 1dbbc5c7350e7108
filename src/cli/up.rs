//! `fly up`: the machines become what the file says.

use super::args::UpArgs;
use super::ask::Verb;
use super::exit::Exit;
use super::failure::Failure;
use super::load;
use super::pipeline::{self, Job};
use super::settings::Settings;
use super::ui::Ui;

pub(super) fn run(args: &UpArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let mut file = load::load(settings, ui)?;
    if args.agent.no_agent {
        file.desired.agent = None;
    }
    for guest in file.desired.machines.values_mut().filter_map(|machine| machine.guest.as_mut()) {
        guest.renew = args.renew_guests;
    }
    if args.no_probe {
        file.desired.networks.values_mut().for_each(|network| network.probe = false);
        file.desired.machines.values_mut().flat_map(|machine| machine.nics.values_mut()).for_each(|nic| nic.probe = false);
    }
    pipeline::run(&Job { verb: Verb::Up, desired: &file.desired, file: &file, run: &args.run, settle: pipeline::SETTLE }, settings, ui)
}
