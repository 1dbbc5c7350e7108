//! A plan as its readers get it: machine by machine, the worst first, with what is lost, what stops, and who is touched by whom.
//!
//! Made once, and purely; every rendering shows this document, so none of them can say what another one does not. Texts in it are as
//! the differ wrote them: each rendering makes them harmless in its own way.

mod aside;
mod neighbours;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use aside::{Aside, Origin, Security};

use super::{Plan, StepId};
use crate::actual::Actual;
use crate::desired::Desired;
use crate::diag::Place;
use crate::diff::{self, Action, Change, Effect, FieldChange, Impact, Loss, NicDiff};
use crate::types::{Addr, MountSource, Name, NetworkMode, Ns};

/// How bad the news is, the worst last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    #[default]
    Nothing,
    /// Only what is new.
    Create,
    /// Changed while it runs.
    Live,
    /// Somebody's processes end and start again.
    Interrupts,
    /// Data, or a whole machine, is gone for good.
    Loses,
}

impl Severity {
    fn of(change: &Change) -> Self {
        match (change.action, change.impact) {
            (Action::Keep, _) => Self::Nothing,
            _ if !change.losses.is_empty() => Self::Loses,
            (_, Impact::Destroy) => Self::Loses,
            (_, Impact::Restart | Impact::Recreate) => Self::Interrupts,
            (Action::Create, Impact::None) => Self::Create,
            (_, Impact::None | Impact::Live) => Self::Live,
        }
    }
}

/// For how long a machine does not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Downtime {
    RestartsOnce,
    UntilReplaced,
    GoesAway,
}

impl Downtime {
    fn of(change: &Change) -> Option<Self> {
        let Addr::Machine(_) = change.addr else { return None };
        match change.action {
            Action::Restart => Some(Self::RestartsOnce),
            Action::Replace => Some(Self::UntilReplaced),
            Action::Delete if change.impact == Impact::Destroy => Some(Self::GoesAway),
            _ => None,
        }
    }
}

impl Downtime {
    fn as_str(self) -> &'static str {
        match self {
            Self::RestartsOnce => "restarts once",
            Self::UntilReplaced => "down until its replacement runs",
            Self::GoesAway => "goes away",
        }
    }
}

impl std::fmt::Display for Downtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One resource that differs.
#[derive(Clone, Debug)]
pub struct Item<'a> {
    pub change: &'a Change,
    pub action: Action,
    /// Those that are shown: of a card that comes back with its machine, only what is not as it was.
    pub fields: Vec<FieldChange>,
    /// A card or cable that goes and comes back with its machine; without fields: as it was.
    pub again: bool,
    /// Whose change this one follows from.
    pub because: BTreeSet<Addr>,
    pub origin: Option<Origin>,
}

impl Item<'_> {
    /// With its machine, as it was.
    pub fn comes_back(&self) -> bool {
        self.again && self.fields.is_empty()
    }

    /// The fields that force a replacement.
    pub fn forced_by(&self) -> impl Iterator<Item = &FieldChange> {
        self.fields.iter().filter(|field| self.action == Action::Replace && field.effect == Effect::Replace)
    }
}

/// A machine with all that is its own; or something that machines share.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    pub addr: Addr,
    pub severity: Severity,
    /// Of the machine itself; where that stays as it is, an update.
    pub action: Action,
    pub place: Option<Place>,
    pub items: Vec<Item<'a>>,
    pub downtime: Option<Downtime>,
    pub losses: Vec<(Addr, Loss)>,
    /// What outlives it: `volume/data`.
    pub kept: Vec<String>,
    /// In words, by which neighbours it is touched although nothing of its own changes.
    pub touched: BTreeSet<String>,
}

/// Words, and of whom they hold.
pub type Told = Vec<(String, Vec<Addr>)>;

/// How many machines there is what kind of news of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Machines {
    pub lost: usize,
    pub interrupted: usize,
    pub live: usize,
    pub created: usize,
    pub unchanged: usize,
}

#[derive(Clone, Debug)]
pub struct Review<'a> {
    pub plan: &'a Plan,
    pub worst: Severity,
    /// The worst first; what machines share after them.
    pub changes: Vec<Group<'a>>,
    /// Whose only news is what neighbours do.
    pub touched: Vec<Group<'a>>,
    /// What somebody did to the world.
    pub drift: Vec<Group<'a>>,
    pub lost: Told,
    /// What outlives those that lose something.
    pub kept: Told,
    pub interrupted: Told,
    pub machines: Machines,
    pub security: Vec<Security>,
    pub left_out: Vec<Addr>,
}

