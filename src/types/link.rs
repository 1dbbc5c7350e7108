//! Links, addresses and routes, in the words of iproute2.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{LinkKind, Mac, Name, Route, Sysctl, Traffic};

/// A network namespace: the host's (where the engine runs), or a machine's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Ns {
    Host,
    Machine(Name),
}

impl std::fmt::Display for Ns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host => f.pad("host"),
            Self::Machine(name) => write!(f, "machine/{name}"),
        }
    }
}

impl From<Ns> for String {
    fn from(ns: Ns) -> Self {
        ns.to_string()
    }
}

impl TryFrom<String> for Ns {
    type Error = super::NameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.strip_prefix("machine/") {
            Some(name) => Name::new(name).map(Self::Machine),
            None => Ok(Self::Host),
        }
    }
}

/// A link somewhere: its namespace and its name in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkRef {
    pub ns: Ns,
    pub name: String,
}

impl LinkRef {
    pub fn host(name: impl Into<String>) -> Self {
        Self { ns: Ns::Host, name: name.into() }
    }

    pub fn machine(machine: &Name, name: impl Into<String>) -> Self {
        Self { ns: Ns::Machine(machine.clone()), name: name.into() }
    }
}

impl std::fmt::Display for LinkRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.ns {
            Ns::Host => f.pad(&self.name),
            Ns::Machine(machine) => write!(f, "{machine}:{}", self.name),
        }
    }
}

/// What a link carries besides addresses and routes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tuning {
    /// Neighbours that are not asked for: their MACs by their addresses.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub neighbours: BTreeMap<IpAddr, Mac>,
    /// Those that the file names; of an actual link they are told apart from it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<Sysctl, i32>,
    #[serde(skip_serializing_if = "Traffic::is_empty")]
    pub traffic: Traffic,
}

/// A link as it should be, or as it is. `None` in a desired link: what the kernel chooses, not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub kind: LinkKind,
    pub mac: Option<Mac>,
    pub mtu: Option<u32>,
    /// Administratively up (`IFF_UP`); a carrier is another matter.
    pub up: bool,
    /// The bridge that it is a port of, in the same namespace.
    pub master: Option<String>,
    /// Addresses with their prefix lengths; the kernel's own link-local ones are left out.
    pub addresses: BTreeSet<IpNet>,
    /// Routes by this link, of any table; what the kernel adds for an address is left out.
    pub routes: BTreeSet<Route>,
    #[serde(default)]
    pub tuning: Tuning,
}

/// A link with the place where it is, or is to be born.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedLink {
    #[serde(flatten)]
    pub at: LinkRef,
    pub link: Link,
    /// The alias that tells people whose it is: `fly:<project>/<machine>/<nic>`. At most 255 bytes.
    pub alias: Option<String>,
    #[serde(default, skip_serializing_if = "Manners::is_empty")]
    pub manners: Manners,
}

/// What is due to strangers on the same wire when addresses come to a card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manners {
    /// Addresses that nobody may have yet: they are asked for before they are used.
    pub probe: BTreeSet<IpAddr>,
    /// The neighbours are told thrice, not once.
    pub announce: bool,
}

impl Manners {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl std::fmt::Display for Manners {
    /// What stands behind the words of a step: nothing, where nobody is asked.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, address) in self.probe.iter().enumerate() {
            write!(f, "{}{address}", if at == 0 { ", if nobody has " } else { " or " })?;
        }
        Ok(())
    }
}

/// A line of `/etc/hosts`: one name, one address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostEntry {
    pub name: String,
    pub address: IpAddr,
}

/// The lines of many machines are the same: they are kept once.
pub type HostEntries = Arc<BTreeSet<HostEntry>>;

impl std::fmt::Display for HostEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.address, self.name)
    }
}
