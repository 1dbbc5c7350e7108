//! What a card carries besides addresses and routes: neighbours, kernel parameters, rates and losses.

use std::net::IpAddr;

use serde_json::json;

use super::node::{Body, Part};
use super::reader::{Form, Reader};
use super::scalars;
use super::schema;
use crate::diag::{At, Diagnostic, similar};
use crate::types::{MAX_DELAY, Mac, Percent, Rate, Seconds, Sysctl};

/// The keys of whatever has a `tuning`.
macro_rules! tuning_keys {
    ($of:ty) => {
        &[
            $crate::spec::tuning::nested!($of, neighbours: $crate::spec::tuning::NEIGHBOURS, "Neighbours that are not asked for: their MACs by their addresses"),
            $crate::spec::tuning::nested!($of, sysctls: $crate::spec::tuning::SYSCTLS, "Kernel parameters of this card, as in `{ipv4.rp_filter: 2}`"),
            $crate::spec::tuning::nested!($of, rules: $crate::spec::route::RULES, "Policy rules, as the machine's own: it makes no difference where they stand"),
        ]
    };
}

/// The keys of whatever has a `tuning.traffic`; `$which` says which packets they are about.
macro_rules! traffic_keys {
    ($of:ty, $which:literal) => {
        &[
            $crate::spec::tuning::nested!($of, traffic.rate: $crate::spec::tuning::RATE, concat!("The rate, as in `100mbit`, of what ", $which)),
            $crate::spec::tuning::nested!($of, traffic.delay: $crate::spec::tuning::DELAY, concat!("The delay, as in `10ms`, of what ", $which)),
            $crate::spec::tuning::nested!($of, traffic.jitter: $crate::spec::tuning::DELAY, "By how much the delay varies"),
            $crate::spec::tuning::nested!($of, traffic.loss: $crate::spec::tuning::SHARE, concat!("The share that is lost, as in `0.5%`, of what ", $which)),
            $crate::spec::tuning::nested!($of, traffic.duplicate: $crate::spec::tuning::SHARE, "The share that arrives twice"),
            $crate::spec::tuning::nested!($of, traffic.corrupt: $crate::spec::tuning::SHARE, "The share that arrives with a wrong bit"),
            $crate::spec::tuning::nested!($of, traffic.reorder: $crate::spec::tuning::SHARE, "The share that overtakes what is delayed"),
        ]
    };
}

/// A key whose field is not at the top: `nested!(Nic, traffic.rate: RATE, "…")`.
macro_rules! nested {
    ($of:ty, $($part:ident).+: $form:expr, $doc:expr) => {
        $crate::spec::reader::Key::<$of> {
            name: $crate::spec::tuning::last!($($part).+),
            doc: $doc,
            schema: || ($form.schema)(),
            read: |reader, node, into| into.tuning.$($part).+ = ($form.read)(reader, node),
        }
    };
}

macro_rules! last {
    ($only:ident) => { stringify!($only) };
    ($first:ident . $($rest:ident).+) => { $crate::spec::tuning::last!($($rest).+) };
}

pub(super) use {last, nested, traffic_keys, tuning_keys};

pub(super) const NEIGHBOURS: Form<Vec<(At<IpAddr>, At<Mac>)>> = Form {
    schema: || json!({"type": "object", "additionalProperties": (scalars::MAC.schema)(), "propertyNames": {"pattern": "^[0-9a-fA-F.:]+$"}}),
    read: |r, node| match &node.body {
        Body::Map(entries) => Some(
            entries
                .iter()
                .filter_map(|(key, value)| {
                    let address = scalars::address(r, &Part::key(key));
                    let mac = (scalars::MAC.read)(r, value);
                    address.zip(mac)
                })
                .collect(),
        ),
        _ if node.is_null() => Some(vec![]),
        _ => r.wrong(node, "neighbours by their addresses, as `{10.0.0.7: \"02:00:5e:10:00:07\"}`"),
    },
};

