//! A small world with a container engine and a kernel in it, for the fast tests: `Engine` and `NetPlane` over one state.
//!
//! It does what was measured of the real ones, also where that is unpleasant: a start gives a new namespace and loses what was
//! attached by hand, the engine removes a link by the name that it remembers, whoever bears it, the death of a namespace takes the
//! other ends of its cables along. It is always compiled, because tests outside the library use it; the program refers to none of
//! it, so the linker leaves it out. It must not be lenient: what the real world refuses is refused here.

mod addresses;
mod canonical;
mod containers;
mod drift;
mod engine;
mod faults;
mod guest;
mod kinds;
mod net;
mod networks;
mod observe;
mod physical;
mod state;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use faults::{Fault, FaultKind, When};
use state::{Image, State, Volume};

use crate::engine::EngineOp;
use crate::net::NetOp;
use crate::types::{Container, Endpoint, EngineNetwork, ImageDefaults, Name};

/// The world; a clone is the same world.
#[derive(Clone, Debug)]
pub struct World {
    state: Arc<Mutex<State>>,
}

/// The world's container engine.
#[derive(Clone, Debug)]
pub struct FakeEngine {
    world: World,
}

/// The world's kernel.
#[derive(Clone, Debug)]
pub struct FakeNet {
    world: World,
}

/// A call that one of the boundaries was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Engine(EngineOp),
    Net(NetOp),
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A host with one physical card, `eth1`, and an engine of version 20.10 without any images.
    pub fn new() -> Self {
        let world = Self { state: Arc::new(Mutex::new(State::new())) };
        world.add_parent("eth1");
        world
    }

    pub fn engine(&self) -> Arc<FakeEngine> {
        Arc::new(FakeEngine { world: self.clone() })
    }

    pub fn net(&self) -> Arc<FakeNet> {
        Arc::new(FakeNet { world: self.clone() })
    }

    /// Another world in the same state, from here on apart.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.lock().clone())) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic is one of the faults that are injected here: the state behind it is good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the engine says it is: `28.5` gives its cards the names that it is asked for.
    pub fn set_engine(&self, version: &str) {
        version.clone_into(&mut self.lock().version);
    }

    /// Whether the firewall drops frames between a bridge's ports.
    pub fn set_drops_bridged(&self, drops: bool) {
        self.lock().drops_bridged = drops;
    }

    /// A physical card of the host.
    pub fn add_parent(&self, name: &str) {
        self.lock().add_card(name);
    }

    /// A bridge of the host that is nobody's of ours.
    pub fn add_bridge(&self, name: &str) {
        self.lock().add_bridge(name);
    }

    /// The engine's own bridge, with this address: `host-gateway`.
    pub fn add_default_bridge(&self, address: ipnet::IpNet) {
        let mut state = self.lock();
        state.add_bridge(state::DEFAULT_BRIDGE);
        if let Some(link) = state.links(state::HOST).get_mut(state::DEFAULT_BRIDGE) {
            link.addresses.insert(address);
        }
    }

    /// An image that the engine has.
    pub fn add_image(&self, reference: &str, defaults: ImageDefaults) {
        let mut state = self.lock();
        let id = state.new_id();
        state.images.insert(reference.to_owned(), Image { id, defaults, ends_with: None });
    }

    /// An image that can be pulled.
    pub fn add_to_registry(&self, reference: &str, defaults: ImageDefaults) {
        let mut state = self.lock();
        let id = state.new_id();
        state.registry.insert(reference.to_owned(), Image { id, defaults, ends_with: None });
    }

    /// Containers of this image end by themselves, with this code, as soon as somebody waits for it.
    pub fn set_image_ends(&self, reference: &str, code: i64) {
        let mut state = self.lock();
        let State { images, registry, .. } = &mut *state;
        for image in [images.get_mut(reference), registry.get_mut(reference)].into_iter().flatten() {
            image.ends_with = Some(code);
        }
    }

    /// Containers of this image end by themselves, with this code, as soon as they have started.
    pub fn set_image_ends_at_once(&self, reference: &str, code: i64) {
        self.set_image_ends(reference, code);
        self.lock().hasty.insert(reference.to_owned());
    }

    /// A container that somebody made by hand, running on no network; the labels are its own.
    pub fn add_stranger_container(&self, name: &str, image: &str, labels: &[(&str, &str)]) {
        let container = Container { labels: owned(labels), ..blank(image) };
        let mut state = self.lock();
        let made = state.create_container(name, &container, None).and_then(|()| state.start_container(name));
        made.expect("a stranger's container is one that can be made");
    }

    pub fn add_stranger_volume(&self, name: &str, labels: &[(&str, &str)]) {
        self.lock().volumes.insert(name.to_owned(), Volume { labels: owned(labels) });
    }

    pub fn add_stranger_network(&self, name: &str, subnet: &str, labels: &[(&str, &str)]) {
        let network = EngineNetwork {
            subnets: BTreeSet::from([subnet.parse().expect("a subnet")]),
            gateways: BTreeSet::new(),
            mtu: None,
            bridge: None,
            internal: false,
            labels: owned(labels),
        };
        self.lock().create_network(name, &network).expect("a stranger's network is one that can be made");
    }

    /// Puts a container of somebody else on a network.
    pub fn connect_stranger(&self, container: &str, network: &str) {
        self.lock().connect(container, network, &Endpoint::default()).expect("a network to connect to");
    }

    /// How many calls so far were to change something.
    pub fn mutations(&self) -> usize {
        self.lock().mutations
    }

    /// How many `perform`s there were, those that failed among them.
    pub fn performs(&self) -> usize {
        self.lock().performs
    }

    /// All that was asked for, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    pub fn forget_calls(&self) {
        let mut state = self.lock();
        state.calls.clear();
        state.mutations = 0;
        state.performs = 0;
    }

    /// The first process of a container, where it runs.
    pub fn pid(&self, container: &str) -> Option<u32> {
        self.lock().containers.get(container)?.pid
    }

    pub fn id(&self, container: &str) -> Option<String> {
        self.lock().containers.get(container).map(|found| found.id.clone())
    }

    /// The engine's networks, by name, for tests that look at them.
    pub fn networks(&self) -> BTreeSet<String> {
        self.lock().networks.keys().cloned().collect()
    }

    pub fn containers(&self) -> BTreeSet<String> {
        self.lock().containers.keys().cloned().collect()
    }

    pub fn volumes(&self) -> BTreeSet<String> {
        self.lock().volumes.keys().cloned().collect()
    }
}

