//! Who holds what another is to have: a name in a namespace, a MAC or an address on a wire.
//!
//! The kernel gives no name twice, nor a MAC on one parent; and of two who have one address the neighbours believe whoever spoke
//! last. So whoever gives one up does so before another takes it. Where that goes round in a circle, as in an exchange, one of
//! them gives it up in a step of its own first.

mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::builder::Builder;
use super::{Op, Step};
use crate::engine::EngineOp;
use crate::net::{LinkSet, LinkState, NetOp};
use crate::types::{Link, LinkKind, LinkRef, Mac, Ns};

pub(super) use order::settled;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    Name(Ns, String),
    /// By the parent or bridge that is the wire.
    Mac(String, Mac),
    Address(String, IpAddr),
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(_, name) => write!(f, "the name {name}"),
            Self::Mac(_, mac) => write!(f, "the MAC {mac}"),
            Self::Address(_, address) => write!(f, "the address {address}"),
        }
    }
}

/// What a step does to the card that is now at `card`; nothing for one that is yet to be made.
struct Use {
    step: usize,
    card: Option<LinkRef>,
    held: Held,
    /// Adopting finds its card under any name, and moves aside whoever bears the wanted one.
    adopts: bool,
}

/// Which step gives up what another takes, by their places in the list: giver and taker.
fn handovers(b: &Builder<'_>) -> BTreeMap<(usize, usize), BTreeSet<Held>> {
    let (mut given, mut taken): (BTreeMap<Held, Vec<Use>>, Vec<Use>) = (BTreeMap::new(), vec![]);
    for (at, step) in b.steps.iter().enumerate() {
        for one in uses(b, at, step, gives) {
            given.entry(one.held.clone()).or_default().push(one);
        }
        taken.extend(uses(b, at, step, takes));
    }
    let mut pairs = BTreeMap::<_, BTreeSet<Held>>::new();
    for taker in taken {
        for giver in given.get(&taker.held).into_iter().flatten() {
            let is_own = giver.step == taker.step || giver.card.is_some() && giver.card == taker.card;
            let sees_to_it = giver.adopts && taker.adopts && matches!(taker.held, Held::Name(..));
            if !is_own && !sees_to_it {
                pairs.entry((giver.step, taker.step)).or_default().insert(taker.held.clone());
            }
        }
    }
    pairs
}

type Found = Vec<(Option<LinkRef>, Held)>;

fn uses(b: &Builder<'_>, at: usize, step: &Step, find: fn(&Builder<'_>, &Step) -> Found) -> impl Iterator<Item = Use> {
    let adopts = matches!(step.op, Op::Net(NetOp::AdoptPort { .. }));
    find(b, step).into_iter().map(move |(card, held)| Use { step: at, card, held, adopts })
}

/// The card of a step that changes one where it is, as it is now.
fn card<'a>(b: &Builder<'a>, step: &Step, ns: &Ns) -> Option<(LinkRef, &'a LinkState)> {
    let at = LinkRef { ns: ns.clone(), name: b.cards.get(&step.id)?.clone() };
    let link = b.actual.link(&at)?;
    Some((at, link))
}

