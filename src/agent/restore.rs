//! Puts back what a machine that has started anew lacks: the cards and names that the last `up` gave it.
//!
//! Nothing is decided here: these are the operations that `up` would print for a machine that has just started. A machine that had
//! everything once in this life is left as it is: a card that somebody has changed by hand since is for `fly plan` to show.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::leases::Leases;
use super::log;
use crate::actual::Actual;
use crate::engine::{Docker, Engine as _, EngineQuery};
use crate::net::{Kernel, LinkState, MachineOrders, NetErrorKind, NetOp, NetPlane as _, Orders, Processes};
use crate::observe;
use crate::types::{Addr, LinkKind, LinkRef, Name, Ns, Owner, PlacedLink};

/// How long somebody who is at work on the project is waited for. He may be long, with images or a question; a machine that he leaves
/// alone and that has crashed waits no longer.
const COURTESY: Duration = Duration::from_secs(5);
/// How often it is looked whether he has gone.
const LOOK: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(1);

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Everything is there that can be.
    Whole,
    /// Something failed.
    Again,
    /// Somebody else is at work on it: to be looked at after so long.
    Busy(Duration),
}

pub(super) struct Keeper {
    docker: Docker,
    kernel: Kernel,
    /// Lives that had everything, once: what is missing there since then was taken away by somebody.
    whole: HashMap<(Name, Name), Life>,
    /// The last orders of each project: volumes that nothing uses can be swept away by anybody.
    orders: BTreeMap<Name, String>,
    /// Operations that failed: what they leave half made looks like a card that is there.
    failed: HashMap<Name, HashSet<String>>,
    /// Since when others have been at work.
    busy: HashMap<Name, Instant>,
    leases: Leases,
}

impl Keeper {
    pub(super) fn new(docker: Docker, kernel: Kernel, orders: BTreeMap<Name, String>) -> Self {
        Self {
            docker,
            leases: Leases::new(kernel.clone()),
            kernel,
            whole: HashMap::new(),
            failed: HashMap::new(),
            busy: HashMap::new(),
            orders,
        }
    }

    pub(super) async fn restore(&mut self, project: &Name) -> Done {
        let hold = self.kernel.hold(project).await.ok().flatten();
        let courteous = hold.is_none() && self.busy.entry(project.clone()).or_insert_with(Instant::now).elapsed() < COURTESY;
        if courteous {
            return Done::Busy(LOOK);
        }
        if hold.is_some() {
            self.busy.remove(project);
        }
        let actual = match self.look(project).await {
            Ok(actual) => actual,
            Err(error) => {
                log::line(&format!("{project}: {error}"));
                return Done::Again;
            }
        };
        let Some(orders) = self.orders_of(project, &actual) else { return Done::Whole };
        self.leases.keep(project, &orders, &actual, hold.is_some());
        let mut due: Vec<(&Name, &MachineOrders)> =
            orders.machines.iter().filter(|(name, _)| self.is_new(project, name, &actual)).collect();
        // The orders are those of the last `up`: whoever is at work may have made a machine anew, and be about to give others.
        due.retain(|(name, _)| hold.is_some() || self.is_restarted(project, name, &actual));
        if due.is_empty() {
            return if hold.is_some() { Done::Whole } else { Done::Busy(LATER) };
        }
        let began = Instant::now();
        let processes = observe::processes(&actual);
        let known = self.failed.remove(project).unwrap_or_default();
        let work = Work { kernel: &self.kernel, project, actual: &actual, processes: &processes, known, failed: Mutex::default() };
        // What cards hang on is his, too.
        let has_host = hold.is_none() || work.host(&orders.host).await;
        let done = join_all(due.iter().map(|(name, machine)| work.machine(name, machine, began))).await;
        let failed = work.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        let is_held = hold.is_some();
        let has_made = is_held && orders.machines.values().any(|machine| machine.ops.iter().any(|op| matches!(op, NetOp::Lease { .. })));
        if has_made && let Ok(now) = self.look(project).await {
            self.leases.keep(project, &orders, &now, is_held);
        }
        drop(hold);
        for ((name, _), whole) in due.iter().zip(&done) {
            if let Some(life) = life(&actual, name).filter(|_| *whole && is_held) {
                self.whole.insert((project.clone(), (*name).clone()), life);
            }
        }
        if !failed.is_empty() {
            self.failed.insert(project.clone(), failed);
        }
        match done.into_iter().all(|whole| whole) && has_host {
            _ if !is_held => Done::Busy(LATER),
            true => Done::Whole,
            false => Done::Again,
        }
    }

