//! What is said to the kernel, in the packet crates' types.

use std::net::IpAddr;
use std::os::fd::AsRawFd;

use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo};
use rtnetlink::packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, BridgeStpState, In6AddrGenMode, InetDevConf, InfoBridge, InfoData, InfoKind, InfoVeth,
    LinkAttribute, LinkFlags, LinkInfo, LinkMessage, Prop,
};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType, RouteVia,
};

use super::kind;
use super::read::broadcast;
use super::space::Space;
use crate::types::{LINK_GROUP, Link, LinkKind, Ns, PlacedLink, Route, RouteKind, Scope, Table};

/// Everything that the kernel honours in the message that creates a link: name, MAC, MTU, group, namespace. An alias is not.
/// Without `into` it is born where the socket is.
fn born(link: &PlacedLink, name: &str, into: Option<&Space>) -> LinkMessage {
    let mut message = LinkMessage::default();
    let said = &mut message.attributes;
    said.push(LinkAttribute::IfName(name.to_owned()));
    said.extend(link.link.mac.map(|mac| LinkAttribute::Address(mac.bytes().to_vec())));
    said.extend(link.link.mtu.map(LinkAttribute::Mtu));
    // An ipvlan has no MAC of its own to be known by.
    if link.at.ns == Ns::Host || matches!(link.link.kind, LinkKind::Ipvlan { .. }) {
        said.push(LinkAttribute::Group(LINK_GROUP));
    }
    said.extend(into.map(|space| LinkAttribute::NetNsFd(space.fd().as_raw_fd())));
    message
}

fn of_kind(message: &mut LinkMessage, kind: InfoKind, data: InfoData) {
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)]));
}

pub(super) fn bridge(link: &PlacedLink) -> LinkMessage {
    // A bridge follows its smallest port's MTU until somebody has *changed* its own, and being born with one is no change: so it is
    // born one off, and the wanted one is set afterwards.
    let off = PlacedLink { link: Link { mtu: link.link.mtu.map(one_off), ..link.link.clone() }, ..link.clone() };
    let mut message = born(&off, &link.at.name, None);
    // Ports forward at once: there is no loop that anybody else could close.
    let data = vec![InfoBridge::ForwardDelay(0), InfoBridge::StpState(BridgeStpState::Disabled)];
    of_kind(&mut message, InfoKind::Bridge, InfoData::Bridge(data));
    message
}

/// The smallest that the kernel gives a bridge.
const SMALLEST_MTU: u32 = 68;

fn one_off(mtu: u32) -> u32 {
    if mtu > SMALLEST_MTU { mtu - 1 } else { mtu + 1 }
}

/// A link that hangs on `parent`, or on nothing in particular.
pub(super) fn child(link: &PlacedLink, name: &str, parent: Option<u32>, into: Option<&Space>) -> LinkMessage {
    let mut message = born(link, name, into);
    // A vxlan says it among what is particular to it.
    if !matches!(link.link.kind, LinkKind::Vxlan { .. }) {
        message.attributes.extend(parent.map(LinkAttribute::Link));
    }
    message.attributes.extend(kind::info(&link.link.kind, parent));
    message
}

pub(super) fn promiscuous(index: u32, on: bool) -> LinkMessage {
    let mut message = at(index, Vec::new());
    message.header.change_mask = LinkFlags::Promisc;
    if on {
        message.header.flags = LinkFlags::Promisc;
    }
    message
}

/// That project uses a link which is not its own alone.
pub(super) fn altname(index: u32, name: &str) -> LinkMessage {
    at(index, vec![LinkAttribute::PropList(vec![Prop::AltIfName(name.to_owned())])])
}

/// Frames for everybody go to this one as well.
pub(super) fn remote(index: u32, remote: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.header.flags = NeighbourFlags::Own;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(vec![0; 6]));
    message.attributes.push(NeighbourAttribute::Destination(match remote {
        IpAddr::V4(remote) => NeighbourAddress::Inet(remote),
        IpAddr::V6(remote) => NeighbourAddress::Inet6(remote),
    }));
    message
}

/// `a` is born where the socket is, `b` in `into`.
pub(super) fn veth(a: &PlacedLink, b: &PlacedLink, into: Option<&Space>) -> LinkMessage {
    let mut message = born(a, &a.at.name, None);
    let peer = born(b, &b.at.name, into);
    of_kind(&mut message, InfoKind::Veth, InfoData::Veth(InfoVeth::Peer(peer)));
    message
}

pub(super) fn at(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

pub(super) fn switched(index: u32, up: bool) -> LinkMessage {
    let mut message = at(index, Vec::new());
    message.header.change_mask = LinkFlags::Up;
    if up {
        message.header.flags = LinkFlags::Up;
    }
    message
}

/// `arp_notify`: the neighbours learn of a new address or MAC as soon as the link is up. `promote_secondaries`: without it, the
/// removal of one address takes all others of its subnet along.
pub(super) fn ipv4_settings() -> LinkAttribute {
    let mut settings = InetDevConf::default();
    settings.arp_notify = 1;
    settings.promote_secondaries = 1;
    LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(settings)])])
}

