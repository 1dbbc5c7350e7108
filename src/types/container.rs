//! What the engine is told of a container, and what it tells back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Bytes, Cpus, HostEntries, IfName, Mac, Name, Seconds};

/// A container as it should be, or as the engine says it is, without its networks.
///
/// On the desired side `None` means "what the image says" where an image can say it, otherwise the engine's default. The
/// actual side is what inspect shows, in which the image's values are merged in: `diff::tolerance` takes them out again.
#[expect(clippy::struct_excessive_bools, reason = "they are the engine's own, each by itself")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// As written: `debian:12`.
    pub image: String,
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub environment: BTreeMap<String, String>,
    pub hostname: Option<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    /// Its first process has a terminal.
    #[serde(default)]
    pub tty: bool,
    /// The first process's input stays open, for whoever attaches.
    #[serde(default)]
    pub stdin_open: bool,
    /// The engine's own small init is its first process, and the program that one's child.
    #[serde(default)]
    pub init: bool,
    /// By the place inside.
    pub mounts: BTreeMap<String, Mount>,
    /// By the place inside; the value is the kernel's mount options, comma separated and sorted.
    pub tmpfs: BTreeMap<String, String>,
    pub shm_size: Option<Bytes>,
    pub ports: BTreeSet<Port>,
    pub restart: Restart,
    pub healthcheck: Option<Healthcheck>,
    pub stop_signal: Option<String>,
    pub stop_grace_period: Option<Seconds>,
    pub limits: Limits,
    pub ulimits: BTreeMap<String, Ulimit>,
    pub sysctls: BTreeMap<String, String>,
    /// In capitals, without `CAP_`.
    pub cap_add: BTreeSet<String>,
    pub cap_drop: BTreeSet<String>,
    pub devices: BTreeSet<Device>,
    pub privileged: bool,
    /// As the engine takes them: a seccomp profile is its text (`seccomp={…}`). `systempaths=unconfined` is among them.
    pub security_opt: BTreeSet<String>,
    pub dns: Vec<IpAddr>,
    pub dns_search: Vec<String>,
    /// The user's and fly's own.
    pub labels: BTreeMap<String, String>,
    pub network_mode: NetworkMode,
    /// The version of fly's guest that is its first process; `None`: the engine starts the machine's own program.
    #[serde(default)]
    pub guest: Option<String>,
    /// The lines of `/etc/hosts` that the container is created with: the engine writes them anew at every start. Names that
    /// change later are written into the running machine, so this is never compared as such.
    pub hosts: HostEntries,
    /// Further names there, for the host itself: the engine knows its address (`host-gateway`). Compared like `hosts`.
    #[serde(default)]
    pub gateway_hosts: BTreeSet<String>,
}

/// The security option that every privileged container has of itself.
pub const UNLABELLED: &str = "label=disable";

impl Container {
    /// `security_opt` without what is so anyway.
    pub fn security_options(&self) -> impl Iterator<Item = &String> {
        self.security_opt.iter().filter(|option| !(self.privileged && *option == UNLABELLED))
    }
}

/// Of `security_opt`: nobody in the machine becomes more than who started it, whatever a binary's mode says.
pub fn is_no_new_privileges(option: &str) -> bool {
    option.strip_prefix("no-new-privileges").is_some_and(|value| !value.ends_with("false"))
}

/// The limits that the engine changes while the container runs. `None` is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub cpus: Option<Cpus>,
    /// As the kernel takes it: `0-3,5`.
    pub cpuset: Option<String>,
    pub memory: Option<Bytes>,
    pub pids: Option<u64>,
}

impl Limits {
    /// Without those that are none where there are so many processors: all of them, or more. 0 processors: nobody knows.
    #[must_use]
    pub fn on_a_host_with(self, cpus: u32) -> Self {
        Self {
            cpus: self.cpus.filter(|it| cpus == 0 || it.0 < u64::from(cpus) * Cpus::ONE),
            cpuset: self.cpuset.filter(|set| cpus == 0 || !(0..cpus).all(|cpu| cpuset_has(set, cpu))),
            ..self
        }
    }
}

