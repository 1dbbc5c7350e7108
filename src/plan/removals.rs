//! What has to go first: machines, cards and networks that are not wanted, or not as they are.

use std::collections::BTreeSet;

use super::builder::{Builder, after};
use super::{Op, StepId};
use super::{leases, physical};
use crate::desired::{Attach, NetworkKind};
use crate::diff::{self, Action, HostLinkDiff, LowerDiff, NicDiff};
use crate::engine::EngineOp;
use crate::net::{LinkSet, LinkState, NetOp};
use crate::types::{Addr, IfName, LinkRef, Name, NetworkMode, Ns, host_link_name};

/// Machines that the file does not have, and what interrupted replacements left. Who needs another stops before it.
pub(super) fn machines(b: &mut Builder<'_>) {
    let gone: BTreeSet<Name> =
        b.actual.engine.machines.keys().filter(|name| b.action(&Addr::Machine((*name).clone())) == Action::Delete).cloned().collect();
    for name in super::machines::ordered(b.desired, &gone).into_iter().rev() {
        let addr = Addr::Machine(name.clone());
        let Some(state) = b.actual.machine(&name) else { continue };
        let needed_by = b.desired.order.iter().filter(|(_, needs)| needs.contains(&name)).filter_map(|(who, _)| b.stopped.get(who));
        let mut before: BTreeSet<StepId> = needed_by.copied().collect();
        if state.is_up() {
            before.extend(leases::give_all_back(b, &name));
            before = physical::given_back(b, &name, &before);
            let stop = b.add(&addr, EngineOp::StopContainer { name: state.name.clone() }, before);
            b.stopped.insert(name.clone(), stop);
            b.gives_up(&name, stop);
            before = after([stop]);
        }
        // The volumes that came from an earlier container in its place are not its own, so the engine would leave them.
        let mut volumes = diff::anonymous_volumes(state);
        volumes.extend(diff::guest_volume_to_drop(b.actual, &name).cloned());
        let remove = b.add(&addr, EngineOp::RemoveContainer { name: state.name.clone(), volumes }, before);
        b.leaves(&name, remove);
        b.freed.entry(name).or_default().insert(remove);
    }
    for engine_name in b.actual.engine.leftovers.keys() {
        let Some(name) = diff::leftover_of(&b.desired.project, engine_name) else { continue };
        let op = EngineOp::RemoveContainer { name: engine_name.clone(), volumes: BTreeSet::new() };
        let remove = b.add(&Addr::Machine(name.clone()), op, BTreeSet::new());
        b.leaves(&name, remove);
        b.freed.entry(name).or_default().insert(remove);
    }
}

/// Machines in a namespace that its owner gives up, or has given up already, stop first: it lives as long as they do, and in it the cards, their addresses and
/// the names of their other ends.
pub(super) fn members(b: &mut Builder<'_>) {
    for (name, state) in &b.actual.engine.machines {
        let wanted = b.desired.machines.get(name).map(|machine| &machine.container.network_mode);
        let owner = match (&state.container.network_mode, wanted) {
            (NetworkMode::Machine(owner), _) => owner,
            // An owner that somebody has removed is no more than an id.
            (NetworkMode::Container(_), Some(NetworkMode::Machine(owner))) if b.actual.machine(owner).is_none() => owner,
            _ => continue,
        };
        if !state.is_up() || (b.diff.keeps_namespace(b.actual, owner) && !diff::stale(b.actual, name, owner)) {
            continue;
        }
        let addr = Addr::Machine(name.clone());
        if !b.stopped.contains_key(name) && matches!(b.action(&addr), Action::Restart | Action::Replace) {
            let stop = b.add(&addr, EngineOp::StopContainer { name: state.name.clone() }, BTreeSet::new());
            b.stopped.insert(name.clone(), stop);
        }
        b.freed.entry(owner.clone()).or_default().extend(b.stopped.get(name));
    }
}

