//! Links, addresses and routes as one namespace's kernel tells them, before anything is known about other namespaces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use rtnetlink::packet_route::neighbour::{NeighbourAttribute, NeighbourMessage};
use rtnetlink::packet_route::nsid::{NsidAttribute, NsidMessage};
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use super::error::Refused;
use super::kind::{self, Detail};
use super::socket::{Client, Dump};
use super::wire::{attributes, text, u16_at, u32_at};
use crate::types::{Mac, Route};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFF_UP: u32 = 1;
const IFF_RUNNING: u32 = 0x40;
const IFF_PROMISC: u32 = 0x100;
/// The protocol of routes that a router has advertised.
pub(super) const BY_ROUTER: u8 = 9;

#[derive(Clone, Debug, Default)]
pub(super) struct RawLink {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) up: bool,
    pub(super) carrier: bool,
    pub(super) mac: Option<Mac>,
    pub(super) mtu: u32,
    /// The link that this one hangs on, or its other end; in the namespace that `space` stands for, or in the same one.
    pub(super) lower: Option<u32>,
    pub(super) space: Option<i32>,
    pub(super) master: Option<u32>,
    pub(super) group: u32,
    pub(super) alias: Option<String>,
    /// The kernel's word; empty for a physical card.
    pub(super) kind: String,
    pub(super) detail: Detail,
    pub(super) promiscuous: bool,
    pub(super) altnames: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct RawAddress {
    pub(super) index: u32,
    pub(super) net: IpNet,
    /// Made by the kernel, not by anybody's configuration: link-local, or from a router's advertisement.
    pub(super) kernels: bool,
    /// Its protocol; 0 where nobody said, or the kernel is too old to keep it.
    pub(super) maker: u8,
}

#[derive(Clone, Debug)]
pub(super) struct RawRoute {
    pub(super) index: u32,
    pub(super) route: Route,
    /// Made by the kernel: for an address, or as a router advertises.
    pub(super) kernels: bool,
    /// Its protocol.
    pub(super) maker: u8,
}

fn read_link(payload: &[u8]) -> Option<RawLink> {
    let flags = u32_at(payload, 8)?;
    let (up, carrier) = (flags & IFF_UP != 0, flags & IFF_RUNNING != 0);
    let promiscuous = flags & IFF_PROMISC != 0;
    let mut link = RawLink { index: u32_at(payload, 4)?, up, carrier, promiscuous, ..RawLink::default() };
    for (kind, value) in attributes(payload, 16) {
        match kind {
            1 => link.mac = <[u8; 6]>::try_from(value).ok().and_then(|bytes| Mac::new(bytes).ok()),
            3 => link.name = text(value),
            4 => link.mtu = u32_at(value, 0)?,
            5 => link.lower = u32_at(value, 0).filter(|index| *index != 0),
            10 => link.master = u32_at(value, 0).filter(|index| *index != 0),
            18 => read_info(value, &mut link),
            20 => link.alias = Some(text(value)),
            27 => link.group = u32_at(value, 0)?,
            52 => link.altnames = attributes(value, 0).filter(|(kind, _)| *kind == 53).map(|(_, name)| text(name)).collect(),
            37 => link.space = u32_at(value, 0).map(u32::cast_signed),
            _ => {}
        }
    }
    Some(link)
}

/// `IFLA_LINKINFO`: the kind first, then what is particular to it.
fn read_info(info: &[u8], link: &mut RawLink) {
    for (kind, value) in attributes(info, 0) {
        match kind {
            1 => link.kind = text(value),
            2 => link.detail = kind::read(&link.kind, value),
            _ => {}
        }
    }
}

pub(super) fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
        _ => None,
    }
}

