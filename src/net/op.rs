//! What can be done to the kernel's network: one operation, one link (or one cable).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::types::{
    Dynamic, GuestConfig, HostEntries, HostEntry, Leasing, LinkKind, LinkRef, Mac, Manners, Name, Ns, PlacedLink, Route, Routing, Sysctl,
    Traffic,
};

/// One operation on links. Every one is idempotent: what is done already is success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum NetOp {
    /// A bridge, a vxlan, a VLAN, or a card on a parent; born in its namespace with name, MAC, MTU and group, then given addresses, set
    /// up, given routes.
    CreateLink {
        link: Box<PlacedLink>,
    },
    /// Both ends of a veth, each born in its namespace. `b` may be a bridge's port on the host, or another machine's NIC.
    CreateVeth {
        a: Box<PlacedLink>,
        b: Box<PlacedLink>,
    },
    /// The NIC that the engine plugged into `bridge` gets its name and everything that `link` says. If another link bears that name,
    /// it is moved aside to a name made from its own index. The name that the engine gave is kept in the alias
    /// (`fly:shop/web/eth1 engine=eth0`): engines before 28 disconnect by that name, whoever bears it by then.
    AdoptPort {
        bridge: String,
        link: Box<PlacedLink>,
    },
    /// The card gets the addresses that come from the network, and keeps them: a lease of which less than half the time is over stays
    /// as it is.
    Lease {
        at: LinkRef,
        leasing: Box<Leasing>,
    },
    /// Gives leases back, before a card goes or does without them.
    Release {
        at: LinkRef,
        ways: BTreeSet<Dynamic>,
    },
    SetLink {
        at: LinkRef,
        set: Box<LinkSet>,
    },
    DeleteLink {
        at: LinkRef,
    },
    /// A link of the host that others may use as well, or own, gets an alternative name that says which network of which project needs it, and
    /// becomes a port of `bridge`.
    UseLink {
        at: LinkRef,
        network: Name,
        bridge: Option<String>,
    },
    /// Takes that back: it is left as it was found.
    LeaveLink {
        at: LinkRef,
        network: Name,
    },
    /// The host's card `device` goes into a machine, and becomes as `link` says. What it was stands behind its alias first
    /// (`fly:shop/web/eth0 host=eth2,00:00:5e:00:53:01,1500,up`), and goes wherever the card goes: by that it is also found on the host
    /// under another name, where the kernel has put it when the machine's namespace died.
    TakeLink {
        device: String,
        link: Box<PlacedLink>,
    },
    /// The host gets such a card back, as it was: name, MAC, MTU, up or down, alias.
    GiveBack {
        at: LinkRef,
        device: String,
    },
    /// Rules and dead ends of a machine's namespace. A dead end takes the place of a route with its destination, metric and table.
    SetRouting {
        machine: Name,
        add: Box<Routing>,
        remove: Box<Routing>,
    },
    /// The lines of `/etc/hosts` that are fly's become exactly `set`; `remove` are lines without fly's mark that have to go as
    /// well. Everybody else's lines stay.
    SetHosts {
        machine: Name,
        set: HostEntries,
        remove: BTreeSet<HostEntry>,
    },
    /// What the machine's guest is to do, in place of whatever it was told before.
    SetGuest {
        machine: Name,
        config: Box<GuestConfig>,
    },
    /// Frames between the ports of this bridge pass the firewall: with Docker's DROP policy and `bridge-nf-call-iptables` they
    /// otherwise do not. One rule in `DOCKER-USER`, with a comment that says whose it is.
    AllowForward {
        bridge: String,
        comment: String,
    },
    RevokeForward {
        bridge: String,
        comment: String,
    },
}

/// What to change about a link; what is not named stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkSet {
    /// Its new name.
    pub name: Option<String>,
    pub mac: Option<Mac>,
    pub mtu: Option<u32>,
    pub up: Option<bool>,
    /// The mark by which a link of the host's is known.
    pub group: Option<u32>,
    /// What is particular to its kind becomes as in this one.
    pub kind: Option<LinkKind>,
    /// Becomes a port of this bridge.
    pub master: Option<String>,
    pub add_addresses: BTreeSet<IpNet>,
    pub remove_addresses: BTreeSet<IpNet>,
    /// Each takes the place of another with its destination and metric, whichever link that leaves by; but not of the kernel's own.
    pub add_routes: BTreeSet<Route>,
    pub remove_routes: BTreeSet<Route>,
    /// Routes that belong to the link and are put back if one of the changes above made the kernel drop them: setting a link
    /// down, or changing an address, takes its routes away.
    pub keep_routes: BTreeSet<Route>,
    /// Addresses whose subnet the kernel has no route to any more: its own route is put back.
    pub connect: BTreeSet<IpNet>,
    /// Before addresses are added, and after.
    #[serde(skip_serializing_if = "Manners::is_empty")]
    pub manners: Manners,
    #[serde(skip_serializing_if = "Tune::is_empty")]
    pub tune: Tune,
}

