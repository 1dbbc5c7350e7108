//! What cards carry besides addresses and routes, and the rules of their machines.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::model::Places;
use super::work::{Draft, Errors, Groups, first_place, list, note, place_of};
use crate::diag::{At, Diagnostic, Place};
use crate::spec::{self, TrafficSpec};
use crate::types::{Name, Rule, Traffic, Tuning};

/// The priority of a rule that names none: just before the main table is asked.
const PRIORITY: u32 = 32765;

/// What a card's own keys come to, and where it stands.
pub(super) fn resolve(spec: &spec::Tuning, below: Option<&TrafficSpec>, places: &mut Places, errors: &mut Errors) -> Tuning {
    let mut tuning = Tuning { traffic: traffic(&spec.traffic, below, places, errors), ..Tuning::default() };
    for (address, mac) in spec.neighbours.iter().flatten() {
        let other = spec.neighbours.iter().flatten().find(|(other, _)| other.value == address.value && other.place != address.place);
        if tuning.neighbours.insert(address.value, mac.value).is_some() {
            twice(format!("`{}` has two MACs", address.value), &address.place, other.map(|(other, _)| &other.place), errors);
        }
        if address.value.is_multicast() || address.value.is_unspecified() || address.value.is_loopback() {
            let error = Diagnostic::invalid(format!("`{}` is no neighbour's address", address.value)).at(&address.place);
            errors.push(error.hint("the address of one machine or router on the same wire"));
        }
    }
    for (sysctl, value) in spec.sysctls.iter().flatten() {
        let other = spec.sysctls.iter().flatten().find(|(other, _)| other.value == sysctl.value && other.place != sysctl.place);
        if tuning.sysctls.insert(sysctl.value, value.value).is_some() {
            twice(format!("`{}` is set twice", sysctl.value), &sysctl.place, other.map(|(other, _)| &other.place), errors);
        }
    }
    note(places, "neighbours", spec.neighbours.iter().flatten().next().map(|(address, _)| &address.place));
    note(places, "sysctls", spec.sysctls.iter().flatten().next().map(|(name, _)| &name.place));
    tuning
}

fn twice(message: String, place: &Place, other: Option<&Place>, errors: &mut Errors) {
    let error = Diagnostic::invalid(message).at(place).hint("leave one of them out");
    errors.push(match other {
        Some(other) => error.also(other, "the other is here"),
        None => error,
    });
}

/// An end's own keys, and those of its cable where it says nothing.
fn traffic(own: &TrafficSpec, below: Option<&TrafficSpec>, places: &mut Places, errors: &mut Errors) -> Traffic {
    fn value<T: Copy>(at: Option<&At<T>>) -> Option<T> {
        at.map(|at| at.value)
    }
    let read = |spec: &TrafficSpec| {
        let TrafficSpec { rate, delay, jitter, loss, duplicate, corrupt, reorder } = spec;
        Traffic {
            rate: value(rate.as_ref()),
            delay: value(delay.as_ref()),
            jitter: value(jitter.as_ref()),
            loss: value(loss.as_ref()),
            duplicate: value(duplicate.as_ref()),
            corrupt: value(corrupt.as_ref()),
            reorder: value(reorder.as_ref()),
        }
    };
    let mut noted = |spec: &TrafficSpec| {
        let TrafficSpec { rate, delay, jitter, loss, duplicate, corrupt, reorder } = spec;
        note(places, "rate", place_of(rate.as_ref()));
        for (field, time) in [("delay", delay), ("jitter", jitter)] {
            note(places, field, place_of(time.as_ref()));
        }
        for (field, share) in [("loss", loss), ("duplicate", duplicate), ("corrupt", corrupt), ("reorder", reorder)] {
            note(places, field, place_of(share.as_ref()));
        }
    };
    let below_read = below.map(read).unwrap_or_default();
    below.into_iter().for_each(&mut noted);
    noted(own);
    let traffic = read(own).over(&below_read).normal();
    if let Some((key, why)) = traffic.mistake()
        && let Some(place) = places.fields.get(key)
    {
        errors.push(Diagnostic::invalid(why).at(place).hint("`delay: 10ms` beside it"));
    }
    traffic
}

