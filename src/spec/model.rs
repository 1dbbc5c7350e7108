//! `fly.yml` as written: every key that the file may have, with the place of its value.
//!
//! Nothing is decided here: defaults, names and addresses are `desired::resolve`'s. Short and long forms of a key have become
//! one form, and that is all. What Compose has keeps Compose's name and meaning.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::diag::{At, Place, Spans, Veil};
use crate::types::{
    Bytes, Cpus, Device, Dynamic, FwMark, Healthcheck, IpvlanMode, Mac, MacvlanMode, Percent, Protocol, Rate, Relabel, Restart, RouteKind,
    Scope, Seconds, SshServer, Sysctl, Table, Ulimit,
};

/// A mapping that keeps the file's order and the places of its keys.
#[derive(Clone, Debug)]
pub struct Entries<T>(pub Vec<(At<String>, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(vec![])
    }
}

/// Keys that are written but could not be read, or not all of it: what they leave open says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    all: bool,
    keys: BTreeSet<&'static str>,
}

impl Broken {
    pub(super) fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    pub fn insert(&mut self, key: &'static str) {
        self.keys.insert(key);
    }

    pub fn has(&self, key: &str) -> bool {
        self.all || self.keys.contains(key)
    }

    pub fn is_empty(&self) -> bool {
        !self.all && self.keys.is_empty()
    }
}

/// The whole file.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    pub name: Option<At<String>>,
    /// Whether network cards are put back when a machine starts anew without fly.
    pub agent: Option<At<bool>>,
    /// Under every machine; a machine's own value wins, key by key.
    pub defaults: Option<Machine>,
    pub networks: Entries<Network>,
    pub machines: Entries<Machine>,
    pub links: Vec<Cable>,
    pub volumes: Entries<Volume>,
    /// Variables that are used and neither set nor given a default.
    pub unset: Vec<Unset>,
    pub broken: Broken,
    /// Where something is wrong in a way that has been said.
    pub wrong: Spans,
    /// What no message shows.
    pub veil: Veil,
}

