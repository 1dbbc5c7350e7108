//! Whether a saved plan still holds: every step that is to be done now has to be in it. What is done already needs no doing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Circumstances, Images, Pin, Saved, makes, print, used};
use crate::diff::{Action, Change};
use crate::engine::EngineOp;
use crate::net::{LinkSet, NetOp};
use crate::plan::render::clean;
use crate::plan::{Op, Plan, Step};
use crate::types::{Addr, Name, Ns};

/// The end of a replacement's name before it takes its machine's.
const NEW: &str = ".new";

/// Of a value; its beginning is enough to know it by.
const LONGEST: usize = 60;

/// What keeps a saved plan from being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Another build of fly, which may plan in other ways.
    Build {
        saved: String,
        now: String,
    },
    /// The file, or what goes into it: what it says otherwise, by resource.
    File(Vec<(char, String)>),
    World(Vec<Lines>),
}

/// What differs about one resource: `-` was in the saved plan alone, `+` is in the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    pub addr: String,
    pub lines: Vec<(char, String)>,
}

impl Saved {
    /// Nothing: the new plan is the saved one, or what is left of it.
    pub fn against(&self, plan: &Plan, now: &Circumstances<'_>) -> Option<Difference> {
        self.of_file(now).or_else(|| self.of_world(plan, now.images))
    }

    /// The same, as far as it can be told before the world is looked at.
    pub fn of_file(&self, now: &Circumstances<'_>) -> Option<Difference> {
        if self.fly != now.fly {
            return Some(Difference::Build { saved: self.fly.clone(), now: now.fly.to_owned() });
        }
        let file = print::file(now.desired);
        let all: BTreeSet<&String> = self.file.keys().chain(file.keys()).collect();
        let sign = |key: &String| match (self.file.get(key), file.get(key)) {
            (Some(_), None) => Some('-'),
            (None, Some(_)) => Some('+'),
            (saved, now) => (saved != now).then_some('~'),
        };
        let lines: Vec<_> = all.into_iter().filter_map(|key| Some((sign(key)?, key.clone()))).collect();
        (!lines.is_empty()).then_some(Difference::File(lines))
    }

    fn of_world(&self, plan: &Plan, images: &Images) -> Option<Difference> {
        let known: BTreeSet<(&Addr, &str, &str)> =
            self.steps.iter().map(|step| (&step.addr, step.does.as_str(), step.payload.as_str())).collect();
        let is_known = |step: &&Step| known.contains(&(&step.addr, step.does().as_str(), print::payload(&step.op).as_str()));
        let (again, unknown): (Vec<&Step>, Vec<&Step>) = plan.steps.iter().partition(is_known);
        let made_again: BTreeSet<String> = again.iter().flat_map(|step| makes(&step.op)).collect();
        let added: Vec<&Step> = unknown.into_iter().filter(|step| !self.is_remnant(step, &made_again)).collect();
        let moved = self.moved(plan, images);
        if added.is_empty() && moved.is_empty() {
            return None;
        }
        let mut all = moved;
        let concerned: BTreeSet<&Addr> = added.iter().map(|step| &step.addr).collect();
        for addr in concerned {
            all.entry(addr.to_string()).or_default().extend(self.lines(plan, addr, &added));
        }
        // What is in the saved plan alone tells what has become of it; where it was only done already, it is not worth a line.
        for addr in self.steps.iter().map(|step| &step.addr).filter(|addr| plan.steps.iter().all(|step| step.addr != **addr)) {
            let gone = self.steps.iter().filter(|step| step.addr == *addr).map(|step| ('-', clean(&step.does)));
            all.entry(addr.to_string()).or_insert_with(|| gone.collect());
        }
        Some(Difference::World(all.into_iter().map(|(addr, lines)| Lines { addr, lines }).collect()))
    }

    /// The steps and fields of one resource that are in one plan alone.
    fn lines(&self, plan: &Plan, addr: &Addr, added: &[&Step]) -> Vec<(char, String)> {
        let now: BTreeSet<(String, String)> =
            plan.steps.iter().filter(|step| step.addr == *addr).map(|step| (step.does(), print::payload(&step.op))).collect();
        let mut lines: Vec<(char, String)> = vec![];
        for step in self.steps.iter().filter(|step| step.addr == *addr && !now.contains(&(step.does.clone(), step.payload.clone()))) {
            lines.push(('-', clean(&step.does)));
        }
        lines.extend(added.iter().filter(|step| step.addr == *addr).map(|step| ('+', clean(&step.does()))));
        // Of what is made, every field would be new.
        let tells = |change: &&Change| change.addr == *addr && change.action != Action::Create;
        let change = |changes: &[Change]| changes.iter().filter(tells).flat_map(fields).collect::<Vec<_>>();
        let (saved, new) = (change(&self.changes), change(&plan.changes));
        lines.extend(saved.iter().filter(|field| !new.contains(field)).map(|field| ('-', format!("  {field}"))));
        lines.extend(new.iter().filter(|field| !saved.contains(field)).map(|field| ('+', format!("  {field}"))));
        lines
    }

