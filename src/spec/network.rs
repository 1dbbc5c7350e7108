//! `networks`: what a card can be plugged into.

use std::net::IpAddr;

use ipnet::IpNet;

use super::model::{Broken, Network, NetworkKind};
use super::node::{Node, Part};
use super::reader::{Form, Key, Reader, key};
use super::scalars::{self, ADDRESS, BOOL, MTU, one_or_more_or_none};
use super::schema;
use crate::diag::{At, Diagnostic};
use crate::types::MacvlanMode;

pub(super) const KEYS: &[Key<Network>] = &[
    key!(kind: KIND, "`nat`: a Docker network with a way out; `bridge`: a Linux bridge; `macvlan`: on a NIC of the host. Default: `macvlan` with a `parent`, otherwise `bridge`"),
    key!(parent: INTERFACE, "The host's NIC that a macvlan network is on"),
    key!(bridge: INTERFACE, "A bridge that exists already and is never deleted"),
    key!(mode: MODE, "How macvlan cards of one parent see each other. Default: `bridge`"),
    key!(subnet: SUBNET, "Its subnet, or several; `none` for none at all"),
    key!(gateway: GATEWAY, "The default route of the cards on it; `none` for none"),
    key!(pool: POOL, "Where `ip: auto` takes from, first and last address: `192.168.1.100-192.168.1.199`"),
    key!(host_ip: HOST_IP, "An address of this host on it, so that host and machines reach each other"),
    key!(mtu: MTU, "The MTU of its cards"),
    key!(internal: BOOL, "A nat network without a way out"),
    key!(probe: BOOL, "Whether an address is asked for before it is first used, where others can be on the network. Default: true"),
];

const KINDS: &[(&str, NetworkKind)] = &[("nat", NetworkKind::Nat), ("bridge", NetworkKind::Bridge), ("macvlan", NetworkKind::Macvlan)];

const MODES: &[(&str, MacvlanMode)] = &[
    ("bridge", MacvlanMode::Bridge),
    ("private", MacvlanMode::Private),
    ("vepa", MacvlanMode::Vepa),
    ("passthru", MacvlanMode::Passthru),
    ("source", MacvlanMode::Source),
];

const KIND: Form<At<NetworkKind>> = Form {
    schema: || schema::one_of(KINDS.iter().map(|(name, _)| *name)),
    read: |r, node| {
        let part = r.words(node, "a kind of network")?;
        if matches!(part.text, "ipvlan" | "vlan" | "vxlan" | "physical" | "host-bridge") {
            let error = Diagnostic::invalid(format!("networks of kind `{}` are not in this release", part.text)).at(&part.place());
            r.push(error.hint("one of `nat`, `bridge`, `macvlan`"));
            return None;
        }
        r.one_of(&part, KINDS, "a kind of network")
    },
};

const MODE: Form<At<MacvlanMode>> = Form {
    schema: || schema::one_of(MODES.iter().map(|(name, _)| *name)),
    read: |r, node| {
        let part = r.words(node, "a mode of macvlan")?;
        r.one_of(&part, MODES, "a mode of macvlan")
    },
};

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
