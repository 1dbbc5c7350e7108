//! Network cards and cables: plugged in where they are missing, changed in place where they differ.

use std::collections::BTreeSet;

use super::StepId;
use super::builder::{Builder, after, union};
use super::{leases, manners};
use crate::desired::{Attach, Machine, Nic};
use crate::diff::{self, Action, NicDiff};
use crate::engine::EngineOp;
use crate::net::{LinkSet, NetOp, Tune};
use crate::types::{Addr, CableId, IfName, LinkRef, Manners, Name, Ns, PlacedLink, Traffic};

/// All cards of a machine that has just started, but for cables. The engine's come first: they may bear names that others are to have.
pub(super) fn attach_all(b: &mut Builder<'_>, name: &Name, machine: &Machine, started: BTreeSet<StepId>) -> BTreeSet<StepId> {
    if started.is_empty() {
        return started;
    }
    let mut last = started;
    for (nic_name, nic) in &machine.nics {
        if let Attach::Nat { bridge, .. } = &nic.attach {
            last = after([adopt(b, name, nic_name, nic, bridge, last)]);
        }
    }
    let mut ready = last.clone();
    for (nic_name, nic) in &machine.nics {
        let there = plug_in(b, name, nic_name, nic, &last);
        ready.extend(there);
        if let Some(there) = there {
            ready.extend(leases::get(b, name, machine, nic_name, &after([there])));
        }
    }
    ready.extend(routing(b, name, machine, &last));
    ready
}

/// Rules and routes that hang on no card, where they differ.
pub(super) fn routing(b: &mut Builder<'_>, name: &Name, machine: &Machine, before: &BTreeSet<StepId>) -> Option<StepId> {
    let keeps = b.diff.keeps_namespace(b.actual, name);
    let (add, remove) = diff::routing(b.actual, name, machine, keeps)?;
    let op = NetOp::SetRouting { machine: name.clone(), add: Box::new(add), remove: Box::new(remove) };
    Some(b.add(&Addr::Machine(name.clone()), op, before.clone()))
}

fn placed(b: &Builder<'_>, machine: &Name, name: &IfName, nic: &Nic) -> PlacedLink {
    PlacedLink {
        at: LinkRef::machine(machine, name.as_str()),
        link: diff::wanted(b.actual, nic),
        alias: Some(diff::alias(&b.desired.project, machine, name)),
        manners: manners::of_card(b, nic),
    }
}

fn adopt(b: &mut Builder<'_>, machine: &Name, name: &IfName, nic: &Nic, bridge: &str, before: BTreeSet<StepId>) -> StepId {
    let link = Box::new(placed(b, machine, name, nic));
    b.add(&Addr::nic(machine, name), NetOp::AdoptPort { bridge: bridge.to_owned(), link }, before)
}

/// A card that fly itself makes; nothing for the engine's and for cables.
fn plug_in(b: &mut Builder<'_>, machine: &Name, name: &IfName, nic: &Nic, before: &BTreeSet<StepId>) -> Option<StepId> {
    let network = nic.attach.network()?;
    let mut before = union([before, &b.ready_of(&Addr::Network(network.clone()))]);
    before.extend(b.left.get(network).into_iter().flatten());
    before.extend(b.free_for_card(nic));
    let link = Box::new(placed(b, machine, name, nic));
    let op = match &nic.attach {
        Attach::Nat { .. } | Attach::Cable { .. } => return None,
        Attach::Macvlan { .. } | Attach::Ipvlan { .. } => NetOp::CreateLink { link },
        Attach::Physical { device, .. } => NetOp::TakeLink { device: device.clone(), link },
        Attach::Bridge { host_end, .. } => {
            let other = diff::host_end(b.actual, b.desired, machine, name)?;
            let other =
                PlacedLink { at: LinkRef::host(host_end.clone()), link: other, alias: link.alias.clone(), manners: Manners::default() };
            NetOp::CreateVeth { a: link, b: Box::new(other) }
        }
    };
    Some(b.add(&Addr::nic(machine, name), op, before))
}

