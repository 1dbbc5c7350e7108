//! What can be done to the kernel's network: one operation, one link (or one cable).

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::types::{GuestConfig, HostEntries, HostEntry, LinkKind, LinkRef, Mac, Name, PlacedLink, Route};

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
}

impl LinkSet {
    pub fn is_empty(&self) -> bool {
        *self == Self { keep_routes: self.keep_routes.clone(), ..Self::default() }
    }
}

impl std::fmt::Display for NetOp {
    /// What is done, as it stands in a plan.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CreateLink { link } => write!(f, "create {} {}", link.link.kind.word(), link.at),
            Self::CreateVeth { a, b } => write!(f, "create veth {} to {}", a.at, b.at),
            Self::AdoptPort { link, .. } => write!(f, "set up {}", link.at),
            Self::SetLink { at, .. } => write!(f, "change {at}"),
            Self::DeleteLink { at } => write!(f, "delete link {at}"),
            Self::UseLink { at, bridge: None, .. } => write!(f, "use link {at}"),
            Self::UseLink { at, bridge: Some(bridge), .. } => write!(f, "plug {at} into {bridge}"),
            Self::LeaveLink { at, .. } => write!(f, "give back {at}"),
            Self::SetHosts { machine, .. } => write!(f, "write /etc/hosts of {machine}"),
            Self::SetGuest { machine, .. } => write!(f, "write guest settings of {machine}"),
            Self::AllowForward { bridge, .. } => write!(f, "open the firewall between ports of {bridge}"),
            Self::RevokeForward { bridge, .. } => write!(f, "remove the firewall rule of {bridge}"),
        }
    }
}