fn gives(b: &Builder<'_>, step: &Step) -> Found {
    match &step.op {
        Op::Net(NetOp::SetLink { at, set }) => {
            let Some((at, link)) = card(b, step, &at.ns) else { return vec![] };
            let LinkSet { name, mac, remove_addresses, add_addresses, .. } = &**set;
            let name = name.as_ref().map(|_| Held::Name(at.ns.clone(), at.name.clone()));
            let stays = |address: &IpAddr| add_addresses.iter().any(|net| net.addr() == *address);
            let addresses = remove_addresses.iter().map(ipnet::IpNet::addr).filter(|address| !stays(address));
            let on_wire = on_wire(wire(b, link), mac.and(link.link.mac), addresses);
            name.into_iter().chain(on_wire).map(|held| (Some(at.clone()), held)).collect()
        }
        Op::Net(NetOp::AdoptPort { link: wanted, .. }) => {
            let Some((at, link)) = card(b, step, &wanted.at.ns) else { return vec![] };
            let mac = link.link.mac.filter(|mac| wanted.link.mac != Some(*mac));
            let name = Held::Name(at.ns.clone(), at.name.clone());
            [name].into_iter().chain(on_wire(wire(b, link), mac, [])).map(|held| (Some(at.clone()), held)).collect()
        }
        Op::Net(NetOp::DeleteLink { at }) if at.ns != Ns::Host => {
            let Some(link) = b.actual.link(at) else { return vec![] };
            let all = [Held::Name(at.ns.clone(), at.name.clone())].into_iter().chain(all_on_wire(b, link));
            all.map(|held| (Some(at.clone()), held)).collect()
        }
        Op::Net(NetOp::GiveBack { at, device }) => {
            let Some(link) = b.actual.link(at) else { return vec![] };
            let names = [Held::Name(at.ns.clone(), at.name.clone()), Held::Name(Ns::Host, device.clone())];
            let all = names.into_iter().chain(all_on_wire(b, link));
            all.map(|held| (Some(at.clone()), held)).collect()
        }
        // The namespace goes, and all that is in it.
        Op::Engine(EngineOp::StopContainer { name }) => {
            let machine = b.actual.engine.machines.iter().find(|(_, state)| state.name == *name);
            let ns = machine.and_then(|(machine, _)| b.actual.namespace(&Ns::Machine(machine.clone())));
            let links = ns.into_iter().flat_map(|ns| ns.links.values());
            links.flat_map(|link| all_on_wire(b, link)).map(|held| (None, held)).collect()
        }
        _ => vec![],
    }
}

fn takes(b: &Builder<'_>, step: &Step) -> Found {
    let made = |at: &LinkRef, link: &Link, wire: Option<&str>| {
        let name = Held::Name(at.ns.clone(), at.name.clone());
        [name].into_iter().chain(on_wire(wire, link.mac, link.addresses.iter().map(ipnet::IpNet::addr))).collect::<Vec<_>>()
    };
    match &step.op {
        Op::Net(NetOp::SetLink { at, set }) => {
            let Some((at, link)) = card(b, step, &at.ns) else { return vec![] };
            let name = set.name.as_ref().map(|name| Held::Name(at.ns.clone(), name.clone()));
            let on_wire = on_wire(wire(b, link), set.mac, set.add_addresses.iter().map(ipnet::IpNet::addr));
            name.into_iter().chain(on_wire).map(|held| (Some(at.clone()), held)).collect()
        }
        Op::Net(NetOp::AdoptPort { bridge, link }) => {
            let card = card(b, step, &link.at.ns).map(|(at, _)| at);
            made(&link.at, &link.link, Some(bridge)).into_iter().map(|held| (card.clone(), held)).collect()
        }
        Op::Net(NetOp::CreateLink { link }) if link.at.ns != Ns::Host => {
            let Some(parent) = link.link.kind.parent() else { return vec![] };
            made(&link.at, &link.link, Some(&parent.name)).into_iter().map(|held| (None, held)).collect()
        }
        Op::Net(NetOp::TakeLink { device, link }) => {
            let all = made(&link.at, &link.link, Some(device)).into_iter().chain([Held::Name(Ns::Host, device.clone())]);
            all.map(|held| (None, held)).collect()
        }
        Op::Net(NetOp::CreateVeth { a, b: other }) => {
            let ends = [(a, other), (other, a)].into_iter().filter(|(end, _)| end.at.ns != Ns::Host);
            ends.flat_map(|(end, other)| made(&end.at, &end.link, other.link.master.as_deref())).map(|held| (None, held)).collect()
        }
        _ => vec![],
    }
}

/// The parent or bridge by which a card reaches its neighbours.
pub(super) fn wire<'a>(b: &Builder<'a>, link: &'a LinkState) -> Option<&'a str> {
    if let LinkKind::Physical { device } = &link.link.kind {
        return Some(device);
    }
    link.link.kind.parent().map(|parent| parent.name.as_str()).or_else(|| b.actual.plugged_into(link))
}

fn on_wire(wire: Option<&str>, mac: Option<Mac>, addresses: impl IntoIterator<Item = IpAddr>) -> Vec<Held> {
    let Some(wire) = wire else { return vec![] };
    let addresses = addresses.into_iter().map(|address| Held::Address(wire.to_owned(), address));
    mac.map(|mac| Held::Mac(wire.to_owned(), mac)).into_iter().chain(addresses).collect()
}

fn all_on_wire(b: &Builder<'_>, link: &LinkState) -> Vec<Held> {
    on_wire(wire(b, link), link.link.mac, link.link.addresses.iter().map(ipnet::IpNet::addr))
}