/// Cards of machines that stay: those that are not wanted, and those that have to be made anew.
pub(super) fn nics(b: &mut Builder<'_>) {
    for (machine, wanted) in &b.desired.machines {
        if !b.diff.keeps_namespace(b.actual, machine) {
            continue;
        }
        for (name, link) in diff::extra_links(b.desired, b.actual, machine, wanted) {
            if let Ok(nic) = IfName::new(name) {
                detach(b, machine, &Addr::nic(machine, &nic), name, link);
            }
        }
        // Networks that only the engine's record knows of: the card is gone, or what it was plugged into.
        for network in b.actual.machine(machine).map(|state| diff::lost_networks(b.actual, machine, wanted, state)).unwrap_or_default() {
            disconnect(b, machine, &Addr::Machine(machine.clone()), network, None);
        }
        for (name, nic) in &wanted.nics {
            let addr = Addr::nic(machine, name);
            // A cable that is made anew takes its ends along.
            let cable = if let Attach::Cable { id, .. } = &nic.attach { b.action(&Addr::Link(id.clone())) } else { Action::Keep };
            if matches!(cable, Action::Create | Action::Replace) {
                if let Some(link) = b.actual.nic(machine, name) {
                    let Attach::Cable { id, .. } = &nic.attach else { continue };
                    detach(b, machine, &Addr::Link(id.clone()), name.as_str(), link);
                }
                continue;
            }
            match diff::nic(b.desired, b.actual, machine, name) {
                NicDiff::Recreate { name: found, .. } => {
                    if let Some(link) = b.actual.link(&LinkRef::machine(machine, &found)) {
                        detach(b, machine, &addr, &found, link);
                    }
                }
                NicDiff::Reconnect { name: found, .. } => {
                    let link = found
                        .as_ref()
                        .and_then(|found| b.actual.link(&LinkRef::machine(machine, found)).map(|link| (found.as_str(), link)));
                    let Attach::Nat { engine_name, .. } = &nic.attach else { continue };
                    disconnect(b, machine, &addr, engine_name, link);
                }
                NicDiff::Same | NicDiff::Missing | NicDiff::Set { .. } => {}
            }
        }
    }
}

fn detach(b: &mut Builder<'_>, machine: &Name, addr: &Addr, name: &str, link: &LinkState) {
    let bridge = b.actual.plugged_into(link);
    let network = b.actual.engine.networks.values().find(|network| network.network.bridge.as_deref() == bridge && bridge.is_some());
    let connected = network.filter(|network| b.actual.machine(machine).is_some_and(|state| state.endpoints.contains_key(&network.name)));
    if let Some(network) = connected {
        disconnect(b, machine, addr, &network.name.clone(), Some((name, link)));
        return;
    }
    let mut before = b.freed.get(machine).cloned().unwrap_or_default();
    before.extend(leases::give_back(b, machine, addr, name, link, &before.clone()));
    let at = LinkRef::machine(machine, name);
    let op = match link.origin() {
        Some(origin) => NetOp::GiveBack { at, device: origin.name },
        None => NetOp::DeleteLink { at },
    };
    let step = b.add(addr, op, before);
    b.leaves(machine, step);
    b.freed.entry(machine.clone()).or_default().insert(step);
}