impl<'a> Review<'a> {
    pub fn new(plan: &'a Plan, desired: &Desired, actual: &Actual, aside: Aside) -> Self {
        let by_addr = plan.changes.iter().map(|change| (&change.addr, change)).collect();
        let differing = || plan.changes.iter().filter(|change| change.action != Action::Keep);
        let moving = differing().filter_map(|change| change.addr.machine()).collect();
        let view = View { desired, actual, by_addr, moving, aside: &aside };
        let (mut ours, mut drift) = (BTreeMap::new(), BTreeMap::new());
        for change in differing() {
            for item in view.items(change) {
                let side = if item.origin.as_ref().is_some_and(Origin::is_drift) { &mut drift } else { &mut ours };
                side.entry(view.home(&change.addr)).or_insert_with(Vec::new).push(item);
            }
        }
        let group = |(addr, items)| view.group(addr, items);
        let (mut changes, mut drift): (Vec<_>, Vec<_>) = (ours.into_iter().map(group).collect(), drift.into_iter().map(group).collect());
        changes.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
        drift.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
        let (mut touched, changes): (Vec<_>, Vec<_>) = changes.into_iter().partition(Group::is_only_touched);
        neighbours::at_the_other_end(&view, &changes, &drift, &mut touched);
        let worst = plan.changes.iter().map(Severity::of).max().unwrap_or_default();
        let all = || changes.iter().chain(&drift);
        let lost = told(all().flat_map(Group::lost));
        let kept = all().filter(|group| group.severity == Severity::Loses && !group.kept.is_empty());
        let kept = told(kept.map(|group| (group.kept.join(", "), group.addr.clone())));
        let mut stops: Vec<_> = all().filter_map(|group| Some((group.downtime?, &group.addr))).collect();
        stops.retain(|(downtime, _)| *downtime != Downtime::GoesAway);
        stops.sort_by_key(|(downtime, addr)| (std::cmp::Reverse(*downtime), *addr));
        let interrupted = told(stops.into_iter().map(|(downtime, addr)| (downtime.to_string(), addr.clone())));
        let machines = Machines::of(plan, &touched);
        Self { plan, worst, changes, touched, drift, lost, kept, interrupted, machines, security: aside.security, left_out: aside.left_out }
    }

    /// Every group, in the order in which they are shown.
    pub fn groups(&self) -> impl Iterator<Item = &Group<'a>> {
        self.changes.iter().chain(&self.touched).chain(&self.drift)
    }

    /// Nothing to be done, and nothing to be told.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.touched.is_empty() && self.drift.is_empty() && self.plan.is_empty()
    }

    /// In which wave each step can start at the earliest, when all that can be done at once is; they count from 1.
    pub fn waves(&self) -> BTreeMap<StepId, usize> {
        let mut waves: BTreeMap<StepId, usize> = BTreeMap::new();
        for step in &self.plan.steps {
            let before = step.after.iter().filter_map(|id| waves.get(id)).max().copied().unwrap_or(0);
            waves.insert(step.id, before + 1);
        }
        waves
    }
}

impl Machines {
    fn of(plan: &Plan, touched: &[Group<'_>]) -> Self {
        let mut worst: BTreeMap<&Name, Severity> = BTreeMap::new();
        let mut new: BTreeSet<&Name> = BTreeSet::new();
        for change in &plan.changes {
            let Some(machine) = change.addr.machine() else { continue };
            if matches!((&change.addr, change.action), (Addr::Machine(_), Action::Create)) {
                new.insert(machine);
            }
            let severity = worst.entry(machine).or_default();
            *severity = (*severity).max(Severity::of(change));
        }
        for machine in touched.iter().filter_map(Group::machine) {
            worst.entry(machine).and_modify(|severity| *severity = (*severity).max(Severity::Live));
        }
        let mut machines = Self::default();
        for (name, severity) in worst {
            *match severity {
                Severity::Nothing => &mut machines.unchanged,
                Severity::Create if new.contains(name) => &mut machines.created,
                // A card on a machine that is there is news of a running machine.
                Severity::Create | Severity::Live => &mut machines.live,
                Severity::Interrupts => &mut machines.interrupted,
                Severity::Loses => &mut machines.lost,
            } += 1;
        }
        machines
    }
}

impl Group<'_> {
    pub fn machine(&self) -> Option<&Name> {
        if let Addr::Machine(name) = &self.addr { Some(name) } else { None }
    }

    /// Cards and cables that go and come back as they were.
    pub fn coming_back(&self) -> impl Iterator<Item = &Addr> {
        self.items.iter().filter(|item| item.comes_back()).map(|item| &item.change.addr)
    }

    pub fn because(&self) -> BTreeSet<&Addr> {
        self.items.iter().flat_map(|item| &item.because).collect()
    }