/// What to change about what a link carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tune {
    /// Before the addresses: some of them decide what addresses there can be.
    pub sysctls: BTreeMap<Sysctl, i32>,
    pub neighbours: BTreeMap<IpAddr, Mac>,
    pub remove_neighbours: BTreeSet<IpAddr>,
    /// Those that stay, and that the kernel forgets with a change of the MAC.
    pub keep_neighbours: BTreeMap<IpAddr, Mac>,
    /// At both ends of a veth whose other one is on the host. Nothing in it: as the kernel makes a link.
    pub traffic: Option<Traffic>,
}

impl Tune {
    pub fn is_empty(&self) -> bool {
        *self == Self { keep_neighbours: self.keep_neighbours.clone(), ..Self::default() }
    }
}

impl LinkSet {
    pub fn is_empty(&self) -> bool {
        let Self { keep_routes, tune, .. } = self;
        let kept = Tune { keep_neighbours: tune.keep_neighbours.clone(), ..Tune::default() };
        *self == Self { keep_routes: keep_routes.clone(), tune: kept, ..Self::default() }
    }
}

impl NetOp {
    /// The machines whose namespaces it works in.
    pub fn machines(&self) -> BTreeSet<&Name> {
        match self {
            Self::CreateLink { link } | Self::AdoptPort { link, .. } | Self::TakeLink { link, .. } => {
                machine(&link.at).into_iter().collect()
            }
            Self::CreateVeth { a, b } => machine(&a.at).into_iter().chain(machine(&b.at)).collect(),
            Self::SetLink { at, .. }
            | Self::Lease { at, .. }
            | Self::Release { at, .. }
            | Self::DeleteLink { at }
            | Self::UseLink { at, .. }
            | Self::LeaveLink { at, .. }
            | Self::GiveBack { at, .. } => machine(at).into_iter().collect(),
            Self::SetHosts { machine, .. } | Self::SetGuest { machine, .. } | Self::SetRouting { machine, .. } => BTreeSet::from([machine]),
            Self::AllowForward { .. } | Self::RevokeForward { .. } => BTreeSet::new(),
        }
    }
}

fn machine(at: &LinkRef) -> Option<&Name> {
    match &at.ns {
        Ns::Machine(name) => Some(name),
        Ns::Host => None,
    }
}

fn listed(ways: &BTreeSet<Dynamic>) -> String {
    ways.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

impl std::fmt::Display for NetOp {
    /// What is done, as it stands in a plan.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CreateLink { link } => write!(f, "create {} {}{}", link.link.kind.word(), link.at, link.manners),
            Self::CreateVeth { a, b } => write!(f, "create veth {} to {}{}", a.at, b.at, a.manners),
            Self::AdoptPort { link, .. } => write!(f, "set up {}", link.at),
            Self::Lease { at, leasing } => write!(f, "get an address by {} for {at}", listed(&leasing.ways)),
            Self::Release { at, ways } => write!(f, "give back the address by {} of {at}", listed(ways)),
            Self::SetLink { at, set } => write!(f, "change {at}{}", set.manners),
            Self::DeleteLink { at } => write!(f, "delete link {at}"),
            Self::UseLink { at, bridge: None, .. } => write!(f, "use link {at}"),
            Self::UseLink { at, bridge: Some(bridge), .. } => write!(f, "plug {at} into {bridge}"),
            Self::LeaveLink { at, .. } => write!(f, "give back {at}"),
            Self::TakeLink { device, link } => write!(f, "move {device} of the host to {}{}", link.at, link.manners),
            Self::GiveBack { at: LinkRef { ns: Ns::Host, name }, device } => {
                write!(f, "put {device} of the host right, which is {name} now")
            }
            Self::GiveBack { at, device } => write!(f, "give {at} back to the host as {device}"),
            Self::SetRouting { machine, .. } => write!(f, "change rules and routes of {machine}"),
            Self::SetHosts { machine, .. } => write!(f, "write /etc/hosts of {machine}"),
            Self::SetGuest { machine, .. } => write!(f, "write guest settings of {machine}"),
            Self::AllowForward { bridge, .. } => write!(f, "open the firewall between ports of {bridge}"),
            Self::RevokeForward { bridge, .. } => write!(f, "remove the firewall rule of {bridge}"),
        }
    }
}