pub(super) const SYSCTLS: Form<Vec<(At<Sysctl>, At<i32>)>> = Form {
    schema: || {
        let name = r"(ipv[46]\.|net\.ipv[46]\.conf\.IFNAME\.)[a-z0-9_]+";
        let values = json!({"type": ["integer", "string"]});
        let map = json!({"type": "object", "additionalProperties": values, "propertyNames": {"pattern": format!("^{name}$")}});
        schema::any(vec![map, schema::list_of(schema::matching(&format!("{name}=-?[0-9]+")), None)])
    },
    read: |r, node| match &node.body {
        Body::Map(entries) => Some(
            entries
                .iter()
                .filter_map(|(key, value)| {
                    let name = sysctl(r, &Part::key(key));
                    let part = r.scalar(value, "a number")?;
                    name.zip(number(r, &part))
                })
                .collect(),
        ),
        _ => r.list(node, "kernel parameters, as `{ipv4.rp_filter: 2}`", |r, item| {
            let part = r.words(item, "a kernel parameter, as `ipv4.rp_filter=2`")?;
            let Some((name, value)) = part.split_once('=') else { return r.bad(&part, "a kernel parameter, as `ipv4.rp_filter=2`") };
            sysctl(r, &name).zip(number(r, &value))
        }),
    },
};

fn sysctl(r: &mut Reader, part: &Part<'_>) -> Option<At<Sysctl>> {
    const WHAT: &str = "a kernel parameter of a network card, as `ipv4.rp_filter`";
    let Ok(found) = part.text.parse::<Sysctl>() else {
        let names: Vec<String> = Sysctl::names().collect();
        let meant = if part.text.len() > 64 { None } else { similar(part.text, names.iter().map(String::as_str)) };
        return match meant {
            Some(meant) => r.bad_hint(part, WHAT, format!("did you mean `{meant}`?")),
            None => r.bad_hint(
                part,
                WHAT,
                "`ipv4.NAME` or `ipv6.NAME`: NAME as in `/proc/sys/net/ipv4/conf/eth0`; others are the machine's `sysctls`",
            ),
        };
    };
    if let Some(why) = found.kept() {
        r.push(Diagnostic::invalid(format!("`{found}` is not the file's to say")).at(&part.place()).label(why).hint("leave it out"));
        return None;
    }
    Some(part.at(found))
}

fn number(r: &mut Reader, part: &Part<'_>) -> Option<At<i32>> {
    match part.text.parse() {
        Ok(number) => Some(part.at(number)),
        Err(_) => r.bad_hint(part, "the value of a kernel parameter", "a whole number, as `0`, `1` or `-1`"),
    }
}

pub(super) const RATE: Form<At<Rate>> = Form {
    schema: || schema::matching(r"[0-9]+(\.[0-9]+)?([kKmMgGtT]i?)?(bit|bps)"),
    read: |r, node| {
        let what = "a rate, as `100mbit`";
        let part = r.scalar(node, what)?;
        let hint = "a number with `kbit`, `mbit` or `gbit` (1000 bits a second and so on), or `kbps`, `mbps` for bytes";
        let rate: At<Rate> = r.parse(&part, what, hint)?;
        if rate.value < Rate::MIN || rate.value > Rate::MAX {
            return r.bad_hint(&part, what, format!("from {} to {}", Rate::MIN, Rate::MAX));
        }
        Some(rate)
    },
};

pub(super) const DELAY: Form<At<Seconds>> = Form {
    schema: scalars::SECONDS.schema,
    read: |r, node| {
        let delay = (scalars::SECONDS.read)(r, node)?;
        if delay.value > MAX_DELAY {
            let message = format!("`{}` is longer than the kernel delays a packet", delay.value);
            r.push(Diagnostic::invalid(message).at(&delay.place).hint(format!("at most {MAX_DELAY}")));
            return None;
        }
        Some(delay)
    },
};

pub(super) const SHARE: Form<At<Percent>> = Form {
    schema: || schema::matching(r"[0-9]+(\.[0-9]+)?%"),
    read: |r, node| {
        let what = "a share, as `0.5%`";
        let part = r.scalar(node, what)?;
        r.parse(&part, what, "a number from 0 to 100 with a `%`")
    },
};
