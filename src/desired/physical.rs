//! Networks of kind `physical`: the host's card goes into one machine, so nothing else can have it.

use std::collections::{BTreeMap, BTreeSet};

use super::work::{Draft, Errors, Net, NetKind, Nets, twice};
use crate::diag::{Diagnostic, Place};

pub(super) fn check(drafts: &[Draft], nets: &Nets, errors: &mut Errors) {
    let mut devices: BTreeMap<&str, &Net> = BTreeMap::new();
    for net in nets.values() {
        let NetKind::Physical { device } = &net.kind else { continue };
        if !device.is_empty() {
            beside(device, net, nets, errors);
            devices.entry(device).or_insert(net);
        }
    }
    for device in devices.into_keys() {
        once(device, drafts, nets, errors);
    }
}

/// What other networks do with a card that goes into a machine.
fn beside(device: &str, net: &Net, nets: &Nets, errors: &mut Errors) {
    for other in nets.values().filter(|other| other.name != net.name) {
        let of_vlan = other.vlan.as_ref().map(|(card, _)| card.as_str());
        let outer = other.vxlan.as_ref().and_then(|vxlan| vxlan.parent.as_deref());
        let key = match &other.kind {
            NetKind::Macvlan { parent, .. } | NetKind::Ipvlan { parent, .. } if of_vlan.unwrap_or(parent) == device => "parent",
            NetKind::Bridge if other.uplink.as_deref().map(|uplink| of_vlan.unwrap_or(uplink)) == Some(device) => "uplink",
            NetKind::Bridge if outer == Some(device) => "parent",
            NetKind::Existing(bridge) if bridge == device => "bridge",
            _ => continue,
        };
        let message = format!("`{device}` goes into a machine by network `{}`, so `{}` cannot be on it", net.name, other.name);
        let error = Diagnostic::invalid(message).at_some(other.places.of(key));
        let error = net.places.of("parent").map_or_else(|| error.clone(), |there| error.clone().also(there, "it is given away here"));
        errors.push(error.hint("another card for one of them, or `kind: macvlan` for both"));
    }
}

/// One card of one machine, by whichever of the networks that name it.
fn once(device: &str, drafts: &[Draft], nets: &Nets, errors: &mut Errors) {
    let is_on = |draft: &&Draft| {
        let net = draft.network().and_then(|name| nets.get(name));
        net.is_some_and(|net| matches!(&net.kind, NetKind::Physical { device: its } if its == device))
    };
    let mut cards = drafts.iter().filter(is_on);
    let Some(first) = cards.next() else { return };
    let place = |draft: &Draft| -> Place { draft.places.fields.get("network").unwrap_or(&draft.place).clone() };
    // Each line of the file once, however many machines it makes.
    let mut said = BTreeSet::new();
    for other in cards.filter(|other| said.insert((&other.base, &other.name))) {
        let message = format!(
            "`{}:{}` cannot have `{device}`, which `{}:{}` has: a network of kind `physical` gives the host's card to one machine",
            other.machine, other.name, first.machine, first.name
        );
        let error = twice(message, (other, &place(other)), (first, &place(first)));
        errors.push(error.hint("`kind: macvlan`, whose cards share a parent, or a card of the host for each"));
    }
}
