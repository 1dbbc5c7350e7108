//! What the kernel says there is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::types::{GuestConfig, GuestStatus, HostEntry, Link, Name, Ns, Owner, Route, SshdStatus};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetSnapshot {
    /// The host's, and that of every machine that runs.
    pub namespaces: BTreeMap<Ns, Namespace>,
    /// The namespaces of containers of others that lend theirs to machines, by inode, under the engine's names.
    #[serde(default)]
    pub lenders: BTreeMap<String, u64>,
    /// What the firewall does with frames between the ports of a bridge.
    pub firewall: Firewall,
    /// What the guests of running machines were told last, and what they say.
    #[serde(default)]
    pub guests: BTreeMap<Name, GuestSeen>,
    /// Kinds of links that were asked for and that this kernel cannot make: it has no such module.
    #[serde(default)]
    pub missing_kinds: BTreeSet<String>,
    /// Why something could not be seen. Nothing is deleted on the strength of such a view.
    pub incomplete: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Two machines with one inode share one namespace.
    pub inode: u64,
    /// By name; `lo` is left out.
    pub links: BTreeMap<String, LinkState>,
    /// Lines of the machine's `/etc/hosts`, without `localhost` and its like; empty for the host.
    pub hosts: Arc<BTreeSet<HostsLine>>,
}

/// The files that fly and a machine's guest share. What cannot be read is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSeen {
    pub config: Option<GuestConfig>,
    pub status: Option<GuestStatus>,
    pub sshd: Option<SshdStatus>,
    /// It has made a host key.
    #[serde(default)]
    pub host_key: bool,
}

/// A name of `/etc/hosts`, and whether fly's mark stands behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostsLine {
    #[serde(flatten)]
    pub entry: HostEntry,
    pub marked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkState {
    #[serde(flatten)]
    pub link: Link,
    pub index: u32,
    pub group: u32,
    pub alias: Option<String>,
    /// In the host's namespace: by name, group and MAC prefix. Inside a machine everything is ours.
    pub owner: Owner,
    /// Who uses a link that is not his alone: project and network, as its alternative names say.
    #[serde(default)]
    pub users: BTreeSet<(Name, Name)>,
    /// Destinations that leave by it besides `link.routes`, as the kernel's own routes for its addresses.
    pub connected: BTreeSet<IpNet>,
    /// Frames can leave by it: only then does the kernel keep its own routes there.
    #[serde(default)]
    pub carrier: bool,
    /// Which of the addresses and routes somebody else has put there, as their protocol mark (`ip -d address`, `ip route`) tells;
    /// empty where the kernel keeps no such marks. They are shown, and left alone. What the kernel has made as a router told it is
    /// among them, and only here.
    #[serde(default)]
    pub foreign_addresses: BTreeSet<IpNet>,
    #[serde(default)]
    pub foreign_routes: BTreeSet<Route>,
}

/// What the firewall does with frames between the ports of a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// Bridged frames go through a FORWARD chain whose policy is DROP (Docker's), so a bridge needs a rule of its own.
    pub drops_bridged: bool,
    /// Comments of fly's rules, by the bridge that they name.
    pub allowed: BTreeSet<(String, String)>,
}
