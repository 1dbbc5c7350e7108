//! What the two boundaries say of the world.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{FakeLink, HOST, Instance, Kind, Network, NsId, State};
use crate::engine::{EngineFacts, EngineQuery, EngineSnapshot, ImageState, Leftover, MachineState, NetworkState, VolumeState};
use crate::net::{Firewall, LinkState, Namespace, NetSnapshot, Processes};
use crate::types::{
    Bytes, Container, Endpoint, ImageDefaults, LABEL_MACHINE, LABEL_PROJECT, LABEL_RESOURCE, LINK_GROUP, Link, LinkKind, LinkRef, Name,
    NetworkMode, Ns, Owner, is_host_link_of,
};

/// What a label and a name say together: whose it is, and which of theirs; `None` for the latter is a leftover.
type Mark = (Owner, Option<Name>);

impl State {
    pub(super) fn engine_snapshot(&self, query: &EngineQuery) -> EngineSnapshot {
        let mut snapshot = EngineSnapshot {
            facts: EngineFacts { version: self.version.clone(), api: "1.41".to_owned(), cpus: 4, memory: Bytes(8 << 30) },
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
                (owner, _) => drop(snapshot.taken.containers.insert(name.clone(), owner)),
            }
        }
        for (name, network) in &self.networks {
            match mark(name, &network.settings.labels, LABEL_RESOURCE, project) {
                (Owner::Ours, Some(own)) => drop(snapshot.networks.insert(own, self.network_state(name, network))),
                (owner, _) => {
                    snapshot.foreign_subnets.extend(network.settings.subnets.iter().map(|subnet| (*subnet, name.clone())));
                    snapshot.taken.networks.insert(name.clone(), owner);
                }
            }
        }
        for (name, volume) in &self.volumes {
            match mark(name, &volume.labels, LABEL_RESOURCE, project) {
                (Owner::Ours, Some(own)) => {
                    drop(snapshot.volumes.insert(own, VolumeState { name: name.clone(), labels: volume.labels.clone() }));
                }
                (owner, _) => drop(snapshot.taken.volumes.insert(name.clone(), owner)),
            }
        }
        let images = query.images.iter().filter_map(|reference| Some((reference.clone(), self.images.get(reference)?)));
        snapshot.images = images
            .map(|(name, image)| (name, ImageState { id: image.id.clone(), defaults: image.defaults.clone(), registry: None }))
            .collect();
        snapshot
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
                Namespace { inode: 4_026_531_840 + u64::from(ns.0), links: links.collect(), hosts: hosts.clone().into() },
            );
        }
        NetSnapshot { namespaces, firewall: Firewall::default(), incomplete: None }
    }

    fn link_state(&self, name: &str, link: &FakeLink, ns: NsId, project: &Name, link_ref: &dyn Fn(u32) -> Option<LinkRef>) -> LinkState {
        let kind = match &link.kind {
            Kind::Bridge => LinkKind::Bridge,
            Kind::Macvlan { parent, mode } => LinkKind::Macvlan { parent: link_ref(*parent), mode: *mode },
            Kind::Veth { peer } => LinkKind::Veth { peer: link_ref(*peer) },
            Kind::Other(kind) => LinkKind::Other(kind.clone()),
        };
        LinkState {
            link: Link {
                kind,
                mac: Some(link.mac),
                mtu: Some(link.mtu),
                up: link.up,
                master: link.master.and_then(|index| self.place(index)).map(|(_, name)| name.to_owned()),
                addresses: link.addresses.clone(),
                routes: link.routes.clone(),
            },
            index: link.index,
            group: link.group,
            alias: link.alias.clone(),
            owner: if ns == HOST { owner_of(name, link, project) } else { Owner::Ours },
            foreign_addresses: BTreeSet::new(),
            foreign_routes: BTreeSet::new(),
            connected: link.addresses.iter().map(ipnet::IpNet::trunc).collect(),
            carrier: link.up,
        }
    }
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

/// Whose a link of the host is: name, group, MAC and alias have to agree. One without an alias was left behind half made.
pub(super) fn owner_of(name: &str, link: &FakeLink, project: &Name) -> Owner {
    let is_marked = name.len() == 15 && name.starts_with("fly") && link.group == LINK_GROUP && link.mac.is_automatic();
    let Some(alias) = link.alias.as_deref().filter(|_| is_marked) else {
        return if is_marked && is_host_link_of(project, name) { Owner::Ours } else { Owner::Stranger };
    };
    match alias.strip_prefix("fly:").and_then(|rest| super::name(rest.split('/').next()?)) {
        Some(owner) if owner == *project => Owner::Ours,
        Some(owner) => Owner::Project(owner),
        None => Owner::Stranger,
    }
}
