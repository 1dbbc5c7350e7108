//! The guest: fly's own binary on the engine, what each machine's is told, and the host keys that outlive their machines.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::fields::Fields;
use super::machine::runs_as_wanted;
use super::{Action, Change, Diff, Effect, FieldChange, Impact, Loss};
use crate::actual::Actual;
use crate::desired::{Attach, Desired, Machine, OrphanVolumes};
use crate::engine::RunState;
use crate::types::{Addr, GuestConfig, GuestSshd, GuestUser, IfName, Name};

/// What is to be written for a machine's guest. Keys that come from whoever runs fly are added to those of others; keys that the
/// file names are all there are.
pub fn guest_config(actual: &Actual, name: &Name, machine: &Machine) -> Option<GuestConfig> {
    let guest = machine.guest.as_ref()?;
    let mut config = guest.config.clone();
    let now = actual.net.guests.get(name).and_then(|seen| seen.config.as_ref()?.sshd.as_ref());
    if let (Some(sshd), Some(now)) = (&mut config.sshd, now) {
        for (user, wanted) in sshd.users.iter_mut().filter(|(user, _)| guest.adds_keys.contains(*user)) {
            wanted.authorized_keys.extend(now.users.get(user).into_iter().flat_map(|user| user.authorized_keys.iter().cloned()));
        }
    }
    Some(config)
}

/// The same, where a guest that runs has been told something else.
pub fn guest_to_write(actual: &Actual, name: &Name, machine: &Machine) -> Option<GuestConfig> {
    let state = actual.machine(name)?;
    let runs_on = state.state == RunState::Paused || state.is_up() && runs_as_wanted(machine, state);
    let wanted = guest_config(actual, name, machine).filter(|_| runs_on && state.container.guest.is_some())?;
    let now = actual.net.guests.get(name).and_then(|seen| seen.config.as_ref());
    (now != Some(&wanted)).then_some(wanted)
}

/// What changes about a guest that runs.
pub(super) fn fields(actual: &Actual, name: &Name, machine: &Machine) -> Vec<FieldChange> {
    let mut fields = Fields::new(&machine.places);
    let Some(wanted) = guest_to_write(actual, name, machine) else { return vec![] };
    let Some(now) = actual.net.guests.get(name).and_then(|seen| seen.config.as_ref()) else {
        fields.push("guest", None, Some("its settings".to_owned()), Effect::Live);
        return fields.changes;
    };
    // What it waits for is `cards`'.
    let GuestConfig { machine: called, nics: _, leases: _, patience, sshd, becomes_program } = &wanted;
    fields.value("guest.machine", &now.machine, called, Effect::Live);
    fields.value("guest.waits at most", &now.patience, patience, Effect::Live);
    // Seldom alone: whatever else `init: systemd` asks for replaces the machine. It counts from the next start on.
    fields.value("guest.becomes_program", &now.becomes_program, becomes_program, Effect::Live);
    server(&mut fields, now.sshd.as_ref(), sshd.as_ref());
    fields.changes
}

fn server(fields: &mut Fields<'_>, now: Option<&GuestSshd>, wanted: Option<&GuestSshd>) {
    let (Some(now), Some(wanted)) = (now, wanted) else {
        if now.is_some() != wanted.is_some() {
            fields.push("sshd", now.map(shown), wanted.map(shown), Effect::Live);
        }
        return;
    };
    let GuestSshd { server, port, users } = wanted;
    fields.value("sshd.server", &now.server, server, Effect::Live);
    fields.value("sshd.port", &now.port, port, Effect::Live);
    let nobody = GuestUser::default();
    for user in now.users.keys().chain(users.keys()).collect::<BTreeSet<_>>() {
        let (old, new) = (now.users.get(user), users.get(user));
        let (old_keys, new_keys) = (keys(old.unwrap_or(&nobody)), keys(new.unwrap_or(&nobody)));
        fields.set(&format!("sshd.keys of {user}"), &old_keys, &new_keys, Effect::Live);
        let password = |user: Option<&GuestUser>| user.and_then(|user| user.password_hash.as_ref()).map(|_| "(hidden)".to_owned());
        if old.map(|it| &it.password_hash) != new.map(|it| &it.password_hash) && (password(old).is_some() || password(new).is_some()) {
            fields.push(format!("sshd.password of {user}"), password(old), password(new), Effect::Live);
        }
        if old_keys == new_keys && old.is_some() != new.is_some() {
            let may = |user: Option<&GuestUser>| user.map(|_| "may log in".to_owned());
            fields.push(format!("sshd.users.{user}"), may(old), may(new), Effect::Live);
        }
    }
}

