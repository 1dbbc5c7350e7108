//! Machines: made, made anew, started, changed, in the order in which they need each other.

use std::collections::{BTreeMap, BTreeSet};

use super::builder::{Builder, after, union};
use super::{StepId, guests, nics, physical};
use crate::desired::{Attach, Desired, Machine};
use crate::diff::{self, Action, Effect, Impact};
use crate::engine::{EngineOp, Health, MachineState, RunState, WaitFor};
use crate::net::NetOp;
use crate::spec::Condition;
use crate::types::{Addr, Container, Endpoint, MountSource, Name, NetworkMode, Seconds};

/// How long somebody waits for another's health or completion.
const PATIENCE: Seconds = Seconds::from_nanos(300_000_000_000);

/// `names` with every machine after those that it needs. Resolving has refused cycles; should there be one, it is cut.
pub(super) fn ordered(desired: &Desired, names: &BTreeSet<Name>) -> Vec<Name> {
    fn visit(name: &Name, desired: &Desired, names: &BTreeSet<Name>, seen: &mut BTreeSet<Name>, order: &mut Vec<Name>) {
        if !seen.insert(name.clone()) {
            return;
        }
        for needed in desired.order.get(name).into_iter().flatten() {
            visit(needed, desired, names, seen, order);
        }
        if names.contains(name) {
            order.push(name.clone());
        }
    }
    let (mut seen, mut order) = (BTreeSet::new(), vec![]);
    for name in names {
        visit(name, desired, names, &mut seen, &mut order);
    }
    order
}

/// A replacement that was cut off before it got its machine's name gets it first of all.
pub(super) fn names_of_containers(b: &mut Builder<'_>) {
    for (name, machine) in &b.desired.machines {
        let Some(state) = b.actual.machine(name).filter(|state| state.name != machine.name) else { continue };
        let op = EngineOp::RenameContainer { name: state.name.clone(), to: machine.name.clone() };
        let step = b.add(&Addr::Machine(name.clone()), op, BTreeSet::new());
        b.renamed.insert(name.clone(), step);
        b.freed.entry(name.clone()).or_default().insert(step);
    }
}

pub(super) fn machines(b: &mut Builder<'_>) {
    let names: BTreeSet<Name> = b.desired.machines.keys().cloned().collect();
    let order = ordered(b.desired, &names);
    // All that are made anew give up what they have before one of them takes it: addresses, ports and MACs may go round in a circle.
    let mut made = BTreeMap::new();
    for name in &order {
        if b.action(&Addr::Machine(name.clone())) == Action::Replace {
            let replacement = give_way(b, name, &b.desired.machines[name]);
            made.extend(replacement.map(|it| (name.clone(), it)));
        }
    }
    for name in order {
        let machine = &b.desired.machines[&name];
        let addr = Addr::Machine(name.clone());
        let started = match b.action(&addr) {
            Action::Create => create(b, &name, machine),
            Action::Replace => replace(b, &name, machine, made.remove(&name)),
            Action::Restart => restart(b, &name, machine),
            Action::Update => update(b, &name, machine),
            Action::Keep => guests::changed(b, &name, machine).into_iter().collect(),
            Action::Delete => BTreeSet::new(),
        };
        let mut ready = if b.diff.keeps_namespace(b.actual, &name) || b.diff.rests(b.desired, b.actual, &name) {
            started
        } else {
            b.started.insert(name.clone(), started.clone());
            nics::attach_all(b, &name, machine, started)
        };
        ready.extend(b.told.get(&name));
        b.ready.insert(addr, ready);
    }
}

fn create(b: &mut Builder<'_>, name: &Name, machine: &Machine) -> BTreeSet<StepId> {
    let free = b.freed.get(name).cloned().unwrap_or_default();
    let (created, rest) = create_container(b, name, machine, &machine.name, &free, &machine.container);
    let connected = connect_rest(b, name, machine, &rest, after([created]));
    start(b, name, machine, connected)
}

/// A container that has taken its machine's place and has not started yet.
struct Replacement {
    /// Networks that it is still to be connected to.
    rest: Endpoints,
    last: StepId,
}

