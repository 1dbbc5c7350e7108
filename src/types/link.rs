//! Links, addresses and routes, in the words of iproute2.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{LinkKind, Mac, Name};

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

/// A route that leaves by a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// Where to; `0.0.0.0/0` or `::/0` is the default route. Host bits are zero.
    pub to: IpNet,
    pub via: Option<IpAddr>,
    /// `None` is what the kernel takes when nothing is said: 0 for IPv4, 1024 for IPv6.
    pub metric: Option<u32>,
}

impl Route {
    pub fn is_default(&self) -> bool {
        self.to.prefix_len() == 0
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_default() {
            write!(f, "default")?;
        } else {
            write!(f, "{}", self.to)?;
        }
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(metric) = self.metric {
            write!(f, " metric {metric}")?;
        }
        Ok(())
    }
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
    /// Routes of the main table by this link; what the kernel adds for an address is left out.
    pub routes: BTreeSet<Route>,
}

/// A link with the place where it is, or is to be born.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedLink {
    #[serde(flatten)]
    pub at: LinkRef,
    pub link: Link,
    /// The alias that tells people whose it is: `fly:<project>/<machine>/<nic>`. At most 255 bytes.
    pub alias: Option<String>,
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
