//! Machines: whether there is a container, whether it runs, and what of it differs.

use std::collections::BTreeSet;

use super::fields::{Fields, joined};
use super::{Action, Change, Diff, Effect, FieldChange, Impact, Loss, container, guest, image, routing, tolerance};
use crate::actual::Actual;
use crate::desired::{Desired, DesiredState, Machine};
use crate::engine::{MachineState, RunState};
use crate::types::{Addr, Bytes, HostEntries, HostEntry, MountSource, Name, NetworkMode, Ns};

pub(super) fn changes(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    for (name, machine) in &desired.machines {
        let change = match actual.machine(name) {
            None => created(name, machine),
            Some(state) => compared(actual, name, machine, state),
        };
        diff.add(change);
    }
    for (name, state) in &actual.engine.machines {
        if !desired.machines.contains_key(name) {
            diff.add(Change {
                addr: Addr::Machine(name.clone()),
                action: Action::Delete,
                fields: vec![],
                reason: "no longer wanted".to_owned(),
                impact: Impact::Destroy,
                losses: losses(state, true),
                place: None,
            });
        }
    }
    leftovers(desired, actual, diff);
    follow_lenders(desired, actual, diff);
    // Who follows another may need an image that is pulled for it, and that one may be others' too.
    loop {
        follow_namespaces(desired, actual, diff);
        if !follow_images(desired, actual, diff) {
            break;
        }
    }
}

/// A container that keeps its image while its image's name gets another meaning is made anew, as everybody expects who knows Compose.
/// Whether there was any.
fn follow_images(desired: &Desired, actual: &Actual, diff: &mut Diff) -> bool {
    let found = image::left_behind(desired, actual, diff);
    for (addr, state, field) in &found {
        let Some(change) = diff.changes.get_mut(addr) else { continue };
        change.action = Action::Replace;
        change.impact = Impact::Recreate;
        "its image is pulled for another machine, and may be a newer one".clone_into(&mut change.reason);
        change.losses = losses(state, false);
        // What a new container gets anyway is not worth a word.
        change.fields.retain(|field| !matches!(field.field.as_str(), "state" | "names" | "nics" | "rules" | "routes"));
        change.fields.insert(0, field.clone());
    }
    !found.is_empty()
}

fn created(name: &Name, machine: &Machine) -> Change {
    let mut fields = Fields::new(&machine.places);
    fields.push("image", None, Some(machine.container.image.clone()), Effect::Replace);
    let limits = &machine.container.limits;
    fields.option("cpus", None, limits.cpus.as_ref(), Effect::Live);
    fields.option("memory", None, limits.memory.as_ref(), Effect::Live);
    fields.set("ports", &BTreeSet::new(), &machine.container.ports, Effect::Replace);
    routing::created(machine, &mut fields);
    if let Some(sshd) = machine.guest.as_ref().and_then(|guest| guest.config.sshd.as_ref()) {
        fields.push("sshd", None, Some(guest::shown(sshd)), Effect::Live);
    }
    Change {
        addr: Addr::Machine(name.clone()),
        action: Action::Create,
        fields: fields.changes,
        reason: "not there yet".to_owned(),
        impact: Impact::None,
        losses: vec![],
        place: machine.places.own.clone(),
    }
}

fn compared(actual: &Actual, name: &Name, machine: &Machine, state: &MachineState) -> Change {
    let mut fields = container::fields(machine, state, &actual.engine);
    let replaced: Vec<String> = fields.iter().filter(|f| f.effect == Effect::Replace).map(|f| f.field.clone()).collect();
    if state.name != machine.name {
        let (old, new) = (Some(state.name.clone()), Some(machine.name.clone()));
        let place = machine.places.own.clone();
        fields.push(FieldChange { field: "container".into(), old, new, place, effect: Effect::Live });
    }
    if replaced.is_empty() {
        if let Some(field) = state_field(machine, state) {
            fields.insert(0, field);
        }
        if !has_ended_well(machine, state) {
            fields.extend(hosts_field(actual, name, machine));
            fields.extend(routing::fields(actual, name, machine));
        }
        fields.extend(stray_endpoints(actual, name, machine, state));
        fields.extend(guest::fields(actual, name, machine));
    }
    let addr = Addr::Machine(name.clone());
    let place = machine.places.own.clone();
    let (action, reason, impact, losses) = if state.state == RunState::Dead {
        (Action::Replace, "the engine calls it dead".to_owned(), Impact::Recreate, losses(state, false))
    } else if !replaced.is_empty() {
        (Action::Replace, format!("the engine fixes {} at creation", replaced.join(", ")), Impact::Recreate, losses(state, false))
    } else if fields.is_empty() {
        return Change::keep(addr, place);
    } else if fields[0].field == "state" {
        (Action::Update, "it does not run".to_owned(), Impact::Live, vec![])
    } else {
        (Action::Update, "differs from the file".to_owned(), Impact::Live, vec![])
    };
    Change { addr, action, fields, reason, impact, losses, place }
}

