//! The world as a kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::faults::{Done, FaultKind, refuse};
use super::kinds::can_become;
use super::state::{FakeLink, HOST, Kind, NsId, State};
use super::{Call, FakeNet};
use crate::net::{Cards, Firewall, GuestSeen, HostsLine, LinkSet, NetError, NetOp, NetPlane, NetSnapshot, Processes, Tune};
use crate::types::{
    Dynamic, GuestSshd, HostEntry, LINK_GROUP, Leasing, LinkKind, LinkRef, Mac, MacvlanMode, Manners, Name, Ns, PlacedLink, SshdStatus,
};

impl NetPlane for FakeNet {
    async fn firewall(&self) -> Result<Firewall, NetError> {
        tokio::task::yield_now().await;
        let state = self.world.lock();
        Ok(Firewall { drops_bridged: state.drops_bridged, allowed: state.rules.iter().cloned().collect() })
    }

    async fn observe(&self, project: &Name, processes: &Processes) -> Result<NetSnapshot, NetError> {
        tokio::task::yield_now().await;
        Ok(self.world.lock().net_snapshot(project, processes))
    }

    async fn guests(&self, processes: &Processes) -> Result<BTreeMap<Name, GuestSeen>, NetError> {
        tokio::task::yield_now().await;
        let state = self.world.lock();
        let told = |pid: u32| {
            let running = state.containers.values().find(|container| container.pid == Some(pid))?;
            let config = running.guest.as_ref()?;
            let listening = |sshd: &GuestSshd| SshdStatus { error: None, listening: vec![format!("0.0.0.0:{}", sshd.port)] };
            Some(GuestSeen {
                config: Some(config.clone()),
                status: None,
                sshd: config.sshd.as_ref().map(listening),
                host_key: running.has_host_key(),
            })
        };
        Ok(processes.iter().filter_map(|(name, pid)| Some((name.clone(), told(*pid)?))).collect())
    }

    async fn lacking(&self, modules: &BTreeSet<String>) -> Result<BTreeSet<String>, NetError> {
        tokio::task::yield_now().await;
        Ok(self.world.lock().lacking.intersection(modules).cloned().collect())
    }

    async fn cards(&self, _: &BTreeSet<String>) -> Result<Cards, NetError> {
        tokio::task::yield_now().await;
        Ok(Cards::default())
    }

    async fn space(&self, pid: u32) -> Result<Option<u64>, NetError> {
        tokio::task::yield_now().await;
        Ok(self.world.lock().inode_of(pid))
    }

    async fn perform(&self, op: &NetOp, project: &Name, processes: &Processes) -> Result<(), NetError> {
        tokio::task::yield_now().await;
        let done = self.world.perform(Call::Net(op.clone()), |state| state.net_op(op, project, processes));
        done.map_err(|refusal| NetError { kind: refusal.kind.net(), doing: refusal.doing, message: refusal.message })
    }
}

impl State {
    fn net_op(&mut self, op: &NetOp, project: &Name, processes: &Processes) -> Done {
        match op {
            NetOp::CreateLink { link } => self.create_link(link, processes),
            NetOp::CreateVeth { a, b } => self.create_veth(a, b, processes),
            NetOp::AdoptPort { bridge, link } => self.adopt_port(bridge, link, processes),
            NetOp::Lease { at, leasing } => self.lease(at, leasing, processes),
            NetOp::Release { at, ways } => self.release(at, ways, processes),
            NetOp::SetLink { at, set } => self.set_link(at, set, processes),
            NetOp::DeleteLink { at } => {
                // A namespace that is gone took the link along.
                if let Ok(ns) = self.ns(&at.ns, processes)
                    && let Some(link) = self.link(ns, &at.name)
                {
                    if matches!(link.kind, Kind::Other(_)) {
                        return refuse(FaultKind::Other, "hardware is not deleted: operation not supported");
                    }
                    self.remove_link(link.index);
                }
                Ok(())
            }
            NetOp::UseLink { at, network, bridge } => self.use_link(at, network, bridge.as_deref(), project),
            NetOp::LeaveLink { at, network } => self.leave_link(at, network, project),
            NetOp::TakeLink { device, link } => self.take_link(device, link, project, processes),
            NetOp::GiveBack { at, device } => self.give_back(at, device, project, processes),
            NetOp::SetRouting { machine, add, remove } => {
                let ns = self.ns(&Ns::Machine(machine.clone()), processes)?;
                self.set_routing(ns, add, remove);
                Ok(())
            }
            NetOp::SetHosts { machine, set, remove } => self.set_hosts(machine, set, remove, processes),
            NetOp::SetGuest { machine, config } => self.set_guest(machine, config, processes),
            NetOp::AllowForward { bridge, comment } => {
                self.rules.insert((bridge.clone(), comment.clone()));
                Ok(())
            }
            NetOp::RevokeForward { bridge, comment } => {
                self.rules.remove(&(bridge.clone(), comment.clone()));
                Ok(())
            }
        }
    }

