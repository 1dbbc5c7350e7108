//! `links` at the top: cables between the cards of two machines.

use serde_json::Value;

use super::model::{Broken, Cable, CableEnd, Gateway, Ip, TrafficSpec, Tuning};
use super::nic::IPS;
use super::node::{Body, Node};
use super::reader::{Form, Key, Reader, key};
use super::route::{GATEWAYS, ROUTES};
use super::scalars::{self, BOOL, MAC, MTU};
use super::schema;
use super::tuning::{traffic_keys, tuning_keys};
use crate::diag::{At, Diagnostic, Place};

/// A cable before it is known to have two ends.
#[derive(Default)]
pub(super) struct Draft {
    ends: Option<Vec<CableEnd>>,
    mtu: Option<At<u32>>,
    tuning: Wire,
}

/// What a cable has of its own, as a card has it.
#[derive(Default)]
struct Wire {
    traffic: TrafficSpec,
}

const KEYS: &[Key<Draft>] =
    &[key!(ends: ENDS, "The two cards, as `machine:card` or with addresses of their own"), key!(mtu: MTU, "The MTU of both ends")];

pub(super) const TABLES: &[&[Key<Draft>]] = &[KEYS, traffic_keys!(Draft, "goes through it, each way")];

#[derive(Default)]
struct EndDraft {
    nic: Option<At<String>>,
    ip: Option<Vec<At<Ip>>>,
    mac: Option<At<crate::types::Mac>>,
    gateway: Option<Vec<At<Option<Gateway>>>>,
    routes: Option<Vec<At<super::model::RouteSpec>>>,
    up: Option<At<bool>>,
    tuning: Tuning,
}

const END_KEYS: &[Key<EndDraft>] = &[
    key!(nic: END, "The machine and the card in it: `web:eth5`"),
    key!(ip: IPS, "Its address, or several, each with its prefix length"),
    key!(mac: MAC, "Its MAC, or `U:` and a text that it is made of, as in pipework. Default: an automatic one that never changes"),
    key!(gateway: GATEWAYS, "The default route by this card"),
    key!(routes: ROUTES, "Further routes by this card"),
    key!(up: BOOL, "Whether it is switched on. Default: true"),
];

const END_TABLES: &[&[Key<EndDraft>]] =
    &[END_KEYS, tuning_keys!(EndDraft), traffic_keys!(EndDraft, "leaves by this end, in place of the cable's")];

const END_TEXT: &str = "an end of a cable, as `web:eth5`";

const END: Form<At<String>> = Form {
    schema: || schema::matching(&format!("{}:{}", scalars::NAME_PATTERN, super::nic::IFNAME_PATTERN)),
    read: |r, node| Some(r.words(node, END_TEXT)?.text()),
};

const ENDS: Form<Vec<CableEnd>> =
    Form { schema: || schema::list_of(end_schema(), Some(2)), read: |r, node| two_ends(r, node, &node.place) };

pub(super) fn end_schema() -> Value {
    schema::any(vec![(END.schema)(), schema::object(END_TABLES, &["nic"])])
}

pub(super) fn read(r: &mut Reader, node: &Node) -> Option<Cable> {
    let mut draft = Draft::default();
    match &node.body {
        Body::Seq(_) => draft.ends = two_ends(r, node, &node.place),
        Body::Map(entries) => {
            r.keys(node, "a cable", TABLES, &mut draft);
            if !entries.iter().any(|(key, _)| key.value == "ends") {
                r.missing(&node.place, "a cable", "ends");
            }
        }
        Body::Scalar(_) => return r.wrong(node, "a cable, as `[web:eth5, db:eth5]`"),
    }
    Some(Cable { place: node.place.clone(), ends: draft.ends?, mtu: draft.mtu, traffic: draft.tuning.traffic })
}

fn two_ends(r: &mut Reader, node: &Node, place: &Place) -> Option<Vec<CableEnd>> {
    let Body::Seq(items) = &node.body else { return r.wrong(node, "the two ends of a cable, as `[web:eth5, db:eth5]`") };
    let ends: Vec<_> = items.iter().map(|item| end(r, item)).collect();
    if items.len() != 2 {
        r.push(Diagnostic::invalid(format!("a cable has two ends, not {}", items.len())).at(place).hint("`[web:eth5, db:eth5]`"));
        return None;
    }
    let ends: Vec<_> = ends.into_iter().flatten().collect();
    if let [a, b] = ends.as_slice()
        && a.nic.value == b.nic.value
    {
        let error = Diagnostic::invalid("both ends of a cable are the same card").at(&b.nic.place);
        r.push(error.also(&a.nic.place, "the other end").hint("a card of another machine, or another card"));
        return None;
    }
    (ends.len() == 2).then_some(ends)
}

fn end(r: &mut Reader, node: &Node) -> Option<CableEnd> {
    let (mut draft, mut broken) = (EndDraft::default(), Broken::default());
    let nic = if let Body::Map(entries) = &node.body {
        broken = r.kept_keys(node, "an end of a cable", END_TABLES, &mut draft);
        let Some((_, nic)) = entries.iter().find(|(key, _)| key.value == "nic") else {
            r.missing(&node.place, "an end of a cable", "nic");
            return None;
        };
        if draft.nic.is_none() {
            r.lost += 1;
            return None;
        }
        nic
    } else {
        node
    };
    let part = r.words(nic, END_TEXT)?;
    let Some((machine, ifname)) = part.split_once(':') else { return r.bad(&part, END_TEXT) };
    let machine = scalars::name(r, &machine, "the name of a machine");
    let ifname = scalars::ifname(r, &ifname, "the name of a network card");
    let lost = r.lost;
    let ip = prefixed(r, draft.ip.unwrap_or_default());
    if r.lost != lost {
        broken.insert("ip");
    }
    Some(CableEnd {
        nic: part.text(),
        machine: machine?.value,
        ifname: ifname?.value,
        ip,
        mac: draft.mac,
        gateway: draft.gateway,
        routes: draft.routes,
        up: draft.up,
        tuning: draft.tuning,
        broken,
    })
}

/// A cable has no subnet that could lend an address its prefix length.
fn prefixed(r: &mut Reader, ips: Vec<At<Ip>>) -> Vec<At<Ip>> {
    for ip in &ips {
        let error = match ip.value {
            Ip::Auto => Diagnostic::invalid("a cable has no pool to take an address from").hint("`ip: 10.0.0.1/30`"),
            Ip::Dynamic(way) => Diagnostic::invalid(format!("nobody gives addresses by {way} on a cable")).hint("`ip: 10.0.0.1/30`"),
            Ip::Address { address, prefix: None } => {
                let longest = if address.is_ipv4() { 30 } else { 64 };
                Diagnostic::invalid("an address of a cable needs its prefix length").hint(format!("as in `/{longest}`"))
            }
            Ip::None | Ip::Address { .. } => continue,
        };
        r.push(error.at(&ip.place));
    }
    ips
}