/// What a machine that goes takes with it. A replaced one hands its anonymous volumes on.
fn losses(state: &MachineState, anonymous: bool) -> Vec<Loss> {
    let mut losses = vec![];
    // An empty layer is nothing to lose; of one that nothing is known of the worst is thought.
    if state.writable_layer != Some(Bytes(0)) {
        losses.push(Loss::WritableLayer(state.writable_layer));
    }
    let volumes = anonymous_volumes(state);
    if anonymous && !volumes.is_empty() {
        losses.push(Loss::AnonymousVolumes(volumes.into_iter().collect()));
    }
    losses
}

/// Volumes that the engine made for this container and named itself.
pub fn anonymous_volumes(state: &MachineState) -> BTreeSet<String> {
    let sources = state.container.mounts.values().map(|mount| &mount.source).filter(|source| tolerance::is_anonymous(source));
    sources.filter_map(|source| if let MountSource::Volume(name) = source { Some(name.clone()) } else { None }).collect()
}

/// Whether the machine does what it is to do: run, or have come to a good end where somebody waits for that.
pub fn runs_as_wanted(machine: &Machine, state: &MachineState) -> bool {
    match state.state {
        RunState::Running => true,
        RunState::Exited { code: 0 } => machine.state == DesiredState::RunningOrCompleted,
        _ => false,
    }
}

/// It has done what it was there for.
pub(super) fn has_ended_well(machine: &Machine, state: &MachineState) -> bool {
    !state.is_up() && runs_as_wanted(machine, state)
}

fn state_field(machine: &Machine, state: &MachineState) -> Option<FieldChange> {
    if runs_as_wanted(machine, state) {
        return None;
    }
    let old = match state.state {
        RunState::Created => "created".to_owned(),
        RunState::Running => "running".to_owned(),
        RunState::Paused => "paused".to_owned(),
        RunState::Restarting => "restarting".to_owned(),
        RunState::Exited { code } => format!("exited ({code})"),
        RunState::Dead => "dead".to_owned(),
    };
    let place = machine.places.own.clone();
    Some(FieldChange { field: "state".into(), old: Some(old), new: Some("running".into()), place, effect: Effect::Live })
}

/// The lines of `/etc/hosts` to write and to take away, where they differ.
pub fn hosts(actual: &Actual, name: &Name, machine: &Machine) -> Option<(HostEntries, BTreeSet<HostEntry>)> {
    // Whoever lives in another's namespace reads that one's file.
    if machine.container.network_mode != NetworkMode::Own {
        return None;
    }
    // One that has come to its good end is not asked again.
    if actual.machine(name).is_some_and(|state| !state.is_up() && runs_as_wanted(machine, state)) {
        return None;
    }
    let (now, wanted) = (actual.hosts(name), wanted_hosts(actual, name, machine));
    (now != wanted).then(|| {
        let gone = now.difference(&wanted).cloned().collect();
        (wanted, gone)
    })
}

/// The machine's lines, with the host's own address filled in.
pub fn wanted_hosts(actual: &Actual, name: &Name, machine: &Machine) -> HostEntries {
    let mut wanted = HostEntries::clone(&machine.hosts);
    let names = &machine.container.gateway_hosts;
    if !names.is_empty() {
        std::sync::Arc::make_mut(&mut wanted).extend(actual.wanted_gateways(name, names));
    }
    wanted
}

fn hosts_field(actual: &Actual, name: &Name, machine: &Machine) -> Option<FieldChange> {
    let (set, _) = hosts(actual, name, machine)?;
    let now = actual.hosts(name);
    let (gone, come): (BTreeSet<&HostEntry>, BTreeSet<&HostEntry>) = (now.difference(&set).collect(), set.difference(&now).collect());
    let place = machine.places.of("links").cloned();
    Some(FieldChange { field: "names".into(), old: joined(&gone), new: joined(&come), place, effect: Effect::Live })
}

/// Docker networks of this project that it is on and should not be.
pub fn stray_networks<'a>(actual: &Actual, machine: &Machine, state: &'a MachineState) -> Vec<&'a str> {
    let ours = |name: &str| actual.engine.networks.values().any(|network| network.name == name);
    let wanted = |name: &str| {
        machine.nics.values().any(|nic| matches!(&nic.attach, crate::desired::Attach::Nat { engine_name, .. } if engine_name == name))
    };
    state.endpoints.keys().map(String::as_str).filter(|name| ours(name) && !wanted(name)).collect()
}