/// A variable that is used and not set.
#[derive(Clone, Debug)]
pub struct Unset {
    pub name: At<String>,
    /// It is required, which is the error that this says; otherwise an empty text stands for it.
    pub required: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Network {
    pub place: Place,
    /// Default: `macvlan` with a `parent`, `bridge` otherwise.
    pub kind: Option<At<NetworkKind>>,
    pub parent: Option<At<String>>,
    /// A bridge that exists already and is never deleted.
    pub bridge: Option<At<String>>,
    /// macvlan's or ipvlan's mode.
    pub mode: Option<At<ModeSpec>>,
    /// 802.1q on the parent or uplink.
    pub vlan: Option<At<u16>>,
    /// A card of the host's that becomes a port of the bridge.
    pub uplink: Option<At<String>>,
    /// The parent takes frames for everybody.
    pub promiscuous: Option<At<bool>>,
    /// Whose frames macvlan cards take in mode `source`.
    pub sources: Option<Vec<At<Mac>>>,
    pub vni: Option<At<u32>>,
    pub remotes: Option<Vec<At<IpAddr>>>,
    pub port: Option<At<u16>>,
    pub local: Option<At<IpAddr>>,
    /// `Some(vec![])` (written `subnet: none`): none at all.
    pub subnet: Option<Vec<At<IpNet>>>,
    pub gateway: Option<Vec<At<IpAddr>>>,
    /// First and last address, both included.
    pub pool: Option<Vec<At<(IpAddr, IpAddr)>>>,
    pub host_ip: Option<Vec<At<IpAddr>>>,
    pub mtu: Option<At<u32>>,
    /// nat only: no way out.
    pub internal: Option<At<bool>>,
    pub probe: Option<At<bool>>,
    pub broken: Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkKind {
    Nat,
    Bridge,
    Macvlan,
    Ipvlan,
    Vxlan,
    Physical,
}

/// How cards of one parent see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeSpec {
    Macvlan(MacvlanMode),
    Ipvlan(IpvlanMode),
}

/// A machine, or what `defaults` says of all.
#[derive(Clone, Debug)]
pub struct Machine {
    pub place: Place,
    pub image: Option<At<String>>,
    pub pull_policy: Option<At<PullPolicy>>,
    /// A text was split as a shell would; `Some(vec![])` clears the image's.
    pub command: Option<At<Vec<String>>>,
    pub entrypoint: Option<At<Vec<String>>>,
    /// A key without a value takes the user's environment's.
    pub environment: Option<Entries<Option<At<String>>>>,
    pub env_file: Option<Vec<EnvFile>>,
    pub hostname: Option<At<String>>,
    pub user: Option<At<String>>,
    pub working_dir: Option<At<String>>,
    pub tty: Option<At<bool>>,
    pub stdin_open: Option<At<bool>>,
    pub volumes: Option<Vec<At<VolumeMount>>>,
    pub tmpfs: Option<Vec<At<Tmpfs>>>,
    pub shm_size: Option<At<Bytes>>,
    pub ports: Option<Vec<At<PortRange>>>,
    pub links: Option<Vec<MachineLink>>,
    pub depends_on: Option<Entries<Dependency>>,
    pub restart: Option<At<Restart>>,
    pub healthcheck: Option<At<Healthcheck>>,
    pub stop_signal: Option<At<String>>,
    pub stop_grace_period: Option<At<Seconds>>,
    pub cpus: Option<At<Cpus>>,
    pub cpuset: Option<At<String>>,
    pub memory: Option<At<Bytes>>,
    /// `-1` in the file is `None` inside: unlimited.
    pub pids_limit: Option<At<Option<u64>>>,
    pub ulimits: Option<Entries<At<Ulimit>>>,
    pub sysctls: Option<Entries<At<String>>>,
    /// In capitals, without `CAP_`.
    pub cap_add: Option<Vec<At<String>>>,
    pub cap_drop: Option<Vec<At<String>>>,
    pub devices: Option<Vec<At<Device>>>,
    pub privileged: Option<At<bool>>,
    pub security_opt: Option<Vec<At<String>>>,
    pub dns: Option<Vec<At<IpAddr>>>,
    pub dns_search: Option<Vec<At<String>>>,
    pub extra_hosts: Option<Vec<(At<String>, At<HostAddress>)>>,
    pub labels: Option<Entries<At<String>>>,
    pub network_mode: Option<At<NetworkModeSpec>>,
    pub scale: Option<At<u32>>,
    pub nics: Option<Entries<Nic>>,
    pub rules: Option<Vec<At<RuleSpec>>>,
    pub sshd: Option<Sshd>,
    /// Whether fly is its first process.
    pub guest: Option<At<bool>>,
    pub init: Option<At<Init>>,
    pub broken: Broken,
}

/// Who reaps and hands signals on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Whoever the first process is.
    Program,
    /// fly's guest; without it, the engine's own.
    Small,
    /// The image's systemd.
    Systemd,
}

/// The ssh server of a machine.
#[derive(Clone, Debug)]
pub struct Sshd {
    pub place: Place,
    /// `sshd: false` is none.
    pub enabled: bool,
    pub server: Option<At<SshServer>>,
    pub port: Option<At<u16>>,
    /// Keys and paths of files with keys.
    pub authorized_keys: Option<Vec<At<String>>>,
    pub users: Option<Entries<SshdUser>>,
}

