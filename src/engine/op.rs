//! What can be done to the engine: one operation, one call.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::types::{Container, Endpoint, EngineNetwork, Limits, Name, Restart, Seconds};

/// One call to the engine. Every one is idempotent: what is done already is success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum EngineOp {
    PullImage {
        image: String,
    },
    /// fly's own binary, in a volume that machines share read-only.
    InstallGuest {
        version: String,
    },
    /// Unless a machine uses it by now.
    RemoveGuest {
        version: String,
    },
    /// Starts fly's own container that puts network cards back, in place of one of another version.
    InstallAgent {
        version: String,
    },
    /// Unless another project has orders for it by now.
    RemoveAgent,
    /// What the agent, of this version if there is none, is to put back for a project from now on, as text of its own; nothing: it
    /// forgets the project.
    TellAgent {
        version: String,
        project: Name,
        orders: Option<String>,
    },
    CreateNetwork {
        name: String,
        network: EngineNetwork,
    },
    DeleteNetwork {
        name: String,
    },
    CreateVolume {
        name: String,
        labels: BTreeMap<String, String>,
    },
    DeleteVolume {
        name: String,
    },
    /// `network`: the one Docker network that it is created in; with none, it has only a loopback. More come by `Connect`.
    CreateContainer {
        name: String,
        container: Box<Container>,
        network: Option<(String, Endpoint)>,
    },
    RenameContainer {
        name: String,
        to: String,
    },
    StartContainer {
        name: String,
    },
    /// The engine's own time to stop (`stop_grace_period`, ten seconds) counts.
    StopContainer {
        name: String,
    },
    UnpauseContainer {
        name: String,
    },
    /// With the anonymous volumes that came with it, and with `volumes`, which came from an earlier container in its place.
    RemoveContainer {
        name: String,
        volumes: BTreeSet<String>,
    },
    UpdateContainer {
        name: String,
        limits: Limits,
        restart: Restart,
    },
    Connect {
        container: String,
        network: String,
        endpoint: Endpoint,
    },
    Disconnect {
        container: String,
        network: String,
    },
    /// Changes nothing: waits until the container is in this condition, or fails.
    Wait {
        container: String,
        until: WaitFor,
        timeout: Seconds,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitFor {
    Healthy,
    /// Ended with 0.
    Completed,
}

impl EngineOp {
    /// Whether it changes anything.
    pub fn is_mutating(&self) -> bool {
        !matches!(self, Self::Wait { .. })
    }

    /// The engine's name of the container that it works on.
    pub fn container(&self) -> Option<&str> {
        match self {
            Self::CreateContainer { name, .. }
            | Self::RenameContainer { name, .. }
            | Self::StartContainer { name }
            | Self::StopContainer { name }
            | Self::UnpauseContainer { name }
            | Self::RemoveContainer { name, .. }
            | Self::UpdateContainer { name, .. } => Some(name),
            Self::Connect { container, .. } | Self::Disconnect { container, .. } | Self::Wait { container, .. } => Some(container),
            Self::PullImage { .. }
            | Self::InstallGuest { .. }
            | Self::RemoveGuest { .. }
            | Self::InstallAgent { .. }
            | Self::RemoveAgent
            | Self::TellAgent { .. }
            | Self::CreateNetwork { .. }
            | Self::DeleteNetwork { .. }
            | Self::CreateVolume { .. }
            | Self::DeleteVolume { .. } => None,
        }
    }
}

impl std::fmt::Display for EngineOp {
    /// What is done, as it stands in a plan.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PullImage { image } => write!(f, "pull image {image}"),
            Self::InstallGuest { version } => write!(f, "install guest {version}"),
            Self::RemoveGuest { version } => write!(f, "remove guest {version}"),
            Self::InstallAgent { version } => write!(f, "start agent {version}"),
            Self::RemoveAgent => write!(f, "remove agent"),
            Self::TellAgent { project, orders: Some(_), .. } => write!(f, "tell the agent which cards of {project} to put back"),
            Self::TellAgent { project, orders: None, .. } => write!(f, "have the agent forget {project}"),
            Self::CreateNetwork { name, .. } => write!(f, "create Docker network {name}"),
            Self::DeleteNetwork { name } => write!(f, "delete Docker network {name}"),
            Self::CreateVolume { name, .. } => write!(f, "create volume {name}"),
            Self::DeleteVolume { name } => write!(f, "delete volume {name}"),
            Self::CreateContainer { name, .. } => write!(f, "create container {name}"),
            Self::RenameContainer { name, to } => write!(f, "rename container {name} to {to}"),
            Self::StartContainer { name } => write!(f, "start container {name}"),
            Self::StopContainer { name } => write!(f, "stop container {name}"),
            Self::UnpauseContainer { name } => write!(f, "unpause container {name}"),
            Self::RemoveContainer { name, .. } => write!(f, "remove container {name}"),
            Self::UpdateContainer { name, .. } => write!(f, "update limits of container {name}"),
            Self::Connect { container, network, .. } => write!(f, "connect container {container} to {network}"),
            Self::Disconnect { container, network } => write!(f, "disconnect container {container} from {network}"),
            Self::Wait { container, until, .. } => {
                let until = match until {
                    WaitFor::Healthy => "is healthy",
                    WaitFor::Completed => "has completed",
                };
                write!(f, "wait until container {container} {until}")
            }
        }
    }
}
