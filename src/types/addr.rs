//! The one name of a resource, in plans, reports, logs and JSON.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{IfName, Name};

/// The name of a resource everywhere: `machine/web`, `nic/web:eth1`, `network/lan`, `link/web:eth5-db:eth5`, `volume/data`, `image/debian:12`,
/// `guest/1f0c2a` (fly's own binary for machines, by its version), `hostkey/web`, `agent`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Addr {
    /// What puts network cards back: one an engine, whatever the project.
    Agent,
    Image(String),
    Guest(String),
    Volume(Name),
    Network(Name),
    /// The volume with a machine's ssh host key: it outlives the machine.
    HostKey(Name),
    Machine(Name),
    Nic(Name, IfName),
    Link(CableId),
}

/// What the file says of each resource, key by key: only whether it is the same as another time.
pub type Fingerprints = BTreeMap<Addr, BTreeMap<String, String>>;

/// A cable by its two ends, the smaller first: the order in the file does not matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CableId {
    a: (Name, IfName),
    b: (Name, IfName),
}

impl CableId {
    pub fn new(one: (Name, IfName), other: (Name, IfName)) -> Self {
        if one <= other { Self { a: one, b: other } } else { Self { a: other, b: one } }
    }

    pub fn ends(&self) -> [&(Name, IfName); 2] {
        [&self.a, &self.b]
    }
}

impl std::fmt::Display for CableId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}-{}:{}", self.a.0, self.a.1, self.b.0, self.b.1)
    }
}

impl Addr {
    pub fn nic(machine: &Name, nic: &IfName) -> Self {
        Self::Nic(machine.clone(), nic.clone())
    }

    /// The machine that this is, or is part of.
    pub fn machine(&self) -> Option<&Name> {
        match self {
            Self::Machine(machine) | Self::Nic(machine, _) => Some(machine),
            Self::Agent | Self::Image(_) | Self::Guest(_) | Self::Volume(_) | Self::Network(_) | Self::HostKey(_) | Self::Link(_) => None,
        }
    }
}

impl std::fmt::Display for Addr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::Agent => "agent".to_owned(),
            Self::Image(name) => format!("image/{name}"),
            Self::Guest(version) => format!("guest/{version}"),
            Self::Volume(name) => format!("volume/{name}"),
            Self::Network(name) => format!("network/{name}"),
            Self::HostKey(name) => format!("hostkey/{name}"),
            Self::Machine(name) => format!("machine/{name}"),
            Self::Nic(machine, nic) => format!("nic/{machine}:{nic}"),
            Self::Link(id) => format!("link/{id}"),
        };
        f.pad(&text)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a resource, as `machine/web` or `nic/web:eth0` would be")]
pub struct AddrError(String);

impl FromStr for Addr {
    type Err = AddrError;
    fn from_str(text: &str) -> Result<Self, AddrError> {
        parse(text).ok_or_else(|| AddrError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Addr> {
    if text == "agent" {
        return Some(Addr::Agent);
    }
    let (kind, rest) = text.split_once('/')?;
    let name = || Name::new(rest).ok();
    Some(match kind {
        "image" => Addr::Image(rest.to_owned()),
        "guest" => Addr::Guest(rest.to_owned()),
        "volume" => Addr::Volume(name()?),
        "hostkey" => Addr::HostKey(name()?),
        "network" => Addr::Network(name()?),
        "machine" => Addr::Machine(name()?),
        "nic" => end(rest).map(|(machine, nic)| Addr::Nic(machine, nic))?,
        "link" => {
            // Both names may hold a `-`: the separator is the one that leaves a whole end on both sides.
            let (a, b) = rest.match_indices('-').find_map(|(at, _)| Some((end(&rest[..at])?, end(&rest[at + 1..])?)))?;
            Addr::Link(CableId::new(a, b))
        }
        _ => return None,
    })
}

fn end(text: &str) -> Option<(Name, IfName)> {
    let (machine, nic) = text.split_once(':')?;
    Some((Name::new(machine).ok()?, IfName::new(nic).ok()?))
}

impl TryFrom<String> for Addr {
    type Error = AddrError;
    fn try_from(text: String) -> Result<Self, AddrError> {
        text.parse()
    }
}

impl From<Addr> for String {
    fn from(addr: Addr) -> Self {
        addr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for text in [
            "image/debian:12",
            "agent",
            "guest/1f0c2a",
            "hostkey/web",
            "volume/data",
            "network/lan",
            "machine/web-1",
            "nic/web:eth0",
            "link/db:eth5-web:eth5",
        ] {
            assert_eq!(text.parse::<Addr>().unwrap().to_string(), text);
        }
        assert!("machine".parse::<Addr>().is_err());
        assert!("house/web".parse::<Addr>().is_err());
    }

    #[test]
    fn the_ends_of_a_cable_have_no_order() {
        assert_eq!("link/web:a-db:b".parse::<Addr>().unwrap().to_string(), "link/db:b-web:a");
    }
}
