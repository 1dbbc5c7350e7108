//! What the world is to be: everything decided, everything named, every address allocated.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::Serialize;

use crate::diag::Place;
use crate::spec::{Condition, PullPolicy};
use crate::types::{
    CableId, Container, Dynamic, Endpoint, EngineNetwork, GuestConfig, HostEntries, IfName, IpvlanMode, Leasing, Link, LinkKind, LinkRef,
    Mac, MacvlanMode, Name, PlacedLink, Route, Routing, Tuning,
};

/// Where in the file each field of a resource comes from; a field that is not there comes from fly's stated defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The resource itself; nothing for what the file does not name, as the default network.
    pub own: Option<Place>,
    pub fields: BTreeMap<&'static str, Place>,
}

impl Places {
    /// The place of a field, or else of the resource.
    pub fn of(&self, field: &str) -> Option<&Place> {
        self.fields.get(field).or(self.own.as_ref())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    pub project: Name,
    /// The version of the agent that puts its cards back; nothing: it does without one.
    pub agent: Option<String>,
    pub networks: BTreeMap<Name, Network>,
    pub volumes: BTreeMap<Name, Volume>,
    pub machines: BTreeMap<Name, Machine>,
    pub cables: BTreeMap<CableId, Cable>,
    /// Who needs whom, also of machines that are not wanted any more: their order of stopping.
    pub order: BTreeMap<Name, BTreeSet<Name>>,
    pub orphan_volumes: OrphanVolumes,
    /// Only these machines are to become as the file says, with what is theirs; nothing: all, and nothing else may be there.
    pub only: Option<BTreeSet<Name>>,
}

/// What becomes of volumes of the project that the file does not name: data is only deleted when somebody says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrphanVolumes {
    Keep,
    Delete,
}

impl Desired {
    /// Nothing at all: what `down` wants.
    pub fn empty(project: Name) -> Self {
        Self {
            project,
            agent: None,
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            machines: BTreeMap::new(),
            cables: BTreeMap::new(),
            order: BTreeMap::new(),
            orphan_volumes: OrphanVolumes::Keep,
            only: None,
        }
    }

    /// Nothing at all, but in the order that the file knows.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self { order: self.order.clone(), ..Self::empty(self.project.clone()) }
    }

    /// References of the images that are to be as new as their registries'.
    pub fn newest_images(&self) -> BTreeSet<&str> {
        let always = self.machines.values().filter(|machine| machine.pull_policy == PullPolicy::Always);
        always.map(|machine| machine.container.image.as_str()).collect()
    }

    /// Modules of the kernel that not every kernel has, and that something in the file needs.
    pub fn modules(&self) -> BTreeSet<String> {
        let cards = self.machines.values().flat_map(|machine| machine.nics.values()).filter_map(|nic| nic.tuning.traffic.module());
        let networks = self.networks.values().flat_map(Network::modules);
        cards.chain(networks).map(str::to_owned).collect()
    }

    /// Cards of the host's that machines are to have.
    pub fn devices(&self) -> BTreeSet<String> {
        let cards = self.machines.values().flat_map(|machine| machine.nics.values());
        let devices = cards.filter_map(|nic| if let Attach::Physical { device, .. } = &nic.attach { Some(device) } else { None });
        devices.cloned().collect()
    }

    /// References of all images that are wanted.
    pub fn images(&self) -> BTreeSet<&str> {
        self.machines.values().map(|m| m.container.image.as_str()).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    pub kind: NetworkKind,
    pub subnets: Vec<IpNet>,
    /// fly's own link in the host's namespace: the bridge itself, or the shim by which the host reaches macvlan children.
    pub host_link: Option<PlacedLink>,
    /// The link on the host beneath it: the vxlan that is a port of its bridge, or the VLAN that is its parent or uplink.
    pub lower: Option<PlacedLink>,
    /// The host's card that is a port of its bridge.
    pub uplink: Option<String>,
    /// Where strangers can be, nobody takes an address before it is clear that nobody has it.
    pub probe: bool,
    pub places: Places,
}

impl Network {
    /// Whether others than this project's machines can be on it, whom nobody here knows of.
    pub fn has_strangers(&self) -> bool {
        match &self.kind {
            NetworkKind::ExistingBridge { .. } | NetworkKind::Macvlan { .. } | NetworkKind::Physical { .. } => true,
            // In the other modes nobody asks by broadcast.
            NetworkKind::Ipvlan { mode, .. } => *mode == IpvlanMode::L2,
            NetworkKind::Bridge => self.uplink.is_some() || self.lower.is_some(),
            NetworkKind::Nat { .. } => false,
        }
    }

