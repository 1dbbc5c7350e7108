//! The NIC that the engine plugged into one of its bridges becomes the machine's NIC of the wanted name.
//!
//! Engines before 28 disconnect a NIC by the name they gave it, and take whoever bears that name by then: so that name is kept in
//! the alias, and whoever is in the way is moved aside, its own remembered name noted on it as well.

use rtnetlink::packet_route::link::LinkAttribute;

use super::error::{While, fault};
use super::link::Card;
use super::place::Places;
use super::read;
use crate::net::{NetError, NetErrorKind};
use crate::types::{LinkRef, Name, Ns, PlacedLink};

/// In the alias, before the name that the engine gave.
const NOTE: &str = "engine=";

pub(super) fn adopt(places: &Places<'_>, bridge: &str, wanted: &PlacedLink, project: &Name) -> Result<(), NetError> {
    let doing = || format!("set up {}", wanted.at);
    let mut card = find(places, bridge, wanted)?;
    let engines = noted(&card).unwrap_or_else(|| card.raw.name.clone());
    let mut dressed = wanted.clone();
    if engines != wanted.at.name {
        let alias = wanted.alias.clone().unwrap_or_else(|| format!("fly:{project}/"));
        dressed.alias = Some(format!("{alias} {NOTE}{engines}"));
    }
    let before = (card.addresses()?, card.routes()?);
    if card.raw.name != wanted.at.name {
        // The note first: killed between the two, nobody would know the engine's name any more.
        card.change(vec![LinkAttribute::IfAlias(dressed.alias.clone().unwrap_or_default())]).doing(doing)?;
        if let Some(bearer) = Card::find(places, &wanted.at)? {
            move_aside(&bearer)?;
        }
        let name = LinkAttribute::IfName(wanted.at.name.clone());
        if card.change_even_down(&name).doing(doing)? {
            card.add_addresses(&before.0)?;
            before.1.iter().try_for_each(|route| if route.is_way_out() { card.put_route(route) } else { card.add_route(route) })?;
        }
        card.raw.name.clone_from(&wanted.at.name);
    }
    if let Some(mtu) = wanted.link.mtu {
        other_end_takes(places, &card, mtu)?;
    }
    card.dress(&dressed, false)?;
    card.bring(wanted.link.up)?;
    card.route(&dressed, false)?;
    // The engine gives every machine a default route by a card of its own choice; the file may say another, or none.
    let unwanted = card.routes()?.into_iter().filter(|route| route.is_way_out() && !wanted.link.routes.contains(route));
    unwanted.into_iter().try_for_each(|route| card.remove_route(&route))
}

/// The veth in the machine whose other end is a port of `bridge`.
fn find<'a>(places: &'a Places<'a>, bridge: &str, wanted: &PlacedLink) -> Result<Card<'a>, NetError> {
    let doing = || format!("find the NIC of {} on {bridge}", wanted.at.ns);
    let place = places.at(&wanted.at.ns)?;
    let host = places.host()?;
    let bridge = Card::get(places, &LinkRef::host(bridge), doing)?.raw.index;
    for raw in read::links(&place.client).doing(doing)?.items.into_iter().filter(|raw| raw.kind == "veth") {
        let Some(lower) = raw.lower else { continue };
        let Some(end) = read::link_at(&host.client, lower).doing(doing)? else { continue };
        let card = Card::of(places, place.clone(), raw);
        let (index, port) = (card.raw.index, Card::of(places, host.clone(), end));
        if port.raw.master == Some(bridge) && card.hangs_on(&host, port.raw.index)? && port.hangs_on(&place, index)? {
            return Ok(card);
        }
    }
    Err(fault(NetErrorKind::NotFound, doing(), "no NIC of the machine is plugged into it"))
}

/// The engine's name, as noted in the alias.
fn noted(card: &Card<'_>) -> Option<String> {
    let alias = card.raw.alias.as_ref()?;
    alias.split(' ').find_map(|word| word.strip_prefix(NOTE)).map(ToOwned::to_owned)
}

fn move_aside(bearer: &Card<'_>) -> Result<(), NetError> {
    let doing = || format!("move {} aside", bearer.at());
    let routes = bearer.routes()?;
    let addresses = bearer.addresses()?;
    // An alias of nobody's making is the engine's own NIC, not yet set up.
    if bearer.raw.kind == "veth" && bearer.raw.alias.as_ref().is_none_or(String::is_empty) {
        bearer.change(vec![LinkAttribute::IfAlias(format!("{NOTE}{}", bearer.raw.name))]).doing(doing)?;
    }
    let name = format!("fly{}", bearer.raw.index);
    if bearer.change_even_down(&LinkAttribute::IfName(name)).doing(doing)? {
        bearer.add_addresses(&addresses)?;
        routes.iter().try_for_each(|route| bearer.add_route(route))?;
    }
    Ok(())
}

/// The other end of a machine's veth, if that is on the host.
pub(super) fn host_end<'a>(places: &'a Places<'a>, card: &Card<'_>) -> Result<Option<Card<'a>>, NetError> {
    let (true, Some(lower)) = (card.raw.kind == "veth" && card.place.ns != Ns::Host, card.raw.lower) else { return Ok(None) };
    let host = places.host()?;
    if !card.hangs_on(&host, lower)? {
        return Ok(None);
    }
    let end = read::link_at(&host.client, lower).doing(|| format!("look at the host's end of {}", card.at()))?;
    Ok(end.map(|end| Card::of(places, host, end)))
}

/// A frame has to fit through both ends of a veth. Only the host's end is seen to here: another machine's is its own NIC.
pub(super) fn other_end_takes(places: &Places<'_>, card: &Card<'_>, mtu: u32) -> Result<(), NetError> {
    match host_end(places, card)?.filter(|end| end.raw.mtu != mtu) {
        Some(end) => end.change(vec![LinkAttribute::Mtu(mtu)]).doing(|| format!("set the MTU of the host's end of {}", card.at())),
        None => Ok(()),
    }
}
