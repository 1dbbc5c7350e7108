//! What steps of the engine leave behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Builder, host};
use crate::engine::{AgentState, EngineOp, Health, MachineState, NetworkState, RunState, VolumeState, WaitFor};
use crate::net::{HostsLine, Namespace};
use crate::types::{
    Container, Endpoint, EngineNetwork, GUEST_VOLUME, Healthcheck, HostEntry, ImageDefaults, Link, LinkKind, Name, NetworkMode, Ns, Owner,
    Seconds, Tuning,
};

impl Builder<'_> {
    pub(super) fn engine(&mut self, op: EngineOp) {
        match op {
            EngineOp::InstallGuest { version } => drop(self.actual.engine.guests.entry(version).or_default()),
            EngineOp::InstallAgent { version } => self.actual.engine.agent = Some(AgentState { version, running: true }),
            EngineOp::TellAgent { orders, .. } => self.actual.engine.orders = orders.into_iter().collect(),
            EngineOp::CreateNetwork { name, network } => self.create_network(name, network),
            EngineOp::CreateVolume { name, labels } => {
                if let Some((own, _)) = self.desired.volumes.iter().find(|(_, volume)| volume.name == name) {
                    self.actual.engine.volumes.insert(own.clone(), VolumeState { name, labels });
                }
            }
            EngineOp::CreateContainer { name, container, network } => self.create_container(name, *container, network),
            EngineOp::StartContainer { name } => self.start(&name),
            EngineOp::Connect { container, network, endpoint } => self.connect(&container, network, endpoint),
            EngineOp::Wait { container, until: WaitFor::Healthy, .. } => {
                if let Some(state) = self.state(&container) {
                    state.health = Health::Healthy;
                }
            }
            // Who has completed is settled at the end; the rest is nothing that happens on the way from nothing.
            EngineOp::Wait { .. }
            | EngineOp::PullImage { .. }
            | EngineOp::RemoveGuest { .. }
            | EngineOp::RemoveAgent
            | EngineOp::DeleteNetwork { .. }
            | EngineOp::DeleteVolume { .. }
            | EngineOp::RenameContainer { .. }
            | EngineOp::StopContainer { .. }
            | EngineOp::UnpauseContainer { .. }
            | EngineOp::RemoveContainer { .. }
            | EngineOp::UpdateContainer { .. }
            | EngineOp::Disconnect { .. } => {}
        }
    }

    fn state(&mut self, container: &str) -> Option<&mut MachineState> {
        let name = *self.machines.get(container)?;
        self.actual.engine.machines.get_mut(name)
    }

    fn create_network(&mut self, name: String, network: EngineNetwork) {
        let index = self.next();
        if let Some(bridge) = &network.bridge {
            let on = |address: std::net::IpAddr| network.subnets.iter().find(|subnet| subnet.contains(&address));
            let addresses = network.gateways.iter().filter_map(|it| IpNet::new(*it, on(*it)?.prefix_len()).ok()).collect();
            let link = Link {
                kind: LinkKind::Bridge,
                mac: None,
                mtu: network.mtu,
                up: true,
                master: None,
                addresses,
                routes: std::collections::BTreeSet::new(),
                tuning: Tuning::default(),
            };
            self.links(Ns::Host).insert(bridge.clone(), host::state(link, index, Owner::Stranger));
        }
        let is_it =
            |wanted: &crate::desired::Network| matches!(&wanted.kind, crate::desired::NetworkKind::Nat { name: its, .. } if *its == name);
        if let Some((own, _)) = self.desired.networks.iter().find(|(_, wanted)| is_it(wanted)) {
            let id = index.to_string();
            self.actual
                .engine
                .networks
                .insert(own.clone(), NetworkState { id, name, network, containers: std::collections::BTreeSet::new() });
        }
    }

    fn create_container(&mut self, name: String, container: Container, network: Option<(String, Endpoint)>) {
        let Some(machine) = self.machines.get(name.as_str()).map(|machine| (*machine).clone()) else { return };
        let id = format!("{:064x}", self.next());
        let image = self.actual.engine.images.get(&container.image);
        let (image_id, defaults) = image.map(|image| (image.id.clone(), image.defaults.clone())).unwrap_or_default();
        if let Some(version) = &container.guest {
            self.actual.engine.guests.entry(version.clone()).or_default().insert(name.clone());
            let volume = format!("{}{GUEST_VOLUME}", machine.in_project(&self.desired.project));
            self.actual.engine.host_keys.insert(machine.clone(), volume);
        }
        let state = MachineState {
            id,
            name,
            container: as_inspect_shows(container, &defaults),
            image_id,
            image: Some(defaults),
            state: RunState::Created,
            health: Health::None,
            pid: None,
            started_at: None,
            endpoints: network.into_iter().map(|(network, endpoint)| (network, recorded(endpoint))).collect(),
            published: std::collections::BTreeSet::new(),
            // What people write there, no file knows.
            writable_layer: None,
            host_key: false,
        };
        self.actual.engine.machines.insert(machine, state);
    }

    fn connect(&mut self, container: &str, network: String, endpoint: Endpoint) {
        if let Some(state) = self.state(container) {
            state.endpoints.insert(network, recorded(endpoint));
        }
    }

    fn start(&mut self, container: &str) {
        let pid = self.next();
        let gateway = self.gateway();
        let Some(state) = self.state(container) else { return };
        (state.state, state.pid) = (RunState::Running, Some(pid));
        state.published.clone_from(&state.container.ports);
        let given = state.container.hosts.iter().cloned();
        let names = state.container.gateway_hosts.iter();
        let entries = given.chain(names.filter_map(|name| Some(HostEntry { name: name.clone(), address: gateway?.addr() })));
        let hosts = match state.container.network_mode {
            NetworkMode::Own => entries.map(|entry| HostsLine { entry, marked: false }).collect(),
            _ => std::collections::BTreeSet::new(),
        };
        let Some(name) = self.machines.get(container).map(|name| (*name).clone()) else { return };
        let namespace = Namespace { inode: u64::from(pid), links: BTreeMap::new(), hosts: Arc::new(hosts), ..Namespace::default() };
        self.actual.net.namespaces.insert(Ns::Machine(name), namespace);
    }

    fn gateway(&self) -> Option<IpNet> {
        let bridge = self.actual.host_link(self.actual.engine.facts.default_bridge.as_deref()?)?;
        bridge.link.addresses.first().copied()
    }

    /// The machine of this name is there by now.
    pub(super) fn namespace(&mut self, machine: &Name) -> &mut Namespace {
        self.actual.net.namespaces.entry(Ns::Machine(machine.clone())).or_default()
    }
}

fn recorded(endpoint: Endpoint) -> Endpoint {
    Endpoint { ifname: None, ..endpoint }
}

/// The engine's own merging, as far as such an image says anything; and what does not show.
fn as_inspect_shows(mut container: Container, image: &ImageDefaults) -> Container {
    container.security_opt = container.security_options().cloned().collect();
    container.stop_grace_period = container.stop_grace_period.map(|time| Seconds::from_nanos(time.whole().saturating_mul(1_000_000_000)));
    container.healthcheck = match (container.healthcheck.take(), &image.healthcheck) {
        (Some(own), Some(image)) if own.test.is_empty() => Some(Healthcheck { test: image.test.clone(), ..own }),
        (own, image) => own.or_else(|| image.clone()),
    };
    container
}