    /// The network has an address for everybody.
    fn lease(&mut self, at: &LinkRef, leasing: &Leasing, processes: &Processes) -> Done {
        let ns = self.ns(&at.ns, processes)?;
        let index = self.index(ns, &at.name)?;
        let number = u8::try_from(index % 250).unwrap_or(0) + 1;
        if let Ok(link) = self.link_mut(ns, &at.name) {
            for way in &leasing.ways {
                let address = match way {
                    Dynamic::Dhcp => format!("198.51.100.{number}/24"),
                    Dynamic::Dhcp6 => format!("2001:db8:6::{number}/128"),
                    Dynamic::Slaac => format!("2001:db8:a::{number}/64"),
                };
                link.leases.entry(*way).or_insert(address.parse().expect("an address"));
            }
        }
        Ok(())
    }

    fn release(&mut self, at: &LinkRef, ways: &BTreeSet<Dynamic>, processes: &Processes) -> Done {
        let ns = self.ns(&at.ns, processes)?;
        if let Ok(link) = self.link_mut(ns, &at.name) {
            link.leases.retain(|way, _| !ways.contains(way));
        }
        Ok(())
    }

    pub(super) fn ns(&self, ns: &Ns, processes: &Processes) -> Done<NsId> {
        let Ns::Machine(machine) = ns else { return Ok(HOST) };
        let pid = processes.get(machine);
        let found = self.containers.values().find(|container| container.pid.is_some() && container.pid.as_ref() == pid);
        match found.and_then(|container| container.ns) {
            Some(ns) => Ok(ns),
            None => refuse(FaultKind::Ended, format!("no process has the namespace of {machine}")),
        }
    }

    fn index(&self, ns: NsId, name: &str) -> Done<u32> {
        match self.link(ns, name) {
            Some(link) => Ok(link.index),
            None => refuse(FaultKind::NotFound, format!("there is no link {name}")),
        }
    }

    pub(super) fn link_mut(&mut self, ns: NsId, name: &str) -> Done<&mut FakeLink> {
        match self.links(ns).get_mut(name) {
            Some(link) => Ok(link),
            None => refuse(FaultKind::NotFound, format!("there is no link {name}")),
        }
    }

    fn create_link(&mut self, placed: &PlacedLink, processes: &Processes) -> Done {
        let ns = self.ns(&placed.at.ns, processes)?;
        let kind = match &placed.link.kind {
            LinkKind::Bridge => Kind::Bridge,
            LinkKind::Veth { .. } | LinkKind::Physical { .. } | LinkKind::Other(_) => {
                return refuse(FaultKind::Other, "it is not made in this way");
            }
            other => {
                let parent = match other.parent() {
                    Some(parent) => Some(self.index(self.ns(&parent.ns, processes)?, &parent.name)?),
                    None => None,
                };
                self.hanging(placed, other, parent, (ns, &placed.at.name))?
            }
        };
        if let Some(there) = self.link(ns, &placed.at.name) {
            if !can_become(&there.kind, &kind) || (ns == HOST && there.group != LINK_GROUP) {
                return refuse(FaultKind::Conflict, format!("{} exists already", placed.at));
            }
        } else {
            self.bear(ns, placed, kind);
        }
        if self.faults.halfway {
            return Ok(());
        }
        self.shape(ns, placed)
    }

    /// What the kernel refuses about a macvlan.
    pub(super) fn check_macvlan(&self, parent: u32, mac: Option<Mac>, mtu: Option<u32>, own: (NsId, &str)) -> Done {
        let Some(card) = self.place(parent).and_then(|(ns, name)| self.link(ns, name)) else {
            return refuse(FaultKind::NotFound, "its parent is gone");
        };
        if card.master.is_some() {
            return refuse(FaultKind::Conflict, "its parent is a bridge's port: device or resource busy");
        }
        if mtu.is_some_and(|mtu| mtu > card.mtu) {
            return refuse(FaultKind::Other, format!("its parent's MTU is {}: invalid argument", card.mtu));
        }
        let own = self.link(own.0, own.1).map(|link| link.index);
        let siblings = self.namespaces.values().flat_map(|links| links.values());
        let mut siblings = siblings.filter(|link| matches!(link.kind, Kind::Macvlan { parent: other, .. } if other == parent));
        if siblings.any(|link| Some(link.mac) == mac && Some(link.index) != own) {
            return refuse(FaultKind::Conflict, "another macvlan on this parent has that MAC: address already in use");
        }
        Ok(())
    }

