//! What steps of the kernel leave behind.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Builder, host};
use crate::net::{GuestSeen, HostsLine, LinkSet, LinkState, NetOp};
use crate::types::{GuestConfig, IfName, LINK_GROUP, Link, LinkKind, LinkRef, Name, Ns, Origin, Owner, PlacedLink, SshdStatus, Tuning};

impl Builder<'_> {
    pub(super) fn net(&mut self, op: NetOp) {
        match op {
            NetOp::CreateLink { link } => self.bear(*link),
            NetOp::CreateVeth { a, b } => {
                self.bear(*a);
                self.bear(*b);
            }
            NetOp::AdoptPort { bridge, link } => self.adopt(bridge, *link),
            NetOp::Lease { at, leasing } => {
                // Which one the network gives, nobody knows.
                let any = IpNet::from(IpAddr::from([0, 0, 0, 0]));
                if let Some(link) = self.links(at.ns).get_mut(&at.name) {
                    link.leases.extend(leasing.ways.iter().map(|way| (*way, any)));
                }
            }
            NetOp::SetLink { at, set } => {
                if let Some(link) = self.links(at.ns).get_mut(&at.name) {
                    change(link, *set);
                }
            }
            NetOp::UseLink { at, network, bridge } => {
                let user = (self.desired.project.clone(), network);
                if let Some(link) = self.links(at.ns).get_mut(&at.name) {
                    link.users.insert(user);
                    link.link.master = bridge.or(link.link.master.take());
                }
            }
            NetOp::SetRouting { machine, add, .. } => self.namespace(&machine).routing = *add,
            NetOp::SetHosts { machine, set, .. } => {
                let lines = set.iter().map(|entry| HostsLine { entry: entry.clone(), marked: true });
                self.namespace(&machine).hosts = Arc::new(lines.collect());
            }
            NetOp::SetGuest { machine, config } => self.tell(machine, *config),
            NetOp::AllowForward { bridge, comment } => drop(self.actual.net.firewall.allowed.insert((bridge, comment))),
            NetOp::TakeLink { device, link } => self.take(device, *link),
            // Nothing that happens on the way from nothing.
            NetOp::GiveBack { .. }
            | NetOp::Release { .. }
            | NetOp::DeleteLink { .. }
            | NetOp::LeaveLink { .. }
            | NetOp::RevokeForward { .. } => {}
        }
    }

    pub(super) fn links(&mut self, ns: Ns) -> &mut BTreeMap<String, LinkState> {
        &mut self.actual.net.namespaces.entry(ns).or_default().links
    }

    fn bear(&mut self, placed: PlacedLink) {
        let PlacedLink { at, mut link, alias, manners: _ } = placed;
        // What it does not say itself, it has from what it hangs on.
        let parent = link.kind.parent().and_then(|parent| self.actual.link(parent)).map(|parent| (parent.link.mac, parent.link.mtu));
        if let Some((mac, mtu)) = parent {
            link.mac = link.mac.or(mac);
            link.mtu = link.mtu.or(mtu);
        }
        let index = self.next();
        let group = if at.ns == Ns::Host { LINK_GROUP } else { 0 };
        let state = LinkState { group, alias, ..host::state(link, index, Owner::Ours) };
        self.links(at.ns).insert(at.name, state);
    }

    /// A card of the host's goes into a machine, with a note of what it was.
    fn take(&mut self, device: String, placed: PlacedLink) {
        let Some(was) = self.links(Ns::Host).remove(&device) else { return };
        let PlacedLink { at, mut link, manners: _, alias: _ } = placed;
        let (Ns::Machine(machine), Ok(nic)) = (&at.ns, IfName::new(&at.name)) else { return };
        link.mac = link.mac.or(was.link.mac);
        link.mtu = link.mtu.or(was.link.mtu);
        let origin = Origin {
            project: self.desired.project.clone(),
            machine: machine.clone(),
            nic,
            name: device,
            mac: was.link.mac,
            mtu: was.link.mtu.unwrap_or(host::MTU),
            up: was.link.up,
            alias: was.alias.unwrap_or_default(),
        };
        let index = self.next();
        let state = LinkState { alias: origin.alias(), ..host::state(link, index, Owner::Ours) };
        self.links(at.ns).insert(at.name, state);
    }

    /// The engine has made both ends.
    fn adopt(&mut self, bridge: String, placed: PlacedLink) {
        let PlacedLink { at, mut link, alias, manners: _ } = placed;
        let (inner, outer) = (self.next(), self.next());
        let port = format!("veth{outer:07x}");
        let end = Link {
            kind: LinkKind::Veth { peer: Some(at.clone()) },
            mac: None,
            mtu: link.mtu,
            up: true,
            master: Some(bridge),
            addresses: std::collections::BTreeSet::new(),
            routes: std::collections::BTreeSet::new(),
            tuning: Tuning { traffic: link.tuning.traffic.clone(), ..Tuning::default() },
        };
        self.links(Ns::Host).insert(port.clone(), host::state(end, outer, Owner::Stranger));
        link.kind = LinkKind::Veth { peer: Some(LinkRef::host(port)) };
        let state = LinkState { alias, ..host::state(link, inner, Owner::Ours) };
        self.links(at.ns).insert(at.name, state);
    }

    fn tell(&mut self, machine: Name, config: GuestConfig) {
        let listening = |port: u16| SshdStatus { error: None, listening: vec![format!("0.0.0.0:{port}")] };
        let sshd = config.sshd.as_ref().map(|sshd| listening(sshd.port));
        let host_key = sshd.is_some();
        self.actual.net.guests.insert(machine, GuestSeen { config: Some(config), status: None, sshd, host_key });
    }
}

fn change(state: &mut LinkState, set: LinkSet) {
    let link = &mut state.link;
    link.mac = set.mac.or(link.mac);
    link.mtu = set.mtu.or(link.mtu);
    link.up = set.up.unwrap_or(link.up);
    state.group = set.group.unwrap_or(state.group);
    link.kind = set.kind.unwrap_or_else(|| link.kind.clone());
    link.master = set.master.or(link.master.take());
    link.addresses.extend(set.add_addresses);
    link.addresses.retain(|address| !set.remove_addresses.contains(address));
    link.routes.extend(set.add_routes);
    link.routes.retain(|route| !set.remove_routes.contains(route));
    link.tuning.neighbours.extend(set.tune.neighbours);
    link.tuning.traffic = set.tune.traffic.unwrap_or_else(|| link.tuning.traffic.clone());
    state.sysctls.extend(set.tune.sysctls);
    state.connected = link.addresses.iter().map(IpNet::trunc).collect();
}
