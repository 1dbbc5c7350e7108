//! Puts steps in order: each comes after those that it needs, and knows why it is done.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::held::Held;
use super::{Op, Reason, Step, StepId};
use crate::actual::Actual;
use crate::desired::{Desired, DesiredState};
use crate::diff::{Action, Diff, Impact};
use crate::engine::EngineOp;
use crate::net::NetOp;
use crate::types::{Addr, LinkKind, Name, Ns};

/// The plan in the making. A step can only wait for steps that are there already, so the result has no cycles.
pub(super) struct Builder<'a> {
    pub(super) desired: &'a Desired,
    pub(super) actual: &'a Actual,
    pub(super) diff: &'a Diff,
    pub(super) steps: Vec<Step>,
    /// The steps after which a resource is there: an image, a volume, a network, a machine with all its cards but cables.
    pub(super) ready: BTreeMap<Addr, BTreeSet<StepId>>,
    /// The steps after which a machine's first process runs in the namespace that it will keep.
    pub(super) started: BTreeMap<Name, BTreeSet<StepId>>,
    /// The steps by which somebody leaves a network: addresses and MACs are free only then.
    pub(super) left: BTreeMap<Name, BTreeSet<StepId>>,
    /// The steps after which nobody has an address, port or MAC any more that a machine has now.
    pub(super) given_up: BTreeMap<Held, BTreeSet<StepId>>,
    /// The steps by which a card leaves a machine: its name is free only then.
    pub(super) freed: BTreeMap<Name, BTreeSet<StepId>>,
    /// The steps by which Docker networks give up their subnets.
    pub(super) subnets: Vec<(BTreeSet<IpNet>, StepId)>,
    /// The steps by which a container gets its machine's name.
    pub(super) renamed: BTreeMap<Name, StepId>,
    /// The step that says to a machine that starts what its guest is to do.
    pub(super) told: BTreeMap<Name, StepId>,
    /// The step that stops a machine, where it has to stop before its own turn comes.
    pub(super) stopped: BTreeMap<Name, StepId>,
    /// For a step that changes a card where it is: what the card is called before the first step.
    pub(super) cards: BTreeMap<StepId, String>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(desired: &'a Desired, actual: &'a Actual, diff: &'a Diff) -> Self {
        Self {
            desired,
            actual,
            diff,
            steps: vec![],
            ready: BTreeMap::new(),
            started: BTreeMap::new(),
            left: BTreeMap::new(),
            given_up: BTreeMap::new(),
            freed: BTreeMap::new(),
            subnets: vec![],
            renamed: BTreeMap::new(),
            told: BTreeMap::new(),
            stopped: BTreeMap::new(),
            cards: BTreeMap::new(),
        }
    }

    /// Adds a step for `addr`, with the reason and impact of that resource's change.
    pub(super) fn add(&mut self, addr: &Addr, op: impl Into<Op>, after: BTreeSet<StepId>) -> StepId {
        let change = self.diff.changes.get(addr).filter(|change| change.action != Action::Keep);
        let (reason, impact) = match change {
            Some(change) => (change.reason.clone(), change.impact),
            None => ("something that it hangs on changes".to_owned(), Impact::Live),
        };
        self.add_because(addr, op, after, reason, impact)
    }

    pub(super) fn add_because(
        &mut self,
        addr: &Addr,
        op: impl Into<Op>,
        after: BTreeSet<StepId>,
        reason: impl Into<String>,
        impact: Impact,
    ) -> StepId {
        let id = StepId(u32::try_from(self.steps.len() + 1).expect("a plan has fewer steps than there are numbers"));
        debug_assert!(after.iter().all(|before| *before < id), "a step waits only for earlier ones");
        let op = op.into();
        let machine = addr.machine().and_then(|name| self.desired.machines.get(name));
        let may_rest = matches!(op, Op::Net(_)) && machine.is_some_and(|machine| machine.state == DesiredState::RunningOrCompleted);
        self.steps.push(Step { id, addr: addr.clone(), op, after, reason: Reason::new(reason), impact, may_rest });
        id
    }

    pub(super) fn ready_of(&self, addr: &Addr) -> BTreeSet<StepId> {
        self.ready.get(addr).cloned().unwrap_or_default()
    }

    pub(super) fn action(&self, addr: &Addr) -> Action {
        self.diff.action(addr)
    }

    /// Networks of the file that a machine is on now.
    pub(super) fn networks_of(&self, machine: &Name) -> BTreeSet<Name> {
        use crate::desired::NetworkKind;
        let mut names = BTreeSet::new();
        if let Some(state) = self.actual.machine(machine) {
            let engine = self.actual.engine.networks.iter().filter(|(_, network)| state.endpoints.contains_key(&network.name));
            names.extend(engine.map(|(name, _)| name.clone()));
        }
        let links = self.actual.namespace(&Ns::Machine(machine.clone())).into_iter().flat_map(|ns| ns.links.values());
        for link in links {
            let is_on = |kind: &NetworkKind, bridge: Option<&str>| match (kind, &link.link.kind) {
                (NetworkKind::Macvlan { parent, .. } | NetworkKind::Ipvlan { parent, .. }, kind) => {
                    kind.parent().is_some_and(|on| on.ns == Ns::Host && on.name == *parent)
                }
                (NetworkKind::Physical { device }, LinkKind::Physical { device: its }) => device == its,
                (NetworkKind::ExistingBridge { bridge: wanted }, _) => bridge == Some(wanted.as_str()),
                _ => false,
            };
            let bridge = self.actual.plugged_into(link);
            names.extend(self.desired.networks.iter().filter(|(_, n)| is_on(&n.kind, bridge)).map(|(name, _)| name.clone()));
        }
        names
    }

    /// Notes that after `step` the machine is on none of the networks that it is on now.
    pub(super) fn leaves(&mut self, machine: &Name, step: StepId) {
        for network in self.networks_of(machine) {
            self.left.entry(network).or_default().insert(step);
        }
    }
}

impl From<EngineOp> for Op {
    fn from(op: EngineOp) -> Self {
        Self::Engine(op)
    }
}

impl From<NetOp> for Op {
    fn from(op: NetOp) -> Self {
        Self::Net(op)
    }
}

/// A set of the steps given.
pub(super) fn after<const N: usize>(steps: [StepId; N]) -> BTreeSet<StepId> {
    steps.into_iter().collect()
}

pub(super) fn union<'a>(sets: impl IntoIterator<Item = &'a BTreeSet<StepId>>) -> BTreeSet<StepId> {
    sets.into_iter().flatten().copied().collect()
}
