//! Network cards: what they are plugged into, their addresses and routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::json;

use super::model::{Broken, Entries, Ip, Nic, RouteSpec};
use super::node::{Body, Node, Part};
use super::reader::{Form, Key, Reader, key};
use super::scalars::{self, ADDRESS, BOOL, MAC, MTU};
use super::schema;
use crate::diag::{At, Diagnostic, Place};

pub(super) const KEYS: &[Key<Nic>] = &[
    key!(network: NETWORK, "The network that it is plugged into"),
    key!(ip: IPS, "Its address, or several, with or without prefix length; `auto` takes from the network's pool, `none` leaves it without"),
    key!(mac: MAC, "Its MAC, or `U:` and a text that it is made of, as in pipework. Default: an automatic one that never changes"),
    key!(mtu: MTU, "Its MTU. Default: the network's"),
    key!(gateway: GATEWAYS, "The default route by this card; `none` for none. Default: the network's"),
    key!(routes: ROUTES, "Further routes by this card"),
    key!(up: BOOL, "Whether it is switched on. Default: true"),
    key!(probe: BOOL, "Whether somebody else is asked for its addresses before they are used. Default: the network's"),
];

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
    schema: || schema::one_or_more(schema::matching("auto|none|[0-9a-fA-F.:]+(/[0-9]{1,3})?")),
    read: |r, node| {
        let what = "an address, `auto` or `none`";
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

pub(super) const GATEWAYS: Form<Vec<At<Option<IpAddr>>>> = Form {
    schema: || schema::one_or_more(schema::matching("none|[0-9a-fA-F.:]+")),
    read: |r, node| {
        let gateways = r.one_or_more(node, ADDRESS, |r, node| {
            let part = r.words(node, ADDRESS)?;
            if part.text == "none" { Some(part.at(None)) } else { scalars::address(r, &part).map(|ip| ip.map(Some)) }
        })?;
        if gateways.len() > 1
            && let Some(none) = gateways.iter().find(|gateway| gateway.value.is_none())
        {
            let error = Diagnostic::invalid("`none` cannot stand beside an address").at(&none.place);
            r.push(error.hint("`gateway: none`, or addresses alone"));
            return None;
        }
        Some(gateways)
    },
};

const ROUTE_KEYS: &[Key<Draft>] = &[
    key!(to: DESTINATION, "Where to: a subnet, an address, or `default`"),
    key!(via: scalars::IP, "The next hop. Without one, the destination is on the link itself"),
    key!(metric: METRIC, "Of two routes to one destination the one with the lower metric is taken"),
];

/// A route before it is known whether its parts fit together.
#[derive(Default)]
struct Draft {
    to: Option<At<Option<IpNet>>>,
    via: Option<At<IpAddr>>,
    metric: Option<At<u32>>,
}

pub(super) const ROUTES: Form<Vec<At<RouteSpec>>> = Form {
    schema: || {
        let short = schema::matching(r"\S+( +(via|metric) +\S+)*");
        schema::list(schema::any(vec![
            schema::described(short, "As in `10.30.0.0/16 via 10.10.0.1`"),
            schema::object(&[ROUTE_KEYS], &["to"]),
        ]))
    },
    read: |r, node| r.list(node, "a list of routes, as `[10.30.0.0/16 via 10.10.0.1]`", route),
};

const DESTINATION: Form<At<Option<IpNet>>> = Form {
    schema: || schema::matching("default|[0-9a-fA-F.:]+(/[0-9]{1,3})?"),
    read: |r, node| {
        let part = r.words(node, "a destination, as `10.30.0.0/16` or `default`")?;
        destination(r, &part)
    },
};

const METRIC: Form<At<u32>> = Form {
    schema: || schema::integer(0, u32::MAX.into()),
    read: |r, node| {
        let part = r.scalar(node, "a metric")?;
        r.number(&part, (0, u32::MAX.into()), "a metric")
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
        broken: Broken::default(),
    };
    match &node.body {
        Body::Map(_) => nic.broken = r.kept_keys(node, "a network card", &[KEYS], &mut nic),
        Body::Scalar(_) => nic.network = Some((NETWORK.read)(r, node)?),
        Body::Seq(_) => return r.wrong(node, "the name of a network, or the keys of a network card"),
    }
    Some(nic)
}

fn ip(r: &mut Reader, part: &Part<'_>) -> Option<At<Ip>> {
    const WHAT: &str = "an address, as `192.168.1.10`, `192.168.1.10/24`, `auto` or `none`";
    match part.text {
        "auto" => return Some(part.at(Ip::Auto)),
        "none" => return Some(part.at(Ip::None)),
        "dhcp" => {
            r.push(Diagnostic::invalid("`ip: dhcp` is not in this release").at(&part.place()).hint("`ip: auto`"));
            return None;
        }
        _ => {}
    }
    let (host, prefix) = match part.split_once('/') {
        Some((host, prefix)) => (host, Some(prefix)),
        None => (*part, None),
    };
    let Ok(address) = host.text.parse::<IpAddr>() else { return r.bad(&host, WHAT) };
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

fn destination(r: &mut Reader, part: &Part<'_>) -> Option<At<Option<IpNet>>> {
    if part.text == "default" {
        return Some(part.at(None));
    }
    if let Ok(ip) = part.text.parse::<IpAddr>() {
        return Some(part.at(Some(IpNet::from(ip))));
    }
    scalars::net(r, part).map(|net| net.map(Some))
}

fn route(r: &mut Reader, node: &Node) -> Option<At<RouteSpec>> {
    let mut draft = Draft::default();
    if let Body::Map(entries) = &node.body {
        r.keys(node, "a route", &[ROUTE_KEYS], &mut draft);
        if !entries.iter().any(|(key, _)| key.value == "to") {
            r.missing(&node.place, "a route", "to");
        }
    } else {
        let part = r.words(node, "a route, as `10.30.0.0/16 via 10.10.0.1`")?;
        short_route(r, &part, &mut draft)?;
    }
    whole_route(r, node, draft)
}

fn short_route(r: &mut Reader, part: &Part<'_>, draft: &mut Draft) -> Option<()> {
    const WHAT: &str = "a route, as `10.30.0.0/16 via 10.10.0.1`";
    let words = part.words();
    let mut words = words.iter();
    let Some(to) = words.next() else { return r.bad(part, WHAT) };
    draft.to = destination(r, to);
    while let Some(word) = words.next() {
        let Some(value) = words.next() else { return r.bad(part, WHAT) };
        match word.text {
            "via" => draft.via = Some(scalars::address(r, value)?),
            "metric" => draft.metric = Some(r.number(value, (0, u32::MAX.into()), "a metric")?),
            _ => return r.bad_hint(word, "part of a route", "`via ADDRESS` and `metric NUMBER` are"),
        }
    }
    Some(())
}

fn whole_route(r: &mut Reader, node: &Node, draft: Draft) -> Option<At<RouteSpec>> {
    let (to, via) = (draft.to?, draft.via);
    if let (Some(net), Some(via)) = (to.value, &via)
        && net.addr().is_ipv4() != via.value.is_ipv4()
    {
        let error = Diagnostic::invalid("a route and its next hop must be of one family").at(&via.place);
        r.push(error.label("the next hop").also(&to.place, "the destination").hint("`to` and `via` both IPv4, or both IPv6"));
        return None;
    }
    let via = via.map(|via| via.value);
    // A default route without a next hop stays without a family.
    let default =
        via.map(|via| IpNet::new_assert(if via.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }, 0));
    Some(At::new(RouteSpec { to: to.value.or(default), via, metric: draft.metric.map(|m| m.value) }, node.place.clone()))
}
