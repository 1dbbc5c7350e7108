//! What the world consists of, and what the kernel does to links by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::Call;
use super::faults::Faults;
use crate::engine::{AgentState, Health, RunState};
use crate::net::{HostsLine, Tune};
use crate::types::{
    Container, Dynamic, Endpoint, EngineNetwork, GuestConfig, ImageDefaults, IpvlanMode, Mac, MacvlanMode, Name, Port, Route, Routing,
    Tuning,
};

/// The host's namespace.
pub(super) const HOST: NsId = NsId(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NsId(pub(super) u32);

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) version: String,
    pub(super) drops_bridged: bool,
    pub(super) images: BTreeMap<String, Image>,
    pub(super) registry: BTreeMap<String, Image>,
    /// Images whose containers end at once.
    pub(super) hasty: BTreeSet<String>,
    /// By name.
    pub(super) containers: BTreeMap<String, Instance>,
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) volumes: BTreeMap<String, Volume>,
    /// Versions of the guest that are installed.
    pub(super) guests: BTreeSet<String>,
    pub(super) agent: Option<AgentState>,
    /// What the agent is to put back, by project.
    pub(super) orders: BTreeMap<Name, String>,
    /// Each with its links by name.
    pub(super) namespaces: BTreeMap<NsId, BTreeMap<String, FakeLink>>,
    /// Addresses of strangers, with their MACs, by the host's link by which they are reached.
    pub(super) strangers: BTreeMap<(String, IpAddr), Mac>,
    /// What hangs on no link.
    pub(super) routing: BTreeMap<NsId, Routing>,
    /// Modules that the kernel has not.
    pub(super) lacking: BTreeSet<String>,
    /// Bridge and comment.
    pub(super) rules: BTreeSet<(String, String)>,
    pub(super) faults: Faults,
    pub(super) performs: usize,
    pub(super) mutations: usize,
    pub(super) calls: Vec<Call>,
    /// Ids, pids, link indices, namespaces and times all come from here.
    pub(super) counter: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) id: String,
    pub(super) defaults: ImageDefaults,
    pub(super) ends_with: Option<i64>,
}

#[derive(Clone, Debug)]
pub(super) struct Volume {
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) id: String,
    pub(super) settings: EngineNetwork,
    /// The host's bridge.
    pub(super) bridge: u32,
}

/// A container, as inspect shows it: the image's values are merged in.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) container: Container,
    pub(super) image_id: String,
    pub(super) state: RunState,
    pub(super) health: Health,
    pub(super) pid: Option<u32>,
    pub(super) ns: Option<NsId>,
    pub(super) started: u32,
    /// By the network's name.
    pub(super) plugs: BTreeMap<String, Plug>,
    /// The number of the next card that the engine makes in this life of the namespace.
    pub(super) next_card: u32,
    /// `/etc/hosts`, as far as it is not the same for all.
    pub(super) hosts: BTreeSet<HostsLine>,
    pub(super) published: BTreeSet<Port>,
    /// What its guest was told.
    pub(super) guest: Option<GuestConfig>,
    /// Volumes that came with it and go with it.
    pub(super) anonymous: BTreeSet<String>,
    /// The container whose namespace it shares, by id.
    pub(super) shares: Option<String>,
}