/// Cards of machines that keep their namespace. First those that are there, in the order in which they give up what another is to
/// have (`handover`); then the engine's new ones, which may bear any name at first; then ours.
pub(super) fn changed(b: &mut Builder<'_>) {
    for (machine, wanted) in &b.desired.machines {
        if !b.diff.keeps_namespace(b.actual, machine) {
            continue;
        }
        let cabled = |nic: &Nic| matches!(&nic.attach, Attach::Cable { id, .. } if b.action(&Addr::Link(id.clone())) != Action::Keep);
        let differs = |name: &IfName| diff::nic(b.desired, b.actual, machine, name);
        let all = wanted.nics.iter().filter(|(_, nic)| !cabled(nic)).map(|(name, nic)| (name, nic, differs(name)));
        let (there, new): (Vec<_>, Vec<_>) = all.partition(|(_, _, diff)| matches!(diff, NicDiff::Set { .. }));
        let (engines, ours): (Vec<_>, Vec<_>) = new.into_iter().partition(|(_, nic, _)| matches!(nic.attach, Attach::Nat { .. }));
        let removed = b.freed.get(machine).cloned().unwrap_or_default();
        let (mut freed, mut adopted) = (removed.clone(), removed.clone());
        let mut steps = BTreeSet::new();
        for (name, nic, diff) in there {
            let renamed = matches!(&diff, NicDiff::Set { name: found, .. } if found != name.as_str());
            // One after the other: adopting moves aside whoever bears the name.
            let is_adopted = renamed && matches!(nic.attach, Attach::Nat { .. });
            let last = one(b, machine, wanted, name, nic, diff, if is_adopted { &adopted } else { &removed });
            if is_adopted {
                adopted.extend(last);
            }
            steps.extend(last);
            freed.extend(last.filter(|_| renamed));
        }
        let connected = engines.iter().rev().find(|(_, _, diff)| !matches!(diff, NicDiff::Same)).map(|(name, ..)| *name);
        clear_ways_out(b, machine, connected, &mut freed);
        for (name, nic, diff) in engines {
            // One after the other: the engine counts its names up.
            let last = one(b, machine, wanted, name, nic, diff, &freed);
            freed.extend(last);
        }
        for (name, nic, diff) in ours {
            steps.extend(one(b, machine, wanted, name, nic, diff, &freed));
        }
        steps.extend(&freed);
        ways_out(b, machine, wanted, connected, &steps);
        leases::changed(b, machine, wanted, &steps);
        b.freed.entry(machine.clone()).or_default().extend(freed);
    }
}

/// With every network that a machine gets, the engine chooses its way out anew: it takes away the one that it made, and fails over any
/// other. That one makes way for the moment.
fn clear_ways_out(b: &mut Builder<'_>, machine: &Name, connected: Option<&IfName>, freed: &mut BTreeSet<StepId>) {
    let (Some(last), Some(ns)) = (connected, b.actual.namespace(&Ns::Machine(machine.clone()))) else { return };
    let of_engine = |link| {
        b.actual.plugged_into(link).is_some_and(|it| b.actual.engine.networks.values().any(|n| n.network.bridge.as_deref() == Some(it)))
    };
    // Of several, nobody knows which one the engine has chosen.
    let is_sure = b.actual.machine(machine).is_some_and(|state| state.endpoints.len() == 1);
    for (name, link) in &ns.links {
        let at = LinkRef::machine(machine, name);
        let is_gone = b.steps.iter().any(
            |step| matches!(&step.op, super::Op::Net(NetOp::DeleteLink { at: gone } | NetOp::GiveBack { at: gone, .. }) if *gone == at),
        );
        let routes: BTreeSet<_> = link.link.routes.iter().filter(|route| route.is_way_out()).cloned().collect();
        if routes.is_empty() || is_gone || (is_sure && of_engine(link)) {
            continue;
        }
        let set = LinkSet { remove_routes: routes, ..LinkSet::default() };
        freed.insert(b.add(&Addr::nic(machine, last), NetOp::SetLink { at, set: Box::new(set) }, freed.clone()));
    }
}

/// And is put back, with whatever the engine has taken away.
fn ways_out(b: &mut Builder<'_>, machine: &Name, wanted: &Machine, connected: Option<&IfName>, before: &BTreeSet<StepId>) {
    let Some(last) = connected else { return };
    for (name, nic) in wanted.nics.iter().filter(|(name, nic)| *name != last && nic.up) {
        let routes: BTreeSet<_> = nic.routes.iter().filter(|route| route.is_way_out()).cloned().collect();
        let is_there = !matches!(&nic.attach, Attach::Cable { id, .. } if b.action(&Addr::Link(id.clone())) != Action::Keep);
        if !routes.is_empty() && is_there {
            let set = LinkSet { add_routes: routes, ..LinkSet::default() };
            b.add(
                &Addr::nic(machine, last),
                NetOp::SetLink { at: LinkRef::machine(machine, name.as_str()), set: Box::new(set) },
                before.clone(),
            );
        }
    }
}

/// The steps for one card; the last of them.
fn one(
    b: &mut Builder<'_>,
    machine: &Name,
    wanted: &Machine,
    name: &IfName,
    nic: &Nic,
    diff: NicDiff,
    freed: &BTreeSet<StepId>,
) -> Option<StepId> {
    match (diff, &nic.attach) {
        (NicDiff::Same, _) => None,
        (NicDiff::Set { name: found, set, peer, .. }, _) => set_one(b, machine, name, nic, &found, *set, *peer, freed),
        (NicDiff::Missing | NicDiff::Recreate { .. } | NicDiff::Reconnect { .. }, Attach::Nat { bridge, .. }) => {
            let connected = connect(b, machine, wanted, name, nic, freed);
            Some(adopt(b, machine, name, nic, bridge, connected))
        }
        (NicDiff::Missing | NicDiff::Recreate { .. } | NicDiff::Reconnect { .. }, _) => plug_in(b, machine, name, nic, freed),
    }
}