/// Whether a list of processors (`0-3,5`) has this one.
fn cpuset_has(set: &str, cpu: u32) -> bool {
    set.split(',').any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.trim().parse::<u32>(), last.trim().parse::<u32>());
        first.is_ok_and(|first| first <= cpu) && last.is_ok_and(|last| cpu <= last)
    })
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    pub source: MountSource,
    pub read_only: bool,
    pub relabel: Option<Relabel>,
    /// `rprivate`, `rshared`, …; `None` is the engine's default.
    pub propagation: Option<String>,
    /// A folder of the host that has to be there: it is not made. Of no account once the machine is.
    #[serde(default)]
    pub must_exist: bool,
    /// A new volume is not filled with what the image has at that place.
    #[serde(default)]
    pub nocopy: bool,
}

impl Mount {
    /// Of which nothing is said but what is mounted.
    pub fn of(source: MountSource) -> Self {
        Self { source, read_only: false, relabel: None, propagation: None, must_exist: false, nocopy: false }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// An absolute path where the engine runs.
    Bind(String),
    /// The engine's name of a volume.
    Volume(String),
    /// A volume without a name. Once the engine has made one, it shows as a `Volume` with 64 hexadecimal digits.
    Anonymous,
}

/// `SELinux` labels for a bind mount: `z` shared, `Z` private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relabel {
    Shared,
    Private,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    pub target: u16,
    pub protocol: Protocol,
    /// `None`: every address of the host.
    pub host_ip: Option<IpAddr>,
    /// `None`: the engine picks a free one.
    pub published: Option<u16>,
    /// The engine picks a free one from `published` to this.
    #[serde(default)]
    pub last: Option<u16>,
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:")?,
            None => {}
        }
        match (self.published, self.last) {
            (Some(first), Some(last)) => write!(f, "{first}-{last}")?,
            (Some(port), None) => write!(f, "{port}")?,
            (None, _) => write!(f, "*")?,
        }
        write!(f, ":{}/{}", self.target, self.protocol)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    #[default]
    No,
    Always,
    UnlessStopped,
    /// At most so many times; 0 is without end.
    OnFailure(u32),
}

impl std::fmt::Display for Restart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::No => f.pad("no"),
            Self::Always => f.pad("always"),
            Self::UnlessStopped => f.pad("unless-stopped"),
            Self::OnFailure(0) => f.pad("on-failure"),
            Self::OnFailure(times) => write!(f, "on-failure:{times}"),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Healthcheck {
    /// `["CMD", …]`, `["CMD-SHELL", text]`, or `["NONE"]` to switch the image's off; empty: the image's.
    pub test: Vec<String>,
    pub interval: Option<Seconds>,
    pub timeout: Option<Seconds>,
    pub start_period: Option<Seconds>,
    /// How often it is run during `start_period`; engines before 25 do not know it.
    #[serde(default)]
    pub start_interval: Option<Seconds>,
    pub retries: Option<u32>,
}

/// `-1` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ulimit {
    pub soft: i64,
    pub hard: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The path on the host.
    pub source: String,
    /// The path inside.
    pub target: String,
    /// Some of `rwm`.
    pub permissions: String,
}

/// Whose network namespace a container has.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// One of its own, with whatever NICs the machine has, or none.
    #[default]
    Own,
    Host,
    /// Another machine's of the same project.
    Machine(Name),
    /// Some container's, by name or id.
    Container(String),
}

impl std::fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Own => f.pad("own"),
            Self::Host => f.pad("host"),
            Self::Machine(name) => write!(f, "machine:{name}"),
            Self::Container(name) => write!(f, "container:{name}"),
        }
    }
}

/// A container's place in a Docker network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    /// Names in Docker's DNS besides the container's own; its short id is left out.
    pub aliases: BTreeSet<String>,
    /// What the engine is asked for; older ones do not listen, so the NIC itself is compared.
    pub mac: Option<Mac>,
    /// Likewise: honoured from Engine 28 on.
    pub ifname: Option<IfName>,
}

/// A Docker network of driver `bridge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineNetwork {
    pub subnets: BTreeSet<IpNet>,
    pub gateways: BTreeSet<IpAddr>,
    pub mtu: Option<u32>,
    /// The name of the host's bridge: given, so that a NIC can be told by the bridge that it is plugged into.
    pub bridge: Option<String>,
    pub internal: bool,
    pub labels: BTreeMap<String, String>,
}

/// What an image says of the containers made from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageDefaults {
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub environment: BTreeMap<String, String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    /// Places that get an anonymous volume.
    pub volumes: BTreeSet<String>,
    pub healthcheck: Option<Healthcheck>,
    pub stop_signal: Option<String>,
    pub labels: BTreeMap<String, String>,
}
