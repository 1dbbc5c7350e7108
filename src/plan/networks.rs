//! What machines need before they can be: images, volumes, networks.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::StepId;
use super::builder::{Builder, after};
use super::manners;
use crate::desired::{Network, NetworkKind};
use crate::diff::{self, Action, HostLinkDiff, LowerDiff};
use crate::engine::EngineOp;
use crate::net::NetOp;
use crate::types::{Addr, LinkRef, Name, PlacedLink};

pub(super) fn images(b: &mut Builder<'_>) {
    let pulled: Vec<String> =
        b.diff.changes.values().filter_map(|c| if let Addr::Image(image) = &c.addr { Some(image.clone()) } else { None }).collect();
    for image in pulled {
        let addr = Addr::Image(image.clone());
        let step = b.add(&addr, EngineOp::PullImage { image }, BTreeSet::new());
        b.ready.entry(addr).or_default().insert(step);
    }
}

pub(super) fn volumes(b: &mut Builder<'_>) {
    for (name, volume) in &b.desired.volumes {
        let addr = Addr::Volume(name.clone());
        if b.action(&addr) == Action::Create {
            let op = EngineOp::CreateVolume { name: volume.name.clone(), labels: volume.labels.clone() };
            let step = b.add(&addr, op, BTreeSet::new());
            b.ready.entry(addr).or_default().insert(step);
        }
    }
}

pub(super) fn networks(b: &mut Builder<'_>) {
    for (name, network) in &b.desired.networks {
        let addr = Addr::Network(name.clone());
        if b.action(&addr) == Action::Keep {
            continue;
        }
        let mut last = b.ready_of(&addr);
        if let NetworkKind::Nat { name: engine_name, network } = &network.kind {
            // Not for all that go: one that cannot go would hold up those that have nothing to do with it.
            let meets = |a: &IpNet, b: &IpNet| a.contains(b) || b.contains(a);
            let in_the_way = |subnets: &BTreeSet<IpNet>| subnets.iter().any(|a| network.subnets.iter().any(|b| meets(a, b)));
            last.extend(b.subnets.iter().filter(|(subnets, _)| in_the_way(subnets)).map(|(_, step)| *step));
            let op = EngineOp::CreateNetwork { name: engine_name.clone(), network: network.clone() };
            last = after([b.add(&addr, op, last)]);
        }
        if let Some(placed) = &network.host_link {
            let placed = &PlacedLink { manners: manners::of_host(b, network, placed), ..placed.clone() };
            match diff::host_link(b.desired, b.actual, name) {
                HostLinkDiff::Missing | HostLinkDiff::Recreate(_) => {
                    last = after([b.add(&addr, NetOp::CreateLink { link: Box::new(placed.clone()) }, last)]);
                }
                HostLinkDiff::Set(link) => {
                    // Without an alias it was left behind half made, and does not say whose it is: making it again finishes it.
                    if b.actual.host_link(&placed.at.name).is_some_and(|state| state.alias.is_none()) {
                        last = after([b.add(&addr, NetOp::CreateLink { link: Box::new(placed.clone()) }, last)]);
                    }
                    let mut set = link.set;
                    if !set.add_addresses.is_empty() {
                        set.manners = placed.manners.clone();
                    }
                    let op = NetOp::SetLink { at: LinkRef::host(placed.at.name.clone()), set: Box::new(set) };
                    last = after([b.add(&addr, op, last)]);
                }
                HostLinkDiff::None | HostLinkDiff::Same | HostLinkDiff::Unwanted(_) => {}
            }
        }
        last = lower(b, name, network, last);
        if let Some((bridge, false)) = diff::forward_rule(b.desired, b.actual, name) {
            let op = NetOp::AllowForward { bridge: bridge.to_owned(), comment: format!("fly:{}/{name}", b.desired.project) };
            last.insert(b.add(&addr, op, last.clone()));
        }
        b.ready.insert(addr, last);
    }
}

/// What lies beneath it on the host, when its bridge is there.
fn lower(b: &mut Builder<'_>, name: &Name, network: &Network, before: BTreeSet<StepId>) -> BTreeSet<StepId> {
    let addr = Addr::Network(name.clone());
    let mut last = before;
    if let Some(placed) = &network.lower {
        let create = NetOp::CreateLink { link: Box::new(placed.clone()) };
        match diff::lower(b.desired, b.actual, name) {
            // Another network of the file may need the same one.
            LowerDiff::Missing | LowerDiff::Recreate(_) => {
                let same = b.steps.iter().find(|step| matches!(&step.op, super::Op::Net(op) if *op == create)).map(|step| step.id);
                last = after([same.unwrap_or_else(|| b.add(&addr, create, last))]);
            }
            LowerDiff::Set(diff) => {
                let state = b.actual.link(&placed.at);
                // Left behind half made: making it again finishes it.
                if network.vlan().is_none() && state.is_some_and(|state| state.alias.is_none()) {
                    last = after([b.add(&addr, create, last)]);
                }
                let op = NetOp::SetLink { at: placed.at.clone(), set: Box::new(diff.set) };
                last = after([b.add(&addr, op, last)]);
            }
            LowerDiff::Same => {}
        }
    }
    if let Some((link, bridge)) = diff::use_of(b.desired, b.actual, name) {
        let op = NetOp::UseLink { at: LinkRef::host(link), network: name.clone(), bridge: bridge.map(str::to_owned) };
        last = after([b.add(&addr, op, last)]);
    }
    last
}