/// Those of them on which no card of the machine's can be seen: where one can, the card's own change says it.
pub fn lost_networks<'a>(actual: &Actual, name: &Name, machine: &Machine, state: &'a MachineState) -> Vec<&'a str> {
    let bridge = |network: &str| actual.engine.networks.values().find(|n| n.name == network).and_then(|n| n.network.bridge.as_deref());
    let mut stray = stray_networks(actual, machine, state);
    stray.retain(|network| bridge(network).and_then(|bridge| actual.port(name, bridge)).is_none());
    stray
}

fn stray_endpoints(actual: &Actual, name: &Name, machine: &Machine, state: &MachineState) -> Vec<FieldChange> {
    let place = machine.places.of("nics").cloned();
    lost_networks(actual, name, machine, state)
        .into_iter()
        .map(|network| FieldChange {
            field: "nics".into(),
            old: Some(format!("on Docker network {network}")),
            new: None,
            place: place.clone(),
            effect: Effect::Live,
        })
        .collect()
}

/// What an interrupted replacement left behind.
fn leftovers(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    for engine_name in actual.engine.leftovers.keys() {
        let Some(name) = leftover_of(&desired.project, engine_name) else { continue };
        let field = FieldChange { field: "leftover".into(), old: Some(engine_name.clone()), new: None, place: None, effect: Effect::Live };
        let addr = Addr::Machine(name);
        let change = diff.changes.entry(addr.clone()).or_insert_with(|| Change {
            addr,
            action: Action::Delete,
            fields: vec![],
            reason: String::new(),
            impact: Impact::None,
            losses: vec![],
            place: None,
        });
        change.fields.push(field);
        if change.action == Action::Keep {
            change.action = Action::Update;
        }
        if change.reason.is_empty() {
            "an interrupted replacement left a container behind".clone_into(&mut change.reason);
        }
    }
}

/// `shop.web.new` was to become `web`.
pub fn leftover_of(project: &Name, engine_name: &str) -> Option<Name> {
    let rest = engine_name.strip_prefix(project.as_str())?.strip_prefix('.')?;
    Name::new(rest.split('.').next()?).ok()
}

/// A machine in another's namespace has to follow when that one gets a new namespace: its own would be a dead one.
fn follow_namespaces(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    // As often as there are machines: members of members follow too.
    for _ in 0..desired.machines.len() {
        let mut followers = vec![];
        for (name, machine) in &desired.machines {
            let NetworkMode::Machine(owner) = &machine.container.network_mode else { continue };
            let Some(mine) = diff.changes.get(&Addr::Machine(name.clone())) else { continue };
            if matches!(mine.action, Action::Create | Action::Replace | Action::Restart) {
                continue;
            }
            let owner_action = diff.changes.get(&Addr::Machine(owner.clone())).map(|change| change.action);
            let follow = match owner_action {
                Some(Action::Replace | Action::Create) => Some((Action::Replace, Impact::Recreate)),
                _ if !actual.machine(name).is_some_and(MachineState::is_up) => None,
                _ if !diff.keeps_namespace(actual, owner) || stale(actual, name, owner) => Some((Action::Restart, Impact::Restart)),
                _ => None,
            };
            if let Some((action, impact)) = follow {
                followers.push((name.clone(), owner.clone(), action, impact));
            }
        }
        if followers.is_empty() {
            return;
        }
        for (name, owner, action, impact) in followers {
            let state = actual.machine(&name);
            if let Some(change) = diff.changes.get_mut(&Addr::Machine(name)) {
                change.action = action;
                change.impact = impact;
                change.reason = format!("it lives in the namespace of machine/{owner}, which is a new one");
                if let (Action::Replace, Some(state)) = (action, state) {
                    change.losses = losses(state, false);
                }
            }
        }
    }
}

/// The same in the namespace of a container that is not this project's: whoever it belongs to may have started it again.
fn follow_lenders(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    for (name, machine) in &desired.machines {
        let NetworkMode::Container(lender) = &machine.container.network_mode else { continue };
        let lender = actual.engine.taken.container(lender).unwrap_or(lender);
        let mine = actual.namespace(&Ns::Machine(name.clone())).map(|ns| ns.inode);
        let is_stale = actual.net.lenders.get(lender).zip(mine).is_some_and(|(theirs, mine)| *theirs != mine);
        let Some(change) = diff.changes.get_mut(&Addr::Machine(name.clone())).filter(|_| is_stale) else { continue };
        if matches!(change.action, Action::Keep | Action::Update) {
            change.action = Action::Restart;
            change.impact = Impact::Restart;
            change.reason = format!("it lives in a namespace that container {lender} has left");
        }
    }
}

/// A member that lives on in a namespace which its owner has left.
pub fn stale(actual: &Actual, member: &Name, owner: &Name) -> bool {
    let inode = |name: &Name| actual.namespace(&Ns::Machine(name.clone())).map(|ns| ns.inode);
    matches!((inode(member), inode(owner)), (Some(one), Some(other)) if one != other)
}
