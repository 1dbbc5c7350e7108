//! The world that `up` of a file would leave behind, on a host that has whatever the file asks of it.
//!
//! It is made by the way of all worlds: a plan against nothing, of which every step is done; only that doing it is writing down what
//! there is then. So two files can be compared without an engine: what the one leaves behind is what the other finds.

mod containers;
mod host;
mod links;

use std::collections::BTreeMap;

pub use host::host;

use crate::actual::Actual;
use crate::desired::{Desired, DesiredState, Machine};
use crate::diag::Diagnostic;
use crate::engine::RunState;
use crate::plan::{Op, plan};
use crate::types::{LinkKind, Name, NetworkMode, Ns};

/// The world behind `up` of this file, on this host; or why there would be none.
pub fn world(desired: &Desired, host: Actual) -> Result<Actual, Vec<Diagnostic>> {
    let plan = plan(desired, &host)?;
    let machines = desired.machines.iter().map(|(name, machine)| (machine.name.as_str(), name)).collect();
    let mut builder = Builder { desired, actual: host, machines, counter: FIRST_NUMBER };
    for step in plan.steps {
        match step.op {
            Op::Engine(op) => builder.engine(op),
            Op::Net(op) => builder.net(op),
        }
    }
    builder.settle();
    Ok(builder.actual)
}

/// Links, processes and namespaces of the host have smaller ones.
const FIRST_NUMBER: u32 = 1000;

struct Builder<'a> {
    desired: &'a Desired,
    actual: Actual,
    /// By the engine's names.
    machines: BTreeMap<&'a str, &'a Name>,
    counter: u32,
}

impl Builder<'_> {
    fn next(&mut self) -> u32 {
        self.counter += 1;
        self.counter
    }

    /// What becomes of it all when the last step is done.
    fn settle(&mut self) {
        for (name, machine) in &self.desired.machines {
            if machine.state == DesiredState::RunningOrCompleted {
                self.complete(name);
            }
        }
        for (name, machine) in &self.desired.machines {
            self.share(name, machine);
        }
        let up = |name: &String| self.actual.engine.machines.values().any(|state| state.name == *name && state.is_up());
        let lists: Vec<(Name, Vec<String>)> = self
            .actual
            .engine
            .networks
            .iter()
            .map(|(own, network)| {
                let is_on = self.actual.engine.machines.values().filter(|state| state.endpoints.contains_key(&network.name));
                (own.clone(), is_on.map(|state| state.name.clone()).filter(up).collect())
            })
            .collect();
        for (own, containers) in lists {
            if let Some(network) = self.actual.engine.networks.get_mut(&own) {
                network.containers = containers.into_iter().collect();
            }
        }
    }

    /// It has come to its good end, and its namespace is gone with all that hung on it.
    fn complete(&mut self, name: &Name) {
        let Some(state) = self.actual.engine.machines.get_mut(name) else { return };
        (state.state, state.pid) = (RunState::Exited { code: 0 }, None);
        state.published.clear();
        state.host_key = self.actual.net.guests.remove(name).is_some_and(|seen| seen.host_key);
        let gone = Ns::Machine(name.clone());
        self.actual.net.namespaces.remove(&gone);
        for namespace in self.actual.net.namespaces.values_mut() {
            namespace.links.retain(|_, link| !matches!(&link.link.kind, LinkKind::Veth { peer: Some(peer) } if peer.ns == gone));
        }
    }

    /// Whoever lives in another's namespace sees that one's.
    fn share(&mut self, name: &Name, machine: &Machine) {
        let lender = match &machine.container.network_mode {
            NetworkMode::Host => Ns::Host,
            NetworkMode::Machine(other) => Ns::Machine(self.owner_of(other).clone()),
            NetworkMode::Own | NetworkMode::Container(_) => return,
        };
        let lent = self.actual.net.namespaces.get(&lender).cloned();
        let own = self.actual.net.namespaces.get_mut(&Ns::Machine(name.clone()));
        if let (Some(lent), Some(own)) = (lent, own) {
            *own = lent;
        }
    }

    /// At the end of the row.
    fn owner_of<'a>(&'a self, mut name: &'a Name) -> &'a Name {
        for _ in 0..self.desired.machines.len() {
            match self.desired.machines.get(name).map(|machine| &machine.container.network_mode) {
                Some(NetworkMode::Machine(next)) => name = next,
                _ => break,
            }
        }
        name
    }
}
