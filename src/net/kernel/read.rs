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
use super::message::{BY_DHCP, LEASED};
use super::socket::{Client, Dump};
use super::wire::{attributes, text, u16_at, u32_at};
use crate::net::Counters;
use crate::types::{Dynamic, Mac, Route, RouteKind, Scope, Table};

pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;
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
    pub(super) counters: Option<Counters>,
    /// The kernel's number for the form of its frames, `ARPHRD_…`.
    pub(super) hardware: u16,
    /// The kind of the queueing discipline that it sends by.
    pub(super) qdisc: String,
    /// `/proc/sys/net/ipv4/conf` and its like for IPv6, from number 1 and 0 on.
    pub(super) conf: [Vec<i32>; 2],
}

#[derive(Clone, Debug)]
pub(super) struct RawAddress {
    /// It has come from the network.
    pub(super) lease: Option<Dynamic>,
    /// Seconds until the kernel takes it away.
    pub(super) valid: Option<u32>,
    /// Not to be used yet.
    pub(super) tentative: bool,
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
    let (index, hardware) = (u32_at(payload, 4)?, u16_at(payload, 2)?);
    let mut link = RawLink { index, up, carrier, promiscuous, hardware, ..RawLink::default() };
    for (kind, value) in attributes(payload, 16) {
        match kind {
            1 => link.mac = <[u8; 6]>::try_from(value).ok().and_then(|bytes| Mac::new(bytes).ok()),
            3 => link.name = text(value),
            4 => link.mtu = u32_at(value, 0)?,
            6 => link.qdisc = text(value),
            5 => link.lower = u32_at(value, 0).filter(|index| *index != 0),
            10 => link.master = u32_at(value, 0).filter(|index| *index != 0),
            18 => read_info(value, &mut link),
            26 => read_conf(value, &mut link.conf),
            20 => link.alias = Some(text(value)),
            23 => link.counters = read_counters(value),
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

/// The first eight numbers of `IFLA_STATS64`, in the kernel's order.
fn read_counters(value: &[u8]) -> Option<Counters> {
    let number = |at: usize| Some(u64::from_ne_bytes(value.get(at * 8..at * 8 + 8)?.try_into().ok()?));
    Some(Counters {
        rx_packets: number(0)?,
        tx_packets: number(1)?,
        rx_bytes: number(2)?,
        tx_bytes: number(3)?,
        rx_errors: number(4)?,
        tx_errors: number(5)?,
        rx_dropped: number(6)?,
        tx_dropped: number(7)?,
    })
}

/// `IFLA_AF_SPEC`: by family, and in it an array of all parameters of the link.
fn read_conf(families: &[u8], conf: &mut [Vec<i32>; 2]) {
    let numbers = |value: &[u8]| value.chunks_exact(4).filter_map(|four| u32_at(four, 0)).map(u32::cast_signed).collect();
    for (family, value) in attributes(families, 0) {
        match u8::try_from(family) {
            Ok(AF_INET) => conf[0] = attributes(value, 0).find(|(kind, _)| *kind == 1).map(|(_, all)| numbers(all)).unwrap_or_default(),
            Ok(AF_INET6) => conf[1] = attributes(value, 0).find(|(kind, _)| *kind == 2).map(|(_, all)| numbers(all)).unwrap_or_default(),
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
    const TENTATIVE: u32 = 0x40;
    const PERMANENT: u32 = 0x80;
    const STABLE_PRIVACY: u32 = 0x800;
    const KERNEL_LINK_LOCAL: u8 = 3;
    let (family, prefix, mut flags) = (*payload.first()?, *payload.get(1)?, u32::from(*payload.get(2)?));
    let (mut address, mut local, mut maker, mut valid) = (None, None, 0, None);
    for (kind, value) in attributes(payload, 8) {
        match kind {
            1 => address = ip(value),
            2 => local = ip(value),
            6 => valid = u32_at(value, 4).filter(|seconds| *seconds != u32::MAX),
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
        // One with an end is somebody's who counts its time.
        _ => maker == LEASED || flags & PERMANENT == 0,
    };
    let (lease, tentative) = (lease(net, maker, flags & PERMANENT == 0), flags & TENTATIVE != 0);
    Some(RawAddress { index: u32_at(payload, 4)?, net, kernels, maker, lease, valid, tentative })
}

/// Kernels before 5.18 do not say whose an address is: then the family and the length of its prefix do.
fn lease(net: IpNet, maker: u8, has_end: bool) -> Option<Dynamic> {
    const BY_ROUTER: u8 = 2;
    match net {
        IpNet::V4(_) if has_end || maker == LEASED => Some(Dynamic::Dhcp),
        IpNet::V6(net) if maker == LEASED || has_end && maker == 0 && net.prefix_len() == 128 => Some(Dynamic::Dhcp6),
        IpNet::V6(net) if has_end && matches!(maker, 0 | BY_ROUTER) && !net.addr().is_unicast_link_local() => Some(Dynamic::Slaac),
        _ => None,
    }
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
    onlink: bool,
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

/// One route for each way it can take; none for a dead end, whose index is 0.
fn read_route(payload: &[u8]) -> Option<Vec<RawRoute>> {
    const BY_KERNEL: u8 = 2;
    const CLONED: u32 = 0x200;
    const ONLINK: u32 = 4;
    let (family, prefix, scope) = (*payload.first()?, *payload.get(1)?, *payload.get(6)?);
    let (maker, kind, flags) = (*payload.get(5)?, *payload.get(7)?, u32_at(payload, 8)?);
    let kind = match kind {
        1 => RouteKind::Unicast,
        6 => RouteKind::Blackhole,
        7 => RouteKind::Unreachable,
        8 => RouteKind::Prohibit,
        _ => return None,
    };
    if flags & CLONED != 0 {
        return None;
    }
    let mut table = u32::from(*payload.get(4)?);
    let (mut to, mut metric, mut src, mut hop, mut hops) = (None, None, None, Hop::default(), Vec::new());
    hop.onlink = flags & ONLINK != 0;
    for (kind, value) in attributes(payload, 12) {
        match kind {
            1 => to = ip(value),
            6 => metric = u32_at(value, 0),
            7 => src = ip(value),
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
    let table = Table(table);
    if table == Table::LOCAL {
        return None;
    }
    let to = IpNet::new(to, prefix).ok()?.trunc();
    let whole = |hop: &Hop| {
        let metric = metric.filter(|metric| *metric != usual);
        let mut route = Route { metric, src, kind, onlink: hop.onlink, ..Route::new(to, hop.via) };
        route.table = Some(table).filter(|table| *table != Table::MAIN);
        route.scope = match (family, scope) {
            (AF_INET, 0) => Some(Scope::Global),
            (AF_INET, 253) => Some(Scope::Link),
            (AF_INET, 254) => Some(Scope::Host),
            _ => None,
        };
        route.scope = route.scope.filter(|scope| *scope != route.usual_scope());
        route
    };
    if kind != RouteKind::Unicast || hops.is_empty() {
        hops = vec![hop];
    }
    // What came with a lease goes with it.
    let kernels = matches!(maker, BY_KERNEL | BY_ROUTER | BY_DHCP);
    let index = |hop: &Hop| if kind == RouteKind::Unicast { hop.index } else { Some(0) };
    Some(hops.iter().filter_map(|hop| Some(RawRoute { index: index(hop)?, route: whole(hop), kernels, maker })).collect())
}

/// `RTA_MULTIPATH`: records of length, flags, weight and index, each with attributes of its own.
fn read_hops(mut rest: &[u8]) -> Vec<Hop> {
    let mut hops = Vec::new();
    while let Some(length) = u16_at(rest, 0).map(usize::from).filter(|length| *length >= 8) {
        let Some(record) = rest.get(..length) else { break };
        let mut hop = Hop { index: u32_at(record, 4), via: None, onlink: record[2] & 4 != 0 };
        for (kind, value) in attributes(record, 8).filter(|(kind, _)| *kind != 4) {
            hop.read(kind, value);
        }
        hops.push(hop);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

/// Counters are a third of the answer: whoever looks for one link does not ask for them.
fn without_counters() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}

/// With their counters: at 500 links, whether they are asked for cannot be measured.
pub(super) fn links(client: &Client) -> Result<Dump<RawLink>, Refused> {
    client.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()), read_link)
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

/// The routes of all tables but the kernel's own.
pub(super) fn routes(client: &Client) -> Result<Dump<RawRoute>, Refused> {
    let mut routes = Dump { items: Vec::new(), whole: true };
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        match client.dump(&RouteNetlinkMessage::GetRoute(message), read_route) {
            // A kernel without IPv6 answers with what it has; a namespace without any route has no table yet.
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
