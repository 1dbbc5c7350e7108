//! `ports`: `8080:80`, ranges, and the long form.

use std::net::IpAddr;

use super::model::PortRange;
use super::node::{Body, Node, Part};
use super::reader::{Form, Key, Reader, key};
use super::scalars::IP;
use super::schema;
use crate::diag::{At, Diagnostic};
use crate::types::Protocol;

const WHAT: &str = "a published port, as `8080:80`";

const PROTOCOLS: &[(&str, Protocol)] = &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("sctp", Protocol::Sctp)];

pub(super) const PORTS: Form<Vec<At<PortRange>>> = Form {
    schema: || {
        let range = "[0-9]{1,5}(-[0-9]{1,5})?";
        let short = format!(r"((\[?[0-9a-fA-F.:]+\]?):)?(({range})?:)?{range}(/[a-z]+)?");
        schema::list(schema::any(vec![schema::integer(1, 65535), schema::matching(&short), schema::object(&[KEYS], &["target"])]))
    },
    read: |r, node| r.list(node, "a list of published ports, as `[\"8080:80\"]`", port),
};

#[derive(Default)]
struct Draft {
    host_ip: Option<At<IpAddr>>,
    published: Option<At<(u16, u16)>>,
    target: Option<At<(u16, u16)>>,
    protocol: Option<At<Protocol>>,
}

const KEYS: &[Key<Draft>] = &[
    key!(target: RANGE, "The port inside the machine, or a range"),
    key!(published: PUBLISHED, "The port of this host, or a range, out of which the engine picks one for one port of the machine. Default, or 0: the engine picks one"),
    key!(host_ip: IP, "The address of this host. Default: all of them"),
    key!(protocol: PROTOCOL, "Default: `tcp`"),
];

const RANGE: Form<At<(u16, u16)>> = Form {
    schema: || schema::any(vec![schema::integer(1, 65535), schema::matching("[0-9]+-[0-9]+")]),
    read: |r, node| {
        let part = r.scalar(node, "a port")?;
        range(r, &part)
    },
};

const PUBLISHED: Form<At<(u16, u16)>> = Form {
    schema: || schema::any(vec![schema::integer(0, 65535), schema::matching("[0-9]+-[0-9]+")]),
    read: |r, node| {
        let part = r.scalar(node, "a port")?;
        published(r, &part)
    },
};

const PROTOCOL: Form<At<Protocol>> = Form {
    schema: || schema::one_of(PROTOCOLS.iter().map(|(name, _)| *name)),
    read: |r, node| {
        let part = r.words(node, "a protocol")?;
        r.one_of(&part, PROTOCOLS, "a protocol")
    },
};

fn port(r: &mut Reader, node: &Node) -> Option<At<PortRange>> {
    let mut draft = Draft::default();
    if let Body::Map(entries) = &node.body {
        r.keys(node, "a published port", &[KEYS], &mut draft);
        if !entries.iter().any(|(key, _)| key.value == "target") {
            r.missing(&node.place, "a published port", "target");
        }
    } else {
        let part = r.scalar(node, WHAT)?;
        short(r, &part, &mut draft)?;
    }
    let target = draft.target?;
    let count = |(first, last): (u16, u16)| u32::from(last) - u32::from(first) + 1;
    // Several for one: a scaled machine's instances take one each, otherwise the engine picks one.
    if let Some(published) = &draft.published
        && count(published.value) != count(target.value)
        && count(target.value) != 1
    {
        let (outside, inside) = (count(published.value), count(target.value));
        let error = Diagnostic::invalid(format!("{outside} ports of the host cannot lead to {inside} of the machine"));
        let error = error.at(&published.place).also(&target.place, "the machine's");
        r.push(error.hint("as many on both sides, as in `8000-8005:80-85`"));
        return None;
    }
    let range = PortRange {
        host_ip: draft.host_ip.map(|ip| ip.value),
        published: draft.published.map(|range| range.value),
        target: target.value,
        protocol: draft.protocol.map(|p| p.value).unwrap_or_default(),
    };
    Some(At::new(range, node.place.clone()))
}

/// `[HOST_IP:][PUBLISHED:]TARGET[/PROTOCOL]`
fn short(r: &mut Reader, whole: &Part<'_>, draft: &mut Draft) -> Option<()> {
    let rest = match whole.split_once('/') {
        Some((rest, protocol)) => {
            draft.protocol = Some(r.one_of(&protocol, PROTOCOLS, "a protocol")?);
            rest
        }
        None => *whole,
    };
    let Some((rest, target)) = rest.rsplit_once(':') else {
        draft.target = Some(range(r, &rest)?);
        return Some(());
    };
    draft.target = range(r, &target);
    let published = match rest.rsplit_once(':') {
        Some((ip, published)) => {
            let inner = ip.strip_prefix("[").and_then(|ip| ip.strip_suffix("]")).unwrap_or(ip);
            draft.host_ip = Some(super::scalars::address(r, &inner)?);
            published
        }
        None => rest,
    };
    // `127.0.0.1::80` leaves the choice to the engine.
    if !published.text.is_empty() || draft.host_ip.is_none() {
        draft.published = self::published(r, &published);
    }
    draft.target.is_some().then_some(())
}

/// 0 leaves the choice to the engine, as if nothing were said.
fn published(r: &mut Reader, part: &Part<'_>) -> Option<At<(u16, u16)>> {
    if part.text == "0" { None } else { range(r, part) }
}

fn range(r: &mut Reader, part: &Part<'_>) -> Option<At<(u16, u16)>> {
    let number = |r: &mut Reader, part: &Part<'_>| r.number::<u16>(part, (1, 65535), "a port").map(|port| port.value);
    let Some((first, last)) = part.split_once('-') else {
        return number(r, part).map(|port| part.at((port, port)));
    };
    let (first, last) = (number(r, &first), number(r, &last));
    let (first, last) = (first?, last?);
    if first > last {
        return r.bad_hint(part, "a range of ports", format!("write `{last}-{first}`"));
    }
    Some(part.at((first, last)))
}
