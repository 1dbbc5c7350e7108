//! Addresses that come from the network: by DHCP, and as a router tells.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A way by which a card gets an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dynamic {
    /// `DHCPv4`.
    Dhcp,
    /// `DHCPv6`, one address.
    Dhcp6,
    /// Made by the kernel out of what a router announces.
    Slaac,
}

impl Dynamic {
    pub fn is_v4(self) -> bool {
        self == Self::Dhcp
    }
}

impl std::fmt::Display for Dynamic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Dhcp => "dhcp",
            Self::Dhcp6 => "dhcp6",
            Self::Slaac => "slaac",
        })
    }
}

/// What a card is to get, and what of it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leasing {
    pub ways: BTreeSet<Dynamic>,
    /// The name under which it asks.
    pub hostname: String,
    /// The routers that are told become ways out of the machine.
    pub routers: bool,
    /// The name servers that are told are the machine's.
    pub resolvers: bool,
}