/// A container's place in a network.
#[derive(Clone, Debug)]
pub(super) struct Plug {
    pub(super) network_id: String,
    pub(super) endpoint: Endpoint,
    /// The name that the engine gave its card, and will remove it by.
    pub(super) remembered: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct FakeLink {
    pub(super) index: u32,
    pub(super) kind: Kind,
    pub(super) mac: Mac,
    pub(super) mtu: u32,
    pub(super) up: bool,
    pub(super) master: Option<u32>,
    pub(super) addresses: BTreeSet<IpNet>,
    pub(super) routes: BTreeSet<Route>,
    /// What the network has given it.
    pub(super) leases: BTreeMap<Dynamic, IpNet>,
    pub(super) tuning: Tuning,
    pub(super) group: u32,
    pub(super) alias: Option<String>,
    /// Of a macvlan.
    pub(super) sources: BTreeSet<Mac>,
    pub(super) promiscuous: bool,
    /// Of a vxlan.
    pub(super) remotes: BTreeSet<IpAddr>,
    /// Project and network.
    pub(super) users: BTreeSet<(Name, Name)>,
    /// The engine's network that it was made for, by the engine.
    pub(super) made_for: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bridge,
    Macvlan { parent: u32, mode: MacvlanMode },
    Ipvlan { parent: u32, mode: IpvlanMode },
    Vlan { parent: u32, id: u16 },
    Vxlan { vni: u32, port: u16, parent: Option<u32>, local: Option<IpAddr> },
    Veth { peer: u32 },
    Other(String),
}

impl Kind {
    /// What it hangs on and cannot live without.
    pub(super) fn parent(&self) -> Option<u32> {
        match self {
            Self::Macvlan { parent, .. } | Self::Ipvlan { parent, .. } | Self::Vlan { parent, .. } => Some(*parent),
            Self::Vxlan { parent, .. } => *parent,
            Self::Bridge | Self::Veth { .. } | Self::Other(_) => None,
        }
    }
}

impl Instance {
    pub(super) fn has_host_key(&self) -> bool {
        self.guest.as_ref().is_some_and(|guest| guest.sshd.is_some())
    }

    /// Without one of its own, the first digits of its id.
    pub(super) fn hostname(&self) -> String {
        self.container.hostname.clone().unwrap_or_else(|| self.id[..12].to_owned())
    }
}

/// The host's bridge that is Docker's network `bridge`, where a test has one.
pub(super) const DEFAULT_BRIDGE: &str = "docker0";

impl FakeLink {
    pub(super) fn new(index: u32, kind: Kind) -> Self {
        let [a, b, c, d] = index.to_be_bytes();
        let mac = Mac::new([0x4e, 0x00, a, b, c, d]).expect("0x4e is no group and not zero");
        Self {
            index,
            kind,
            mac,
            mtu: 1500,
            up: false,
            master: None,
            addresses: BTreeSet::new(),
            routes: BTreeSet::new(),
            leases: BTreeMap::new(),
            tuning: Tuning::default(),
            group: 0,
            alias: None,
            sources: BTreeSet::new(),
            promiscuous: false,
            remotes: BTreeSet::new(),
            users: BTreeSet::new(),
            made_for: None,
        }
    }

    /// Whether the kernel can reach `address` by this link without a router.
    pub(super) fn is_on_link(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|net| net.contains(&address))
            || self.routes.iter().any(|route| route.via.is_none() && route.to.contains(&address))
    }

    /// A link has neighbours only while it is up.
    pub(super) fn change_neighbours(&mut self, tune: &Tune) {
        let there = &mut self.tuning.neighbours;
        if self.up {
            let kept: Vec<_> = tune.keep_neighbours.iter().filter(|(address, _)| !there.contains_key(address)).collect();
            there.extend(kept);
            there.retain(|address, _| !tune.remove_neighbours.contains(address));
            there.extend(&tune.neighbours);
        } else {
            there.clear();
        }
    }

