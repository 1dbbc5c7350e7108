//! macvlan's mode `passthru`: the parent belongs to one card alone, and the kernel refuses any other beside it.

use std::collections::BTreeMap;

use super::work::{Draft, Errors, NetKind, Nets};
use crate::diag::Diagnostic;
use crate::types::{MacvlanMode, Name};

pub(super) fn check(drafts: &[Draft], nets: &Nets, errors: &mut Errors) {
    let mut parents: BTreeMap<&str, &Name> = BTreeMap::new();
    for net in nets.values() {
        if let NetKind::Macvlan { parent, mode: MacvlanMode::Passthru } = &net.kind {
            parents.entry(parent).or_insert(&net.name);
        }
    }
    for (parent, network) in parents {
        let on_parent =
            |name: &Name| matches!(nets.get(name).map(|net| &net.kind), Some(NetKind::Macvlan { parent: it, .. }) if it == parent);
        let mut cards = drafts.iter().filter(|draft| draft.network().is_some_and(on_parent));
        let Some(first) = cards.next() else { continue };
        for other in cards {
            let error = Diagnostic::invalid(format!("network `{network}` passes `{parent}` through to one card, and this is another"));
            let error = error.at(&other.place);
            let error = if other.place == first.place { error } else { error.also(&first.place, "the first is here") };
            errors.push(error.hint("`mode: bridge` for several"));
        }
    }
}