fn read_address(payload: &[u8]) -> Option<RawAddress> {
    const PERMANENT: u32 = 0x80;
    const STABLE_PRIVACY: u32 = 0x800;
    const KERNEL_LINK_LOCAL: u8 = 3;
    let (family, prefix, mut flags) = (*payload.first()?, *payload.get(1)?, u32::from(*payload.get(2)?));
    let (mut address, mut local, mut maker) = (None, None, 0);
    for (kind, value) in attributes(payload, 8) {
        match kind {
            1 => address = ip(value),
            2 => local = ip(value),
            8 => flags = u32_at(value, 0)?,
            11 => maker = *value.first()?,
            _ => {}
        }
    }
    let net = IpNet::new(local.or(address)?, prefix).ok()?;
    let kernels = match net {
        IpNet::V6(net) if family == AF_INET6 => {
            let link_local = net.addr().is_unicast_link_local();
            // The kernel says who made an address since 5.18; before that, only the form gives a link-local one away.
            let made = maker == KERNEL_LINK_LOCAL || flags & STABLE_PRIVACY != 0 || is_eui64(net.addr());
            flags & PERMANENT == 0 || link_local && made
        }
        _ => false,
    };
    Some(RawAddress { index: u32_at(payload, 4)?, net, kernels, maker })
}

/// The middle of an address made from a MAC is `ff:fe`.
fn is_eui64(address: Ipv6Addr) -> bool {
    address.octets()[11..13] == [0xff, 0xfe]
}

/// What a route message says of one next hop.
#[derive(Default)]
struct Hop {
    index: Option<u32>,
    via: Option<IpAddr>,
}

impl Hop {
    fn read(&mut self, kind: u16, value: &[u8]) {
        match kind {
            4 => self.index = u32_at(value, 0),
            5 => self.via = ip(value),
            // `RTA_VIA`: a next hop of the other family, behind the family's number.
            18 if u16_at(value, 0).is_some() => self.via = ip(&value[2..]),
            _ => {}
        }
    }
}

/// One route for each way it can take.
fn read_route(payload: &[u8]) -> Option<Vec<RawRoute>> {
    const MAIN: u32 = 254;
    const UNICAST: u8 = 1;
    const BY_KERNEL: u8 = 2;
    const CLONED: u32 = 0x200;
    let (family, prefix) = (*payload.first()?, *payload.get(1)?);
    let (maker, kind) = (*payload.get(5)?, *payload.get(7)?);
    if kind != UNICAST || u32_at(payload, 8)? & CLONED != 0 {
        return None;
    }
    let mut table = u32::from(*payload.get(4)?);
    let (mut to, mut metric, mut hop, mut hops) = (None, None, Hop::default(), Vec::new());
    for (kind, value) in attributes(payload, 12) {
        match kind {
            1 => to = ip(value),
            6 => metric = u32_at(value, 0),
            9 => hops = read_hops(value),
            15 => table = u32_at(value, 0)?,
            _ => hop.read(kind, value),
        }
    }
    let (to, usual) = match family {
        AF_INET => (to.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), 0),
        AF_INET6 => (to.unwrap_or(Ipv6Addr::UNSPECIFIED.into()), 1024),
        _ => return None,
    };
    if table != MAIN {
        return None;
    }
    let to = IpNet::new(to, prefix).ok()?.trunc();
    let metric = metric.filter(|metric| *metric != usual);
    if hops.is_empty() {
        hops.push(hop);
    }
    let kernels = matches!(maker, BY_KERNEL | BY_ROUTER);
    let route = |hop: Hop| Some(RawRoute { index: hop.index?, route: Route { to, via: hop.via, metric }, kernels, maker });
    Some(hops.into_iter().filter_map(route).collect())
}

/// `RTA_MULTIPATH`: records of length, flags, weight and index, each with attributes of its own.
fn read_hops(mut rest: &[u8]) -> Vec<Hop> {
    let mut hops = Vec::new();
    while let Some(length) = u16_at(rest, 0).map(usize::from).filter(|length| *length >= 8) {
        let Some(record) = rest.get(..length) else { break };
        let mut hop = Hop { index: u32_at(record, 4), via: None };
        for (kind, value) in attributes(record, 8).filter(|(kind, _)| *kind != 4) {
            hop.read(kind, value);
        }
        hops.push(hop);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

/// Counters are a third of the answer, and nobody asked.
fn without_counters() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}

pub(super) fn links(client: &Client) -> Result<Dump<RawLink>, Refused> {
    let mut message = LinkMessage::default();
    message.attributes.push(without_counters());
    client.dump(&RouteNetlinkMessage::GetLink(message), read_link)
}

/// `None`: there is no such link.
pub(super) fn link_named(client: &Client, name: &str) -> Result<Option<RawLink>, Refused> {
    let mut message = LinkMessage::default();
    message.attributes.extend([LinkAttribute::IfName(name.to_owned()), without_counters()]);
    one_link(client, message)
}

pub(super) fn link_at(client: &Client, index: u32) -> Result<Option<RawLink>, Refused> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(without_counters());
    one_link(client, message)
}