    /// What the kernel needs for it, and may not have.
    pub fn modules(&self) -> impl Iterator<Item = &'static str> {
        let own = match &self.kind {
            NetworkKind::Macvlan { .. } => Some("macvlan"),
            NetworkKind::Ipvlan { .. } => Some("ipvlan"),
            NetworkKind::Nat { .. } | NetworkKind::Bridge | NetworkKind::ExistingBridge { .. } | NetworkKind::Physical { .. } => None,
        };
        own.into_iter().chain(self.lower.as_ref().and_then(|lower| lower.link.kind.module()))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkKind {
    /// A Docker network: the engine's name for it, and what it is to be.
    Nat {
        name: String,
        network: EngineNetwork,
    },
    /// A bridge that fly makes (`host_link`).
    Bridge,
    /// A bridge that exists already, by name.
    ExistingBridge {
        bridge: String,
    },
    Macvlan {
        parent: String,
        mode: MacvlanMode,
        sources: Option<BTreeSet<Mac>>,
        promiscuous: bool,
    },
    Ipvlan {
        parent: String,
        mode: IpvlanMode,
    },
    /// A card of the host's, by its name there, that one machine gets.
    Physical {
        device: String,
    },
}

impl NetworkKind {
    /// The host's card that its cards are parts of.
    pub fn parent(&self) -> Option<&str> {
        match self {
            Self::Macvlan { parent, .. } | Self::Ipvlan { parent, .. } => Some(parent),
            Self::Nat { .. } | Self::Bridge | Self::ExistingBridge { .. } | Self::Physical { .. } => None,
        }
    }
}

impl Network {
    /// The VLAN on the host that it needs, and that others may need too.
    pub fn vlan(&self) -> Option<&PlacedLink> {
        self.lower.as_ref().filter(|link| matches!(link.link.kind, LinkKind::Vlan { .. }))
    }

    /// As the file calls its kind.
    pub fn word(&self) -> &'static str {
        match &self.kind {
            NetworkKind::Nat { .. } => "nat",
            NetworkKind::Bridge if self.lower.as_ref().is_some_and(|link| matches!(link.link.kind, LinkKind::Vxlan { .. })) => "vxlan",
            NetworkKind::Bridge | NetworkKind::ExistingBridge { .. } => "bridge",
            NetworkKind::Macvlan { .. } => "macvlan",
            NetworkKind::Ipvlan { .. } => "ipvlan",
            NetworkKind::Physical { .. } => "physical",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The engine's name of it.
    pub name: String,
    /// Exists already and is not ours.
    pub external: bool,
    pub labels: BTreeMap<String, String>,
    pub places: Places,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The engine's name of it: `shop.web`.
    pub name: String,
    pub container: Container,
    pub pull_policy: PullPolicy,
    pub guest: Option<Guest>,
    /// The image's systemd is its first process, if the engine can do that.
    pub systemd: bool,
    pub state: DesiredState,
    pub nics: BTreeMap<IfName, Nic>,
    /// Of its namespace, and of no card.
    pub routing: Routing,
    /// The lines of `/etc/hosts` that are fly's.
    pub hosts: HostEntries,
    /// Machines that have to be there first, and in what state.
    pub depends_on: BTreeMap<Name, Condition>,
    pub places: Places,
}

/// fly as a machine's first process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    pub config: GuestConfig,
    /// Of a machine that is made now.
    pub version: String,
    /// Users whose keys are those of whoever runs fly, and not the file's: keys of others stay.
    pub adds_keys: BTreeSet<String>,
    /// Another version is a reason to replace the machine.
    pub renew: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DesiredState {
    Running,
    /// Somebody waits for its completion: having ended with 0 is as good as running.
    RunningOrCompleted,
}

/// A network card in a machine. What `mtu: None` means hangs on what it is plugged into: the parent's, the bridge's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    pub attach: Attach,
    pub mac: Mac,
    pub mtu: Option<u32>,
    pub up: bool,
    pub addresses: BTreeSet<IpNet>,
    /// Addresses that the network gives it, by which way.
    pub dynamic: BTreeSet<Dynamic>,
    /// The routers that come with them are its ways out: the file names no gateway.
    pub routers: bool,
    pub routes: BTreeSet<Route>,
    /// As in its network, where the file says nothing of the card itself.
    pub probe: bool,
    pub tuning: Tuning,
    pub places: Places,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attach {
    /// The engine's own: a veth whose other end is a port of `bridge`.
    Nat {
        network: Name,
        engine_name: String,
        bridge: String,
        endpoint: Endpoint,
    },
    /// A veth whose other end, `host_end`, is a port of `bridge` in the host's namespace.
    Bridge {
        network: Name,
        bridge: String,
        host_end: String,
    },
    Macvlan {
        network: Name,
        parent: String,
        mode: MacvlanMode,
        sources: Option<BTreeSet<Mac>>,
        promiscuous: bool,
    },
    Ipvlan {
        network: Name,
        parent: String,
        mode: IpvlanMode,
    },
    /// The host's own card `device`, moved into the machine.
    Physical {
        network: Name,
        device: String,
    },
    /// One end of a veth whose other end is in another machine.
    Cable {
        id: CableId,
        peer: (Name, IfName),
    },
}

impl Attach {
    pub fn network(&self) -> Option<&Name> {
        match self {
            Self::Nat { network, .. }
            | Self::Bridge { network, .. }
            | Self::Macvlan { network, .. }
            | Self::Ipvlan { network, .. }
            | Self::Physical { network, .. } => Some(network),
            Self::Cable { .. } => None,
        }
    }

