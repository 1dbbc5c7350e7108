//! What the two boundaries say of the world.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{DEFAULT_BRIDGE, FakeLink, HOST, Instance, Kind, Network, NsId, State};
use crate::engine::{EngineFacts, EngineQuery, EngineSnapshot, ImageState, Leftover, MachineState, NetworkState, VolumeState};
use crate::net::{LinkState, Namespace, NetSnapshot, Processes};
use crate::types::{
    Bytes, Container, Endpoint, GUEST_VOLUME, ImageDefaults, LABEL_MACHINE, LABEL_PROJECT, LABEL_RESOURCE, LINK_GROUP, Link, LinkKind,
    LinkRef, MacvlanMode, Name, NetworkMode, Ns, Owner, Tuning, host_link_name, is_host_link_of,
};

/// What a label and a name say together: whose it is, and which of theirs; `None` for the latter is a leftover.
type Mark = (Owner, Option<Name>);

impl State {
    pub(super) fn engine_snapshot(&self, query: &EngineQuery) -> EngineSnapshot {
        let mut snapshot = EngineSnapshot {
            facts: EngineFacts {
                version: self.version.clone(),
                api: if self.version.starts_with("28.") { "1.48" } else { "1.41" }.to_owned(),
                cpus: 4,
                memory: Bytes(8 << 30),
                cgroups: "2".to_owned(),
                default_bridge: self.link(HOST, DEFAULT_BRIDGE).map(|_| DEFAULT_BRIDGE.to_owned()),
            },
            ..EngineSnapshot::default()
        };
        let project = &query.project;
        for (name, instance) in &self.containers {
            match self.mark_of(name, instance, project) {
                (Owner::Ours, Some(machine)) => drop(snapshot.machines.insert(machine, self.machine_state(name, instance, project))),
                // Where the one that it was to replace has gone, it is the machine itself.
                (Owner::Ours, None) if !self.containers.contains_key(name.trim_end_matches(".new")) => {
                    let machine = super::name(&instance.container.labels[LABEL_MACHINE]).expect("a machine's label is its name");
                    snapshot.machines.insert(machine, self.machine_state(name, instance, project));
                }
                (Owner::Ours, None) => {
                    let leftover = Leftover { id: instance.id.clone(), running: instance.pid.is_some() };
                    snapshot.leftovers.insert(name.clone(), leftover);
                }
                (owner, _) => {
                    snapshot.taken.containers.insert(name.clone(), owner);
                    snapshot.taken.ids.insert(instance.id.clone(), name.clone());
                }
            }
        }
        self.lenders_and_renamed(&mut snapshot, project);
        for (name, network) in &self.networks {
            match mark(name, &network.settings.labels, LABEL_RESOURCE, project) {
                (Owner::Ours, Some(own)) => drop(snapshot.networks.insert(own, self.network_state(name, network))),
                (owner, _) => {
                    snapshot.foreign_subnets.extend(network.settings.subnets.iter().map(|subnet| (*subnet, name.clone())));
                    snapshot.taken.networks.insert(name.clone(), owner);
                }
            }
        }
        snapshot.guests = self.guests.iter().map(|version| (version.clone(), self.guest_users(version).cloned().collect())).collect();
        snapshot.agent.clone_from(&self.agent);
        snapshot.orders = self.orders.get(project).cloned().into_iter().collect();
        snapshot.agent_users = self.orders.keys().filter(|user| *user != project).cloned().collect();
        for (name, volume) in &self.volumes {
            if let Some(machine) = host_key_of(name, &volume.labels, project) {
                snapshot.host_keys.insert(machine, name.clone());
                continue;
            }
            match mark(name, &volume.labels, LABEL_RESOURCE, project) {
                (Owner::Ours, Some(own)) => {
                    drop(snapshot.volumes.insert(own, VolumeState { name: name.clone(), labels: volume.labels.clone() }));
                }
                (owner, _) => drop(snapshot.taken.volumes.insert(name.clone(), owner)),
            }
        }
        let images = query.images.iter().filter_map(|reference| Some((reference.clone(), self.images.get(reference)?)));
        snapshot.images = images
            .map(|(name, image)| {
                let digests = BTreeSet::from([image.id.clone()]);
                (name, ImageState { id: image.id.clone(), digests, defaults: image.defaults.clone(), registry: None })
            })
            .collect();
        snapshot
    }

    fn lenders_and_renamed(&self, snapshot: &mut EngineSnapshot, project: &Name) {
        let modes: BTreeSet<NetworkMode> = snapshot.machines.values().map(|machine| machine.container.network_mode.clone()).collect();
        for (name, instance) in &self.containers {
            if !snapshot.taken.containers.contains_key(name) {
                continue;
            }
            if modes.contains(&NetworkMode::Container(name.clone())) {
                snapshot.lenders.extend(instance.pid.map(|pid| (name.clone(), pid)));
            }
            let text = |label: &str| instance.container.labels.get(label).and_then(|text| super::name(text));
            let inherited = self.defaults_of(instance).is_some_and(|image| image.labels.contains_key(LABEL_PROJECT));
            let is_made_so = instance.container.hostname.is_some() && instance.container.network_mode == NetworkMode::Own && !inherited;
            if let (true, Some(machine)) = (is_made_so && text(LABEL_PROJECT).as_ref() == Some(project), text(LABEL_MACHINE))
                && !snapshot.machines.contains_key(&machine)
            {
                snapshot.taken.containers.insert(name.clone(), Owner::Ours);
                snapshot.renamed.insert(machine, name.clone());
            }
        }
    }

