//! The boundary to the kernel's network: links, addresses, routes, and each machine's `/etc/hosts`.
//!
//! Two implementations: `kernel`, the real one over netlink, and `fake`, a small stateful world for the fast tests. No other
//! module names a netlink crate.

mod capture;
mod kernel;
mod op;
mod orders;
mod pcapng;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

pub use capture::{Capture, CaptureOptions, CaptureSummary, Captured, LARGEST_SNAPLEN, PacketFilter};
pub use kernel::{Hold, Kernel};
pub use op::{LinkSet, NetOp, Tune};
pub use orders::{MachineOrders, Orders};
pub use snapshot::{Cards, Counters, Firewall, GuestSeen, HostsLine, LinkState, Namespace, NetSnapshot};

use serde::{Deserialize, Serialize};

use crate::types::Name;

/// The machines that run, by the process that their namespace is found by.
pub type Processes = BTreeMap<Name, u32>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetErrorKind {
    /// A capability is missing.
    Denied,
    /// The link, its parent or its namespace is gone.
    NotFound,
    /// The machine that it is about does not run, or not any more.
    Ended,
    /// Somebody else has that name, address or parent.
    Conflict,
    /// The kernel has no such kind of link; the module is named in the message.
    Unsupported,
    /// Worth one more try after observing again.
    Transient,
    Other,
}

/// What the kernel refused, and while doing what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{doing}: {message}")]
pub struct NetError {
    pub kind: NetErrorKind,
    /// `add address 10.0.0.1/24 to web:eth0`.
    pub doing: String,
    /// The kernel's own words where it has some, otherwise those of errno.
    pub message: String,
}

/// The kernel's network, where the engine runs.
pub trait NetPlane: Send + Sync + 'static {
    /// What the firewall does with bridged frames. It hangs on no machine and is slow to say, so it is a question of its own, asked
    /// while the engine is still being asked about the machines.
    fn firewall(&self) -> impl Future<Output = Result<Firewall, NetError>> + Send;

    /// The host's namespace and that of every machine in `processes`; all but the firewall. A machine that ended meanwhile is simply not in the answer.
    fn observe(&self, project: &Name, processes: &Processes) -> impl Future<Output = Result<NetSnapshot, NetError>> + Send;

    /// What the guests of these machines were told and say. A machine without a guest, or that ended meanwhile, is not in the answer.
    fn guests(&self, processes: &Processes) -> impl Future<Output = Result<BTreeMap<Name, GuestSeen>, NetError>> + Send;

    /// Which of these modules (`vxlan`, `8021q`, `sch_netem`, …) the kernel has not, and does not load. Nothing else of the host's changes.
    fn lacking(&self, modules: &BTreeSet<String>) -> impl Future<Output = Result<BTreeSet<String>, NetError>> + Send;

    /// What links do not tell of these cards of the host's. Nothing changes.
    fn cards(&self, devices: &BTreeSet<String>) -> impl Future<Output = Result<Cards, NetError>> + Send;

    /// The namespace of a process, by inode; nothing when it has ended.
    fn space(&self, pid: u32) -> impl Future<Output = Result<Option<u64>, NetError>> + Send;

    /// Does exactly this one operation. `processes` has every machine that `op` names.
    fn perform(&self, op: &NetOp, project: &Name, processes: &Processes) -> impl Future<Output = Result<(), NetError>> + Send;
}
