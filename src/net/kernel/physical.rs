//! Cards of the host's own that machines get: moved in, and given back as they were.
//!
//! What a card was stands behind its alias before it is moved, and is taken off it when all of it is so again. Whoever is killed in
//! between leaves a card that says of itself whose it is and what is left to do; and so does the kernel, which moves hardware to the
//! first namespace of all when the one that it is in dies: with its alias, its MAC and its MTU, but down, and under another name where
//! its own is taken there.

use std::os::fd::AsRawFd;
use std::time::Instant;

use rtnetlink::packet_route::link::LinkAttribute;
use rustix::io::Errno;

use super::error::{Refused, While, fault};
use super::link::{Card, PATIENCE, PAUSE};
use super::place::Places;
use super::read::{self, RawLink};
use crate::net::{NetError, NetErrorKind};
use crate::types::{IfName, LinkRef, Name, Ns, Origin, PlacedLink};

pub(super) fn take(places: &Places<'_>, device: &str, wanted: &PlacedLink, project: &Name) -> Result<(), NetError> {
    let at = &wanted.at;
    let doing = || format!("move {device} of the host to {at}");
    let Ns::Machine(machine) = &at.ns else { return Err(fault(NetErrorKind::Other, doing(), "that is no machine")) };
    let mut card = find(places, device, wanted, project, machine)?;
    if card.raw.master.is_some() {
        return Err(fault(NetErrorKind::Conflict, doing(), "it is a port of a bridge or bond"));
    }
    let origin = match Origin::of(card.raw.alias.as_deref()) {
        Some(origin) => origin,
        None => note(&card, device, project, machine, &at.name)?,
    };
    let is_moved = card.place.ns == Ns::Host;
    if is_moved {
        let place = places.at(&at.ns)?;
        let into = LinkAttribute::NetNsFd(places.space(&place).fd().as_raw_fd());
        card.change(vec![LinkAttribute::IfName(at.name.clone()), into]).map_err(explain).doing(doing)?;
        card = Card::get(places, at, doing)?;
    } else if card.raw.name != at.name {
        card.change_even_down(&LinkAttribute::IfName(at.name.clone())).doing(doing)?;
        card = Card::get(places, at, doing)?;
    }
    let mut dressed = PlacedLink { alias: None, ..wanted.clone() };
    dressed.link.mac = dressed.link.mac.or(origin.mac);
    dressed.link.mtu = dressed.link.mtu.or(Some(origin.mtu));
    card.dress(&dressed, is_moved)?;
    card.bring(wanted.link.up)?;
    card.introduce(&dressed)?;
    card.route(&dressed, is_moved)
}

/// Wherever it is by now. A namespace that has just died takes its time to give it up.
fn find<'a>(places: &'a Places<'a>, device: &str, wanted: &PlacedLink, project: &Name, machine: &Name) -> Result<Card<'a>, NetError> {
    let at = &wanted.at;
    let doing = || format!("look for {device} of the host");
    let is_it = |raw: &RawLink| {
        Origin::of(raw.alias.as_deref()).is_some_and(|origin| origin.name == device && origin.is_of(project, machine, &at.name))
    };
    let (place, host) = (places.at(&at.ns)?, places.host()?);
    let deadline = Instant::now() + PATIENCE;
    loop {
        for there in [&place, &host] {
            if let Some(raw) = read::links(&there.client).doing(doing)?.items.into_iter().find(|raw| is_it(raw)) {
                return Ok(Card::of(places, there.clone(), raw));
            }
        }
        match Card::find(places, &LinkRef::host(device))? {
            Some(card) => match Origin::of(card.raw.alias.as_deref()) {
                None => return Ok(card),
                Some(Origin { project, machine, nic, .. }) => {
                    let whose = format!("it is `{machine}:{nic}` of project `{project}`");
                    return Err(fault(NetErrorKind::Conflict, doing(), whose));
                }
            },
            // Somebody has taken the mark off it.
            None => {
                if let Some(card) = Card::find(places, at)?.filter(|card| card.raw.alias.as_ref().is_none_or(String::is_empty)) {
                    return Ok(card);
                }
            }
        }
        if Instant::now() >= deadline {
            return Err(fault(NetErrorKind::NotFound, doing(), format!("this host has no network card {device}")));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Writes on a card what it is, and for whom it goes away.
fn note(card: &Card<'_>, device: &str, project: &Name, machine: &Name, nic: &str) -> Result<Origin, NetError> {
    let doing = || format!("write on {} what it was", card.at());
    let nic = IfName::new(nic).map_err(|error| fault(NetErrorKind::Other, doing(), error.to_string()))?;
    let RawLink { mac, mtu, up, alias, .. } = &card.raw;
    let origin = Origin {
        project: project.clone(),
        machine: machine.clone(),
        nic,
        name: device.to_owned(),
        mac: *mac,
        mtu: *mtu,
        up: *up,
        alias: alias.clone().unwrap_or_default(),
    };
    let text = origin.alias().ok_or_else(|| fault(NetErrorKind::Conflict, doing(), "its own alias leaves no room for it"))?;
    card.change(vec![LinkAttribute::IfAlias(text)]).doing(doing)?;
    Ok(origin)
}

/// The kernel has no words of its own for these.
fn explain(refused: Refused) -> Refused {
    match refused {
        Refused { errno: Errno::INVAL, words: None } => {
            Refused::new(Errno::INVAL, "its driver keeps it in its network namespace, as those of bridges, bonds and wireless cards do")
        }
        other => other,
    }
}

pub(super) fn give_back(places: &Places<'_>, at: &LinkRef, device: &str, project: &Name) -> Result<(), NetError> {
    let doing = || format!("give {at} back to the host as {device}");
    let Some(mut card) = Card::find(places, at)? else { return Ok(()) };
    let origin = Origin::of(card.raw.alias.as_deref()).filter(|origin| origin.name == device && origin.project == *project);
    let Some(origin) = origin else {
        return Err(fault(NetErrorKind::Conflict, doing(), "it does not say of itself that it is that card"));
    };
    let there = LinkRef::host(device);
    if *at != there {
        if Card::find(places, &there)?.is_some() {
            return Err(fault(NetErrorKind::Conflict, doing(), format!("the host has another link {device} by now")));
        }
        let name = LinkAttribute::IfName(device.to_owned());
        if at.ns == Ns::Host {
            card.change_even_down(&name).doing(doing)?;
        } else {
            let host = places.host()?;
            let into = LinkAttribute::NetNsFd(places.space(&host).fd().as_raw_fd());
            card.change(vec![name, into]).map_err(explain).doing(doing)?;
        }
        card = Card::get(places, &there, doing)?;
    }
    if let Some(mac) = origin.mac.filter(|mac| card.raw.mac != Some(*mac)) {
        card.change_even_down(&LinkAttribute::Address(mac.bytes().to_vec())).doing(doing)?;
    }
    if card.raw.mtu != origin.mtu {
        card.change(vec![LinkAttribute::Mtu(origin.mtu)]).doing(doing)?;
    }
    card.bring(origin.up)?;
    // The last of all: until then it says what is to be done.
    card.change(vec![LinkAttribute::IfAlias(origin.alias)]).doing(doing)
}
