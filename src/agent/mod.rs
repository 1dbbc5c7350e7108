//! fly beside the engine: the work on the network where this process may not do it, or is not there to do it.
//!
//! One static binary, in a container with the few rights that links and namespaces take (`engine/docker/helper`), reached through the
//! engine: neither `sudo` nor an open port. As root beside a local engine the same work is done by this process itself.
//!
//! | `fly agent …` | who starts it | what it is |
//! |---|---|---|
//! | `serve` | a command, by way of the engine | the network plane over stdin and stdout, as long as these last |
//! | `run` | the engine, as the container `fly-agent` | stays, and puts network cards back when machines start again |

mod client;
mod host;
mod leases;
mod log;
mod resident;
mod restore;
mod serve;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::process::ExitCode;

pub use client::{Client, HeldThere};

use crate::net::{Capture, CaptureOptions, Cards, Firewall, GuestSeen, Hold, Kernel, NetError, NetOp, NetPlane, NetSnapshot, Processes};
use crate::types::Name;

/// How a helper is called, behind the path of its binary.
pub const SERVE: [&str; 2] = ["agent", "serve"];

/// The agent's own work, if that is what the arguments (without the program's name) ask for; the rest is the command line's.
pub fn role(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter();
    if arguments.next()? != "agent" {
        return None;
    }
    match arguments.next()?.to_str()? {
        "serve" => Some(serve::main()),
        "run" => Some(resident::main(arguments)),
        _ => None,
    }
}

/// Work on one project's network, which others leave alone meanwhile.
pub enum Held {
    Here(Hold),
    There(HeldThere),
}

/// The kernel where the engine runs: by this process itself, or by one beside the engine.
pub enum Plane {
    Here(Kernel),
    There(Client),
}

impl Plane {
    /// What passes the cards of the machine whose first process this is.
    pub fn capture(&self, pid: u32, options: CaptureOptions) -> Result<Capture, NetError> {
        match self {
            Self::Here(kernel) => kernel.capture(pid, options),
            Self::There(client) => client.capture(pid, options),
        }
    }

    /// Nothing: somebody else is at work on this project.
    pub async fn hold(&self, project: &Name) -> Result<Option<Held>, NetError> {
        match self {
            Self::Here(kernel) => Ok(kernel.hold(project).await?.map(Held::Here)),
            Self::There(client) => Ok(client.hold(project).await?.map(Held::There)),
        }
    }
}

impl NetPlane for Plane {
    async fn firewall(&self) -> Result<Firewall, NetError> {
        match self {
            Self::Here(kernel) => kernel.firewall().await,
            Self::There(client) => client.firewall().await,
        }
    }

    async fn observe(&self, project: &Name, processes: &Processes) -> Result<NetSnapshot, NetError> {
        match self {
            Self::Here(kernel) => kernel.observe(project, processes).await,
            Self::There(client) => client.observe(project, processes).await,
        }
    }

    async fn guests(&self, processes: &Processes) -> Result<BTreeMap<Name, GuestSeen>, NetError> {
        match self {
            Self::Here(kernel) => kernel.guests(processes).await,
            Self::There(client) => client.guests(processes).await,
        }
    }

    async fn lacking(&self, modules: &BTreeSet<String>) -> Result<BTreeSet<String>, NetError> {
        match self {
            Self::Here(kernel) => kernel.lacking(modules).await,
            Self::There(client) => client.lacking(modules).await,
        }
    }

    async fn cards(&self, devices: &BTreeSet<String>) -> Result<Cards, NetError> {
        match self {
            Self::Here(kernel) => kernel.cards(devices).await,
            Self::There(client) => client.cards(devices).await,
        }
    }

    async fn space(&self, pid: u32) -> Result<Option<u64>, NetError> {
        match self {
            Self::Here(kernel) => kernel.space(pid).await,
            Self::There(client) => client.space(pid).await,
        }
    }

    async fn perform(&self, op: &NetOp, project: &Name, processes: &Processes) -> Result<(), NetError> {
        match self {
            Self::Here(kernel) => kernel.perform(op, project, processes).await,
            Self::There(client) => client.perform(op, project, processes).await,
        }
    }
}