    /// One card alone in mode passthru, or any number in the others.
    pub(super) fn check_passthru(&self, parent: u32, mode: MacvlanMode, own: (NsId, &str)) -> Done {
        let own = self.link(own.0, own.1).map(|link| link.index);
        let links = self.namespaces.values().flat_map(|links| links.values()).filter(|link| Some(link.index) != own);
        let is_passthru = |mode| mode == MacvlanMode::Passthru;
        let excludes = |kind: &Kind| matches!(kind, Kind::Macvlan { parent: other, mode: theirs } if *other == parent && (is_passthru(mode) || is_passthru(*theirs)));
        if links.map(|link| &link.kind).any(excludes) {
            return refuse(FaultKind::Other, "a parent is passed through to one card alone: invalid argument");
        }
        Ok(())
    }

    fn create_veth(&mut self, a: &PlacedLink, b: &PlacedLink, processes: &Processes) -> Done {
        let (ns_a, ns_b) = (self.ns(&a.at.ns, processes)?, self.ns(&b.at.ns, processes)?);
        let (there_a, there_b) = (self.link(ns_a, &a.at.name), self.link(ns_b, &b.at.name));
        match (there_a, there_b) {
            (None, None) => {
                let index = self.bear(ns_a, a, Kind::Veth { peer: 0 });
                let peer = self.bear(ns_b, b, Kind::Veth { peer: index });
                self.link_mut(ns_a, &a.at.name)?.kind = Kind::Veth { peer };
            }
            (Some(one), Some(other)) if one.kind == (Kind::Veth { peer: other.index }) => {}
            (Some(_), _) => return refuse(FaultKind::Conflict, format!("{} exists already", a.at)),
            (None, Some(_)) => return refuse(FaultKind::Conflict, format!("{} exists already", b.at)),
        }
        if self.faults.halfway {
            return Ok(());
        }
        self.shape(ns_b, b)?;
        self.shape(ns_a, a)
    }

    fn bear(&mut self, ns: NsId, placed: &PlacedLink, kind: Kind) -> u32 {
        let index = self.next();
        let upper = kind.parent().and_then(|parent| self.place(parent)).and_then(|(ns, name)| self.link(ns, name));
        let parent = upper.map(|link| link.mtu);
        let shared_mac = upper.map(|link| link.mac).filter(|_| matches!(kind, Kind::Ipvlan { .. } | Kind::Vlan { .. }));
        let mut link = FakeLink { group: LINK_GROUP, ..FakeLink::new(index, kind) };
        link.mtu = placed.link.mtu.or(parent).unwrap_or(1500);
        link.mac = placed.link.mac.or(shared_mac).unwrap_or(link.mac);
        self.links(ns).insert(placed.at.name.clone(), link);
        index
    }

    /// Everything that a placed link says of itself; what else the link has, stays.
    pub(super) fn shape(&mut self, ns: NsId, placed: &PlacedLink) -> Done {
        let wanted = &placed.link;
        if placed.alias.is_some() {
            self.link_mut(ns, &placed.at.name)?.alias.clone_from(&placed.alias);
        }
        let unused = self.unused(ns, &placed.at.name, &wanted.addresses, &placed.manners)?;
        let asks = wanted.up && !unused.is_empty();
        if asks {
            // Up, but without them: so it stays if somebody has one.
            let now = wanted.addresses.iter().filter(|net| !unused.contains(&net.addr())).copied().collect();
            let bare = LinkSet {
                mac: wanted.mac,
                mtu: wanted.mtu,
                up: Some(true),
                master: wanted.master.clone(),
                add_addresses: now,
                ..LinkSet::default()
            };
            self.change(ns, &placed.at.name, &bare)?;
            self.probe(ns, &placed.at.name, &unused)?;
        }
        let set = LinkSet {
            mac: wanted.mac,
            kind: Some(wanted.kind.clone()),
            mtu: wanted.mtu,
            up: Some(wanted.up),
            master: wanted.master.clone(),
            add_addresses: wanted.addresses.clone(),
            add_routes: wanted.routes.clone(),
            tune: Tune {
                sysctls: wanted.tuning.sysctls.clone(),
                neighbours: wanted.tuning.neighbours.clone(),
                traffic: Some(wanted.tuning.traffic.clone()).filter(|traffic| !traffic.is_empty()),
                ..Tune::default()
            },
            ..LinkSet::default()
        };
        self.change(ns, &placed.at.name, &set)
    }