/// The part of a replacement that needs no other machine, but for one in another's namespace: that can only be made when the other
/// one is there, who may be waiting for what this one has.
fn give_way(b: &mut Builder<'_>, name: &Name, machine: &Machine) -> Option<Replacement> {
    let old = b.actual.machine(name)?;
    if !matches!(machine.container.network_mode, NetworkMode::Machine(_)) {
        return Some(make_anew(b, name, machine, old));
    }
    if old.is_up() && old.container.network_mode == NetworkMode::Own && !b.stopped.contains_key(name) {
        let named = b.renamed.get(name).copied().into_iter().collect();
        let named = physical::given_back(b, name, &named);
        let stop = b.add(&Addr::Machine(name.clone()), EngineOp::StopContainer { name: machine.name.clone() }, named);
        b.stopped.insert(name.clone(), stop);
        b.gives_up(name, stop);
    }
    None
}

fn replace(b: &mut Builder<'_>, name: &Name, machine: &Machine, made: Option<Replacement>) -> BTreeSet<StepId> {
    let Some(old) = b.actual.machine(name) else { return create(b, name, machine) };
    let Replacement { rest, last } = made.unwrap_or_else(|| make_anew(b, name, machine, old));
    let connected = connect_rest(b, name, machine, &rest, after([last]));
    start(b, name, machine, connected)
}

/// The new one is made while the old one still runs, so that whatever the engine has against it costs no downtime; and at every
/// moment the old or the new one exists, whenever somebody pulls the plug.
fn make_anew(b: &mut Builder<'_>, name: &Name, machine: &Machine, old: &MachineState) -> Replacement {
    let addr = Addr::Machine(name.clone());
    let new_name = format!("{}.new", machine.name);
    let free = b.freed.get(name).cloned().unwrap_or_default();
    let container = inheriting(b, &machine.container, old);
    let (created, rest) = create_container(b, name, machine, &new_name, &free, &container);
    let mut before = after([created]);
    match b.stopped.get(name) {
        Some(stopped) => drop(before.insert(*stopped)),
        None if old.is_up() => {
            before = physical::given_back(b, name, &before);
            let stop = b.add(&addr, EngineOp::StopContainer { name: machine.name.clone() }, before);
            b.gives_up(name, stop);
            before = after([stop]);
        }
        None => {}
    }
    // The anonymous ones live on in the new container.
    let mut volumes = unused_volumes(&container, old);
    volumes.extend(diff::guest_volume_to_drop(b.actual, name).filter(|_| machine.guest.is_none()).cloned());
    let op = EngineOp::RemoveContainer { name: machine.name.clone(), volumes };
    let mut last = b.add(&addr, op, before);
    last = b.add(&addr, EngineOp::RenameContainer { name: new_name, to: machine.name.clone() }, after([last]));
    Replacement { rest, last }
}

/// The data of a machine's anonymous volumes outlives its replacement, as Compose's users expect: as far as the new one, by the file
/// or by its image, has an anonymous volume in the same place.
fn inheriting(b: &Builder<'_>, container: &Container, old: &MachineState) -> Container {
    let mut container = container.clone();
    // An image that is yet to be pulled is taken to say what the old one did.
    let image = b.actual.engine.images.get(&container.image).map(|image| &image.defaults).or(old.image.as_ref());
    for (place, mount) in &old.container.mounts {
        let MountSource::Volume(_) = &mount.source else { continue };
        let wanted = match container.mounts.get(place) {
            Some(wanted) => wanted.source == MountSource::Anonymous,
            None => !container.tmpfs.contains_key(place) && image.is_some_and(|image| image.volumes.contains(place)),
        };
        if diff::is_anonymous(&mount.source) && wanted {
            container.mounts.insert(place.clone(), mount.clone());
        }
    }
    container
}

fn unused_volumes(container: &Container, old: &MachineState) -> BTreeSet<String> {
    let kept = |name: &String| container.mounts.values().any(|mount| mount.source == MountSource::Volume(name.clone()));
    diff::anonymous_volumes(old).into_iter().filter(|name| !kept(name)).collect()
}

type Endpoints = BTreeMap<String, (Name, Endpoint)>;

fn endpoints(machine: &Machine) -> Endpoints {
    let nat = machine.nics.values().filter_map(|nic| match &nic.attach {
        Attach::Nat { network, engine_name, endpoint, .. } => Some((engine_name.clone(), (network.clone(), endpoint.clone()))),
        _ => None,
    });
    nat.collect()
}

