//! Policy rules, and routes that lead nowhere: what of a namespace's routing hangs on no link.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage as Say};
use rustix::io::Errno;

use super::error::{Refused, While};
use super::message::{self, PROTOCOL, family};
use super::place::Places;
use super::read::{AF_INET, AF_INET6, ip};
use super::socket::{Client, Dump};
use super::wire::{attributes, text, u32_at};
use crate::net::NetError;
use crate::types::{FwMark, Name, Ns, Route, Routing, Rule, Table};

pub(super) struct RawRule {
    pub(super) rule: Rule,
    /// Its protocol; 0 where nobody said.
    pub(super) maker: u8,
}

/// All but the kernel's own, and those that say more than fly's rules can.
pub(super) fn rules(client: &Client) -> Result<Dump<RawRule>, Refused> {
    let mut rules = Dump::default();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = RuleMessage::default();
        message.header.family = family;
        match client.dump(&Say::GetRule(message), read) {
            Ok(dump) => {
                rules.whole &= dump.whole;
                rules.items.extend(dump.items);
            }
            // A kernel without policy routing, or without IPv6.
            Err(refused) if refused.is(&[Errno::AFNOSUPPORT, Errno::OPNOTSUPP]) => {}
            Err(refused) => return Err(refused),
        }
    }
    Ok(rules)
}

fn read(payload: &[u8]) -> Option<RawRule> {
    const TO_TABLE: u8 = 1;
    const INVERTED: u32 = 2;
    const BY_KERNEL: u8 = 2;
    let (family, to_length, from_length, tos) = (*payload.first()?, *payload.get(1)?, *payload.get(2)?, *payload.get(3)?);
    let (mut table, action, flags) = (u32::from(*payload.get(4)?), *payload.get(7)?, u32_at(payload, 8)?);
    let (mut to, mut from, mut iif, mut priority, mut mark, mut under, mut maker) = (None, None, None, 0, None, u32::MAX, 0);
    for (kind, value) in attributes(payload, 12) {
        match kind {
            1 => to = ip(value),
            2 => from = ip(value),
            3 => iif = Some(text(value)),
            6 => priority = u32_at(value, 0)?,
            10 => mark = u32_at(value, 0),
            15 => table = u32_at(value, 0)?,
            16 => under = u32_at(value, 0)?,
            21 => maker = *value.first()?,
            // `FRA_SUPPRESS_PREFIXLEN` is always told, and `FRA_PAD` says nothing.
            14 if u32_at(value, 0) == Some(u32::MAX) => {}
            18 => {}
            _ => return None,
        }
    }
    if action != TO_TABLE || flags & INVERTED != 0 || tos != 0 || maker == BY_KERNEL {
        return None;
    }
    let nowhere = match family {
        AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AF_INET6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let from = IpNet::new(from.unwrap_or(nowhere), from_length).ok()?;
    let to = match to {
        Some(to) => Some(IpNet::new(to, to_length).ok()?),
        None => None,
    };
    let fwmark = mark.map(|mark| FwMark { mark, mask: under });
    Some(RawRule { rule: Rule { priority, from, to, fwmark, iif, table: Table(table) }, maker })
}

fn said(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    let header = &mut message.header;
    header.family = family(&rule.from);
    header.src_len = rule.from.prefix_len();
    header.dst_len = rule.to.map_or(0, |to| to.prefix_len());
    header.action = RuleAction::ToTable;
    header.table = u8::try_from(rule.table.0).unwrap_or(0);
    let said = &mut message.attributes;
    said.push(RuleAttribute::Priority(rule.priority));
    said.push(RuleAttribute::Table(rule.table.0));
    if rule.from.prefix_len() > 0 {
        said.push(RuleAttribute::Source(rule.from.network()));
    }
    said.extend(rule.to.map(|to| RuleAttribute::Destination(to.network())));
    if let Some(FwMark { mark, mask }) = rule.fwmark {
        said.extend([RuleAttribute::FwMark(mark), RuleAttribute::FwMask(mask)]);
    }
    said.extend(rule.iif.clone().map(RuleAttribute::Iifname));
    message
}

/// What is new comes before what goes, so that no packet finds neither.
pub(super) fn set(places: &Places<'_>, machine: &Name, add: &Routing, remove: &Routing) -> Result<(), NetError> {
    let place = places.at(&Ns::Machine(machine.clone()))?;
    let client = &place.client;
    for route in &add.routes {
        put(client, route).doing(|| format!("add route {route} to {machine}"))?;
    }
    for rule in &add.rules {
        let mut message = said(rule);
        message.attributes.push(RuleAttribute::Protocol(PROTOCOL.into()));
        match client.tell(Say::NewRule(message), NLM_F_CREATE | NLM_F_EXCL) {
            Err(refused) if refused.is(&[Errno::EXIST]) => {}
            other => other.doing(|| format!("add rule {rule} to {machine}"))?,
        }
    }
    for rule in &remove.rules {
        match client.tell(Say::DelRule(said(rule)), 0) {
            Err(refused) if refused.is(&[Errno::NOENT]) => {}
            other => other.doing(|| format!("remove rule {rule} from {machine}"))?,
        }
    }
    for route in remove.routes.iter().filter(|route| !add.routes.iter().any(|new| new.key() == route.key())) {
        match client.tell(Say::DelRoute(message::unwanted_route(0, route)), 0) {
            Err(refused) if refused.is(&[Errno::SRCH]) => {}
            other => other.doing(|| format!("remove route {route} from {machine}"))?,
        }
    }
    Ok(())
}

/// In the place of another with the same destination, metric and table.
fn put(client: &Client, route: &Route) -> Result<(), Refused> {
    let new = |how: u16| client.tell(Say::NewRoute(message::route(0, route)), NLM_F_CREATE | how);
    match new(NLM_F_EXCL) {
        Err(refused) if refused.is(&[Errno::EXIST]) => new(NLM_F_REPLACE),
        other => other,
    }
}