    /// What is gone for good, and of what.
    fn lost(&self) -> Vec<(String, Addr)> {
        if self.downtime == Some(Downtime::GoesAway) {
            let with: Vec<String> = self.losses.iter().map(|(_, loss)| loss.to_string()).collect();
            let with = if with.is_empty() { String::new() } else { format!(", with {}", with.join(" and ")) };
            return vec![(format!("goes away{with}"), self.addr.clone())];
        }
        self.losses.iter().map(|(addr, loss)| (loss.to_string(), addr.clone())).collect()
    }

    /// What happens to it, in a few words.
    pub fn happens(&self) -> &'static str {
        let starts =
            self.items.iter().any(|item| item.change.addr == self.addr && item.fields.first().is_some_and(|it| it.field == "state"));
        match (self.downtime, self.action) {
            (Some(downtime), _) => downtime.as_str(),
            (None, Action::Create) => "is new",
            (None, Action::Delete) => "is deleted",
            (None, Action::Replace) => "is made anew",
            (None, Action::Restart) => "restarts",
            (None, Action::Update | Action::Keep) if starts => "starts again",
            (None, Action::Update | Action::Keep) => "changes live",
        }
    }

    /// Nothing but what follows, live, from what a neighbour does.
    fn is_only_touched(&self) -> bool {
        self.severity <= Severity::Live && !self.items.is_empty() && self.items.iter().all(|item| !item.because.is_empty())
    }
}

/// What loses data comes first, whatever it is; then machines; then what they share.
fn sort_key<'g>(group: &'g Group<'_>) -> impl Ord + use<'g> {
    let is_shared = group.machine().is_none();
    let place = if group.severity == Severity::Loses { 0 } else { 1 + u8::from(is_shared) };
    // A volume with its data is worse than a machine.
    let rank = match &group.addr {
        Addr::Volume(_) => 0,
        Addr::Machine(_) | Addr::Nic(..) | Addr::HostKey(_) => 1,
        Addr::Network(_) => 2,
        Addr::Link(_) => 3,
        Addr::Image(_) => 4,
        Addr::Agent | Addr::Guest(_) => 5,
    };
    (place, std::cmp::Reverse(group.severity), rank, &group.addr)
}

/// The same words once, with all of whom they hold.
fn told(all: impl Iterator<Item = (String, Addr)>) -> Told {
    let mut told: Told = vec![];
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for (words, addr) in all {
        let at = *known.entry(words.clone()).or_insert_with(|| {
            told.push((words, vec![]));
            told.len() - 1
        });
        told[at].1.push(addr);
    }
    told
}

/// What the document is made from.
struct View<'v> {
    desired: &'v Desired,
    actual: &'v Actual,
    by_addr: BTreeMap<&'v Addr, &'v Change>,
    /// Machines of which, or of whose cards, something changes.
    moving: BTreeSet<&'v Name>,
    aside: &'v Aside,
}

