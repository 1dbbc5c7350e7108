//! Leaf values that every layer shares: names, addresses, links, containers.
//!
//! Nothing here knows where a value came from or what will be done with it. `Container` and `Link` are deliberately the *same* type
//! on the desired and on the actual side: two sides that share a type can be compared field by field, and a field that is added
//! to one cannot be forgotten on the other.

mod addr;
mod agent;
mod container;
mod guest;
mod ifname;
mod kind;
mod lease;
mod link;
mod mac;
mod md5;
mod name;
mod origin;
mod owner;
mod passwd;
mod route;
mod sysctl;
mod traffic;
mod values;

pub use addr::{Addr, AddrError, CableId, Fingerprints};
pub use agent::{AGENT, LABEL_AGENT, LABEL_ORDERS, orders_named, orders_of, orders_volume};
pub use container::{
    Container, Device, Endpoint, EngineNetwork, Healthcheck, ImageDefaults, Limits, Mount, MountSource, NetworkMode, Port, Protocol,
    Relabel, Restart, UNLABELLED, Ulimit, is_no_new_privileges,
};
pub use guest::{
    GUEST_BIN, GUEST_BINARY, GUEST_CONFIG, GUEST_CONTAINER, GUEST_HOME, GUEST_HOST_KEY, GUEST_PLACE, GUEST_PREFIX, GUEST_SOCKET,
    GUEST_SSHD, GUEST_STATUS, GUEST_VOLUME, GuestConfig, GuestSettings, GuestSshd, GuestState, GuestStatus, GuestUser, LABEL_GUEST,
    SshServer, SshdStatus, began, guest_words, own_words,
};
pub use ifname::{IfName, IfNameError};
pub use kind::{IpvlanMode, LinkKind, MacvlanMode, VXLAN_PORT, vlan_name};
pub use lease::{Dynamic, Leasing};
pub use link::{HostEntries, HostEntry, Link, LinkRef, Manners, Ns, PlacedLink, Tuning};
pub use mac::{Mac, MacError};
pub use name::{Name, NameError};
pub use origin::Origin;
pub use owner::{LABEL_MACHINE, LABEL_PROJECT, LABEL_RESOURCE, LINK_GROUP, Owner, host_link_name, is_host_link_of, stable_hash};
pub use passwd::{Account, Group, accounts, groups};
pub use route::{FwMark, FwMarkError, Route, RouteKey, RouteKind, Routing, Rule, Scope, Table, TableError};
pub use sysctl::{Sysctl, SysctlError};
pub use traffic::{MAX_DELAY, Percent, PercentError, Rate, RateError, Traffic};
pub use values::{Bytes, BytesError, Cpus, CpusError, Seconds, SecondsError, clean_path};
