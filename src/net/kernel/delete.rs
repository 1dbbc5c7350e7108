//! Removing links. Of the host's, only those that fly made.

use super::error::fault;
use super::link::Card;
use super::place::Places;
use super::share;
use crate::net::{NetError, NetErrorKind};
use crate::types::{LinkRef, Mac, Name, Ns, is_host_link_of};

pub(super) fn link(places: &Places<'_>, at: &LinkRef, project: &Name) -> Result<(), NetError> {
    match Card::find(places, at)? {
        None => Ok(()),
        Some(card) if may_go(&card, project) => card.delete(),
        Some(_) => Err(fault(NetErrorKind::Conflict, format!("delete link {at}"), "fly did not make this link, or others use it")),
    }
}

/// A VLAN is fly's by its marks as well, but others may need it.
fn may_go(card: &Card<'_>, project: &Name) -> bool {
    let is_shared = card.place.ns == Ns::Host && card.raw.kind == "vlan";
    if is_shared { share::is_free_vlan(card, project) } else { card.has_our_marks() || is_engines_leftover(card, project) }
}

/// The bridge of a network that the engine was killed over: it has the name that we gave it, and the engine's own kind of MAC.
fn is_engines_leftover(card: &Card<'_>, project: &Name) -> bool {
    let raw = &card.raw;
    raw.kind == "bridge" && is_host_link_of(project, &raw.name) && raw.mac.is_some_and(Mac::is_engines)
}
