//! Which link is whose other end or parent, across namespaces.
//!
//! A link says the index of the other one and a number for its namespace, which means something only in its own. Indices repeat
//! from namespace to namespace, so they only tell whom to ask about: that it is so is asked of the kernel, by an open file of the
//! namespace in question.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::error::While;
use super::observe::{Seen, spread};
use super::read::{self, RawLink};
use super::socket::Client;
use crate::net::NetError;
use crate::types::{LinkRef, Name, Ns};

/// What the numbers mean: by namespace (its place in the list) and number, the place of the other.
pub(super) struct Peers<'a, 's> {
    seen: &'a [Seen<'s>],
    numbers: BTreeMap<(usize, i32), usize>,
}

/// The place of every link, by its index, with what it says of its own other end.
type Index<'a> = HashMap<u32, Vec<(usize, &'a RawLink)>>;

pub(super) fn peers<'a, 's>(seen: &'a [Seen<'s>]) -> Result<Peers<'a, 's>, NetError> {
    let mut index: Index<'a> = HashMap::new();
    for (at, other) in seen.iter().enumerate() {
        for link in &other.raw.links {
            index.entry(link.index).or_default().push((at, link));
        }
    }
    let mut numbers: BTreeMap<(usize, i32), usize> =
        seen.iter().enumerate().filter_map(|(at, seen)| Some(((at, seen.raw.host?), 0))).collect();
    let questions: Vec<(usize, Vec<&RawLink>)> = seen
        .iter()
        .enumerate()
        .map(|(at, seen)| {
            let unknown = |link: &&RawLink| link.space.is_some_and(|number| !numbers.contains_key(&(at, number)));
            (at, seen.raw.links.iter().filter(unknown).collect::<Vec<_>>())
        })
        .filter(|(_, links)| !links.is_empty())
        .collect();
    for answers in spread(&questions, |(at, links)| ask(seen, &index, *at, links))? {
        numbers.extend(answers);
    }
    Ok(Peers { seen, numbers })
}

/// The numbers of one namespace, one after the other.
fn ask(seen: &[Seen<'_>], index: &Index<'_>, at: usize, links: &[&RawLink]) -> Result<BTreeMap<(usize, i32), usize>, NetError> {
    let doing = || format!("look at the peers of {}", seen[at].views[0]);
    let client = seen[at].space.enter().and_then(|()| Client::open()).doing(doing)?;
    let mut numbers = BTreeMap::new();
    let mut asked: HashMap<usize, Option<i32>> = HashMap::new();
    for link in links {
        let Some(number) = link.space.filter(|number| !numbers.contains_key(&(at, *number))) else { continue };
        for candidate in candidates(index, at, link) {
            let known = match asked.get(&candidate) {
                Some(known) => *known,
                None => read::number_of(&client, seen[candidate].space.fd()).doing(doing)?,
            };
            asked.insert(candidate, known);
            if known == Some(number) {
                numbers.insert((at, number), candidate);
                break;
            }
        }
    }
    Ok(numbers)
}

/// Namespaces in which a link fits: it has the index, and of two ends of a veth each has to name the other.
fn candidates(index: &Index<'_>, at: usize, link: &RawLink) -> BTreeSet<usize> {
    let there = link.lower.and_then(|lower| index.get(&lower)).map(Vec::as_slice).unwrap_or_default();
    let fits = |other: &RawLink| link.kind != "veth" || other.kind == "veth" && other.lower == Some(link.index) && other.space.is_some();
    there.iter().filter(|(place, other)| *place != at && fits(other)).map(|(place, _)| *place).collect()
}

impl Peers<'_, '_> {
    /// The other end or parent of a link of the namespace `at`, which is looked at as `view`.
    pub(super) fn of(&self, at: usize, view: &Ns, link: &RawLink) -> Option<LinkRef> {
        let place = match link.space {
            None => at,
            Some(number) => *self.numbers.get(&(at, number))?,
        };
        let other = self.seen[place].raw.links.iter().find(|other| Some(other.index) == link.lower)?;
        let ns = if place == at { view.clone() } else { name(&self.seen[place], other) };
        Some(LinkRef { ns, name: other.name.clone() })
    }
}

/// Of several machines in one namespace, the one that the link was made for: its alias says so.
fn name(seen: &Seen<'_>, link: &RawLink) -> Ns {
    let machine = link.alias.as_ref().and_then(|alias| Name::new(alias.strip_prefix("fly:")?.split('/').nth(1)?).ok());
    let made_for = machine.map(Ns::Machine).filter(|ns| seen.views.contains(ns));
    match &seen.views[..] {
        [Ns::Host, ..] | [] => Ns::Host,
        [first, ..] => made_for.unwrap_or_else(|| first.clone()),
    }
}
