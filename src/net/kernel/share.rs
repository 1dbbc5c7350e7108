//! Links of the host that this project uses without having them for itself: a VLAN of a card, the uplink of a bridge.
//!
//! Who uses one is written on it: an alternative name for each project and network. The kernel adds and removes one without touching the others, so
//! two projects cannot overwrite each other's; and the last one to go finds itself alone.

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage as Say;
use rtnetlink::packet_route::link::LinkAttribute;
use rustix::io::Errno;

use super::error::{While, fault};
use super::link::Card;
use super::message;
use super::owner;
use super::place::Places;
use super::read;
use crate::net::{NetError, NetErrorKind};
use crate::types::{LINK_GROUP, LinkRef, Name};

/// First the mark, so that whoever is cut off leaves nothing that nobody knows of.
pub(super) fn take(places: &Places<'_>, at: &LinkRef, network: &Name, bridge: Option<&str>, project: &Name) -> Result<(), NetError> {
    let doing = || format!("use link {at}");
    let card = Card::get(places, at, doing)?;
    let mark = owner::mark(project, network);
    if !card.raw.altnames.contains(&mark) {
        card.tell(Say::NewLinkProp(message::altname(card.raw.index, &mark)), NLM_F_CREATE | NLM_F_EXCL).doing(doing)?;
    }
    let Some(bridge) = bridge else { return Ok(()) };
    let doing = || format!("plug {at} into {bridge}");
    let bridge = Card::get(places, &LinkRef { ns: at.ns.clone(), name: bridge.to_owned() }, doing)?;
    match card.raw.master {
        Some(master) if master == bridge.raw.index => Ok(()),
        Some(_) => Err(fault(NetErrorKind::Conflict, doing(), "it is another bridge's port")),
        None => card.change(vec![LinkAttribute::Controller(bridge.raw.index)]).doing(doing),
    }
}

/// The mark goes last.
pub(super) fn leave(places: &Places<'_>, at: &LinkRef, network: &Name, project: &Name) -> Result<(), NetError> {
    let doing = || format!("give back {at}");
    let Some(card) = Card::find(places, at)? else { return Ok(()) };
    let mark = owner::mark(project, network);
    if let Some(index) = card.raw.master {
        let bridge = read::link_at(&card.place.client, index).doing(doing)?;
        if bridge.is_some_and(|bridge| crate::types::is_host_link_of(project, &bridge.name)) {
            card.change(vec![LinkAttribute::Controller(0)]).doing(doing)?;
        }
    }
    if card.raw.altnames.contains(&mark) {
        match card.tell(Say::DelLinkProp(message::altname(card.raw.index, &mark)), 0) {
            Err(refused) if refused.is(&[Errno::NOENT, Errno::INVAL]) => {}
            other => other.doing(doing)?,
        }
    }
    Ok(())
}

/// A VLAN that fly made, and that nobody else uses.
pub(super) fn is_free_vlan(card: &Card<'_>, project: &Name) -> bool {
    card.raw.kind == "vlan" && card.raw.group == LINK_GROUP && owner::users(&card.raw).iter().all(|(user, _)| user == project)
}