    fn adopt_port(&mut self, bridge: &str, placed: &PlacedLink, processes: &Processes) -> Done {
        let ns = self.ns(&placed.at.ns, processes)?;
        let bridge = self.index(HOST, bridge)?;
        let is_ours = |link: &FakeLink| match link.kind {
            Kind::Veth { peer } => self.links_of(HOST).any(|port| port.index == peer && port.master == Some(bridge)),
            _ => false,
        };
        let found = self.namespaces[&ns].iter().find(|(_, link)| is_ours(link)).map(|(name, _)| name.clone());
        let Some(name) = found else { return refuse(FaultKind::NotFound, "no card of this namespace is plugged in there") };
        let wanted = &placed.at.name;
        if name != *wanted {
            if let Some(mut bearer) = self.links(ns).remove(wanted) {
                note_engine_name(&mut bearer, wanted);
                self.links(ns).insert(format!("fly-{}", bearer.index), bearer);
            }
            let mut link = self.links(ns).remove(&name).expect("it was found there");
            note_engine_name(&mut link, &name);
            self.links(ns).insert(wanted.clone(), link);
        }
        let link = self.link_mut(ns, wanted)?;
        note_engine_name(link, &name);
        let engine = link.alias.as_deref().and_then(engine_name).unwrap_or(&name).to_owned();
        let remove_addresses = link.addresses.difference(&placed.link.addresses).copied().collect();
        let remove_routes = link.routes.difference(&placed.link.routes).cloned().collect();
        self.change(ns, wanted, &LinkSet { remove_addresses, remove_routes, ..LinkSet::default() })?;
        let alias = placed.alias.as_ref().map(|alias| format!("{alias} engine={engine}"));
        self.shape(ns, &PlacedLink { alias, ..placed.clone() })
    }

    fn set_link(&mut self, at: &LinkRef, set: &LinkSet, processes: &Processes) -> Done {
        let ns = self.ns(&at.ns, processes)?;
        let mut name = at.name.clone();
        if let Some(new) = set.name.clone().filter(|new| *new != name) {
            match (self.link(ns, &name).is_some(), self.link(ns, &new).is_some()) {
                (true, true) => return refuse(FaultKind::Conflict, format!("{new} exists already")),
                (true, false) => {
                    let link = self.links(ns).remove(&name).expect("it was found there");
                    self.links(ns).insert(new.clone(), link);
                }
                (false, _) => {}
            }
            name = new;
        }
        let unused = self.unused(ns, &name, &set.add_addresses, &set.manners)?;
        if !unused.is_empty() {
            let LinkSet { mac, mtu, up, group, master, .. } = set.clone();
            self.change(ns, &name, &LinkSet { mac, mtu, up, group, master, ..LinkSet::default() })?;
            self.probe(ns, &name, &unused)?;
        }
        self.change(ns, &name, set)
    }

    /// Of the addresses that are to come to a card, those that it has not yet and has to ask for.
    fn unused(&mut self, ns: NsId, name: &str, coming: &BTreeSet<IpNet>, manners: &Manners) -> Done<BTreeSet<IpAddr>> {
        let there = &self.link_mut(ns, name)?.addresses;
        Ok(coming.difference(there).map(IpNet::addr).filter(|address| manners.probe.contains(address)).collect())
    }

    fn set_hosts(&mut self, machine: &Name, set: &BTreeSet<HostEntry>, remove: &BTreeSet<HostEntry>, processes: &Processes) -> Done {
        let pid = processes.get(machine);
        let found = self.containers.values().find(|container| container.pid.is_some() && container.pid.as_ref() == pid);
        let Some(found) = found else { return refuse(FaultKind::Ended, format!("{machine} does not run")) };
        let owner = found.shares.clone().unwrap_or_else(|| found.id.clone());
        let Some(container) = self.containers.values_mut().find(|container| container.id == owner) else {
            return refuse(FaultKind::NotFound, "whose file it shares is gone");
        };
        container.hosts.retain(|line| !line.marked && !remove.contains(&line.entry));
        container.hosts.extend(set.iter().map(|entry| HostsLine { entry: entry.clone(), marked: true }));
        Ok(())
    }
}

/// Keeps the name that the engine gave in the alias of a card that the engine made.
fn note_engine_name(link: &mut FakeLink, name: &str) {
    if link.made_for.is_some() && link.alias.as_deref().and_then(engine_name).is_none() {
        let alias = link.alias.take().map_or_else(String::new, |alias| format!("{alias} "));
        link.alias = Some(format!("{alias}engine={name}"));
    }
}

/// The engine's name for a card, from its alias.
pub(super) fn engine_name(alias: &str) -> Option<&str> {
    alias.split(' ').find_map(|word| word.strip_prefix("engine="))
}