#[derive(Clone, Debug, Default)]
pub struct SshdUser {
    pub authorized_keys: Option<Vec<At<String>>>,
    pub password: Option<At<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PullPolicy {
    #[default]
    Missing,
    Always,
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpfs {
    /// The place inside.
    pub target: String,
    /// The kernel's mount options, as written.
    pub options: Option<String>,
}

/// `db:database`: a machine that is needed first, and a name for it.
#[derive(Clone, Debug)]
pub struct MachineLink {
    pub machine: At<String>,
    /// Without one, its own name.
    pub alias: Option<At<String>>,
}

/// Where a name of `extra_hosts` leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAddress {
    Ip(IpAddr),
    /// `host-gateway`: the host, by the address that the engine has for it.
    Gateway,
}

#[derive(Clone, Debug)]
pub struct EnvFile {
    pub path: At<String>,
    pub required: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeMount {
    pub kind: VolumeMountKind,
    /// The place inside.
    pub target: String,
    pub read_only: bool,
    pub relabel: Option<Relabel>,
    pub propagation: Option<String>,
    /// `create_host_path: false`.
    pub must_exist: bool,
    pub nocopy: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeMountKind {
    /// As written: `./src`, `~/x`, `/srv`.
    Bind(String),
    /// A key of the top-level `volumes`.
    Volume(String),
    Anonymous,
    /// Size in bytes and mode.
    Tmpfs {
        size: Option<Bytes>,
        mode: Option<u32>,
    },
}

/// `8000-8005:80-85/tcp`: as many published as target ports, or none published; several for one leave the choice to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRange {
    pub host_ip: Option<IpAddr>,
    pub published: Option<(u16, u16)>,
    pub target: (u16, u16),
    pub protocol: Protocol,
}

#[derive(Clone, Debug)]
pub struct Dependency {
    pub condition: At<Condition>,
    /// Without it, a machine that is not in the file is no error.
    pub required: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Condition {
    #[default]
    Started,
    Healthy,
    Completed,
}

/// `network_mode` as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkModeSpec {
    None,
    Host,
    Container(String),
    Machine(String),
}

/// A network card. The short form is a network's name alone.
#[derive(Clone, Debug)]
pub struct Nic {
    pub place: Place,
    pub network: Option<At<String>>,
    /// Without the key: `auto` where the network has a subnet, otherwise `none`.
    pub ip: Option<Vec<At<Ip>>>,
    pub mac: Option<At<Mac>>,
    pub mtu: Option<At<u32>>,
    /// `none` in the file is `None` inside: no default route by this card.
    pub gateway: Option<Vec<At<Option<Gateway>>>>,
    pub routes: Option<Vec<At<RouteSpec>>>,
    pub up: Option<At<bool>>,
    pub probe: Option<At<bool>>,
    pub tuning: Tuning,
    pub broken: Broken,
}

/// An address of a card as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ip {
    /// Out of the pool of each subnet of the network.
    Auto,
    /// No address; the card is up (dockerfly's 0.0.0.0).
    None,
    /// One that the network gives.
    Dynamic(Dynamic),
    /// Without a prefix length, the subnet's is taken.
    Address { address: IpAddr, prefix: Option<u8> },
}

/// A router, and how little it is liked beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    pub via: IpAddr,
    pub metric: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteSpec {
    /// `default` is `0.0.0.0/0` or `::/0`, after the family of `via`.
    pub to: Option<IpNet>,
    pub via: Option<IpAddr>,
    pub metric: Option<u32>,
    pub table: Option<Table>,
    pub src: Option<IpAddr>,
    pub scope: Option<Scope>,
    pub onlink: bool,
    pub kind: RouteKind,
}

/// A policy rule as written. `None` for an address is `all`, or nothing at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSpec {
    pub from: Option<IpNet>,
    pub to: Option<IpNet>,
    pub fwmark: Option<FwMark>,
    pub iif: Option<String>,
    pub table: Option<Table>,
    pub priority: Option<u32>,
}

/// What a card carries besides addresses and routes.
#[derive(Clone, Debug, Default)]
pub struct Tuning {
    pub neighbours: Option<Vec<(At<IpAddr>, At<Mac>)>>,
    pub sysctls: Option<Vec<(At<Sysctl>, At<i32>)>>,
    pub rules: Option<Vec<At<RuleSpec>>>,
    pub traffic: TrafficSpec,
}

#[derive(Clone, Debug, Default)]
pub struct TrafficSpec {
    pub rate: Option<At<Rate>>,
    pub delay: Option<At<Seconds>>,
    pub jitter: Option<At<Seconds>>,
    pub loss: Option<At<Percent>>,
    pub duplicate: Option<At<Percent>>,
    pub corrupt: Option<At<Percent>>,
    pub reorder: Option<At<Percent>>,
}

/// A cable between two machines' cards.
#[derive(Clone, Debug)]
pub struct Cable {
    pub place: Place,
    /// Two, as the parser makes sure.
    pub ends: Vec<CableEnd>,
    pub mtu: Option<At<u32>>,
    pub traffic: TrafficSpec,
}

#[derive(Clone, Debug)]
pub struct CableEnd {
    /// `web:eth5`, as written.
    pub nic: At<String>,
    pub machine: String,
    pub ifname: String,
    /// Addresses need their prefix lengths here; `auto` is an error.
    pub ip: Vec<At<Ip>>,
    pub mac: Option<At<Mac>>,
    pub gateway: Option<Vec<At<Option<Gateway>>>>,
    pub routes: Option<Vec<At<RouteSpec>>>,
    pub up: Option<At<bool>>,
    pub tuning: Tuning,
    pub broken: Broken,
}

#[derive(Clone, Debug)]
pub struct Volume {
    pub place: Place,
    /// The engine's name of a volume that exists already and is never deleted.
    pub external: Option<At<String>>,
    pub labels: Option<Entries<At<String>>>,
}