/// What can only be said when all addresses are there.
pub(super) fn check(drafts: &[Draft], errors: &mut Errors) {
    for draft in drafts {
        let disables = draft.tuning.sysctls.iter().any(|(sysctl, value)| sysctl.is_disable_ipv6() && *value != 0);
        let v6 = draft.addresses.iter().find(|(address, _)| address.addr().is_ipv6());
        if let (true, Some((address, there)), Some(place)) = (disables, v6, draft.places.fields.get("sysctls")) {
            let error = Diagnostic::invalid(format!("the card has `{address}`, and `ipv6.disable_ipv6` takes all IPv6 from it")).at(place);
            let error = match there {
                Some(there) => error.also(there, "the address"),
                None => error,
            };
            errors.push(error.hint("leave one of them out"));
        }
        for (address, _) in &draft.addresses {
            if let (true, Some(place)) = (draft.tuning.neighbours.contains_key(&address.addr()), draft.places.fields.get("neighbours")) {
                let error = Diagnostic::invalid(format!("`{}` is the card's own address, not a neighbour's", address.addr())).at(place);
                errors.push(error.hint("the addresses of others on the same wire"));
            }
        }
    }
}

/// The rules of each machine: its own, and those that stand with its cards.
pub(super) fn rules(groups: &Groups, drafts: &[Draft], errors: &mut Errors) -> BTreeMap<Name, BTreeSet<Rule>> {
    let mut rules: BTreeMap<Name, BTreeSet<Rule>> = BTreeMap::new();
    for group in groups.all() {
        let Some(first) = group.names.first() else { continue };
        let cards: Vec<&Draft> = drafts.iter().filter(|draft| draft.machine == *first).collect();
        let names: Vec<&str> = cards.iter().map(|card| card.name.as_str()).chain(["lo"]).collect();
        let own = group.spec.rules.iter().flatten();
        let mut seen: BTreeMap<Rule, &Place> = BTreeMap::new();
        for written in own.chain(cards.iter().flat_map(|card| &card.rules)) {
            let rule = rule(&written.value);
            if let Some(iif) = rule.iif.as_deref().filter(|iif| !names.contains(iif) && !group.has_unknown_cards()) {
                let error = Diagnostic::invalid(format!("machine `{}` has no card `{iif}`", group.base)).at(&written.place);
                errors.push(error.hint(format!("there are {}", list(&names))));
            }
            if let Some(other) = seen.insert(rule, &written.place) {
                twice("one rule stands here twice".to_owned(), &written.place, Some(other), errors);
            }
        }
        let all: BTreeSet<Rule> = seen.into_keys().collect();
        for name in group.names.iter().filter(|_| !all.is_empty()) {
            rules.insert(name.clone(), all.clone());
        }
    }
    rules
}

fn rule(spec: &spec::RuleSpec) -> Rule {
    let spec::RuleSpec { from, to, fwmark, iif, table, priority } = spec.clone();
    // `all` is of no family, and then IPv4 is meant, as with `ip rule`.
    let v4 = from.or(to).is_none_or(|net| net.addr().is_ipv4());
    let all = IpNet::new_assert(if v4 { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) }, 0);
    Rule {
        priority: priority.unwrap_or(PRIORITY),
        from: from.unwrap_or(all),
        to: to.filter(|to| to.prefix_len() > 0),
        fwmark,
        iif,
        table: table.expect("the reader lets no rule through without a table"),
    }
}

/// Where the first rule of a machine stands.
pub(super) fn place_of_rules(machine: &spec::Machine) -> Option<&Place> {
    let cards = machine.nics.iter().flat_map(|nics| &nics.0).filter_map(|(_, nic)| first_place(nic.tuning.rules.as_ref()));
    first_place(machine.rules.as_ref()).or_else(|| cards.into_iter().next())
}
