//! `networks`: what a card can be plugged into.

use std::net::IpAddr;

use ipnet::IpNet;

use super::model::{Broken, ModeSpec, Network, NetworkKind};
use super::node::{Node, Part};
use super::reader::{Form, Key, Reader, key};
use super::scalars::{self, ADDRESS, BOOL, MTU, one_or_more_or_none};
use super::schema;
use crate::diag::{At, Diagnostic};
use crate::types::{IpvlanMode, Mac, MacvlanMode};

pub(super) const KEYS: &[Key<Network>] = &[
    key!(kind: KIND, "`nat`: a Docker network with a way out; `bridge`: a Linux bridge; `macvlan` and `ipvlan`: on a NIC of the host; `vxlan`: a bridge that is one with those on other hosts; `physical`: a NIC of the host itself, for one machine. Default: `macvlan` with a `parent`, otherwise `bridge`"),
    key!(parent: INTERFACE, "The host's NIC that a macvlan or ipvlan network is on, that a vxlan goes out by, or that a physical network gives to a machine"),
    key!(bridge: INTERFACE, "A bridge that exists already and is never deleted"),
    key!(mode: MODE, "How cards of one parent see each other: `bridge` (the default), `private`, `vepa`, `passthru`, `source` for macvlan; `l2` (the default), `l3`, `l3s` for ipvlan"),
    key!(vlan: VLAN, "An 802.1q VLAN of the parent or uplink, by its number; fly makes it where it is missing"),
    key!(uplink: INTERFACE, "A NIC of the host that becomes a port of the bridge, and is given back with it"),
    key!(promiscuous: BOOL, "The parent of macvlan cards takes frames for every MAC"),
    key!(sources: SOURCES, "The MACs whose frames macvlan cards take in mode `source`"),
    key!(vni: VNI, "The number of a vxlan, the same on every host"),
    key!(remotes: HOST_IP, "The other hosts of a vxlan, by their addresses"),
    key!(port: PORT, "The UDP port of a vxlan. Default: 4789"),
    key!(local: scalars::IP, "The address of this host that a vxlan speaks with"),
    key!(subnet: SUBNET, "Its subnet, or several; `none` for none at all"),
    key!(gateway: GATEWAY, "The default route of the cards on it; `none` for none"),
    key!(pool: POOL, "Where `ip: auto` takes from, first and last address: `192.168.1.100-192.168.1.199`"),
    key!(host_ip: HOST_IP, "An address of this host on it, so that host and machines reach each other"),
    key!(mtu: MTU, "The MTU of its cards"),
    key!(internal: BOOL, "A nat network without a way out"),
    key!(probe: BOOL, "Whether an address is asked for before it is first used, where others can be on the network. Default: true"),
];

const KINDS: &[(&str, NetworkKind)] = &[
    ("nat", NetworkKind::Nat),
    ("bridge", NetworkKind::Bridge),
    ("macvlan", NetworkKind::Macvlan),
    ("ipvlan", NetworkKind::Ipvlan),
    ("vxlan", NetworkKind::Vxlan),
    ("physical", NetworkKind::Physical),
];

const MODES: &[(&str, ModeSpec)] = &[
    ("bridge", ModeSpec::Macvlan(MacvlanMode::Bridge)),
    ("private", ModeSpec::Macvlan(MacvlanMode::Private)),
    ("vepa", ModeSpec::Macvlan(MacvlanMode::Vepa)),
    ("passthru", ModeSpec::Macvlan(MacvlanMode::Passthru)),
    ("source", ModeSpec::Macvlan(MacvlanMode::Source)),
    ("l2", ModeSpec::Ipvlan(IpvlanMode::L2)),
    ("l3", ModeSpec::Ipvlan(IpvlanMode::L3)),
    ("l3s", ModeSpec::Ipvlan(IpvlanMode::L3s)),
];

const KIND: Form<At<NetworkKind>> = Form {
    schema: || schema::one_of(KINDS.iter().map(|(name, _)| *name)),
    read: |r, node| {
        let part = r.words(node, "a kind of network")?;
        let hint = match part.text {
            "vlan" => Some("`vlan: 42` beside the `parent` of a macvlan or ipvlan, or the `uplink` of a bridge"),
            "host-bridge" => Some("`kind: bridge` with `bridge: NAME`"),
            _ => None,
        };
        if let Some(hint) = hint {
            r.push(Diagnostic::invalid(format!("`{}` is no kind of network", part.text)).at(&part.place()).hint(hint));
            return None;
        }
        r.one_of(&part, KINDS, "a kind of network")
    },
};