/// `port 22, root with 2 keys`.
pub(super) fn shown(sshd: &GuestSshd) -> String {
    let users = sshd.users.iter().map(|(name, user)| {
        let keys = user.authorized_keys.len();
        format!("{name} with {keys} key{}", if keys == 1 { "" } else { "s" })
    });
    [format!("port {}", sshd.port)].into_iter().chain(users).collect::<Vec<_>>().join(", ")
}

/// The type, the end of the key and the comment of each: enough to know one's own.
fn keys(user: &GuestUser) -> BTreeSet<String> {
    let short = |line: &String| {
        let shown = |word: &str| if word.len() > 40 { format!("…{}", &word[word.len() - 12..]) } else { word.to_owned() };
        line.split(' ').map(shown).collect::<Vec<_>>().join(" ")
    };
    user.authorized_keys.iter().map(short).collect()
}

type Cards = BTreeMap<IfName, BTreeSet<IpNet>>;

/// The cards that a machine's program waits for when it starts. Where a card itself changes, its own change says all of it.
pub(super) fn cards(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    for (name, machine) in &desired.machines {
        let now = actual.net.guests.get(name).and_then(|seen| seen.config.as_ref());
        let Some((wanted, now)) = guest_to_write(actual, name, machine).zip(now) else { continue };
        let differs = |card: &&IfName| now.nics.get(*card) != wanted.nics.get(*card);
        let mut differing = now.nics.keys().chain(wanted.nics.keys()).filter(differs);
        if differing.all(|card| is_told(diff, name, machine, card)) {
            continue;
        }
        let Some(change) = diff.changes.get_mut(&Addr::Machine(name.clone())) else { continue };
        let mut fields = Fields::new(&machine.places);
        fields.set("its program waits for", &waits_for(&now.nics), &waits_for(&wanted.nics), Effect::Live);
        match change.action {
            Action::Keep => {
                (change.action, change.impact) = (Action::Update, Impact::Live);
                "differs from the file".clone_into(&mut change.reason);
            }
            Action::Update => {}
            _ => continue,
        }
        change.fields.extend(fields.changes);
    }
}

fn is_told(diff: &Diff, name: &Name, machine: &Machine, card: &IfName) -> bool {
    let cable = machine.nics.get(card).and_then(|nic| if let Attach::Cable { id, .. } = &nic.attach { Some(id) } else { None });
    diff.action(&Addr::nic(name, card)) != Action::Keep || cable.is_some_and(|id| diff.action(&Addr::Link(id.clone())) != Action::Keep)
}

fn waits_for(nics: &Cards) -> BTreeSet<String> {
    let one = |(name, addresses): (&IfName, &BTreeSet<IpNet>)| {
        [name.to_string()].into_iter().chain(addresses.iter().map(ToString::to_string)).collect::<Vec<_>>().join(" ")
    };
    nics.iter().map(one).collect()
}

/// What the engine has of the guest itself, and what machines that are gone left of theirs.
pub(super) fn changes(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    let made = |diff: &Diff, name: &Name| matches!(diff.action(&Addr::Machine(name.clone())), Action::Create | Action::Replace);
    for (name, machine) in &desired.machines {
        let Some(version) = machine.container.guest.as_ref().filter(|_| made(diff, name)) else { continue };
        if !actual.engine.guests.contains_key(version) {
            let change = install(Addr::Guest(version.clone()), Action::Create, "not on the engine");
            diff.changes.entry(change.addr.clone()).or_insert(change);
        }
    }
    for (version, users) in &actual.engine.guests {
        let ours = |name: &String| actual.engine.machines.iter().find(|(_, state)| state.name == *name).map(|(machine, _)| machine);
        let goes = |name: &String| {
            actual.engine.leftovers.contains_key(name)
                || ours(name).is_some_and(|machine| made(diff, machine) || diff.action(&Addr::Machine(machine.clone())) == Action::Delete)
        };
        let wanted = desired.machines.iter().any(|(name, it)| it.container.guest.as_ref() == Some(version) && made(diff, name));
        // Another project may be about to use it; then making its machine puts it there again.
        if !wanted && users.iter().all(goes) {
            diff.add(install(Addr::Guest(version.clone()), Action::Delete, "no machine uses it any more"));
        }
    }
    host_keys(desired, actual, diff);
}

fn install(addr: Addr, action: Action, reason: &str) -> Change {
    Change { addr, action, fields: vec![], reason: reason.to_owned(), impact: Impact::None, losses: vec![], place: None }
}