    pub(super) fn mark_of(&self, name: &str, instance: &Instance, project: &Name) -> Mark {
        match self.defaults_of(instance) {
            // A label that the image has says nothing about the container.
            Some(image) if image.labels.contains_key(LABEL_PROJECT) => (Owner::Stranger, None),
            _ => mark(name, &instance.container.labels, LABEL_MACHINE, project),
        }
    }

    fn defaults_of(&self, instance: &Instance) -> Option<&ImageDefaults> {
        self.images.values().find(|image| image.id == instance.image_id).map(|image| &image.defaults)
    }

    fn machine_state(&self, name: &str, instance: &Instance, project: &Name) -> MachineState {
        MachineState {
            id: instance.id.clone(),
            name: name.to_owned(),
            container: Container { network_mode: self.mode_of(instance, project), ..instance.container.clone() },
            image_id: instance.image_id.clone(),
            image: self.defaults_of(instance).cloned(),
            state: instance.state,
            health: instance.health,
            pid: instance.pid,
            started_at: (instance.started > 0).then(|| format!("1970-01-01T00:00:{:09}Z", instance.started)),
            endpoints: instance
                .plugs
                .iter()
                .map(|(network, plug)| (network.clone(), Endpoint { ifname: None, ..plug.endpoint.clone() }))
                .collect(),
            published: instance.published.clone(),
            writable_layer: None,
            host_key: instance.pid.is_none() && instance.has_host_key(),
        }
    }

    /// The engine keeps whose namespace it is by id; whom the id belongs to now is another question.
    fn mode_of(&self, instance: &Instance, project: &Name) -> NetworkMode {
        let Some(other) = &instance.shares else { return instance.container.network_mode.clone() };
        match self.by_id(other) {
            Some((name, found)) => match self.mark_of(name, found, project) {
                (Owner::Ours, Some(machine)) => NetworkMode::Machine(machine),
                _ => NetworkMode::Container(name.to_owned()),
            },
            None => NetworkMode::Container(other.clone()),
        }
    }

    fn network_state(&self, name: &str, network: &Network) -> NetworkState {
        let is_on = |instance: &Instance| instance.pid.is_some() && instance.plugs.values().any(|plug| plug.network_id == network.id);
        let containers = self.containers.iter().filter(|(_, instance)| is_on(instance)).map(|(name, _)| name.clone()).collect();
        NetworkState { id: network.id.clone(), name: name.to_owned(), network: network.settings.clone(), containers }
    }

    pub(super) fn inode_of(&self, pid: u32) -> Option<u64> {
        self.containers.values().find(|instance| instance.pid == Some(pid)).and_then(|instance| instance.ns).map(inode)
    }

    pub(super) fn net_snapshot(&self, project: &Name, processes: &Processes) -> NetSnapshot {
        let mut seen = vec![(Ns::Host, HOST, BTreeSet::new())];
        for (machine, pid) in processes {
            let Some(instance) = self.containers.values().find(|instance| instance.pid == Some(*pid)) else { continue };
            let file = instance.shares.as_ref().and_then(|other| self.by_id(other)).map_or(instance, |(_, other)| other);
            if let Some(ns) = instance.ns {
                seen.push((Ns::Machine(machine.clone()), ns, file.hosts.clone()));
            }
        }
        let mut names = BTreeMap::new();
        for (name, ns, _) in &seen {
            names.entry(*ns).or_insert(name);
        }
        let link_ref = |index: u32| {
            let (ns, name) = self.place(index)?;
            Some(LinkRef { ns: (*names.get(&ns)?).clone(), name: name.to_owned() })
        };
        let mut namespaces = BTreeMap::new();
        for (name, ns, hosts) in &seen {
            let links = self.namespaces.get(ns).into_iter().flatten();
            let links = links.map(|(link_name, link)| (link_name.clone(), self.link_state(link_name, link, *ns, project, &link_ref)));
            namespaces.insert(
                name.clone(),
                Namespace {
                    inode: inode(*ns),
                    links: links.collect(),
                    routing: self.routing.get(ns).filter(|_| *ns != HOST).cloned().unwrap_or_default(),
                    foreign_routing: crate::types::Routing::default(),
                    hosts: hosts.clone().into(),
                },
            );
        }
        NetSnapshot { namespaces, ..NetSnapshot::default() }
    }