fn one_link(client: &Client, message: LinkMessage) -> Result<Option<RawLink>, Refused> {
    match client.one(RouteNetlinkMessage::GetLink(message), read_link) {
        Err(refused) if refused.is(&[Errno::NODEV]) => Ok(None),
        other => other,
    }
}

/// To whom a vxlan sends what is for everybody.
pub(super) fn remotes(client: &Client, index: u32) -> Result<Dump<IpAddr>, Refused> {
    const AF_BRIDGE: u8 = 7;
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.attributes.push(NeighbourAttribute::IfIndex(index));
    let read = |payload: &[u8]| {
        if *payload.first()? != AF_BRIDGE || u32_at(payload, 4)? != index {
            return None;
        }
        let find = |wanted: u16| attributes(payload, 12).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
        find(2).filter(|mac| mac.iter().all(|byte| *byte == 0))?;
        find(1).and_then(ip)
    };
    client.dump(&RouteNetlinkMessage::GetNeighbour(message), read)
}

pub(super) fn addresses(client: &Client) -> Result<Dump<RawAddress>, Refused> {
    client.dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()), read_address)
}

/// The routes of the main table.
pub(super) fn routes(client: &Client) -> Result<Dump<RawRoute>, Refused> {
    let mut routes = Dump { items: Vec::new(), whole: true };
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        message.header.table = 254;
        match client.dump(&RouteNetlinkMessage::GetRoute(message), read_route) {
            // A kernel without IPv6 answers with what it has; a namespace without any route has no main table yet.
            Ok(dump) => {
                routes.whole &= dump.whole;
                let of_family = |route: &RawRoute| matches!(route.route.to, IpNet::V4(_)) == (family == AddressFamily::Inet);
                routes.items.extend(dump.items.into_iter().flatten().filter(of_family));
            }
            Err(refused) if refused.is(&[Errno::NOENT, Errno::AFNOSUPPORT, Errno::OPNOTSUPP]) => {}
            Err(refused) => return Err(refused),
        }
    }
    Ok(routes)
}

/// By which number the namespace of `client` knows that of `other`; `None` if by none.
pub(super) fn number_of(client: &Client, other: BorrowedFd<'_>) -> Result<Option<i32>, Refused> {
    let mut message = NsidMessage::default();
    message.attributes.push(NsidAttribute::Fd(other.as_raw_fd().cast_unsigned()));
    let read = |payload: &[u8]| {
        let number = attributes(payload, 4).find(|(kind, _)| *kind == 1).and_then(|(_, value)| u32_at(value, 0))?;
        Some(number.cast_signed()).filter(|number| *number >= 0)
    };
    client.one(RouteNetlinkMessage::GetNsId(message), read)
}

/// Destinations nobody configures: link-local and multicast.
pub(super) fn is_everywhere(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => net.addr().is_multicast(),
        IpNet::V6(net) => net.addr().is_unicast_link_local() || net.addr().is_multicast(),
    }
}

/// The broadcast address that belongs to an IPv4 address, where its network has one.
pub(super) fn broadcast(net: Ipv4Net) -> Option<Ipv4Addr> {
    (net.prefix_len() < 31).then(|| net.broadcast())
}

/// An IPv6 address that is there already, with whatever prefix.
pub(super) fn same_address(one: &IpNet, other: Ipv6Net) -> bool {
    one.addr() == IpAddr::V6(other.addr())
}
