//! What a link carries: kernel parameters, neighbours, and how well packets get through.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Effect;
use super::fields::{Fields, joined};
use crate::net::{LinkState, Tune};
use crate::types::{Mac, Traffic, Tuning};

/// All but the neighbours, which a link has only while it is up.
pub(super) fn diff(desired: &Tuning, actual: &LinkState, fields: &mut Fields<'_>, tune: &mut Tune) {
    let Tuning { neighbours: _, sysctls, traffic } = desired;
    // Those that the file does not name are nobody's business.
    for (sysctl, value) in sysctls {
        let now = actual.sysctls.get(sysctl);
        if now != Some(value) {
            fields.push(format!("sysctls.{sysctl}"), now.map(ToString::to_string), Some(value.to_string()), Effect::Live);
            tune.sysctls.insert(*sysctl, *value);
        }
    }
    tune.traffic = self::traffic(traffic, actual, "", fields);
}

/// What is to be set at a link so that it sends as it should. Where the file says nothing, only what fly itself left there counts.
pub(super) fn traffic(desired: &Traffic, actual: &LinkState, place: &str, fields: &mut Fields<'_>) -> Option<Traffic> {
    let (now, foreign) = (&actual.link.tuning.traffic, actual.foreign_qdisc.as_ref());
    let is_so = if desired.is_empty() { now.is_empty() || foreign.is_some() } else { now == desired };
    if is_so {
        return None;
    }
    for ((field, old), (_, new)) in now.shown().into_iter().zip(desired.shown()) {
        if old != new {
            fields.push_of(field, format!("{field}{place}"), old, new, Effect::Live);
        }
    }
    // One that is no such thing at all, as `htb`.
    if let Some(foreign) = foreign.filter(|_| now.is_empty()) {
        fields.push(format!("qdisc{place}"), Some(foreign.clone()), None, Effect::Live);
    }
    Some(desired.clone())
}

pub(super) fn neighbours(desired: &BTreeMap<IpAddr, Mac>, actual: &LinkState, fields: &mut Fields<'_>, tune: &mut Tune) {
    let is_ours = |(address, mac): &(&IpAddr, &Mac)| desired.contains_key(address) || actual.foreign_neighbours.get(address) != Some(mac);
    let now: BTreeMap<IpAddr, Mac> = actual.link.tuning.neighbours.iter().filter(is_ours).map(|(a, m)| (*a, *m)).collect();
    tune.keep_neighbours.clone_from(desired);
    if now == *desired {
        return;
    }
    tune.neighbours = desired.iter().filter(|(address, mac)| now.get(address) != Some(mac)).map(|(a, m)| (*a, *m)).collect();
    tune.remove_neighbours = now.keys().filter(|address| !desired.contains_key(address)).copied().collect();
    fields.push("neighbours", shown(&now), shown(desired), Effect::Live);
}

fn shown(neighbours: &BTreeMap<IpAddr, Mac>) -> Option<String> {
    joined(&neighbours.iter().map(|(address, mac)| format!("{address} {mac}")).collect::<BTreeSet<String>>())
}

/// What a new link gets, for reading.
pub(super) fn created(tuning: &Tuning, fields: &mut Fields<'_>) {
    let Tuning { neighbours, sysctls, traffic } = tuning;
    if let Some(neighbours) = shown(neighbours) {
        fields.push("neighbours", None, Some(neighbours), Effect::Live);
    }
    for (sysctl, value) in sysctls {
        fields.push(format!("sysctls.{sysctl}"), None, Some(value.to_string()), Effect::Live);
    }
    for (field, value) in traffic.shown() {
        if value.is_some() {
            fields.push(field, None, value, Effect::Live);
        }
    }
}

/// What somebody else has put there, which stays.
pub(super) fn foreign(desired: &Tuning, actual: &LinkState) -> Vec<String> {
    let others = actual.foreign_neighbours.iter().filter(|(address, _)| !desired.neighbours.contains_key(address));
    let neighbours = others.map(|(address, mac)| format!("neighbour {address} {mac}"));
    let qdisc = actual.foreign_qdisc.iter().filter(|_| desired.traffic.is_empty()).map(|qdisc| format!("qdisc {qdisc}"));
    neighbours.chain(qdisc).collect()
}