    /// The projects that have cards whose addresses the network gives.
    pub(super) fn leasing(&self) -> Vec<Name> {
        self.orders.iter().filter(|(_, text)| text.contains(r#""op":"lease""#)).map(|(project, _)| project.clone()).collect()
    }

    /// In time. While somebody is at work on it no new ones are asked for: he may be giving them back.
    pub(super) async fn keep_leases(&mut self, project: &Name) {
        let hold = self.kernel.hold(project).await.ok().flatten();
        if let Ok(actual) = self.look(project).await
            && let Some(orders) = self.orders_of(project, &actual)
        {
            self.leases.keep(project, &orders, &actual, hold.is_some());
        }
    }

    async fn look(&self, project: &Name) -> Result<Actual, String> {
        let query = EngineQuery { project: project.clone(), images: BTreeSet::new() };
        let mut actual = Actual { engine: self.docker.observe(&query).await.map_err(|error| error.to_string())?, ..Actual::default() };
        actual.net = self.kernel.observe(project, &observe::namespaces(&actual)).await.map_err(|error| error.to_string())?;
        Ok(actual)
    }

    fn orders_of(&mut self, project: &Name, actual: &Actual) -> Option<Orders> {
        if let Some(text) = actual.engine.orders.last() {
            self.orders.insert(project.clone(), text.clone());
        } else if actual.engine.machines.is_empty() {
            self.orders.remove(project);
            self.whole.retain(|(of, _), _| of != project);
        }
        let text = self.orders.get(project)?;
        let orders = Orders::from_text(text);
        if orders.is_none() {
            log::line(&format!("{project}: another build of fly has written what is to be put back; `fly up` writes it anew"));
        }
        orders
    }

    /// The very container that had everything before, in a new life.
    fn is_restarted(&self, project: &Name, machine: &Name, actual: &Actual) -> bool {
        let before = self.whole.get(&(project.clone(), machine.clone()));
        actual.machine(machine).zip(before).is_some_and(|(state, life)| life.container == state.id)
    }

    fn is_new(&self, project: &Name, machine: &Name, actual: &Actual) -> bool {
        life(actual, machine).is_some_and(|life| self.whole.get(&(project.clone(), machine.clone())) != Some(&life))
    }
}

/// A namespace alone is not told by its number: the kernel gives the next one the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Life {
    container: String,
    namespace: u64,
    pid: Option<u32>,
    started_at: Option<String>,
}

fn life(actual: &Actual, machine: &Name) -> Option<Life> {
    let (namespace, state) = (actual.namespace(&Ns::Machine(machine.clone()))?, actual.machine(machine)?);
    Some(Life { container: state.id.clone(), namespace: namespace.inode, pid: state.pid, started_at: state.started_at.clone() })
}

struct Work<'a> {
    kernel: &'a Kernel,
    project: &'a Name,
    actual: &'a Actual,
    processes: &'a Processes,
    /// What failed the last time.
    known: HashSet<String>,
    failed: Mutex<HashSet<String>>,
}