    /// What the kernel does when a link goes down, or an address goes: routes that need it go too.
    pub(super) fn drop_dead_routes(&mut self) {
        let dead = |route: &Route| !self.up || route.via.is_some_and(|via| !route.onlink && !self.is_on_link(via));
        let dead: Vec<_> = self.routes.iter().filter(|route| dead(route)).cloned().collect();
        self.routes.retain(|route| !dead.contains(route));
    }
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            version: "20.10.24".to_owned(),
            drops_bridged: false,
            images: BTreeMap::new(),
            registry: BTreeMap::new(),
            hasty: BTreeSet::new(),
            containers: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            guests: BTreeSet::new(),
            agent: None,
            orders: BTreeMap::new(),
            namespaces: BTreeMap::from([(HOST, BTreeMap::new())]),
            strangers: BTreeMap::new(),
            routing: BTreeMap::new(),
            lacking: BTreeSet::new(),
            rules: BTreeSet::new(),
            faults: Faults::default(),
            performs: 0,
            mutations: 0,
            calls: vec![],
            counter: 1,
        }
    }

    pub(super) fn next(&mut self) -> u32 {
        self.counter += 1;
        self.counter
    }

    /// 64 hexadecimal digits, of which the first ones differ.
    pub(super) fn new_id(&mut self) -> String {
        use std::fmt::Write;
        let hash = crate::types::stable_hash(&["id", &self.next().to_string()]);
        hash.iter().fold(String::new(), |mut id, byte| {
            let _ = write!(id, "{byte:02x}");
            id
        })
    }

    pub(super) fn new_namespace(&mut self) -> NsId {
        let id = NsId(self.next());
        self.namespaces.insert(id, BTreeMap::new());
        id
    }

    pub(super) fn add_card(&mut self, name: &str) {
        let mac = Mac::new([0x00, 0x00, 0x5e, 0x00, 0x53, name.bytes().last().unwrap_or_default()]).expect("no group and not zero");
        let link = FakeLink { up: true, mac, ..FakeLink::new(self.next(), Kind::Other("physical".to_owned())) };
        self.links(HOST).insert(name.to_owned(), link);
    }

    pub(super) fn add_bridge(&mut self, name: &str) -> u32 {
        let index = self.next();
        self.links(HOST).insert(name.to_owned(), FakeLink { up: true, ..FakeLink::new(index, Kind::Bridge) });
        index
    }

    pub(super) fn links(&mut self, ns: NsId) -> &mut BTreeMap<String, FakeLink> {
        self.namespaces.entry(ns).or_default()
    }

    pub(super) fn link(&self, ns: NsId, name: &str) -> Option<&FakeLink> {
        self.namespaces.get(&ns)?.get(name)
    }

    pub(super) fn place(&self, index: u32) -> Option<(NsId, &str)> {
        let all = self.namespaces.iter().flat_map(|(ns, links)| links.iter().map(move |(name, link)| (*ns, name, link)));
        all.into_iter().find(|(.., link)| link.index == index).map(|(ns, name, _)| (ns, name.as_str()))
    }

    /// Removes a link with all that cannot live without it: the other end, macvlans on it, ports' membership.
    pub(super) fn remove_link(&mut self, index: u32) {
        let Some((ns, name)) = self.place(index).map(|(ns, name)| (ns, name.to_owned())) else { return };
        let Some(gone) = self.links(ns).remove(&name) else { return };
        self.bury(&gone);
    }

    fn bury(&mut self, gone: &FakeLink) {
        let mut widowed = vec![];
        for link in self.namespaces.values_mut().flat_map(BTreeMap::values_mut) {
            match link.kind {
                Kind::Veth { peer } if peer == gone.index => widowed.push(link.index),
                _ if link.kind.parent() == Some(gone.index) => widowed.push(link.index),
                _ => {}
            }
            if link.master == Some(gone.index) {
                link.master = None;
            }
        }
        for index in widowed {
            self.remove_link(index);
        }
    }

    /// A namespace dies with its last process, and all links in it.
    pub(super) fn end_namespace(&mut self, ns: NsId) {
        let is_used = self.containers.values().any(|container| container.pid.is_some() && container.ns == Some(ns));
        if ns == HOST || is_used {
            return;
        }
        self.routing.remove(&ns);
        for (name, link) in self.namespaces.remove(&ns).unwrap_or_default() {
            if matches!(link.kind, Kind::Other(_)) {
                self.refund(&name, link);
            } else {
                self.bury(&link);
            }
        }
    }
}
