//! The real network plane: netlink, `/etc/hosts` and the firewall, from the namespace where the engine runs.
//!
//! Nothing is kept between two calls but the host's own namespace: a socket or file that belongs to a machine's namespace would
//! keep it, and its links, alive after the machine has ended. All work is done by threads of its own that are thrown away, since
//! entering a namespace is a property of the thread. This module and those below it are the only ones that know netlink.

mod capture;
mod cards;
mod create;
mod delete;
mod error;
mod firewall;
mod guests;
mod hold;
mod hosts;
mod kind;
mod lacking;
mod lease;
mod link;
mod message;
mod neighbour;
mod observe;
mod owner;
mod packet;
mod physical;
mod place;
mod port;
mod probe;
mod qdisc;
mod read;
mod resolv;
mod resolve;
mod rights;
mod routing;
mod set;
mod share;
mod socket;
mod space;
mod tuning;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use self::error::{While, fault};
pub use self::hold::Hold;
use self::place::Places;
use self::probe::Later;
use self::space::{Process, Space};
use super::{Capture, CaptureOptions, Cards, Firewall, GuestSeen, NetError, NetErrorKind, NetOp, NetPlane, NetSnapshot, Processes};
use crate::types::Name;

/// The kernel's network, seen from one namespace that counts as the host's.
#[derive(Clone)]
pub struct Kernel {
    host: Arc<Space>,
    later: Arc<Later>,
}

impl Kernel {
    /// In the namespace that this process is in.
    pub fn new() -> Result<Self, NetError> {
        Self::in_namespace(Path::new("/proc/self/ns/net"))
    }

    /// In the namespace of a file, as `/proc/PID/ns/net` or `/run/netns/NAME`.
    pub fn in_namespace(file: &Path) -> Result<Self, NetError> {
        let host = Space::at(file).doing(|| format!("open the network namespace {}", file.display()))?;
        Ok(Self { host: Arc::new(host), later: Arc::default() })
    }

    /// Work on a project's network, until it is dropped. Nothing: somebody else is at it.
    pub async fn hold(&self, project: &Name) -> Result<Option<Hold>, NetError> {
        let (host, project) = (Arc::clone(&self.host), project.clone());
        let doing = "have a project to oneself";
        apart(doing, move || host.enter().and_then(|()| hold::take(&project)).doing(|| doing)).await
    }

    /// Whether this process may do what it is going to be asked for: looking takes less than changing.
    pub fn check_rights(&self) -> Result<(), NetError> {
        rights::check()
    }

    /// What passes the cards of the machine whose first process this is.
    pub fn capture(&self, process: u32, options: CaptureOptions) -> Result<Capture, NetError> {
        capture::start(process, options)
    }
}

impl NetPlane for Kernel {
    async fn firewall(&self) -> Result<Firewall, NetError> {
        let host = Arc::clone(&self.host);
        let look = "look at the firewall";
        apart(look, move || host.enter().and_then(|()| firewall::observe()).doing(|| look)).await
    }

    async fn observe(&self, project: &Name, processes: &Processes) -> Result<NetSnapshot, NetError> {
        let (host, project, processes) = (Arc::clone(&self.host), project.clone(), processes.clone());
        apart("look at the network", move || observe::observe(&host, &project, &processes)).await
    }

    async fn guests(&self, processes: &Processes) -> Result<BTreeMap<Name, GuestSeen>, NetError> {
        if processes.is_empty() {
            return Ok(BTreeMap::new());
        }
        let processes = processes.clone();
        apart("look at the guests", move || guests::observe(&processes)).await
    }

    async fn lacking(&self, modules: &BTreeSet<String>) -> Result<BTreeSet<String>, NetError> {
        if modules.is_empty() {
            return Ok(BTreeSet::new());
        }
        let modules = modules.clone();
        apart("ask for modules of the kernel", move || lacking::of(&modules)).await
    }

    async fn cards(&self, devices: &BTreeSet<String>) -> Result<Cards, NetError> {
        if devices.is_empty() {
            return Ok(Cards::default());
        }
        let (host, devices) = (Arc::clone(&self.host), devices.clone());
        let look = "look for cards of the host";
        apart(look, move || cards::of(&host, &devices).doing(|| look)).await
    }

    async fn space(&self, pid: u32) -> Result<Option<u64>, NetError> {
        let look = || Process::open(pid).and_then(|process| process.space()).map(|space| space.inode);
        match look() {
            Err(refused) if space::has_ended(&refused) => Ok(None),
            seen => seen.map(Some).doing(|| format!("look at the network namespace of process {pid}")),
        }
    }

    async fn perform(&self, op: &NetOp, project: &Name, processes: &Processes) -> Result<(), NetError> {
        let (host, later) = (Arc::clone(&self.host), Arc::clone(&self.later));
        let (op, project, processes) = (op.clone(), project.clone(), processes.clone());
        apart("change the network", move || perform(&Places::new(&host, &processes, &later), &op, &project)).await
    }
}

/// Runs `work` on a thread of its own, which may therefore enter other namespaces.
async fn apart<T: Send + 'static>(doing: &'static str, work: impl FnOnce() -> Result<T, NetError> + Send + 'static) -> Result<T, NetError> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let run = move || {
        // Whoever asked may have gone; the work is done all the same.
        let _ = answer.send(work());
    };
    std::thread::Builder::new().name("net".to_owned()).spawn(run).doing(|| doing)?;
    answered.await.unwrap_or_else(|_| Err(fault(NetErrorKind::Other, doing, "the thread ended without an answer")))
}

fn perform(places: &Places<'_>, op: &NetOp, project: &Name) -> Result<(), NetError> {
    let done = match op {
        NetOp::CreateLink { link } => create::link(places, link),
        NetOp::CreateVeth { a, b } => create::veth(places, a, b),
        NetOp::AdoptPort { bridge, link } => port::adopt(places, bridge, link, project),
        NetOp::Lease { at, leasing } => lease::keep(places, op, at, leasing),
        NetOp::Release { at, ways } => lease::release(places, op, at, ways),
        NetOp::SetLink { at, set } => set::link(places, at, set),
        NetOp::DeleteLink { at } => delete::link(places, at, project),
        NetOp::UseLink { at, network, bridge } => share::take(places, at, network, bridge.as_deref(), project),
        NetOp::LeaveLink { at, network } => share::leave(places, at, network, project),
        NetOp::TakeLink { device, link } => physical::take(places, device, link, project),
        NetOp::GiveBack { at, device } => physical::give_back(places, at, device, project),
        NetOp::SetRouting { machine, add, remove } => routing::set(places, machine, add, remove),
        NetOp::SetHosts { machine, set, remove } => places.with(machine, op, |process| hosts::write(process, set, remove)),
        NetOp::SetGuest { machine, config } => places.with(machine, op, |process| guests::tell(process, config)),
        NetOp::AllowForward { bridge, comment } => places.on_host(|| firewall::allow(bridge, comment)).doing(|| op.to_string()),
        NetOp::RevokeForward { bridge, comment } => places.on_host(|| firewall::revoke(bridge, comment)).doing(|| op.to_string()),
    };
    // Whatever went wrong in the namespace of a machine that has ended, went wrong for that.
    places.still_there().and(done)
}