fn owned(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A container about which nothing is said but its image.
pub fn blank(image: &str) -> Container {
    Container {
        guest: None,
        image: image.to_owned(),
        command: None,
        entrypoint: None,
        environment: BTreeMap::new(),
        hostname: None,
        user: None,
        working_dir: None,
        tty: false,
        stdin_open: false,
        init: false,
        mounts: BTreeMap::new(),
        tmpfs: BTreeMap::new(),
        shm_size: None,
        ports: BTreeSet::new(),
        restart: crate::types::Restart::No,
        healthcheck: None,
        stop_signal: None,
        stop_grace_period: None,
        limits: crate::types::Limits::default(),
        ulimits: BTreeMap::new(),
        sysctls: BTreeMap::new(),
        cap_add: BTreeSet::new(),
        cap_drop: BTreeSet::new(),
        devices: BTreeSet::new(),
        privileged: false,
        security_opt: BTreeSet::new(),
        dns: vec![],
        dns_search: vec![],
        labels: BTreeMap::new(),
        network_mode: crate::types::NetworkMode::Own,
        hosts: crate::types::HostEntries::default(),
        gateway_hosts: BTreeSet::new(),
    }
}

/// A name of the file, known to be one.
fn name(text: &str) -> Option<Name> {
    Name::new(text).ok()
}

#[cfg(test)]
mod tests;
