//! macvlan's mode `passthru`: the parent belongs to one card alone, and the kernel refuses any other beside it.

use std::collections::{BTreeMap, BTreeSet};

use super::work::{Draft, Errors, Net, NetKind, Nets, twice};
use crate::diag::{Diagnostic, Place};
use crate::types::MacvlanMode;

/// What is on a parent, or is to be.
#[derive(Default)]
struct Children<'a> {
    passthru: bool,
    cards: Vec<&'a Draft>,
    /// The networks by which the host itself has an address there.
    host: Vec<&'a Net>,
}

pub(super) fn check(drafts: &[Draft], nets: &Nets, errors: &mut Errors) {
    let mut parents: BTreeMap<&str, Children<'_>> = BTreeMap::new();
    for draft in drafts {
        let Some(NetKind::Macvlan { parent, mode, .. }) = draft.network().and_then(|name| nets.get(name)).map(|net| &net.kind) else {
            continue;
        };
        let on_it = parents.entry(parent).or_default();
        on_it.passthru |= *mode == MacvlanMode::Passthru;
        on_it.cards.push(draft);
    }
    for net in nets.values().filter(|net| !net.host_ips.is_empty()) {
        if let NetKind::Macvlan { parent, .. } = &net.kind {
            parents.entry(parent).or_default().host.push(net);
        }
    }
    for (parent, Children { cards, host, .. }) in parents.into_iter().filter(|(parent, children)| children.passthru && !parent.is_empty()) {
        let Some((first, others)) = cards.split_first() else { continue };
        let first_name = format!("`{}:{}`", first.machine, first.name);
        let message =
            |who: &str| format!("{who} cannot be on `{parent}`, where {first_name} is: mode `passthru` gives the whole card to one");
        let place = |draft: &Draft| draft.places.fields.get("network").unwrap_or(&draft.place).clone();
        let there = place(first);
        let beside = |message: String, at: Option<&Place>| {
            Diagnostic::invalid(message).at_some(at).also(&there, format!("{first_name} is on it already"))
        };
        let hint = "another `mode` for the network, or a parent for each";
        // Each line of the file once, however many machines it makes.
        let mut said = BTreeSet::new();
        for other in others.iter().filter(|other| said.insert((&other.base, &other.name))) {
            let (message, at) = (message(&format!("`{}:{}`", other.machine, other.name)), place(other));
            let error = if at == there { twice(message, (other, &at), (first, &there)) } else { beside(message, Some(&at)) };
            errors.push(error.hint(hint));
        }
        for net in host {
            errors.push(beside(message(&format!("the `host_ip` of `{}`", net.name)), net.places.of("host_ip")).hint(hint));
        }
    }
}