impl Work<'_> {
    /// What the cards hang on. A reboot takes it away. What one network lacks, a card that comes late, keeps no other from being whole.
    async fn host(&self, ops: &[NetOp]) -> bool {
        let (mut made, mut whole) = (false, true);
        for op in ops {
            let is_there = match op {
                // A VLAN of that card is the one, whosever it is.
                NetOp::CreateLink { link } if matches!(link.link.kind, LinkKind::Vlan { .. }) => {
                    self.actual.link(&link.at).is_some_and(|there| there.link.kind == link.link.kind)
                }
                NetOp::CreateLink { link } => self.has(link),
                NetOp::UseLink { at, network, bridge } => !made && self.is_used(at, network, bridge.is_some()),
                // What follows a link that was there, was done with it.
                _ => !made,
            };
            if is_there && !self.has_failed(op) {
                continue;
            }
            made = true;
            if let Err(error) = self.kernel.perform(op, self.project, self.processes).await {
                log::line(&format!("{}: {error}", self.project));
                self.fails(op);
                whole = false;
            }
        }
        whole
    }

    /// It bears the mark of this network, or is a stranger's that needs none.
    fn is_used(&self, at: &LinkRef, network: &Name, is_port: bool) -> bool {
        self.actual.link(at).is_some_and(|link| {
            let is_marked = link.users.contains(&(self.project.clone(), network.clone()));
            is_marked || !is_port && link.owner == Owner::Stranger
        })
    }

    async fn machine(&self, name: &Name, orders: &MachineOrders, began: Instant) -> bool {
        let (mut whole, mut made) = (true, vec![]);
        // A server may take its time: leases are got apart from all else.
        let ops = orders.ops.iter().filter(|op| !matches!(op, NetOp::Lease { .. }));
        for op in ops.filter(|op| self.can(op)) {
            let card = match op {
                NetOp::CreateLink { link } | NetOp::AdoptPort { link, .. } | NetOp::TakeLink { link, .. } => Some(&**link),
                NetOp::CreateVeth { a, b } => [a, b].into_iter().find(|end| end.at.ns == Ns::Machine(name.clone())).map(|end| &**end),
                _ => None,
            };
            // What is no card goes with those that were made.
            let is_there = card.map_or(made.is_empty(), |link| self.has(link));
            if is_there && !self.has_failed(op) {
                continue;
            }
            match self.kernel.perform(&self.fitted(op), self.project, self.processes).await {
                Ok(()) => made.extend(card.map(|link| link.at.name.clone())),
                // It may be the machine at a cable's other end: its next start is the cable's next chance.
                Err(error) if error.kind == NetErrorKind::Ended && matches!(op, NetOp::CreateVeth { b, .. } if b.at.ns != Ns::Host) => {}
                Err(error) if error.kind == NetErrorKind::Ended => return true,
                Err(error) => {
                    whole = false;
                    self.fails(op);
                    log::line(&format!("{}: {error}", self.project));
                }
            }
        }
        whole &= self.names(name, orders).await;
        if !made.is_empty() {
            log::line(&format!("{}/{name}: put back {} in {} ms", self.project, made.join(", "), began.elapsed().as_millis()));
        }
        whole
    }

    fn has_failed(&self, op: &NetOp) -> bool {
        !self.known.is_empty() && self.known.contains(&serde_json::to_string(op).unwrap_or_default())
    }

    fn fails(&self, op: &NetOp) {
        let text = serde_json::to_string(op).unwrap_or_default();
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).insert(text);
    }

    /// A cable needs both of its machines; the one that comes last has it made.
    fn can(&self, op: &NetOp) -> bool {
        let runs = |link: &PlacedLink| match &link.at.ns {
            Ns::Host => true,
            Ns::Machine(name) => self.processes.contains_key(name),
        };
        match op {
            NetOp::CreateVeth { a, b } => runs(a) && runs(b),
            _ => true,
        }
    }

    fn has(&self, wanted: &PlacedLink) -> bool {
        let there = self.actual.link(&wanted.at);
        // The engine's cards bear any name before they are fly's; `engine=` behind it is the name that the engine gave.
        let first_word = |alias: &Option<String>| alias.as_deref().and_then(|alias| alias.split(' ').next().map(str::to_owned));
        // An alias comes before the rest: who made it may have been cut off there.
        let is_dressed = |there: &LinkState| {
            there.link.up == wanted.link.up
                && there.link.master == wanted.link.master
                && wanted.link.addresses.is_subset(&there.link.addresses)
        };
        there.is_some_and(|there| first_word(&there.alias) == first_word(&wanted.alias) && is_dressed(there))
    }

    /// As large as the bridge, where the orders leave that to it.
    fn fitted(&self, op: &NetOp) -> NetOp {
        let mut op = op.clone();
        if let NetOp::CreateVeth { a, b } = &mut op
            && let Some(bridge) = b.link.master.as_ref().and_then(|name| self.actual.link(&LinkRef::host(name.clone())))
        {
            for end in [a, b] {
                end.link.mtu = end.link.mtu.or(bridge.link.mtu);
            }
        }
        op
    }

    async fn names(&self, name: &Name, orders: &MachineOrders) -> bool {
        let (Some(hosts), Some(state)) = (&orders.hosts, self.actual.machine(name)) else { return true };
        let mut set = hosts.clone();
        let gateways = &state.container.gateway_hosts;
        if !gateways.is_empty() {
            std::sync::Arc::make_mut(&mut set).extend(self.actual.wanted_gateways(name, gateways));
        }
        let now = self.actual.hosts(name);
        if now == set {
            return true;
        }
        let op = NetOp::SetHosts { machine: name.clone(), remove: now.difference(&set).cloned().collect(), set };
        match self.kernel.perform(&op, self.project, self.processes).await {
            Ok(()) => true,
            Err(error) if error.kind == NetErrorKind::Ended => true,
            Err(error) => {
                log::line(&format!("{}: {}: {error}", self.project, Addr::Machine(name.clone())));
                false
            }
        }
    }
}
