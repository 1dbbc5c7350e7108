//! What the kernel says there is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::types::{Dynamic, GuestConfig, GuestStatus, HostEntry, Link, Mac, Name, Ns, Owner, Route, Routing, SshdStatus, Sysctl};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// The kernel parameters that links have here.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sysctls: BTreeSet<Sysctl>,
    /// Modules that were asked for, and that the kernel has not.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lacking: BTreeSet<String>,
    /// Why something could not be seen. Nothing is deleted on the strength of such a view.
    pub incomplete: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// Two machines with one inode share one namespace.
    pub inode: u64,
    /// By name; `lo` is left out.
    pub links: BTreeMap<String, LinkState>,
    /// Rules, and routes that lead nowhere; the kernel's own are left out. Empty for the host.
    #[serde(default, skip_serializing_if = "Routing::is_empty")]
    pub routing: Routing,
    /// What of that somebody else has put there.
    #[serde(default, skip_serializing_if = "Routing::is_empty")]
    pub foreign_routing: Routing,
    /// Lines of the machine's `/etc/hosts`, without `localhost` and its like; empty for the host.
    pub hosts: Arc<BTreeSet<HostsLine>>,
}

/// The files that fly and a machine's guest share. What cannot be read is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
pub struct HostsLine {
    #[serde(flatten)]
    pub entry: HostEntry,
    pub marked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// Addresses that came from the network. In which way alone counts: which ones they are, others decide.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leases: BTreeMap<Dynamic, IpNet>,
    /// What has gone through it so far. They are never alike twice, so plans and their records do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
    /// All kernel parameters that it has; nothing of links of the host's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<Sysctl, i32>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub foreign_neighbours: BTreeMap<IpAddr, Mac>,
    /// The queueing discipline that it sends by, as `htb 1:`, if somebody else has chosen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_qdisc: Option<String>,
}

/// What a link has counted since it was made, seen from where it is: `rx` has come in there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

/// What the firewall does with frames between the ports of a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firewall {
    /// Bridged frames go through a FORWARD chain whose policy is DROP (Docker's), so a bridge needs a rule of its own.
    pub drops_bridged: bool,
    /// Comments of fly's rules, by the bridge that they name.
    pub allowed: BTreeSet<(String, String)>,
}