    fn link_state(&self, name: &str, link: &FakeLink, ns: NsId, project: &Name, link_ref: &dyn Fn(u32) -> Option<LinkRef>) -> LinkState {
        let kind = match &link.kind {
            Kind::Bridge => LinkKind::Bridge,
            Kind::Macvlan { parent, mode } => LinkKind::Macvlan {
                parent: link_ref(*parent),
                mode: *mode,
                sources: (*mode == MacvlanMode::Source).then(|| link.sources.clone()),
                promiscuous: link.promiscuous,
            },
            Kind::Ipvlan { parent, mode } => LinkKind::Ipvlan { parent: link_ref(*parent), mode: *mode },
            Kind::Vlan { parent, id } => LinkKind::Vlan { parent: link_ref(*parent), id: *id },
            Kind::Vxlan { vni, port, parent, local } => {
                LinkKind::Vxlan { vni: *vni, port: *port, parent: parent.and_then(link_ref), local: *local, remotes: link.remotes.clone() }
            }
            Kind::Veth { peer } => LinkKind::Veth { peer: link_ref(*peer) },
            Kind::Other(kind) => LinkKind::Other(kind.clone()),
        };
        let kind = link.origin().map_or(kind, |origin| LinkKind::Physical { device: origin.name });
        LinkState {
            link: Link {
                kind,
                mac: Some(link.mac),
                mtu: Some(link.mtu),
                up: link.up,
                master: link.master.and_then(|index| self.place(index)).map(|(_, name)| name.to_owned()),
                addresses: link.addresses.clone(),
                routes: link.routes.clone(),
                tuning: Tuning { sysctls: BTreeMap::new(), ..link.tuning.clone() },
            },
            index: link.index,
            group: link.group,
            alias: link.alias.clone(),
            users: link.users.clone(),
            owner: if ns == HOST { owner_of(name, link, project) } else { Owner::Ours },
            foreign_addresses: BTreeSet::new(),
            foreign_routes: BTreeSet::new(),
            sysctls: link.tuning.sysctls.clone(),
            foreign_neighbours: BTreeMap::new(),
            foreign_qdisc: None,
            connected: link.addresses.iter().map(ipnet::IpNet::trunc).collect(),
            carrier: link.up,
            leases: link.leases.clone(),
            counters: None,
        }
    }
}

fn inode(ns: NsId) -> u64 {
    4_026_531_840 + u64::from(ns.0)
}

/// Whose an object of the engine is: its label and its name have to agree.
pub(super) fn mark(name: &str, labels: &BTreeMap<String, String>, label: &str, project: &Name) -> Mark {
    let text = |label: &str| labels.get(label).and_then(|text| super::name(text));
    let (Some(owner), Some(own)) = (text(LABEL_PROJECT), text(label)) else { return (Owner::Stranger, None) };
    let agreed = own.in_project(&owner);
    let which = match name.strip_prefix(&agreed) {
        Some("") => Some(own),
        Some(rest) if rest.starts_with('.') && label == LABEL_MACHINE => None,
        _ => return (Owner::Stranger, None),
    };
    (if owner == *project { Owner::Ours } else { Owner::Project(owner) }, which)
}

/// Whose a link of the host is: name, group, MAC and alias have to agree, but for one that somebody has set. One without an alias was
/// left behind half made.
pub(super) fn owner_of(name: &str, link: &FakeLink, project: &Name) -> Owner {
    if matches!(link.kind, Kind::Vlan { .. }) {
        // Shared: whose it is, who uses it says.
        return match link.users.iter().map(|(user, _)| user).next() {
            _ if link.group != LINK_GROUP => Owner::Stranger,
            Some(first) if link.users.iter().all(|(user, _)| user != project) => Owner::Project(first.clone()),
            _ => Owner::Ours,
        };
    }
    if let Some(origin) = link.origin() {
        return if origin.project == *project { Owner::Ours } else { Owner::Project(origin.project) };
    }
    let is_named = name.len() == 15 && name.starts_with("fly");
    let (group, mac) = (link.group == LINK_GROUP, link.mac.is_automatic());
    let Some(alias) = link.alias.as_deref().filter(|_| is_named) else {
        return if is_named && group && mac && is_host_link_of(project, name) { Owner::Ours } else { Owner::Stranger };
    };
    let Some((owner, rest)) = alias.strip_prefix("fly:").and_then(|rest| rest.split_once('/')) else { return Owner::Stranger };
    let what = match rest.split_once('/') {
        Some((machine, card)) => vec![format!("nic/{machine}:{card}")],
        None => vec![format!("network/{rest}"), format!("vxlan/{rest}")],
    };
    let is_named_so = |owner: &Name| what.iter().any(|what| host_link_name(owner, what) == name);
    match super::name(owner).filter(|owner| group && mac || (group || mac) && is_named_so(owner)) {
        Some(owner) if owner == *project => Owner::Ours,
        Some(owner) => Owner::Project(owner),
        None => Owner::Stranger,
    }
}

/// The machine of this project whose host key a volume holds.
pub(super) fn host_key_of(name: &str, labels: &BTreeMap<String, String>, project: &Name) -> Option<Name> {
    let machine = Name::new(labels.get(LABEL_MACHINE)?.as_str()).ok()?;
    let ours = labels.get(LABEL_PROJECT).is_some_and(|it| it == project.as_str());
    (ours && name == format!("{}{GUEST_VOLUME}", machine.in_project(project))).then_some(machine)
}
