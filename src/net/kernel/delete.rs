//! Removing links. Of the host's, only those that fly made.

use super::error::fault;
use super::link::Card;
use super::place::Places;
use crate::net::{NetError, NetErrorKind};
use crate::types::LinkRef;

pub(super) fn link(places: &Places<'_>, at: &LinkRef) -> Result<(), NetError> {
    match Card::find(places, at)? {
        None => Ok(()),
        Some(card) if card.has_our_marks() => card.delete(),
        Some(_) => Err(fault(NetErrorKind::Conflict, format!("delete link {at}"), "fly did not make this link")),
    }
}