/// The volume of a machine's guest, where it holds nothing that anybody could miss: it goes with the machine.
pub fn guest_volume_to_drop<'a>(actual: &'a Actual, name: &Name) -> Option<&'a String> {
    let state = actual.machine(name)?;
    let has_key = match actual.net.guests.get(name) {
        Some(seen) => seen.host_key,
        // One that runs, and was not seen, might have one.
        None => state.pid.is_some() || state.host_key,
    };
    actual.engine.host_keys.get(name).filter(|_| !has_key)
}

fn host_keys(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    for name in actual.engine.host_keys.keys() {
        if desired.machines.get(name).is_some_and(|machine| machine.guest.is_some()) || guest_volume_to_drop(actual, name).is_some() {
            continue;
        }
        match desired.orphan_volumes {
            OrphanVolumes::Keep => {
                diff.notes.insert(format!("the ssh host key of {name} is kept: `fly down --volumes` deletes it"));
            }
            OrphanVolumes::Delete => diff.add(Change {
                addr: Addr::HostKey(name.clone()),
                action: Action::Delete,
                fields: vec![],
                reason: "volumes are to be deleted as well".to_owned(),
                impact: Impact::Live,
                losses: vec![Loss::HostKey],
                place: None,
            }),
        }
    }
}

/// Machines that run and cannot be logged into yet. No step helps here but time; and where that does not, somebody has to be told.
pub fn not_listening(desired: &Desired, actual: &Actual) -> Vec<Change> {
    let mut changes = vec![];
    for (name, machine) in &desired.machines {
        let Some(sshd) = machine.guest.as_ref().and_then(|guest| guest.config.sshd.as_ref()) else { continue };
        let told = actual.net.guests.get(name).and_then(|seen| seen.sshd.as_ref());
        let ends = format!(":{}", sshd.port);
        let listens = told.is_some_and(|told| told.listening.iter().any(|address| address.ends_with(&ends)));
        let is_well = listens && told.is_some_and(|told| told.error.is_none());
        if is_well || !actual.machine(name).is_some_and(|state| state.is_up() && state.container.guest.is_some()) {
            continue;
        }
        let now = told.and_then(|told| told.error.clone()).unwrap_or_else(|| "not listening".to_owned());
        let mut fields = Fields::new(&machine.places);
        fields.push("sshd", Some(now), Some(format!("listening on port {}", sshd.port)), Effect::Live);
        let reason = if listens { "not everybody can log in by ssh" } else { "its ssh server does not listen" }.to_owned();
        let place = machine.places.own.clone();
        let addr = Addr::Machine(name.clone());
        changes.push(Change { addr, action: Action::Update, fields: fields.changes, reason, impact: Impact::Live, losses: vec![], place });
    }
    changes
}

/// What a reader should know of the guests, although nothing is done about it.
pub(super) fn notes(desired: &Desired, actual: &Actual, diff: &Diff) -> Vec<String> {
    let mut notes = vec![];
    for (name, machine) in &desired.machines {
        let sshd = machine.guest.as_ref().and_then(|guest| guest.config.sshd.as_ref());
        if sshd.is_some_and(|sshd| sshd.users.values().all(|user| user.authorized_keys.is_empty() && user.password_hash.is_none())) {
            notes.push(format!("no public key is known to log into {name} with; `fly ssh {name}` needs none"));
        }
        let by_password = sshd.iter().flat_map(|sshd| &sshd.users).filter(|(_, user)| user.password_hash.is_some());
        notes.extend(by_password.map(|(user, _)| format!("{user} may log into {name} by a password, which can be guessed; a key cannot")));
        let ailing = actual.net.guests.get(name).and_then(|seen| seen.sshd.as_ref()?.error.as_ref());
        if let (Some(_), Some(error)) = (sshd, ailing) {
            notes.push(format!("the ssh server of {name}: {error}"));
        }
        let is_made = matches!(diff.action(&Addr::Machine(name.clone())), Action::Create | Action::Replace);
        if is_made && wants_to_be_first(actual, machine) {
            notes.push(format!(
                "the image of {name} starts {S6}, as s6-overlay does, which has to be process 1: then it needs `guest: false`"
            ));
        }
    }
    notes
}

/// Where s6-overlay has its first process, in whatever image it is.
const S6: &str = "/init";

/// As far as the image's settings tell. systemd's way is `init: systemd`.
fn wants_to_be_first(actual: &Actual, machine: &Machine) -> bool {
    let of_image = || actual.engine.images.get(&machine.container.image)?.defaults.entrypoint.as_ref();
    let entrypoint = machine.container.entrypoint.as_ref().or_else(of_image);
    machine.guest.is_some() && !machine.systemd && entrypoint.and_then(|words| words.first()).is_some_and(|word| word == S6)
}
