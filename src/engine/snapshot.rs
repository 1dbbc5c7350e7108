//! What the engine says there is.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::types::{Bytes, Container, Endpoint, EngineNetwork, ImageDefaults, Name, Owner, Port};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineSnapshot {
    pub facts: EngineFacts,
    /// Containers of this project, by machine, running or not.
    pub machines: BTreeMap<Name, MachineState>,
    /// Containers that were to replace a machine that is still there: what is left of an interrupted replacement, by engine name.
    pub leftovers: BTreeMap<String, Leftover>,
    /// Containers that somebody has given other names than their machines', by machine.
    #[serde(default)]
    pub renamed: BTreeMap<Name, String>,
    /// First processes of the containers, not this project's, whose network a machine of it shares, by the engine's name.
    #[serde(default)]
    pub lenders: BTreeMap<String, u32>,
    /// Docker networks of this project, by the file's name.
    pub networks: BTreeMap<Name, NetworkState>,
    /// Volumes of this project, by the file's name.
    pub volumes: BTreeMap<Name, VolumeState>,
    /// What was asked about, by reference; not there: not on this engine.
    pub images: BTreeMap<String, ImageState>,
    /// fly's own binaries for machines that the engine has, by version, and the containers that run them, of all projects.
    #[serde(default)]
    pub guests: BTreeMap<String, BTreeSet<String>>,
    /// The volumes of this project's machines' guests, with their host keys, by machine; their machine need not be there.
    #[serde(default)]
    pub host_keys: BTreeMap<Name, String>,
    /// What puts network cards back, if it is there.
    #[serde(default)]
    pub agent: Option<AgentState>,
    /// What it is to put back for this project. Several where a run was cut off.
    #[serde(default)]
    pub orders: BTreeSet<String>,
    /// Other projects that it works for.
    #[serde(default)]
    pub agent_users: BTreeSet<Name>,
    /// What was lately done to containers, the oldest first; only asked for where something is not as it was left.
    #[serde(default)]
    pub deeds: Vec<Deed>,
    /// Names in use by somebody else.
    pub taken: Taken,
    /// Subnets of Docker networks that are not this project's, by the network's name.
    pub foreign_subnets: BTreeSet<(IpNet, String)>,
}

/// Something that was done to a container, by whomever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// By its id.
    pub container: String,
    /// What it was called.
    pub name: Option<String>,
    /// In the engine's word: `update`, `die`.
    pub action: String,
    /// That it was taken off.
    pub network: Option<String>,
    /// That it ended with.
    pub code: Option<String>,
    /// `2026-01-31 12:00:00 UTC`, by the engine's clock.
    pub at: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentState {
    pub version: String,
    pub running: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineFacts {
    /// `20.10.24`.
    pub version: String,
    /// `1.41`.
    pub api: String,
    /// Processors that the engine can give.
    pub cpus: u32,
    /// Memory that the engine can give.
    pub memory: Bytes,
    /// `1` or `2`: the version of the host's cgroups; empty where the engine does not say.
    #[serde(default)]
    pub cgroups: String,
    /// The host's bridge that is Docker's network `bridge`, where there is one: its address is the engine's `host-gateway`.
    #[serde(default)]
    pub default_bridge: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineState {
    pub id: String,
    /// The engine's name of it: `shop.web`, or `shop.web.new` where a replacement was cut off before it got its name.
    pub name: String,
    pub container: Container,
    /// The image it was made from, by id, with what it says; nothing when the image is gone.
    pub image_id: String,
    pub image: Option<ImageDefaults>,
    pub state: RunState,
    pub health: Health,
    /// The first process, where it runs.
    pub pid: Option<u32>,
    /// As the engine writes it: RFC 3339.
    pub started_at: Option<String>,
    /// By the engine's name of the network.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// What is really published.
    pub published: BTreeSet<Port>,
    /// How much its writable layer holds, where that was asked.
    pub writable_layer: Option<Bytes>,
    /// Whether there is a host key in its guest's volume: asked of one that does not run, where the kernel cannot be.
    #[serde(default)]
    pub host_key: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Created,
    Running,
    Paused,
    /// The engine is about to start it again.
    Restarting,
    Exited {
        code: i64,
    },
    /// Being removed, or dead: nothing can be done with it but remove it.
    Dead,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No health check.
    #[default]
    None,
    Starting,
    Healthy,
    Unhealthy,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leftover {
    pub id: String,
    pub running: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkState {
    pub id: String,
    pub name: String,
    pub network: EngineNetwork,
    /// Engine names of the containers on it, ours and others'.
    pub containers: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeState {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageState {
    pub id: String,
    /// Of its manifests in the registries that it was pulled from.
    #[serde(default)]
    pub digests: BTreeSet<String>,
    pub defaults: ImageDefaults,
    /// What the registry has under its reference, where that was asked.
    #[serde(default)]
    pub registry: Option<InRegistry>,
}

/// An image's registry, compared with the engine's own image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InRegistry {
    Same,
    /// Another one, by its manifest's digest.
    Other(String),
    /// It cannot be asked; the engine's words.
    Silent(String),
}

/// Names that are not ours to use, with their owners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    pub containers: BTreeMap<String, Owner>,
    /// The names of these containers, by id.
    #[serde(default)]
    pub ids: BTreeMap<String, String>,
    pub networks: BTreeMap<String, Owner>,
    pub volumes: BTreeMap<String, Owner>,
}

impl Taken {
    /// The container that is meant by a name, or by an id or the beginning of one.
    pub fn container(&self, reference: &str) -> Option<&str> {
        if let Some((name, _)) = self.containers.get_key_value(reference) {
            return Some(name);
        }
        let mut meant = self.ids.range(reference.to_owned()..).take_while(|(id, _)| !reference.is_empty() && id.starts_with(reference));
        let (_, name) = meant.next()?;
        meant.next().is_none().then_some(name)
    }
}

impl MachineState {
    /// Its first process runs, so it has a namespace that NICs can be put into.
    pub fn is_up(&self) -> bool {
        self.pid.is_some()
    }
}