const MODE: Form<At<ModeSpec>> = Form {
    schema: || schema::one_of(MODES.iter().map(|(name, _)| *name)),
    read: |r, node| {
        let part = r.words(node, "a mode of macvlan or ipvlan")?;
        r.one_of(&part, MODES, "a mode of macvlan or ipvlan")
    },
};

const VLAN: Form<At<u16>> = Form {
    schema: || schema::integer(1, 4094),
    read: |r, node| {
        let part = r.scalar(node, "the number of a VLAN, as `42`")?;
        r.number(&part, (1, 4094), "the number of a VLAN")
    },
};

const VNI: Form<At<u32>> = Form {
    schema: || schema::integer(1, MAX_VNI),
    read: |r, node| {
        let part = r.scalar(node, "the number of a vxlan, as `42`")?;
        r.number(&part, (1, MAX_VNI), "the number of a vxlan")
    },
};

/// 24 bits.
const MAX_VNI: i64 = 0xff_ffff;

const PORT: Form<At<u16>> = Form {
    schema: || schema::integer(1, 65535),
    read: |r, node| {
        let part = r.scalar(node, "a port, as `4789`")?;
        r.number(&part, (1, 65535), "a port")
    },
};

const SOURCES: Form<Vec<At<Mac>>> = Form {
    schema: || schema::one_or_more(schema::matching("[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}|none")),
    read: |r, node| one_or_more_or_none(r, node, A_MAC, |r, part| r.parse(part, A_MAC, "as in `02:00:5e:10:00:01`")),
};

const A_MAC: &str = "a MAC, as `02:00:5e:10:00:01`";

const INTERFACE: Form<At<String>> = Form {
    schema: || schema::matching(r"[^\s/:%]{1,15}"),
    read: |r, node| {
        let part = r.words(node, "the name of a network interface")?;
        scalars::ifname(r, &part, "the name of a network interface")
    },
};

const SUBNET: Form<Vec<At<IpNet>>> = Form {
    schema: || schema::one_or_more(schema::matching("[0-9a-fA-F.:]+/[0-9]{1,3}|none")),
    read: |r, node| one_or_more_or_none(r, node, "a subnet, as `192.168.1.0/24`", scalars::net),
};

const GATEWAY: Form<Vec<At<IpAddr>>> = Form {
    schema: || schema::one_or_more(schema::matching("[0-9a-fA-F.:]+|none")),
    read: |r, node| one_or_more_or_none(r, node, ADDRESS, scalars::address),
};

const HOST_IP: Form<Vec<At<IpAddr>>> = Form {
    schema: || schema::one_or_more(schema::matching("[0-9a-fA-F.:]+|none")),
    read: |r, node| one_or_more_or_none(r, node, ADDRESS, scalars::address),
};

const POOL: Form<Vec<At<(IpAddr, IpAddr)>>> = Form {
    schema: || schema::one_or_more(schema::matching("[0-9a-fA-F.:]+ *- *[0-9a-fA-F.:]+")),
    read: |r, node| {
        r.one_or_more(node, RANGE, |r, node| {
            let part = r.words(node, RANGE)?;
            range(r, &part)
        })
    },
};

const RANGE: &str = "a range of addresses, as `192.168.1.100-192.168.1.199`";

fn range(r: &mut Reader, part: &Part<'_>) -> Option<At<(IpAddr, IpAddr)>> {
    let Some((first, last)) = part.split_once('-') else { return r.bad(part, RANGE) };
    let (first, last) = (scalars::address(r, &first.trim()), scalars::address(r, &last.trim()));
    let (first, last) = (first?.value, last?.value);
    if first.is_ipv4() != last.is_ipv4() {
        return r.bad_hint(part, RANGE, "both ends must be IPv4, or both IPv6");
    }
    if first > last {
        return r.bad_hint(part, RANGE, "the first address must not be after the last");
    }
    Some(part.at((first, last)))
}

pub(super) fn read(r: &mut Reader, name: &At<String>, node: &Node) -> Network {
    let mut network = Network {
        place: name.place.clone(),
        kind: None,
        parent: None,
        bridge: None,
        mode: None,
        vlan: None,
        uplink: None,
        promiscuous: None,
        sources: None,
        vni: None,
        remotes: None,
        port: None,
        local: None,
        subnet: None,
        gateway: None,
        pool: None,
        host_ip: None,
        mtu: None,
        internal: None,
        probe: None,
        broken: Broken::default(),
    };
    network.broken = r.kept_keys(node, "a network", &[KEYS], &mut network);
    network
}