impl View<'_> {
    fn change(&self, addr: &Addr) -> Option<&Change> {
        self.by_addr.get(addr).copied()
    }

    fn action(&self, addr: &Addr) -> Action {
        self.change(addr).map_or(Action::Keep, |change| change.action)
    }

    fn place(&self, addr: &Addr) -> Option<Place> {
        self.change(addr).and_then(|change| change.place.clone())
    }

    /// Under which heading it is told.
    fn home(&self, addr: &Addr) -> Addr {
        match addr {
            Addr::Nic(machine, _) | Addr::HostKey(machine) => Addr::Machine(machine.clone()),
            Addr::Link(id) => {
                // Where more happens, and otherwise at its first end.
                let [(a, _), (b, _)] = id.ends();
                let weight = |name: &Name| match self.action(&Addr::Machine(name.clone())) {
                    Action::Replace | Action::Delete => 4,
                    Action::Restart => 3,
                    Action::Create => 2,
                    Action::Update => 1,
                    Action::Keep => 0,
                };
                Addr::Machine(if weight(b) > weight(a) { b } else { a }.clone())
            }
            other => other.clone(),
        }
    }

    /// The change, or its two sides: what the file says, and what somebody did.
    fn items<'a>(&self, change: &'a Change) -> Vec<Item<'a>> {
        let whole = self.aside.origin(&change.addr, None);
        let again = self.again(change);
        let because = neighbours::causes(self, change);
        let item = |action, fields, origin| Item { change, action, again: again.is_some(), fields, because: because.clone(), origin };
        let fields = again.clone().unwrap_or_else(|| change.fields.clone());
        let of = |field: &FieldChange| self.aside.origin(&change.addr, Some(&field.field)).or(whole);
        let (by_hand, by_file): (Vec<_>, Vec<_>) = fields.iter().cloned().partition(|field| of(field).is_some_and(Origin::is_drift));
        if by_hand.is_empty() || by_file.is_empty() {
            let origin = fields.iter().find_map(of).or(whole).cloned();
            return vec![item(change.action, fields, origin)];
        }
        // The side that asks for more carries the change itself; the other one is live.
        let most = |fields: &[FieldChange]| fields.iter().map(|field| field.effect).max();
        let (file, hand) = if most(&by_hand) > most(&by_file) { (Action::Update, change.action) } else { (change.action, Action::Update) };
        let origin = by_hand.first().and_then(of).cloned();
        vec![item(file, by_file, whole.filter(|it| !it.is_drift()).cloned()), item(hand, by_hand, origin)]
    }

    /// What of a card or cable that goes and comes with its machine is not as it was; nothing where it was not there.
    fn again(&self, change: &Change) -> Option<Vec<FieldChange>> {
        let card = |machine: &Name, nic: &crate::types::IfName| {
            let is_wanted = self.desired.machines.get(machine).is_some_and(|wanted| wanted.nics.contains_key(nic));
            if !is_wanted || self.actual.namespace(&Ns::Machine(machine.clone())).is_none() {
                return None;
            }
            match diff::nic(self.desired, self.actual, machine, nic) {
                NicDiff::Missing => None,
                NicDiff::Same => Some(vec![]),
                NicDiff::Set { fields, .. } | NicDiff::Recreate { fields, .. } | NicDiff::Reconnect { fields, .. } => Some(fields),
            }
        };
        if change.action != Action::Create {
            return None;
        }
        match &change.addr {
            Addr::Nic(machine, nic) => card(machine, nic),
            Addr::Link(id) => {
                let mut fields = vec![];
                for (machine, nic) in id.ends() {
                    let of_end = |field: FieldChange| FieldChange { field: format!("{} of {machine}:{nic}", field.field), ..field };
                    fields.extend(card(machine, nic)?.into_iter().map(of_end));
                }
                Some(fields)
            }
            _ => None,
        }
    }

    fn group<'a>(&self, addr: Addr, mut items: Vec<Item<'a>>) -> Group<'a> {
        items.sort_by(|a, b| a.change.addr.cmp(&b.change.addr));
        let own = items.iter().find(|item| item.change.addr == addr);
        let severity = |item: &Item<'_>| {
            let full = Severity::of(item.change);
            // The live side of a change whose other side weighs more.
            if item.action == item.change.action { full } else { full.min(Severity::Live) }
        };
        let worst = items.iter().map(severity).max().unwrap_or_default();
        let downtime = own.filter(|item| item.action == item.change.action).and_then(|item| Downtime::of(item.change));
        let with_addr =
            |item: &'_ Item<'a>| item.change.losses.iter().map(|loss| (item.change.addr.clone(), loss.clone())).collect::<Vec<_>>();
        let losses: Vec<_> = items.iter().filter(|item| item.action == item.change.action).flat_map(with_addr).collect();
        let action = own.map_or(Action::Update, |item| item.action);
        let severity = if worst == Severity::Create && own.is_none() { Severity::Live } else { worst };
        let kept = if downtime.is_some() { self.kept(&addr, downtime) } else { vec![] };
        Group { severity, action, place: self.place(&addr), downtime, losses, kept, touched: BTreeSet::new(), addr, items }
    }

    /// Volumes that a machine has and that outlive it.
    fn kept(&self, addr: &Addr, downtime: Option<Downtime>) -> Vec<String> {
        let Some(state) = addr.machine().and_then(|name| self.actual.machine(name)) else { return vec![] };
        if downtime == Some(Downtime::RestartsOnce) {
            return vec![];
        }
        let anonymous = diff::anonymous_volumes(state);
        let volumes = state.container.mounts.values().filter_map(|mount| match &mount.source {
            MountSource::Volume(name) if !anonymous.contains(name) => Some(name),
            _ => None,
        });
        let known = |name: &String| {
            self.actual.engine.volumes.iter().find(|(_, volume)| volume.name == *name).map(|(name, _)| Addr::Volume(name.clone()))
        };
        let mut kept: BTreeSet<String> = volumes
            .filter_map(|name| match known(name) {
                Some(addr) => (self.action(&addr) != Action::Delete).then(|| addr.to_string()),
                None => Some(format!("volume {name}")),
            })
            .collect();
        if downtime == Some(Downtime::UntilReplaced) && !anonymous.is_empty() {
            kept.insert(Loss::AnonymousVolumes(anonymous.into_iter().collect()).to_string());
        }
        kept.into_iter().collect()
    }

    /// In whose network namespace a machine lives, where that is another machine's.
    fn lender(&self, machine: &Name) -> Option<&Name> {
        match &self.desired.machines.get(machine)?.container.network_mode {
            NetworkMode::Machine(owner) => Some(owner),
            _ => None,
        }
    }
}
