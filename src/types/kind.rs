//! What kinds of links there are, in the words of iproute2, and what is particular to each.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{IfName, LinkRef, Mac, stable_hash};

/// The port that IANA has given VXLAN.
pub const VXLAN_PORT: u16 = 4789;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MacvlanMode {
    #[default]
    Bridge,
    Private,
    Vepa,
    Passthru,
    Source,
}

impl std::fmt::Display for MacvlanMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Bridge => "bridge",
            Self::Private => "private",
            Self::Vepa => "vepa",
            Self::Passthru => "passthru",
            Self::Source => "source",
        })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpvlanMode {
    #[default]
    L2,
    L3,
    L3s,
}

impl std::fmt::Display for IpvlanMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::L2 => "l2",
            Self::L3 => "l3",
            Self::L3s => "l3s",
        })
    }
}

/// What a link is: what the kernel calls its kind, and what it hangs on. A parent or peer is unknown when it lives in a namespace that
/// was not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    Bridge,
    Macvlan {
        parent: Option<LinkRef>,
        mode: MacvlanMode,
        /// Whose frames it takes in mode `source`; `None` in a desired link: nobody's business.
        #[serde(default)]
        sources: Option<BTreeSet<Mac>>,
        /// The kernel counts those of its cards that are, and makes the parent so as long as there is one.
        #[serde(default)]
        promiscuous: bool,
    },
    Ipvlan {
        parent: Option<LinkRef>,
        mode: IpvlanMode,
    },
    /// 802.1q.
    Vlan {
        parent: Option<LinkRef>,
        id: u16,
    },
    Vxlan {
        vni: u32,
        port: u16,
        parent: Option<LinkRef>,
        local: Option<IpAddr>,
        /// Who gets frames for everybody, and for those of whom nothing is known yet.
        remotes: BTreeSet<IpAddr>,
    },
    Veth {
        peer: Option<LinkRef>,
    },
    /// A card of the host's that a machine has, or had until its end: by its name on the host, whatever kind the kernel says it is.
    Physical {
        device: String,
    },
    /// Whatever else there is, by the kernel's name for it; a physical card has none and is `physical`.
    Other(String),
}

impl LinkKind {
    /// A macvlan about which nothing else is said.
    pub fn macvlan(parent: LinkRef, mode: MacvlanMode) -> Self {
        Self::Macvlan { parent: Some(parent), mode, sources: None, promiscuous: false }
    }

    /// The module that makes it, where not every kernel has one.
    pub fn module(&self) -> Option<&'static str> {
        match self {
            Self::Macvlan { .. } => Some("macvlan"),
            Self::Ipvlan { .. } => Some("ipvlan"),
            Self::Vlan { .. } => Some("8021q"),
            Self::Vxlan { .. } => Some("vxlan"),
            Self::Bridge | Self::Veth { .. } | Self::Physical { .. } | Self::Other(_) => None,
        }
    }

    /// The kernel's name of it.
    pub fn word(&self) -> &str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan { .. } => "macvlan",
            Self::Ipvlan { .. } => "ipvlan",
            Self::Vlan { .. } => "vlan",
            Self::Vxlan { .. } => "vxlan",
            Self::Veth { .. } => "veth",
            Self::Physical { .. } => "physical",
            Self::Other(kind) => kind,
        }
    }

    /// The card of which it is a part.
    pub fn parent(&self) -> Option<&LinkRef> {
        match self {
            Self::Macvlan { parent, .. } | Self::Ipvlan { parent, .. } | Self::Vlan { parent, .. } | Self::Vxlan { parent, .. } => {
                parent.as_ref()
            }
            Self::Bridge | Self::Veth { .. } | Self::Physical { .. } | Self::Other(_) => None,
        }
    }

    /// Whether the one can become the other where it is.
    pub fn can_become(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Macvlan { parent: a, mode: from, .. }, Self::Macvlan { parent: b, mode: to, .. }) => {
                // The kernel gives the whole card from the start, or never.
                let is_whole = |mode: &MacvlanMode| *mode == MacvlanMode::Passthru;
                a == b && is_whole(from) == is_whole(to)
            }
            (Self::Ipvlan { parent: a, .. }, Self::Ipvlan { parent: b, .. }) => a == b,
            (
                Self::Vxlan { vni, port, parent, local, .. },
                Self::Vxlan { vni: other_vni, port: other_port, parent: other_parent, local: other_local, .. },
            ) => (vni, port, parent, local) == (other_vni, other_port, other_parent, other_local),
            // The engine's, whose other end has a name of its choice.
            (Self::Veth { .. }, Self::Veth { peer: None }) => true,
            _ => self == other,
        }
    }
}

impl std::fmt::Display for LinkKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let on = |parent: &Option<LinkRef>| parent.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
        match self {
            Self::Macvlan { parent, mode, .. } => write!(f, "macvlan on {}, mode {mode}", on(parent)),
            Self::Ipvlan { parent, mode } => write!(f, "ipvlan on {}, mode {mode}", on(parent)),
            Self::Vlan { parent, id } => write!(f, "vlan {id} on {}", on(parent)),
            Self::Vxlan { vni, port, .. } => write!(f, "vxlan {vni}, port {port}"),
            Self::Veth { peer } => write!(f, "veth to {}", on(peer)),
            Self::Physical { device } => write!(f, "physical {device}"),
            Self::Bridge | Self::Other(_) => f.pad(self.word()),
        }
    }
}

/// The name of the link that is a VLAN of a card: as everybody calls it, where that is short enough.
pub fn vlan_name(parent: &str, id: u16) -> String {
    let name = format!("{parent}.{id}");
    if name.len() <= IfName::MAX {
        return name;
    }
    let hash = stable_hash(&["vlan", parent, &id.to_string()]);
    hash[..6].iter().fold("fly".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlans_are_called_as_everywhere_while_there_is_room() {
        assert_eq!(vlan_name("eth1", 42), "eth1.42");
        let long = vlan_name("enx001122334455", 42);
        assert_eq!(long.len(), IfName::MAX);
        assert_ne!(long, vlan_name("enx001122334455", 43));
    }
}