/// Engines before 25 take one network at creation; the others follow one by one.
fn create_container(
    b: &mut Builder<'_>,
    name: &Name,
    machine: &Machine,
    engine_name: &str,
    free: &BTreeSet<StepId>,
    container: &Container,
) -> (StepId, Endpoints) {
    let mut rest = endpoints(machine);
    let first = rest.pop_first();
    let mut before = free.clone();
    before.extend(b.ready_of(&Addr::Image(container.image.clone())));
    before.extend(container.guest.iter().flat_map(|version| b.ready_of(&Addr::Guest(version.clone()))));
    for mount in machine.container.mounts.values() {
        if let MountSource::Volume(volume) = &mount.source {
            let made = b.desired.volumes.iter().find(|(_, wanted)| wanted.name == *volume);
            before.extend(made.map(|(name, _)| b.ready_of(&Addr::Volume(name.clone()))).unwrap_or_default());
        }
    }
    if let Some((_, (network, _))) = &first {
        before.extend(b.ready_of(&Addr::Network(network.clone())));
    }
    if let NetworkMode::Machine(owner) = &container.network_mode {
        before.extend(b.ready_of(&Addr::Machine(owner.clone())));
    }
    let op = EngineOp::CreateContainer {
        name: engine_name.to_owned(),
        container: Box::new(container.clone()),
        network: first.map(|(network, (_, endpoint))| (network, endpoint)),
    };
    (b.add(&Addr::Machine(name.clone()), op, before), rest)
}

fn connect_rest(b: &mut Builder<'_>, name: &Name, machine: &Machine, rest: &Endpoints, before: BTreeSet<StepId>) -> BTreeSet<StepId> {
    let mut last = before;
    for (network, (network_name, endpoint)) in rest {
        let mut before = last.clone();
        before.extend(b.ready_of(&Addr::Network(network_name.clone())));
        before.extend(b.left.get(network_name).into_iter().flatten());
        let op = EngineOp::Connect { container: machine.name.clone(), network: network.clone(), endpoint: endpoint.clone() };
        last = after([b.add(&Addr::Machine(name.clone()), op, before)]);
    }
    last
}

fn start(b: &mut Builder<'_>, name: &Name, machine: &Machine, mut before: BTreeSet<StepId>) -> BTreeSet<StepId> {
    before.extend(dependencies(b, name, machine));
    before.extend(b.freed.get(name).into_iter().flatten());
    if let NetworkMode::Machine(owner) = &machine.container.network_mode {
        before.extend(b.ready_of(&Addr::Machine(owner.clone())));
    }
    // The engine takes addresses and ports when the container starts: whoever has them now has to be gone.
    before.extend(b.free_for_start(machine));
    for network in machine.nics.values().filter_map(|nic| nic.attach.network()) {
        before.extend(b.left.get(network).into_iter().flatten());
        before.extend(b.ready_of(&Addr::Network(network.clone())));
    }
    let started = b.add(&Addr::Machine(name.clone()), EngineOp::StartContainer { name: machine.name.clone() }, before);
    guests::tell(b, name, machine, started);
    after([started])
}

/// The steps after which everything that a machine needs is there, in the state in which it needs it.
fn dependencies(b: &mut Builder<'_>, name: &Name, machine: &Machine) -> BTreeSet<StepId> {
    let mut before = BTreeSet::new();
    for (needed, condition) in &machine.depends_on {
        let addr = Addr::Machine(needed.clone());
        let ready = b.ready_of(&addr);
        let state = b.actual.machine(needed).filter(|_| b.diff.keeps_namespace(b.actual, needed) || b.action(&addr) == Action::Keep);
        let until = match condition {
            Condition::Started => {
                before.extend(ready);
                continue;
            }
            Condition::Healthy if state.is_some_and(|state| state.health == Health::Healthy) => continue,
            Condition::Healthy => WaitFor::Healthy,
            Condition::Completed if state.is_some_and(|state| state.state == RunState::Exited { code: 0 }) => continue,
            Condition::Completed => WaitFor::Completed,
        };
        let Some(target) = b.desired.machines.get(needed) else { continue };
        let op = EngineOp::Wait { container: target.name.clone(), until, timeout: PATIENCE };
        before.insert(b.add_because(&addr, op, ready, format!("machine/{name} waits for it"), Impact::None));
    }
    before
}

fn restart(b: &mut Builder<'_>, name: &Name, machine: &Machine) -> BTreeSet<StepId> {
    let addr = Addr::Machine(name.clone());
    let mut last = limits(b, name, machine);
    let Some(state) = b.actual.machine(name) else { return last };
    match b.stopped.get(name) {
        Some(stopped) => drop(last.insert(*stopped)),
        None if state.is_up() => {
            last = physical::given_back(b, name, &last);
            last = after([b.add(&addr, EngineOp::StopContainer { name: machine.name.clone() }, last)]);
        }
        None => {}
    }
    last.extend(endpoints_while_stopped(b, name, machine, state, &last.clone()));
    start(b, name, machine, last)
}

