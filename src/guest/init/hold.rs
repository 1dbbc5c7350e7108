//! What a machine still lacks before its program may start.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::addresses;
use super::settings::Settings;
use crate::types::Dynamic;

/// In words; empty: everything is there.
pub(super) fn missing(settings: &Settings) -> Vec<String> {
    let Some(config) = &settings.config else {
        return if settings.are_awaited() { vec!["fly has not said which cards there are to be".to_owned()] } else { vec![] };
    };
    if config.nics.is_empty() {
        return vec![];
    }
    let there = match addresses::all() {
        Ok(there) => there,
        Err(error) => return vec![format!("the kernel does not say which addresses there are: {error}")],
    };
    let mut missing = vec![];
    for (name, wanted) in &config.nics {
        let Some(found) = addresses::index(name.as_str()) else {
            missing.push(format!("there is no {name}"));
            continue;
        };
        missing.extend(wanted.iter().filter(|net| !there.contains(&(found, **net))).map(|net| format!("{name} has no {net}")));
    }
    for (name, ways) in &config.leases {
        let Some(found) = addresses::index(name.as_str()) else { continue };
        let has = |way: &Dynamic| there.iter().any(|(index, net)| *index == found && is_by(*way, net, config.nics.get(name)));
        missing.extend(ways.iter().filter(|way| !has(way)).map(|way| format!("{name} has no address by {way}")));
    }
    missing
}

/// Of the family, and none that the file gives or the kernel makes up.
fn is_by(way: Dynamic, net: &IpNet, given: Option<&BTreeSet<IpNet>>) -> bool {
    let is_link_local = matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local());
    way.is_v4() == net.addr().is_ipv4() && !is_link_local && given.is_none_or(|given| !given.contains(net))
}
