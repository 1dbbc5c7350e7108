//! Network cards: what they are plugged into, and their addresses.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;

use super::model::{Broken, Entries, Ip, Nic, Tuning};
use super::node::{Body, Node, Part};
use super::reader::{Form, Key, Reader, key};
use super::route::{GATEWAYS, ROUTES};
use super::scalars::{self, BOOL, MAC, MTU};
use super::schema;
use super::tuning::{traffic_keys, tuning_keys};
use crate::diag::{At, Diagnostic, Place};
use crate::types::Dynamic;

const KEYS: &[Key<Nic>] = &[
    key!(network: NETWORK, "The network that it is plugged into"),
    key!(ip: IPS, "Its address, or several, with or without prefix length; `auto` takes from the network's pool, `dhcp`, `dhcp6` and `slaac` what the network gives, `none` leaves it without"),
    key!(mac: MAC, "Its MAC, or `U:` and a text that it is made of, as in pipework. Default: an automatic one that never changes"),
    key!(mtu: MTU, "Its MTU. Default: the network's"),
    key!(gateway: GATEWAYS, "The default route by this card; `none` for none. Default: the network's"),
    key!(routes: ROUTES, "Further routes by this card"),
    key!(up: BOOL, "Whether it is switched on. Default: true"),
    key!(probe: BOOL, "Whether somebody else is asked for its addresses before they are used. Default: the network's"),
];

/// All of them.
pub(super) const TABLES: &[&[Key<Nic>]] =
    &[KEYS, tuning_keys!(Nic), traffic_keys!(Nic, "leaves by it, and, on a network of kind bridge or nat, comes in")];

pub(super) const IFNAME_PATTERN: &str = r"[^\s/:%]{1,15}";

pub(super) const NICS: Form<Entries<Nic>> = Form {
    schema: || {
        schema::any(vec![
            json!({"type": "object", "additionalProperties": schema::reference("nic"), "propertyNames": {"pattern": format!("^{IFNAME_PATTERN}$")}}),
            schema::described(schema::list_of(schema::reference("nic"), None), "`eth0`, `eth1` and so on"),
        ])
    },
    read: |r, node| match &node.body {
        Body::Map(entries) => Some(Entries(entries.iter().filter_map(|(key, node)| named(r, key, node)).collect())),
        Body::Seq(items) => Some(Entries(items.iter().enumerate().filter_map(|(i, node)| numbered(r, i, node)).collect())),
        Body::Scalar(_) => r.wrong(node, "network cards by name, as `{eth0: lan}`, or a list of networks"),
    },
};

const NETWORK: Form<At<String>> = Form {
    schema: || schema::matching(scalars::NAME_PATTERN),
    read: |r, node| {
        let part = r.words(node, "the name of a network")?;
        scalars::name(r, &part, "the name of a network")
    },
};

pub(super) const IPS: Form<Vec<At<Ip>>> = Form {
    schema: || schema::one_or_more(schema::matching("auto|none|dhcp|dhcp6|slaac|[0-9a-fA-F.:]+(/[0-9]{1,3})?")),
    read: |r, node| {
        let what = "an address, `auto`, `dhcp`, `dhcp6`, `slaac` or `none`";
        let ips = r.one_or_more(node, what, |r, node| {
            let part = r.words(node, what)?;
            ip(r, &part)
        })?;
        if ips.len() > 1
            && let Some(none) = ips.iter().find(|ip| ip.value == Ip::None)
        {
            r.push(Diagnostic::invalid("`none` cannot stand beside an address").at(&none.place).hint("`ip: none`, or addresses alone"));
            return None;
        }
        Some(ips)
    },
};

fn named(r: &mut Reader, key: &At<String>, node: &Node) -> Option<(At<String>, Nic)> {
    let name = scalars::ifname(r, &Part::key(key), "the name of a network card");
    let nic = read(r, key.place.clone(), node)?;
    name.map(|name| (name, nic))
}

fn numbered(r: &mut Reader, index: usize, node: &Node) -> Option<(At<String>, Nic)> {
    let nic = read(r, node.place.clone(), node)?;
    Some((At::new(format!("eth{index}"), node.place.clone()), nic))
}

fn read(r: &mut Reader, place: Place, node: &Node) -> Option<Nic> {
    let mut nic = Nic {
        place,
        network: None,
        ip: None,
        mac: None,
        mtu: None,
        gateway: None,
        routes: None,
        up: None,
        probe: None,
        tuning: Tuning::default(),
        broken: Broken::default(),
    };
    match &node.body {
        Body::Map(_) => nic.broken = r.kept_keys(node, "a network card", TABLES, &mut nic),
        Body::Scalar(_) => nic.network = Some((NETWORK.read)(r, node)?),
        Body::Seq(_) => return r.wrong(node, "the name of a network, or the keys of a network card"),
    }
    Some(nic)
}

fn ip(r: &mut Reader, part: &Part<'_>) -> Option<At<Ip>> {
    const WHAT: &str = "an address, as `192.168.1.10`, `192.168.1.10/24`, `auto`, `dhcp`, `dhcp6`, `slaac` or `none`";
    match part.text {
        "auto" => return Some(part.at(Ip::Auto)),
        "none" => return Some(part.at(Ip::None)),
        "dhcp" => return Some(part.at(Ip::Dynamic(Dynamic::Dhcp))),
        "dhcp6" => return Some(part.at(Ip::Dynamic(Dynamic::Dhcp6))),
        "slaac" => return Some(part.at(Ip::Dynamic(Dynamic::Slaac))),
        _ => {}
    }
    let (host, prefix) = match part.split_once('/') {
        Some((host, prefix)) => (host, Some(prefix)),
        None => (*part, None),
    };
    let Ok(address) = host.text.parse::<IpAddr>() else {
        let (what, example) = WHAT.split_once(", ").unwrap_or((WHAT, ""));
        return r.bad_near(&host, what, &["auto", "dhcp", "dhcp6", "slaac", "none"], example.replacen("as ", "as in ", 1));
    };
    if address.is_unspecified() {
        return r.bad_hint(&host, "an address that a card can have", "`ip: none` for a card without an address");
    }
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    if address.is_multicast() || broadcast || address.is_loopback() {
        return r.bad_hint(
            &host,
            "an address that a card can have",
            "an address of its own, neither multicast nor broadcast nor the loopback's",
        );
    }
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => Some(r.number::<u8>(&prefix, (0, longest), "a prefix length")?.value),
        None => None,
    };
    Some(part.at(Ip::Address { address, prefix }))
}