/// Engines before 28 disconnect by the name that they once gave, whoever bears it now. So our link goes first, by its own name; and
/// if a card of ours has got the remembered name meanwhile, it steps aside for the moment.
fn disconnect(b: &mut Builder<'_>, machine: &Name, addr: &Addr, network: &str, link: Option<(&str, &LinkState)>) {
    let Some(state) = b.actual.machine(machine) else { return };
    // One card of a machine after the other: a name may belong to one card at first and to another later.
    let mut before = b.freed.get(machine).cloned().unwrap_or_default();
    let bearers = bearers(b, machine, link);
    if let Some((name, _)) = link {
        before = after([b.add(addr, NetOp::DeleteLink { at: LinkRef::machine(machine, name) }, before)]);
    }
    let aside = |name: &str| host_link_name(&b.desired.project, &format!("aside/{machine}:{name}"));
    let bearers: Vec<(String, String, &LinkState)> = bearers.into_iter().map(|(name, link)| (name.to_owned(), aside(name), link)).collect();
    for (name, other, link) in &bearers {
        let set = LinkSet { name: Some(other.clone()), keep_routes: link.link.routes.clone(), ..LinkSet::default() };
        before = after([b.add(addr, NetOp::SetLink { at: LinkRef::machine(machine, name), set: Box::new(set) }, before)]);
    }
    let mut last = b.add(addr, EngineOp::Disconnect { container: state.name.clone(), network: network.to_owned() }, before);
    b.leaves(machine, last);
    for (name, other, link) in bearers {
        let set = LinkSet { name: Some(name), keep_routes: link.link.routes.clone(), ..LinkSet::default() };
        last = b.add(addr, NetOp::SetLink { at: LinkRef::machine(machine, other), set: Box::new(set) }, after([last]));
    }
    if let Some(hosts) = lost_names(b, machine) {
        last = b.add(addr, hosts, after([last]));
    }
    b.freed.entry(machine.clone()).or_default().insert(last);
}

/// Who may bear the name that the engine will remove: as the card's alias says; where the card is gone and its alias with it, every
/// link whose name is one that the engine gives.
fn bearers<'a>(b: &Builder<'a>, machine: &Name, card: Option<(&str, &LinkState)>) -> Vec<(&'a str, &'a LinkState)> {
    let links = b.actual.namespace(&Ns::Machine(machine.clone())).into_iter().flat_map(|ns| &ns.links);
    let is_deleted = |name: &str| {
        let at = LinkRef::machine(machine, name);
        b.steps
            .iter()
            .any(|step| matches!(&step.op, Op::Net(NetOp::DeleteLink { at: gone } | NetOp::GiveBack { at: gone, .. }) if *gone == at))
    };
    let may_be = |name: &str| match card {
        Some((own, link)) => {
            let noted = link.alias.as_deref().and_then(|alias| alias.split(' ').find_map(|word| word.strip_prefix("engine=")));
            name != own && noted == Some(name)
        }
        None => name.strip_prefix("eth").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())),
    };
    links.map(|(name, link)| (name.as_str(), link)).filter(|(name, _)| may_be(name) && !is_deleted(name)).collect()
}

/// With any of its networks, a container loses the lines of `/etc/hosts` for its own name (the engine's fault), but for marked ones.
fn lost_names(b: &Builder<'_>, machine: &Name) -> Option<NetOp> {
    let wanted = b.desired.machines.get(machine)?;
    let own = wanted.container.hostname.as_ref()?;
    let lines = &b.actual.namespace(&Ns::Machine(machine.clone()))?.hosts;
    let is_lost = lines.iter().any(|line| !line.marked && line.entry.name == *own && wanted.hosts.contains(&line.entry));
    let set = diff::wanted_hosts(b.actual, machine, wanted);
    is_lost.then(|| NetOp::SetHosts { machine: machine.clone(), set, remove: BTreeSet::new() })
}