    /// The host's card that it is a part of.
    pub fn parent(&self) -> Option<&str> {
        match self {
            Self::Macvlan { parent, .. } | Self::Ipvlan { parent, .. } => Some(parent),
            Self::Nat { .. } | Self::Bridge { .. } | Self::Physical { .. } | Self::Cable { .. } => None,
        }
    }
}

/// A cable: its two ends are NICs (`Attach::Cable`) of their machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cable {
    pub places: Places,
}

impl Machine {
    /// What a card of it asks the network for; nothing if the file gives it all.
    pub fn leasing(&self, name: &Name, card: &IfName) -> Option<Leasing> {
        let nic = self.nics.get(card).filter(|nic| !nic.dynamic.is_empty())?;
        Some(Leasing {
            ways: nic.dynamic.clone(),
            hostname: self.container.hostname.clone().unwrap_or_else(|| name.to_string()),
            routers: nic.routers,
            resolvers: self.container.dns.is_empty(),
        })
    }
}

impl Nic {
    /// The MAC that it is given. A physical card has its own, and in mode passthru it is the parent itself, MAC and all: only what the
    /// file says changes that. An ipvlan card has the parent's for good.
    pub fn own_mac(&self) -> Option<Mac> {
        let is_parents = match self.attach {
            Attach::Macvlan { mode: MacvlanMode::Passthru, .. } | Attach::Physical { .. } => self.mac.is_automatic(),
            Attach::Ipvlan { .. } => true,
            _ => false,
        };
        (!is_parents).then_some(self.mac)
    }

    /// Its place in a Docker network, where it is one of the engine's.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match &self.attach {
            Attach::Nat { endpoint, .. } => Some(endpoint),
            Attach::Bridge { .. } | Attach::Macvlan { .. } | Attach::Ipvlan { .. } | Attach::Physical { .. } | Attach::Cable { .. } => None,
        }
    }

    /// The link that this card is to be inside the machine, with `mtu` filled in by whoever knows.
    pub fn link(&self, mtu: Option<u32>) -> Link {
        let kind = match &self.attach {
            Attach::Nat { .. } => LinkKind::Veth { peer: None },
            Attach::Bridge { host_end, .. } => LinkKind::Veth { peer: Some(LinkRef::host(host_end.clone())) },
            Attach::Macvlan { parent, mode, sources, promiscuous, .. } => LinkKind::Macvlan {
                parent: Some(LinkRef::host(parent.clone())),
                mode: *mode,
                sources: sources.clone(),
                promiscuous: *promiscuous,
            },
            Attach::Ipvlan { parent, mode, .. } => LinkKind::Ipvlan { parent: Some(LinkRef::host(parent.clone())), mode: *mode },
            Attach::Physical { device, .. } => LinkKind::Physical { device: device.clone() },
            Attach::Cable { peer: (machine, nic), .. } => LinkKind::Veth { peer: Some(LinkRef::machine(machine, nic.as_str())) },
        };
        Link {
            kind,
            mac: self.own_mac(),
            mtu: self.mtu.or(mtu),
            up: self.up,
            master: None,
            addresses: self.addresses.clone(),
            routes: self.routes.clone(),
            tuning: self.tuning.clone(),
        }
    }
}