/// No link-local address on links that only carry others' frames.
pub(super) fn no_link_local() -> LinkAttribute {
    LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)])])
}

pub(super) fn family(net: &IpNet) -> AddressFamily {
    match net {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    }
}

/// The protocol (`ip -d address`, `ip route`) of the addresses and routes that fly makes, by which they are told from other
/// people's. Kernels before 5.18 keep no such mark of addresses.
pub(super) const PROTOCOL: u8 = 0xf1;

/// The same of addresses that come with a lease; and the one of the routes that come with it (`proto dhcp`).
pub(super) const LEASED: u8 = 0xf2;
pub(super) const BY_DHCP: u8 = 16;

/// With an end, at which the kernel takes it away.
pub(super) fn leased(index: u32, net: &IpNet, seconds: u32) -> AddressMessage {
    let mut message = address(index, net);
    message.attributes.retain(|it| !matches!(it, AddressAttribute::Protocol(_)));
    message.attributes.push(AddressAttribute::Protocol(LEASED.into()));
    let mut times = CacheInfo::default();
    (times.ifa_preferred, times.ifa_valid) = (seconds, seconds);
    message.attributes.push(AddressAttribute::CacheInfo(times));
    message
}

pub(super) fn leased_route(index: u32, route: &Route) -> RouteMessage {
    let mut message = self::route(index, route);
    message.header.protocol = BY_DHCP.into();
    message
}

pub(super) fn address(index: u32, net: &IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(net);
    message.header.prefix_len = net.prefix_len();
    message.header.index = index;
    message.header.scope = AddressScope::Universe;
    message.attributes.extend([AddressAttribute::Local(net.addr()), AddressAttribute::Address(net.addr())]);
    message.attributes.push(AddressAttribute::Protocol(PROTOCOL.into()));
    match net {
        IpNet::V4(net) => message.attributes.extend(broadcast(*net).map(AddressAttribute::Broadcast)),
        // Addresses are handed out by fly: a second of waiting for an objection would only keep the machine from its network.
        IpNet::V6(_) => message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad)),
    }
    message
}

/// A route by the link of this number; a dead end is by none.
pub(super) fn route(index: u32, route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(&route.to);
    message.header.destination_prefix_length = route.to.prefix_len();
    let table = route.table.unwrap_or(Table::MAIN).0;
    message.header.table = u8::try_from(table).unwrap_or(0);
    message.header.protocol = PROTOCOL.into();
    message.header.kind = match route.kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Blackhole => RouteType::BlackHole,
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Prohibit => RouteType::Prohibit,
    };
    message.header.scope = match route.scope.unwrap_or(route.usual_scope()) {
        Scope::Global => RouteScope::Universe,
        Scope::Link => RouteScope::Link,
        Scope::Host => RouteScope::Host,
    };
    if route.onlink {
        message.header.flags = RouteFlags::Onlink;
    }
    let said = &mut message.attributes;
    let ip = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => RouteAddress::Inet(ip),
        IpAddr::V6(ip) => RouteAddress::Inet6(ip),
    };
    if !route.is_default() {
        said.push(RouteAttribute::Destination(ip(route.to.network())));
    }
    said.extend(route.via.map(|via| match (&route.to, via) {
        (IpNet::V4(_), IpAddr::V6(via)) => RouteAttribute::Via(RouteVia::Inet6(via)),
        (_, via) => RouteAttribute::Gateway(ip(via)),
    }));
    said.extend(route.src.map(|src| RouteAttribute::PrefSource(ip(src))));
    if table > 255 {
        said.push(RouteAttribute::Table(table));
    }
    if route.kind == RouteKind::Unicast {
        said.push(RouteAttribute::Oif(index));
    }
    said.extend(route.metric.map(RouteAttribute::Priority));
    message
}

/// The route to an address's own subnet, as the kernel makes it together with the address.
pub(super) fn connected_route(index: u32, address: &IpNet) -> RouteMessage {
    let mut message = route(index, &Route::new(address.trunc(), None));
    message.header.protocol = RouteProtocol::Kernel;
    message.attributes.push(RouteAttribute::PrefSource(match address {
        IpNet::V4(net) => RouteAddress::Inet(net.addr()),
        IpNet::V6(net) => RouteAddress::Inet6(net.addr()),
    }));
    message
}

/// A route to be taken away, whoever made it: a protocol or scope that is said has to be the route's own.
pub(super) fn unwanted_route(index: u32, route: &Route) -> RouteMessage {
    let mut message = self::route(index, route);
    message.header.protocol = RouteProtocol::Unspec;
    message.header.scope = RouteScope::NoWhere;
    message
}