/// Docker networks, links on the host and firewall rules that are not wanted, or of another kind than they are to be.
pub(super) fn networks(b: &mut Builder<'_>) {
    for (name, state) in &b.actual.engine.networks {
        let addr = Addr::Network(name.clone());
        let wanted = b.desired.networks.get(name).is_some_and(|network| matches!(network.kind, NetworkKind::Nat { .. }));
        let kept = wanted && b.action(&addr) == Action::Keep;
        if kept {
            continue;
        }
        let mut before = b.left.get(name).cloned().unwrap_or_default();
        for (machine, container) in &b.actual.engine.machines {
            let on_it = container.endpoints.contains_key(&state.name);
            let handled = b.diff.keeps_namespace(b.actual, machine) || b.action(&Addr::Machine(machine.clone())) == Action::Delete;
            if on_it && !handled {
                let named = b.desired.machines.get(machine).map_or(&container.name, |wanted| &wanted.name).clone();
                let op = EngineOp::Disconnect { container: named, network: state.name.clone() };
                let step = b.add(&addr, op, b.renamed.get(machine).copied().into_iter().collect());
                before.insert(step);
                b.left.entry(name.clone()).or_default().insert(step);
            }
        }
        let delete = b.add(&addr, EngineOp::DeleteNetwork { name: state.name.clone() }, before);
        b.subnets.push((state.network.subnets.clone(), delete));
        b.ready.entry(addr).or_default().insert(delete);
    }
    host_links(b);
    for (bridge, comment, name) in diff::unwanted_rules(b.desired, b.actual) {
        let addr = Addr::Network(name);
        let op = NetOp::RevokeForward { bridge: bridge.to_owned(), comment: comment.to_owned() };
        let step = b.add(&addr, op, BTreeSet::new());
        b.ready.entry(addr).or_default().insert(step);
    }
}

fn host_links(b: &mut Builder<'_>) {
    let all: BTreeSet<&Name> = b.desired.networks.keys().collect();
    for name in all {
        let link = match diff::host_link(b.desired, b.actual, name) {
            HostLinkDiff::Unwanted(link) => link,
            HostLinkDiff::Recreate(_) => host_link_name(&b.desired.project, &format!("network/{name}")),
            _ => continue,
        };
        let addr = Addr::Network(name.clone());
        let before = b.left.get(name).cloned().unwrap_or_default();
        let step = b.add(&addr, NetOp::DeleteLink { at: LinkRef::host(link) }, before);
        b.ready.entry(addr).or_default().insert(step);
    }
    // The cards on a bridge go before the bridge: nobody finds his cable dangling because a step in between failed.
    let mut removed: BTreeSet<StepId> = b.freed.values().flatten().copied().collect();
    removed.extend(lower(b, &removed));
    for (link, addr) in diff::orphans(b.desired, b.actual) {
        let before = if matches!(addr, Addr::Network(_)) { removed.clone() } else { BTreeSet::new() };
        b.add(&addr, NetOp::DeleteLink { at: LinkRef { ns: Ns::Host, name: link.to_owned() } }, before);
    }
}

/// What lies beneath networks on the host, and is not needed.
fn lower(b: &mut Builder<'_>, cards: &BTreeSet<StepId>) -> BTreeSet<StepId> {
    let mut steps = BTreeSet::new();
    for (name, network) in &b.desired.networks {
        if let (LowerDiff::Recreate(_), Some(lower)) = (diff::lower(b.desired, b.actual, name), &network.lower) {
            let addr = Addr::Network(name.clone());
            let step = b.add(&addr, NetOp::DeleteLink { at: lower.at.clone() }, BTreeSet::new());
            b.ready.entry(addr).or_default().insert(step);
        }
    }
    for diff::GivenBack { link, network, delete } in diff::given_back(b.desired, b.actual) {
        let addr = Addr::Network(network.clone());
        let at = LinkRef::host(link);
        let op = if delete { NetOp::DeleteLink { at } } else { NetOp::LeaveLink { at, network } };
        let step = b.add(&addr, op, cards.clone());
        b.ready.entry(addr).or_default().insert(step);
        steps.insert(step);
    }
    steps
}

/// Volumes, after every machine that mounts them.
pub(super) fn volumes(b: &mut Builder<'_>) {
    let removed: BTreeSet<StepId> = b.freed.values().flatten().copied().collect();
    for (name, state) in &b.actual.engine.volumes {
        let addr = Addr::Volume(name.clone());
        if b.action(&addr) == Action::Delete {
            b.add(&addr, EngineOp::DeleteVolume { name: state.name.clone() }, removed.clone());
        }
    }
}