fn update(b: &mut Builder<'_>, name: &Name, machine: &Machine) -> BTreeSet<StepId> {
    let addr = Addr::Machine(name.clone());
    let Some(state) = b.actual.machine(name) else { return BTreeSet::new() };
    let mut last = limits(b, name, machine);
    if diff::runs_as_wanted(machine, state) {
        if !state.is_up() {
            return last;
        }
        last.extend(names(b, name, machine, &BTreeSet::new()));
        last.extend(nics::routing(b, name, machine, &BTreeSet::new()));
        last.extend(guests::changed(b, name, machine));
        return last;
    }
    if state.state == RunState::Paused {
        let mut ready = after([b.add(&addr, EngineOp::UnpauseContainer { name: machine.name.clone() }, last)]);
        ready.extend(names(b, name, machine, &ready.clone()));
        ready.extend(nics::routing(b, name, machine, &ready.clone()));
        ready.extend(guests::changed(b, name, machine));
        return ready;
    }
    last.extend(endpoints_while_stopped(b, name, machine, state, &last.clone()));
    let started = start(b, name, machine, last);
    let mut ready = started.clone();
    // The engine writes the names that it was given at creation; the file may say others by now.
    ready.extend(names(b, name, machine, &started));
    ready
}

fn names(b: &mut Builder<'_>, name: &Name, machine: &Machine, before: &BTreeSet<StepId>) -> Option<StepId> {
    let (set, remove) = diff::hosts(b.actual, name, machine)?;
    let addr = Addr::Machine(name.clone());
    Some(b.add(&addr, NetOp::SetHosts { machine: name.clone(), set, remove }, before.clone()))
}

fn limits(b: &mut Builder<'_>, name: &Name, machine: &Machine) -> BTreeSet<StepId> {
    let addr = Addr::Machine(name.clone());
    let live = |field: &str| matches!(field, "cpus" | "cpuset" | "memory" | "pids_limit" | "restart");
    let changed = b.diff.changes.get(&addr).is_some_and(|c| c.fields.iter().any(|f| f.effect == Effect::Live && live(&f.field)));
    let named: BTreeSet<StepId> = b.renamed.get(name).copied().into_iter().collect();
    if !changed {
        return named;
    }
    let Container { limits, restart, .. } = &machine.container;
    let op = EngineOp::UpdateContainer { name: machine.name.clone(), limits: limits.clone(), restart: *restart };
    after([b.add(&addr, op, named)])
}

/// A container that does not run is put right on paper: the engine plugs it in when it starts.
fn endpoints_while_stopped(
    b: &mut Builder<'_>,
    name: &Name,
    machine: &Machine,
    state: &MachineState,
    before: &BTreeSet<StepId>,
) -> BTreeSet<StepId> {
    let addr = Addr::Machine(name.clone());
    let wanted = endpoints(machine);
    let mut last = before.clone();
    let disconnect = |network: &str| EngineOp::Disconnect { container: machine.name.clone(), network: network.to_owned() };
    for network in diff::stray_networks(b.actual, machine, state) {
        let step = b.add(&addr, disconnect(network), last.clone());
        b.leaves(name, step);
        last = after([step]);
    }
    let differs = |network: &str, (network_name, endpoint): &(Name, Endpoint)| {
        let remade = b.action(&Addr::Network(network_name.clone())) != Action::Keep;
        let same = |now: &Endpoint| (now.ipv4, now.ipv6, &now.aliases) == (endpoint.ipv4, endpoint.ipv6, &endpoint.aliases);
        (!state.endpoints.get(network).is_some_and(same), remade)
    };
    let missing: Vec<(&String, &(Name, Endpoint), bool)> = wanted
        .iter()
        .filter_map(|(network, endpoint)| {
            let (differs, remade) = differs(network, endpoint);
            (differs || remade).then_some((network, endpoint, remade))
        })
        .collect();
    if !missing.is_empty() && state.endpoints.contains_key("none") {
        last = after([b.add(&addr, disconnect("none"), last)]);
    }
    for (network, (network_name, endpoint), remade) in missing {
        // Making the network anew has taken it off already.
        if state.endpoints.contains_key(network) && !remade {
            last = after([b.add(&addr, disconnect(network), last)]);
        }
        let op = EngineOp::Connect { container: machine.name.clone(), network: network.clone(), endpoint: endpoint.clone() };
        let before = union([&last, &b.ready_of(&Addr::Network(network_name.clone()))]);
        last = after([b.add(&addr, op, before)]);
    }
    last
}
