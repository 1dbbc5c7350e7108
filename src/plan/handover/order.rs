//! The steps in an order in which nobody takes what another still holds.

use std::collections::{BTreeMap, BTreeSet};

use super::{Held, handovers};
use crate::diff::Impact;
use crate::net::{LinkSet, NetOp};
use crate::plan::builder::Builder;
use crate::plan::{Op, Reason, Step, StepId};
use crate::types::{LinkRef, Mac, host_link_name};

/// Where a step stood when the plan was built, and whether it is that step, or what goes before it.
type At = (usize, bool);

struct Order<'a> {
    b: &'a Builder<'a>,
    steps: BTreeMap<At, Step>,
    waits: BTreeMap<At, BTreeSet<At>>,
    /// Giver and taker.
    handovers: BTreeMap<(At, At), BTreeSet<Held>>,
}

/// The plan's steps, each after those that give up what it takes.
pub(in crate::plan) fn settled(b: &Builder<'_>) -> Vec<Step> {
    let place = |at: usize| (at, true);
    let places: BTreeMap<StepId, At> = b.steps.iter().enumerate().map(|(at, step)| (step.id, place(at))).collect();
    let waits = |step: &Step| step.after.iter().map(|id| places[id]).collect();
    let mut order = Order {
        b,
        steps: b.steps.iter().enumerate().map(|(at, step)| (place(at), step.clone())).collect(),
        waits: b.steps.iter().enumerate().map(|(at, step)| (place(at), waits(step))).collect(),
        handovers: handovers(b).into_iter().map(|((giver, taker), held)| ((place(giver), place(taker)), held)).collect(),
    };
    loop {
        match order.sorted() {
            Ok(sorted) => return sorted,
            Err(stuck) => order.cut(&stuck),
        }
    }
}

impl Order<'_> {
    /// For each step, those that it comes after.
    fn before(&self) -> BTreeMap<At, BTreeSet<At>> {
        let mut before = self.waits.clone();
        for (giver, taker) in self.handovers.keys() {
            before.entry(*taker).or_default().insert(*giver);
        }
        before
    }

    /// As built, as far as that goes; or the steps that wait for each other.
    fn sorted(&self) -> Result<Vec<Step>, BTreeMap<At, BTreeSet<At>>> {
        let before = self.before();
        let mut waits: BTreeMap<At, usize> = before.iter().map(|(at, others)| (*at, others.len())).collect();
        let mut needed_by = BTreeMap::<At, Vec<At>>::new();
        for (at, other) in before.iter().flat_map(|(at, others)| others.iter().map(move |other| (*at, *other))) {
            needed_by.entry(other).or_default().push(at);
        }
        let mut ready: BTreeSet<At> = waits.iter().filter(|(_, count)| **count == 0).map(|(at, _)| *at).collect();
        let mut numbers = BTreeMap::new();
        let mut sorted = vec![];
        while let Some(at) = ready.pop_first() {
            let id = StepId(u32::try_from(sorted.len() + 1).expect("a plan has fewer steps than there are numbers"));
            numbers.insert(at, id);
            let after = before[&at].iter().map(|other| numbers[other]).collect();
            sorted.push(Step { id, after, ..self.steps[&at].clone() });
            for next in needed_by.remove(&at).into_iter().flatten() {
                let count = waits.entry(next).or_default();
                *count -= 1;
                if *count == 0 {
                    ready.insert(next);
                }
            }
        }
        if sorted.len() == before.len() {
            return Ok(sorted);
        }
        Err(before.into_iter().filter(|(at, _)| !numbers.contains_key(at)).collect())
    }

    /// In every circle there is a handover. Its giver gives up beforehand what he holds; where no giver can, it is left to chance.
    fn cut(&mut self, stuck: &BTreeMap<At, BTreeSet<At>>) {
        let mut way: Vec<At> = vec![];
        let mut at = stuck.keys().copied().next();
        while let Some(next) = at.filter(|at| !way.contains(at)) {
            way.push(next);
            at = stuck[&next].iter().copied().find(|other| stuck.contains_key(other));
        }
        let from = way.iter().position(|other| Some(*other) == at).unwrap_or(0);
        let circle = &way[from..];
        // Each waits for the one behind it, and the last for the first.
        let givers = circle.iter().cycle().skip(1);
        let pairs: Vec<(At, At)> = givers.copied().zip(circle.iter().copied()).filter(|pair| self.handovers.contains_key(pair)).collect();
        let pair = pairs.iter().copied().find(|(giver, _)| self.can_release(*giver)).or(pairs.first().copied());
        let (giver, taker) = pair.expect("without handovers a plan is built without circles");
        let held = self.handovers.remove(&(giver, taker)).unwrap_or_default();
        if self.can_release(giver) {
            self.release(giver, taker, &held);
        }
    }

    fn can_release(&self, giver: At) -> bool {
        let step = &self.steps[&giver];
        matches!(step.op, Op::Net(NetOp::SetLink { .. })) && self.b.cards.contains_key(&step.id)
    }

    /// A step before `giver` gives up what `taker` is to have.
    fn release(&mut self, giver: At, taker: At, held: &BTreeSet<Held>) {
        let early = (giver.0, false);
        let Step { id, addr, op, .. } = &self.steps[&giver];
        let Op::Net(NetOp::SetLink { at, .. }) = op else { return };
        let now = LinkRef { ns: at.ns.clone(), name: self.b.cards[id].clone() };
        let link = self.b.actual.link(&now);
        let (mut set, reason) = if let Some(Step { op: Op::Net(NetOp::SetLink { set, .. }), reason, .. }) = self.steps.get(&early) {
            (set.clone(), reason.clone())
        } else {
            let keep_routes = link.map(|link| link.link.routes.clone()).unwrap_or_default();
            let words: Vec<String> = held.iter().map(ToString::to_string).collect();
            let reason = format!("{} is to have {}", self.steps[&taker].addr, words.join(" and "));
            (Box::new(LinkSet { keep_routes, ..LinkSet::default() }), Reason::new(reason))
        };
        let seed = format!("aside/{}:{}", addr.machine().map_or("", |name| name.as_str()), now.name);
        for held in held {
            match held {
                Held::Name(..) => set.name = Some(host_link_name(&self.b.desired.project, &seed)),
                Held::Mac(..) => set.mac = Some(Mac::automatic(&format!("{}/{seed}", self.b.desired.project))),
                Held::Address(_, address) => {
                    let nets = link.into_iter().flat_map(|link| &link.link.addresses).filter(|net| net.addr() == *address);
                    set.remove_addresses.extend(nets);
                }
            }
        }
        if !set.remove_addresses.is_empty() {
            // They may hang on the address; those that are wanted come back with the next step.
            set.keep_routes.clear();
        }
        let step = Step {
            may_rest: self.steps.get(&giver).is_some_and(|step| step.may_rest),
            id: *id,
            addr: addr.clone(),
            op: NetOp::SetLink { at: now, set: set.clone() }.into(),
            after: BTreeSet::new(),
            reason,
            impact: Impact::Live,
        };
        let waits = self.waits[&giver].iter().copied().filter(|other| *other != early).collect();
        self.steps.insert(early, step);
        self.waits.insert(early, waits);
        self.waits.entry(giver).or_default().insert(early);
        self.waits.entry(taker).or_default().insert(early);
        if let (Some(name), Some(Step { op: Op::Net(NetOp::SetLink { at, .. }), .. })) = (set.name, self.steps.get_mut(&giver)) {
            at.name = name;
        }
    }
}