    /// Images whose references stand for others by now.
    fn moved(&self, plan: &Plan, images: &Images) -> BTreeMap<String, Vec<(char, String)>> {
        let mut moved = BTreeMap::new();
        for image in used(plan) {
            let (Some(pin), Some(now)) = (self.images.get(image), images.get(image)) else { continue };
            let (was, is) = match (pin, &now.pulled) {
                // The registry does not say: then it cannot be pulled either.
                (Pin::Digest(was) | Pin::Id(was), Some(is)) => (was, is.clone()),
                (Pin::Id(was), None) => (was, now.id.clone().unwrap_or_else(|| was.clone())),
                (Pin::Digest(was), None) if now.digests.contains(was) || now.id.is_none() => continue,
                (Pin::Digest(was), None) => (was, now.digests.first().or(now.id.as_ref()).cloned().unwrap_or_default()),
            };
            if *was != is {
                let lines = vec![('-', format!("is {}", clean(was))), ('+', format!("is {}", clean(&is)))];
                moved.insert(Addr::Image(image.to_owned()).to_string(), lines);
            }
        }
        moved
    }

    /// What an interrupted run of the saved plan itself leaves to be cleared away, or finished: always of something that was not
    /// there when the plan was looked at, and that it was to make as the file says. Of what was there, nothing is done otherwise.
    fn is_remnant(&self, step: &Step, made_again: &BTreeSet<String>) -> bool {
        let made = |name: &str| self.steps.iter().any(|saved| saved.addr == step.addr && saved.makes.contains(name));
        match &step.op {
            // The old machine is still there, and the new one has not got its name yet.
            Op::Engine(EngineOp::RemoveContainer { name, .. }) => name.strip_suffix(NEW).is_some() && made(name),
            // Born, but bare: it is made again, which finishes it, and set where that finds it in another state.
            Op::Net(NetOp::SetLink { at, set }) if at.ns == Ns::Host => {
                made(&at.to_string()) && (made_again.contains(&at.to_string()) || only_adds(set))
            }
            // What the machine got when it started is put right.
            Op::Net(
                NetOp::SetLink { .. }
                | NetOp::AdoptPort { .. }
                | NetOp::CreateLink { .. }
                | NetOp::CreateVeth { .. }
                | NetOp::Lease { .. }
                | NetOp::SetHosts { .. }
                | NetOp::SetGuest { .. }
                | NetOp::SetRouting { .. },
            ) => self.makes_anew(&step.addr),
            _ => false,
        }
    }

    /// Whether a card, a cable or a machine's namespace is the saved plan's to make: whatever was there goes, or is gone, with it.
    fn makes_anew(&self, addr: &Addr) -> bool {
        let starts = |name: &Name| {
            let addr = Addr::Machine(name.clone());
            self.steps.iter().any(|step| step.addr == addr && step.starts)
        };
        let is_made = || {
            let made = |change: &&Change| matches!(change.action, Action::Create | Action::Replace);
            self.changes.iter().filter(made).any(|change| change.addr == *addr)
        };
        match addr {
            Addr::Machine(name) => starts(name),
            Addr::Nic(name, _) => starts(name) || is_made(),
            Addr::Link(id) => is_made() || id.ends().iter().any(|(name, _)| starts(name)),
            _ => false,
        }
    }
}

/// What a bare link lacks, and nothing that anybody could have given it.
fn only_adds(set: &LinkSet) -> bool {
    let LinkSet { up, add_addresses, add_routes, keep_routes, connect, manners, .. } = set.clone();
    up != Some(false) && *set == LinkSet { up, add_addresses, add_routes, keep_routes, connect, manners, ..LinkSet::default() }
}

/// `mtu: 1500 -> 1400`.
fn fields(change: &Change) -> impl Iterator<Item = String> {
    change.fields.iter().map(|field| {
        let value = |value: &Option<String>| value.as_deref().map_or_else(|| "(none)".to_owned(), |text| cut(&clean(text)));
        format!("{}: {} -> {}", clean(&field.field), value(&field.old), value(&field.new))
    })
}

fn cut(text: &str) -> String {
    let short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

impl Difference {
    /// For a reader, with a line feed at its end.
    pub fn text(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Build { saved, now } => {
                let _ = writeln!(out, "  - fly {}", clean(saved));
                let _ = writeln!(out, "  + fly {}", clean(now));
            }
            Self::File(lines) => {
                for (sign, addr) in lines {
                    let _ = writeln!(out, "  {sign} {}", clean(addr));
                }
            }
            Self::World(all) => {
                for Lines { addr, lines } in all {
                    let _ = writeln!(out, "  {}", clean(addr));
                    for (sign, line) in lines {
                        let _ = writeln!(out, "    {sign} {line}");
                    }
                }
            }
        }
        out
    }

    /// In one phrase.
    pub fn said(&self, file: &str) -> String {
        match self {
            Self::Build { .. } => "the saved plan was made by another build of fly".to_owned(),
            Self::File(_) => format!("{file}, or what goes into it, has changed since the plan was made"),
            Self::World(_) => "the world has changed since the plan was made: something else would be done now".to_owned(),
        }
    }
}