#[expect(clippy::too_many_arguments, reason = "a card, where it is, and what to set at its two ends")]
fn set_one(
    b: &mut Builder<'_>,
    machine: &Name,
    name: &IfName,
    nic: &Nic,
    found: &str,
    mut set: LinkSet,
    peer: LinkSet,
    freed: &BTreeSet<StepId>,
) -> Option<StepId> {
    let addr = Addr::nic(machine, name);
    let (mut before, mut last) = (freed.clone(), None);
    let (card, mut found) = (found, found);
    match &nic.attach {
        // Adopting keeps the name by which the engine remembers the card. It takes nothing away, so that may be left to do.
        Attach::Nat { bridge, .. } if set.name.is_some() => {
            let adopted = adopt(b, machine, name, nic, bridge, before);
            b.cards.insert(adopted, card.to_owned());
            (before, last, found) = (after([adopted]), Some(adopted), name.as_str());
            let LinkSet { remove_addresses, remove_routes, connect, tune, .. } = set;
            // What is to be there is there by then.
            let tune =
                Tune { remove_neighbours: tune.remove_neighbours, traffic: tune.traffic.filter(Traffic::is_empty), ..Tune::default() };
            set = LinkSet { remove_addresses, remove_routes, connect, tune, ..LinkSet::default() };
        }
        // Half made, without the alias that says whose it is: making it again finishes it.
        _ if b.actual.link(&LinkRef::machine(machine, found)).is_some_and(|link| link.alias.is_none()) => {
            last = plug_in(b, machine, name, nic, &before);
            before.extend(last);
        }
        _ => {}
    }
    if let Some(network) = nic.attach.network() {
        before.extend(b.ready_of(&Addr::Network(network.clone())));
    }
    // The host's end first: a port is enlarged before what is to go through it.
    if let (Attach::Bridge { host_end, .. }, false) = (&nic.attach, peer.is_empty()) {
        let step = b.add(&addr, NetOp::SetLink { at: LinkRef::host(host_end.clone()), set: Box::new(peer) }, before);
        (before, last) = (after([step]), Some(step));
    }
    if !set.is_empty() {
        set.manners = manners::of_change(b, nic, &set);
        let step = b.add(&addr, NetOp::SetLink { at: LinkRef::machine(machine, found), set: Box::new(set) }, before);
        b.cards.insert(step, card.to_owned());
        last = Some(step);
    }
    last
}

fn connect(b: &mut Builder<'_>, machine: &Name, wanted: &Machine, name: &IfName, nic: &Nic, before: &BTreeSet<StepId>) -> BTreeSet<StepId> {
    let Attach::Nat { network, engine_name, endpoint, .. } = &nic.attach else { return before.clone() };
    let addr = Addr::nic(machine, name);
    let mut before = union([before, &b.ready_of(&Addr::Network(network.clone()))]);
    before.extend(b.left.get(network).into_iter().flatten());
    before.extend(b.free_for_card(nic));
    // A container on the network `none` cannot be on another one as well.
    let on_none = b.actual.machine(machine).is_some_and(|state| state.endpoints.contains_key("none"));
    let left_none = b.steps.iter().any(|step| {
        matches!(&step.op, super::Op::Engine(EngineOp::Disconnect { container, network }) if *container == wanted.name && network == "none")
    });
    if on_none && !left_none {
        let op = EngineOp::Disconnect { container: wanted.name.clone(), network: "none".to_owned() };
        before = after([b.add(&addr, op, before)]);
    }
    let op = EngineOp::Connect { container: wanted.name.clone(), network: engine_name.clone(), endpoint: endpoint.clone() };
    after([b.add(&addr, op, before)])
}

/// Cables whose machines are both there by now.
pub(super) fn cables(b: &mut Builder<'_>) {
    for id in b.desired.cables.keys() {
        let addr = Addr::Link(id.clone());
        if b.action(&addr) == Action::Keep {
            continue;
        }
        if let Some([one, other]) = cable_ends(b, id) {
            let mut before = BTreeSet::new();
            for (machine, _) in id.ends() {
                before.extend(b.ready_of(&Addr::Machine(machine.clone())));
                before.extend(b.freed.get(machine).into_iter().flatten());
            }
            b.add(&addr, NetOp::CreateVeth { a: Box::new(one), b: Box::new(other) }, before);
        }
    }
}

fn cable_ends(b: &Builder<'_>, id: &CableId) -> Option<[PlacedLink; 2]> {
    let end = |(machine, name): &(Name, IfName)| {
        let nic = b.desired.machines.get(machine)?.nics.get(name)?;
        Some(placed(b, machine, name, nic))
    };
    let [one, other] = id.ends();
    Some([end(one)?, end(other)?])
}
